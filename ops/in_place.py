"""A server made by hand that is not on the port the program would give it: how to move it there while it runs.

This is the tutorial's last chapter. A server that Nova put on a network got a port of its own there, with an address
from the pool, without the VIP as allowed address pair and in the group `default`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .adopt import Match

SERVER = "openstack:compute/instance:Instance"
PORT = "openstack:networking/port:Port"
SUBNET = "openstack:networking/subnet:Subnet"
GROUP = "openstack:networking/secGroup:SecGroup"


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
        if port is None:
            continue
        present = list(connection.network.ports(device_id=match.ids[0]))
        if port.ids[:1] != [one.id for one in present][:1]:
            moves.append(_move(match, port, present, matches))
    return moves


def _move(server: Match, port: Match, present: Sequence[Any], matches: Sequence[Match]) -> Move:
    address = port.step.inputs["fixedIps"][0]["ipAddress"]
    addresses = ", ".join(fixed["ip_address"] for one in present for fixed in one.fixed_ips) or "no address"
    if port.ids:
        commands = [f"openstack server remove port {server.name} {one.id}" for one in present]
        commands.append(f"openstack server add port {server.name} {port.ids[0]}")
        afterwards = f"It has another card then, and takes {address} by DHCP when its network configuration lets it."
    else:
        subnet = next(match.name for match in matches if match.step.type == SUBNET)
        group = next(match.name for match in matches if match.step.type == GROUP)
        pairs = [
            f"--allowed-address ip-address={pair['ipAddress']}" for pair in port.step.inputs["allowedAddressPairs"]
        ]
        commands = [
            f"openstack port set --name {port.name} --no-fixed-ip --fixed-ip subnet={subnet},ip-address={address} "
            f"{' '.join(pairs)} --no-security-group --security-group {group} {one.id}"
            for one in present[:1]
        ]
        afterwards = (
            f"It takes {address} when it next asks by DHCP: at once with `openstack server reboot {server.name}`, "
            "a failover where it holds the VIP. Do it with the backup first, and run this command again afterwards."
        )
    return Move(
        server.name,
        port.name,
        f"it has {addresses}. An `up` replaces it by a server on {port.name} with {address}, one member at a time.",
        commands,
        afterwards,
    )
