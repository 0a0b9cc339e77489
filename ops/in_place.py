"""How to move a running server, which was made by hand, onto the port that the program would give it.

This is the tutorial's last chapter. Nova gave such a server a port of its own: with an address from the pool, without
an allowed address pair for the VIP, and in the group `default`. Nova deletes that port together with the server, so it
can't become the member's lasting port.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from .type_tokens import NETWORK, PORT, SECURITY_GROUP, SERVER, SUBNET

if TYPE_CHECKING:
    from .adopt import Match


@dataclass(frozen=True)
class Move:
    """The advice for one server."""

    server: str
    #: The name of the declared port.
    port: str
    what_up_does: str
    commands: list[str]
    afterwards: str


def moves_in_place(matches: Sequence[Match], connection: Any) -> list[Move]:
    """Return a move for each server that was found on another port than the declared one.

    :param connection: an ``openstack.connection.Connection``.
    """
    moves: list[Move] = []
    for server, port in _servers_with_their_declared_ports(matches):
        present = list(connection.network.ports(device_id=server.ids[0]))
        if not {one.id for one in present} & set(port.ids):
            moves.append(_move(server, port, _on_the_pairs_network(present, matches), matches))
    return moves


def _servers_with_their_declared_ports(matches: Sequence[Match]) -> Iterator[tuple[Match, Match]]:
    """Yield each server that was found, with the port that the program declares for it, unless that is ambiguous."""
    by_urn = {match.step.urn: match for match in matches}
    for match in matches:
        if match.step.type != SERVER or len(match.ids) != 1:
            continue
        sources = [by_urn.get(urn) for urn in match.step.dependencies.get("networks", [])]
        port = next((source for source in sources if source and source.step.type == PORT), None)
        if port is not None and len(port.ids) <= 1:
            yield match, port


def _on_the_pairs_network(ports: Sequence[Any], matches: Sequence[Match]) -> list[Any]:
    """Return the ports on the pair's network: a server may have others on other networks, which stay."""
    networks = {id_ for match in matches if match.step.type == NETWORK for id_ in match.ids}
    return [port for port in ports if not networks or port.network_id in networks]


def _move(server: Match, port: Match, old_ports: Sequence[Any], matches: Sequence[Match]) -> Move:
    addresses = [str(fixed["ipAddress"]) for fixed in port.step.inputs["fixedIps"]]
    commands = [f"openstack server remove port {server.name} {old.id}" for old in old_ports]
    if not port.ids:
        commands.append(_port_create(port, addresses, matches))
    commands.append(f"openstack server add port {server.name} {port.ids[0] if port.ids else port.name}")
    return Move(
        server.name,
        port.name,
        _what_up_does(port.name, addresses[0], [fixed["ip_address"] for old in old_ports for fixed in old.fixed_ips]),
        commands,
        _afterwards(server.name, port.name, addresses[0], old_ports),
    )


def _port_create(port: Match, addresses: Sequence[str], matches: Sequence[Match]) -> str:
    fixed_ips = [
        f"--fixed-ip subnet={_name_of(SUBNET, matches, ip_address(address).version)},ip-address={address}"
        for address in addresses
    ]
    pairs = [f"--allowed-address ip-address={pair['ipAddress']}" for pair in port.step.inputs["allowedAddressPairs"]]
    return (
        f"openstack port create {port.name} --network {_name_of(NETWORK, matches)} {' '.join(fixed_ips)} "
        f"{' '.join(pairs)} --security-group {_name_of(SECURITY_GROUP, matches)}"
    )


def _name_of(type_: str, matches: Sequence[Match], version: int = 4) -> str:
    """Return the name of the first match of a type (and IP version), or a placeholder such as ``SUBNET``."""
    of_the_type = (match for match in matches if match.step.type == type_)
    names = (match.name for match in of_the_type if match.step.inputs.get("ipVersion", version) == version)
    return next(names, type_.rpartition(":")[2].upper())


def _what_up_does(port: str, address: str, present: Sequence[str]) -> str:
    if address in present:
        return f"it holds {address} by a port without that name. An `up` can't give {port} the address meanwhile."
    return (
        f"it has {', '.join(present) or 'no address there'}. An `up` replaces it with a server on {port} with "
        f"{address}, one member at a time."
    )


def _afterwards(server: str, port: str, address: str, old_ports: Sequence[Any]) -> str:
    old = old_ports[0].id if old_ports else "PORT"
    return (
        f"{server} is unreachable in between, and the other member has to serve. Begin with the backup, and continue "
        f"when it answers on {address}. Then run this again. (If you made the port yourself, before the server, and "
        f"gave it no name, one command is enough: `openstack port set --name {port} {old}`.)"
    )
