"""Finds the members of a pair by their Neutron ports, and marks the ports of a pair that is being torn down.

A port has the tags of ``settings.identity``, which stay the same when ``namePrefix`` or an address changes. The port of
an older release has no tags until its next `up`, and is found by its name.

The environment of a gate names the pair: PAIR_TAG, and MASTER_PORT and BACKUP_PORT (the names of the ports).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from settings.identity import PAIR_TAG, TEARDOWN_TAG, PortRole, role_tag

from .member_console import NovaServer

#: The roles that belong to a server.
MEMBERS = (PortRole.MASTER, PortRole.BACKUP)
#: Member → its peer.
OTHER = {PortRole.MASTER: PortRole.BACKUP, PortRole.BACKUP: PortRole.MASTER}


class UnclearPair(Exception):
    """Several ports could be a member's, or the pair's ports have other names; the message says what to do."""


@dataclass(frozen=True)
class MemberPort:
    """The port of a member."""

    id: str
    #: Nova's id of the server that the port is attached to; None without one.
    server_id: str | None
    #: Whether `destroy` takes the pair away.
    is_torn_down: bool
    #: Whether Neutron lets packets through (the administrative state).
    is_enabled: bool
    #: The addresses or networks of the allowed address pairs. Port security drops the packets of other addresses.
    allowed_addresses: tuple[str, ...]
    #: Whether port security is on. A cloud without this extension has none.
    has_port_security: bool


@dataclass(frozen=True)
class PairPorts:
    """The names by which a pair's ports are found."""

    #: ``settings.identity.pair_tag`` of the pair.
    pair_tag: str
    #: The name of each member's port, for a port without tags.
    names: Mapping[PortRole, str]

    @staticmethod
    def of(environment: Mapping[str, str]) -> PairPorts:
        """Return the pair that a gate's environment names."""
        names = {role: environment[f"{role.value.upper()}_PORT"] for role in MEMBERS}
        return PairPorts(environment["PAIR_TAG"], names)

    def find(self, connection: Any, role: PortRole) -> MemberPort | None:
        """Return a member's port; None if there is none.

        :param connection: an ``openstack.connection.Connection``.
        :raises UnclearPair: if several ports have the tags, or if several ports without tags have the name.
        :raises SDKException, ClientException: Neutron gave no answer.
        """
        network, project = connection.network, connection.current_project_id
        found = list(network.ports(tags=f"{self.pair_tag},{role_tag(role)}", project_id=project))
        if len(found) > 1:
            raise UnclearPair(
                f"{len(found)} ports have the tags {self.pair_tag} and {role_tag(role)} ({_ids(found)}). If another "
                "state has a pair of the same project, stack and component: rename one of the two stacks (`pulumi "
                "stack rename`), and run `pulumi up` there without another change. If a port belongs to no pair any "
                f"more: `openstack port unset --tag {self.pair_tag} ID`."
            )
        if not found:
            name = self.names[role]
            found = [port for port in network.ports(name=name, project_id=project) if not _is_tagged(port)]
            if len(found) > 1:
                raise UnclearPair(
                    f"{len(found)} ports have the name {name} ({_ids(found)}). "
                    "Give those that do not belong to this pair another name: `openstack port set --name NAME ID`."
                )
        return _member_port(found[0]) if found else None

    def unknown_server_with(self, connection: Any, address: str) -> str | None:
        """Return the id of a server with a fixed address, whose port belongs to no pair by its tags; None without one.

        :raises SDKException, ClientException: Neutron gave no answer.
        """
        for port in connection.network.ports(
            fixed_ips=f"ip_address={address}", project_id=connection.current_project_id
        ):
            found = _member_port(port)
            if found.server_id and not _is_tagged(port):
                return found.server_id
        return None

    def are_torn_down(self, connection: Any) -> bool:
        """Whether `destroy` takes the pair away. One port is enough: the other one may be gone.

        :raises UnclearPair: if several ports could be a member's.
        :raises SDKException, ClientException: Neutron gave no answer.
        """
        found = [self.find(connection, role) for role in MEMBERS]
        return any(port.is_torn_down for port in found if port)

    def mark_teardown(self, connection: Any) -> None:
        """Mark the pair as being torn down.

        :raises SDKException, ClientException: Neutron gave no answer.
        """
        for role in MEMBERS:
            if port := self.find(connection, role):
                connection.network.get_port(port.id).add_tag(connection.network, TEARDOWN_TAG)

    def withdraw_teardown(self, connection: Any) -> None:
        """Remove the mark of ``mark_teardown``, if there is one.

        :raises SDKException, ClientException: Neutron gave no answer.
        """
        for role in MEMBERS:
            port = self.find(connection, role)
            if port and port.is_torn_down:
                connection.network.get_port(port.id).remove_tag(connection.network, TEARDOWN_TAG)


def server_at(connection: Any, port: MemberPort | None) -> NovaServer | None:
    """Return the server that a port is attached to; None without one."""
    return NovaServer(connection.compute, port.server_id) if port and port.server_id else None


def ports_of_server(connection: Any, server_id: str) -> list[MemberPort]:
    """Return all ports that are attached to a server, whatever their names and tags are.

    :param connection: an ``openstack.connection.Connection``.
    :raises SDKException, ClientException: Neutron gave no answer.
    """
    return [_member_port(port) for port in connection.network.ports(device_id=server_id)]


def _ids(ports: Iterable[Any]) -> str:
    return ", ".join(str(port.id) for port in ports)


def _is_tagged(port: Any) -> bool:
    return any(str(tag).startswith(PAIR_TAG) for tag in port.tags or ())


def _member_port(port: Any) -> MemberPort:
    on_a_server = str(port.device_owner or "").startswith("compute:")
    return MemberPort(
        id=str(port.id),
        server_id=str(port.device_id) if on_a_server and port.device_id else None,
        is_torn_down=TEARDOWN_TAG in (port.tags or ()),
        is_enabled=bool(port.is_admin_state_up),
        allowed_addresses=tuple(str(one["ip_address"]) for one in port.allowed_address_pairs or ()),
        has_port_security=bool(port.is_port_security_enabled),
    )
