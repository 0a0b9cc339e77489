"""What the cloud must have before a pair can be declared on it: checked in a preview already, all at once."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pulumi
import pulumi_command as command
import pulumi_openstack as openstack

from settings.pair import PairSettings

from .provider_credentials import credentials_of_the_stack

#: Without it a port forwards nothing that comes from the VIP.
NEEDED_EXTENSION = "allowed-address-pairs"

Found = TypeVar("Found")


@dataclass(frozen=True)
class ExistingResources:
    """What the pair uses and does not make."""

    external_network_id: str
    image_id: str


class PreflightError(pulumi.RunError):
    """The cloud lacks something; the message has one line for each, and nothing was declared."""


def preflight(settings: PairSettings, opts: pulumi.InvokeOptions | None = None) -> ExistingResources:
    """Look up what the pair needs, with lookups that a preview makes too.

    :raises PreflightError: naming each thing that is not there and how to see what is.
    """
    problems: list[str] = []

    def look_up(what: str, way_out: str, lookup: Callable[[], Found]) -> Found | None:
        try:
            return lookup()
        except Exception as error:  # the SDK raises a plain Exception for every failed invoke
            problems.append(f"{what}: {_reason(error)} {way_out}")
            return None

    # The first question is also whether the cloud can be reached at all: the others would only repeat that.
    if (extensions := look_up("the cloud", _CREDENTIALS, _extensions)) is None:
        raise PreflightError(_numbered(problems))
    if NEEDED_EXTENSION not in extensions:
        problems.append(
            f"the Neutron extension {NEEDED_EXTENSION} is missing, and without it no server may answer for the VIP. "
            "`openstack extension list --network` shows what there is; ask the operator of the cloud, or use another"
        )
    network_id = look_up(
        f"externalNetwork = {settings.external_network}",
        "`openstack network list --external` shows those there are.",
        lambda: openstack.networking.get_network(name=settings.external_network, external=True, opts=opts).id,
    )
    image_id = settings.image_id or look_up(
        f"image = {settings.image}",
        "`openstack image list` shows those there are.",
        lambda: openstack.images.get_image(name=settings.image, most_recent=True, opts=opts).id,
    )
    look_up(
        f"flavor = {settings.flavor}",
        "`openstack flavor list` shows those there are.",
        lambda: openstack.compute.get_flavor(name=settings.flavor, opts=opts),
    )
    if settings.public_key is None:
        look_up(
            f"keyName = {settings.key_name}",
            "`openstack keypair list` shows those there are; or set publicKey, and it is made.",
            lambda: openstack.compute.get_keypair(name=settings.key_name, opts=opts),
        )
    if problems or network_id is None or image_id is None:
        raise PreflightError(_numbered(problems))
    return ExistingResources(external_network_id=network_id, image_id=image_id)


_CREDENTIALS = (
    "Give credentials as the provider takes them: OS_CLOUD names an entry of clouds.yaml, "
    "or source the project's openrc file."
)


def _extensions() -> list[str]:
    """The aliases of Neutron's extensions, asked by a command because the provider has no such data source."""
    answer = command.local.run(
        command=f"{shlex.quote(sys.executable)} -m gates.cloud_questions",
        dir=str(Path(__file__).resolve().parent.parent),
        environment=credentials_of_the_stack(),
        logging=command.local.Logging.NONE,
    )
    return json.loads(answer.stdout)


def _reason(error: Exception) -> str:
    """The provider's own words: the last line of its message that says anything."""
    lines = [line.strip(" \t*") for line in str(error).splitlines()]
    return next((line for line in reversed(lines) if line), type(error).__name__)


def _numbered(problems: list[str]) -> str:
    body = "\n".join(f"  {number}. {line}" for number, line in enumerate(problems, start=1))
    return f"the cloud is not ready for the pair, so nothing was declared:\n{body}"
