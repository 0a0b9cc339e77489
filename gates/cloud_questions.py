"""Answers the preflight's questions about a cloud, all at the same time.

Run as ``python -m gates.cloud_questions`` with the questions as JSON on standard input and the credentials that
openstacksdk finds (OS_CLOUD, clouds.yaml, OS_AUTH_URL …)::

    [{"kind": "image", "name": "debian-12-x86_64"}, {"kind": "servers", "name": ""}]

Prints one answer for each question, in the same order: ``{"id": "…"}`` of the resource; ``{"problem": "…"}`` if the
resource is missing or ambiguous, or the cloud gave no answer; ``{"names": […]}`` of all servers of the project. Exits
with 1 and one line on standard error when the cloud cannot be reached.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from openstack.exceptions import NotFoundException

from .connection import NO_ANSWER, connect

#: A function of connection and name that yields the ids of the matching resources, the best one first.
Finder = Callable[[Any, str], Iterable[str]]


def _extensions(connection: Any, alias: str) -> Iterable[str]:
    return (extension.alias for extension in connection.network.extensions() if extension.alias == alias)


def _external_networks(connection: Any, name: str) -> Iterable[str]:
    return (network.id for network in connection.network.networks(name=name, is_router_external=True))


def _images(connection: Any, name: str) -> Iterable[str]:
    """Yield the newest image first, as the provider's ``most_recent`` does: by the time of creation."""
    active = connection.image.images(name=name, status="active")
    return (image.id for image in sorted(active, key=lambda image: str(image.created_at), reverse=True))


def _flavors(connection: Any, name: str) -> Iterable[str]:
    # "None" asks for public and private flavors alike; Nova ignores it for users who are not administrators.
    return (one.id for one in connection.compute.flavors(details=False, is_public="None") if one.name == name)


def _key_pairs(connection: Any, name: str) -> Iterable[str]:
    try:
        return (connection.compute.get_keypair(name).name,)
    except NotFoundException:
        return ()


def _server_names(connection: Any, _: str) -> Iterable[str]:
    """Yield every name: one question serves all pairs of a program, and Nova lists a thousand in one answer."""
    return (server.name for server in connection.compute.servers(details=False))


FINDERS: dict[str, Finder] = {
    "extension": _extensions,
    "external network": _external_networks,
    "image": _images,
    "flavor": _flavors,
    "key pair": _key_pairs,
    "servers": _server_names,
}

#: Kinds whose names must be unique. Of several images with one name, the newest one counts.
UNIQUE = {"external network"}


def answer(connection: Any, question: dict[str, str]) -> dict[str, Any]:
    """Return the answer to one question.

    :param connection: an ``openstack.connection.Connection``.
    """
    kind, name = question["kind"], question["name"]
    try:
        found = list(FINDERS[kind](connection, name))
    except NO_ANSWER as error:
        return {"problem": f"the cloud did not say whether there is one ({error})."}
    if kind == "servers":
        return {"names": found}
    if not found:
        return {"problem": f"the cloud has no {kind} of this name."}
    if kind in UNIQUE and len(found) > 1:
        return {"problem": f"the cloud has {len(found)} of this name ({', '.join(found)})."}
    return {"id": str(found[0])}


def main() -> int:
    """Answer the questions on standard input; return the exit status."""
    questions: list[dict[str, str]] = json.load(sys.stdin)
    try:
        connection = connect()
        # Get the token before the threads start, because they share it.
        connection.authorize()
    except NO_ANSWER as error:
        print(f"the cloud cannot be asked: {error}", file=sys.stderr)
        return 1
    with ThreadPoolExecutor(max_workers=len(questions) or 1) as pool:
        answers = list(pool.map(partial(answer, connection), questions))
    print(json.dumps(answers))
    return 0


if __name__ == "__main__":
    sys.exit(main())
