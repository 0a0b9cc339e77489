"""Answers the preflight's questions about a cloud, all at the same time.

Run as ``python -m gates.cloud_questions`` with the questions as JSON on standard input and the credentials that
openstacksdk finds (OS_CLOUD, clouds.yaml, OS_AUTH_URL …)::

    [{"kind": "image", "name": "debian-12-x86_64"}, {"kind": "servers", "name": ""}, {"kind": "networking", "name": ""}]

Prints one answer for each question, in the same order: ``{"id": "…"}`` of the resource; ``{"problem": "…"}`` if the
resource is missing or ambiguous, or the cloud gave no answer; ``{"names": […], "not_active": [IDS]}`` of all servers
of the project;
``{"networking": {…}}`` with the project's ports, subnets, routers and floating IPs, and all external networks
(``gates.present_pair`` reads them). Exits with 1 and one line on standard error when the cloud cannot be reached.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from threading import Lock
from typing import Any

from openstack.exceptions import NotFoundException

from .connection import NO_ANSWER, connect

#: A function of connection and name that yields the ids of the matching resources, the best one first.
Finder = Callable[[Any, str], Iterable[str]]


def _extensions(connection: Any, alias: str) -> Iterable[str]:
    # Ask for the one extension: the list of all of them is long, and Neutron takes longer for it than for the others.
    found = connection.network.find_extension(alias)
    return (alias,) if found and found.alias == alias else ()


#: Held while the external networks are listed, so that the second question waits for the answer to the first one.
_LISTING_EXTERNAL_NETWORKS = Lock()


@cache
def _list_external_networks(connection: Any) -> list[Any]:
    return list(connection.network.networks(is_router_external=True))


def _all_external_networks(connection: Any) -> list[Any]:
    """Return all external networks. Two questions need them, and the cloud is asked once for each connection."""
    with _LISTING_EXTERNAL_NETWORKS:
        return _list_external_networks(connection)


def _external_networks(connection: Any, name: str) -> Iterable[str]:
    return (network.id for network in _all_external_networks(connection) if network.name == name)


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


def _servers(connection: Any) -> dict[str, Any]:
    """Return the names of all servers, and the ids of those that are not ACTIVE: one question serves all pairs.

    Two lists without details take less than one with details, for which Nova asks Neutron about every server. One
    answer of Nova has up to a thousand servers.
    """

    def listed(**filters: str) -> list[tuple[str, str]]:
        return [(str(server.id), str(server.name)) for server in connection.compute.servers(details=False, **filters)]

    with ThreadPoolExecutor(max_workers=1) as pool:
        active = pool.submit(listed, status="ACTIVE")
        every = listed()
        active_ids = {id_ for id_, _ in active.result()}
    return {"names": [name for _, name in every], "not_active": [id_ for id_, _ in every if id_ not in active_ids]}


FINDERS: dict[str, Finder] = {
    "extension": _extensions,
    "external network": _external_networks,
    "image": _images,
    "flavor": _flavors,
    "key pair": _key_pairs,
}

#: The lists of "networking": key of the answer → a function of connection and project that yields its entries.
Lister = Callable[[Any, str], Iterable[dict[str, Any]]]


def _ports(connection: Any, project: str) -> Iterable[dict[str, Any]]:
    fields = ["id", "name", "tags", "network_id", "device_id", "device_owner", "fixed_ips", "allowed_address_pairs"]
    for port in connection.network.ports(project_id=project, fields=fields):
        fixed_ips: list[dict[str, str]] = port.fixed_ips or []
        pairs: list[dict[str, str]] = port.allowed_address_pairs or []
        yield {
            "id": port.id,
            "name": port.name,
            "tags": list(port.tags or []),
            "network_id": port.network_id,
            "device_id": port.device_id or "",
            "device_owner": port.device_owner or "",
            "fixed_ips": [{key: fixed[key] for key in ("subnet_id", "ip_address")} for fixed in fixed_ips],
            "allowed_addresses": [pair["ip_address"] for pair in pairs],
        }


def _subnets(connection: Any, project: str) -> Iterable[dict[str, Any]]:
    for subnet in connection.network.subnets(project_id=project):
        yield {
            "id": subnet.id,
            "name": subnet.name,
            "ip_version": subnet.ip_version,
            "cidr": subnet.cidr,
            "gateway": subnet.gateway_ip,
        }


def _routers(connection: Any, project: str) -> Iterable[dict[str, Any]]:
    for router in connection.network.routers(project_id=project):
        gateway: dict[str, Any] = router.external_gateway_info or {}
        yield {"id": router.id, "external_network_id": gateway.get("network_id")}


def _floating_ips(connection: Any, project: str) -> Iterable[dict[str, Any]]:
    for one in connection.network.ips(project_id=project):
        yield {
            "address": one.floating_ip_address,
            "port_id": one.port_id,
            "fixed_ip": one.fixed_ip_address,
            "external_network_id": one.floating_network_id,
            "tags": list(one.tags or []),
        }


def _every_external_network(connection: Any, _: str) -> Iterable[dict[str, Any]]:
    return ({"id": one.id, "name": one.name} for one in _all_external_networks(connection))


LISTERS: dict[str, Lister] = {
    "ports": _ports,
    "subnets": _subnets,
    "routers": _routers,
    "floating_ips": _floating_ips,
    "external_networks": _every_external_network,
}


def _networking(connection: Any) -> dict[str, list[dict[str, Any]]]:
    """Return all lists, asked for at the same time. One question serves all pairs of a program.

    The project is named, because an administrator would see the ports of every project.
    """
    project: str = connection.current_project_id

    def entries(lister: Lister) -> list[dict[str, Any]]:
        return list(lister(connection, project))

    with ThreadPoolExecutor(max_workers=len(LISTERS)) as pool:
        return dict(zip(LISTERS, pool.map(entries, LISTERS.values()), strict=True))


#: Kinds whose names must be unique. Of several images with one name, the newest one counts.
UNIQUE = {"external network"}


def answer(connection: Any, question: dict[str, str]) -> dict[str, Any]:
    """Return the answer to one question.

    :param connection: an ``openstack.connection.Connection``.
    """
    kind, name = question["kind"], question["name"]
    try:
        if kind == "networking":
            return {"networking": _networking(connection)}
        if kind == "servers":
            return _servers(connection)
        found = list(FINDERS[kind](connection, name))
    except NO_ANSWER as error:
        return {"problem": f"the cloud did not say whether there is one ({error})."}
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
