"""A server made by hand that is not on the port the program would give it: how to move it there while it runs.

This is the tutorial's last chapter. A server that Nova put on a network got a port of its own there, with an address
from the pool, without the VIP as allowed address pair and in the group `default`. Nova deletes that port together with
the server, so that it can't become the member's lasting one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from .type_tokens import NETWORK, PORT, SECURITY_GROUP, SERVER, SUBNET

if TYPE_CHECKING:
    from .adopt import Match


@dataclass(frozen=True)
class Move:
    """What to do about one server."""

    server: str
    port: str
    what_up_does: str
    commands: list[str]
    afterwards: str


def moves_in_place(matches: Sequence[Match], connection: Any) -> list[Move]:
    """One for each server that was found on another port than the declared one.

    :param connection: an ``openstack.connection.Connection``.
    """
    by_urn = {match.step.urn: match for match in matches}
    moves: list[Move] = []
    for match in matches:
        if match.step.type != SERVER or len(match.ids) != 1:
            continue
        sources = [by_urn.get(urn) for urn in match.step.dependencies.get("networks", [])]
        port = next((source for source in sources if source and source.step.type == PORT), None)
        if port is None or len(port.ids) > 1:
            continue
        present = list(connection.network.ports(device_id=match.ids[0]))
        if not {one.id for one in present} & set(port.ids):
            moves.append(_move(match, port, present, matches))
    return moves


def _move(server: Match, port: Match, present: Sequence[Any], matches: Sequence[Match]) -> Move:
    def named(type_: str, version: int = 4) -> str:
        of_it = (match for match in matches if match.step.type == type_)
        fitting = (match.name for match in of_it if match.step.inputs.get("ipVersion", version) == version)
        return next(fitting, type_.rpartition(":")[2].upper())

    networks = {id_ for match in matches if match.step.type == NETWORK for id_ in match.ids}
    # A server may have another card besides, which is nobody's business here.
    old = [one for one in present if not networks or one.network_id in networks]
    addresses = [str(fixed["ipAddress"]) for fixed in port.step.inputs["fixedIps"]]
    address = addresses[0]
    held = [fixed["ip_address"] for one in old for fixed in one.fixed_ips]
    commands = [f"openstack server remove port {server.name} {one.id}" for one in old]
    if not port.ids:
        pairs = [
            f"--allowed-address ip-address={pair['ipAddress']}" for pair in port.step.inputs["allowedAddressPairs"]
        ]
        fixed = [f"--fixed-ip subnet={named(SUBNET, ip_address(one).version)},ip-address={one}" for one in addresses]
        commands.append(
            f"openstack port create {port.name} --network {named(NETWORK)} {' '.join(fixed)} {' '.join(pairs)} "
            f"--security-group {named(SECURITY_GROUP)}"
        )
    commands.append(f"openstack server add port {server.name} {port.ids[0] if port.ids else port.name}")
    if address in held:
        what = (
            f"it holds {address} by a port without that name. An `up` can't give the address to {port.name} meanwhile."
        )
    else:
        what = (
            f"it has {', '.join(held) or 'no address there'}. An `up` replaces it by a server on {port.name} with "
            f"{address}, one member at a time."
        )
    return Move(
        server.name,
        port.name,
        what,
        commands,
        f"Nobody reaches {server.name} in between, and the other member has to serve: begin with the backup, and go on "
        f"when it answers on {address}. Then run this again. (If you made the port yourself, before the server, and "
        f"gave it no name, this is all: `openstack port set --name {port.name} {old[0].id if old else 'PORT'}`.)",
    )
