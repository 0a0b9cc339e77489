"""Observe a pair from outside: what Neutron and Nova have, what the members report, and who answers.

This module neither asks keepalived nor logs in to a member: in most misconfigured pairs, keepalived's own state looks
healthy.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gates.member_console import find_server, last_report
from settings.pair import MemberSettings, PairSettings, Role
from settings.service import Service
from userdata.console_protocol import Condition, Report, notes_of

from .probe import probe, probe_repeatedly
from .protocols import protocol_name


@dataclass(frozen=True)
class IngressRule:
    """An ingress rule of a security group; None is Neutron's "any"."""

    #: Neutron's name of the IP protocol (``ops/protocols.py``).
    protocol: str | None
    #: The first and the last port.
    low: int | None
    high: int | None
    #: A network, or the id of a group.
    source: str | None
    #: The IP version.
    version: int = 4

    def lets_in(self, protocol: str, port: int | None = None, version: int = 4) -> bool:
        """Return whether the rule lets in a protocol (and a port, if one is given) from the rule's source."""
        if self.protocol not in {None, protocol} or self.version != version:
            return False
        return port is None or self.low is None or self.low <= port <= (self.high or self.low)


@dataclass(frozen=True)
class ObservedPort:
    """A Neutron port as it is now."""

    id: str
    enabled: bool
    addresses: tuple[str, ...]
    #: The addresses and networks of its allowed address pairs.
    allowed_addresses: tuple[str, ...]
    #: The ids of its security groups.
    groups: tuple[str, ...]
    port_security: bool
    #: The id of the server that it is attached to; empty without one.
    server: str


@dataclass(frozen=True)
class ObservedMember:
    """A member as it is now: its server, its port and its last report."""

    name: str
    #: Nova's status; None without a server of this name.
    server_status: str | None
    server_id: str | None
    port: ObservedPort | None = None
    #: The last report of the present boot; None without one.
    report: Report | None = None
    #: The settings that both members must agree on, as the member reports them.
    speaks: str | None = None
    #: The peer's last health report, as the member reports it: well, ill or silent; None if the members exchange none.
    hears: str | None = None

    @property
    def state(self) -> str | None:
        """The VRRP state of a member that is ready; None for any other."""
        return self.report.what if self.report and self.report.condition is Condition.READY else None


@dataclass(frozen=True)
class ObservedPair:
    """A pair as it is now."""

    members: Mapping[Role, ObservedMember]
    vip_port: ObservedPort | None
    #: The port of the IPv6 VIP.
    vip6_port: ObservedPort | None
    #: The floating IP of the VIP's port.
    floating_ip: str | None
    #: Floating IP → the id of its port, for the floating IPs of the members' ports.
    members_floating_ips: Mapping[str, str]
    #: The id of the security group that the pair declares.
    pair_group: str | None
    #: The id of a security group → its ingress rules, for each group of a member's port.
    rules: Mapping[str, tuple[IngressRule, ...]]
    #: The addresses of the pair's router in the network.
    gateways: tuple[str, ...]
    #: Each answer through the floating IP: the first line of the page, or None for a lost request.
    answers: list[str | None] = field(default_factory=list[str | None])
    #: The address of the VIP's port to which the floating IP leads; None without a floating IP.
    floating_ip_leads_to: str | None = None


def observe(
    connection: Any,
    settings: PairSettings,
    send: Callable[[str, Service], str | None] = probe,
    sleep: Callable[[float], None] = time.sleep,
) -> ObservedPair:
    """Ask Neutron, Nova, the members' consoles and the service.

    :param connection: an ``openstack.connection.Connection``.
    :param send: sends one request to the service, as :func:`ops.probe.probe` does.
    :raises SDKException, ClientException: when the cloud does not answer.
    """
    network, project = connection.network, connection.current_project_id
    ports = _ports_by_name(network, project)
    members = {
        member.role: _member(connection.compute, member, ports.get(member.port_name)) for member in settings.members
    }
    member_ports = [member.port for member in members.values() if member.port]
    vip_port = ports.get(f"{settings.name_prefix}-port")
    attached = _attached_floating_ips(network, project)
    port_of = {ip: port_id for ip, (port_id, _) in attached.items()}
    floating_ip = _floating_ip_of(vip_port, port_of)
    groups = sorted({group for port in member_ports for group in port.groups})
    return ObservedPair(
        members=members,
        vip_port=vip_port,
        vip6_port=ports.get(f"{settings.name_prefix}-port6"),
        floating_ip=floating_ip,
        members_floating_ips=_only_of(member_ports, port_of),
        pair_group=_pair_group(network, settings, project),
        rules={group: _ingress_rules(network, group) for group in groups},
        gateways=_router_addresses(network, settings, project),
        answers=probe_repeatedly(lambda: send(floating_ip, settings.service), sleep) if floating_ip else [],
        floating_ip_leads_to=attached[floating_ip][1] if floating_ip else None,
    )


# -- what Neutron has ------------------------------------------------------------------------------------


def _ports_by_name(network: Any, project: str) -> dict[str, ObservedPort]:
    # Without the port-security extension Neutron always filters, and a port does not have this property.
    may_be_off = any(extension.alias == "port-security" for extension in network.extensions())
    return {
        str(port.name): _port(port, port_security=not may_be_off or bool(port.is_port_security_enabled))
        for port in network.ports(project_id=project)
    }


def _port(port: Any, *, port_security: bool) -> ObservedPort:
    pairs: list[dict[str, Any]] = port.allowed_address_pairs or []
    on_a_server = str(port.device_owner or "").startswith("compute:")
    return ObservedPort(
        id=str(port.id),
        enabled=bool(port.is_admin_state_up),
        addresses=tuple(str(fixed["ip_address"]) for fixed in port.fixed_ips),
        allowed_addresses=tuple(str(pair["ip_address"]) for pair in pairs),
        groups=tuple(port.security_group_ids or ()),
        port_security=port_security,
        server=str(port.device_id or "") if on_a_server else "",
    )


def _attached_floating_ips(network: Any, project: str) -> dict[str, tuple[str, str]]:
    """Return each floating IP that has a port → the id of the port, and its address to which the floating IP leads."""
    return {
        str(ip.floating_ip_address): (str(ip.port_id), str(ip.fixed_ip_address))
        for ip in network.ips(project_id=project)
        if ip.port_id
    }


def _pair_group(network: Any, settings: PairSettings, project: str) -> str | None:
    groups = network.security_groups(name=f"{settings.name_prefix}-sec-group", project_id=project)
    return next((str(group.id) for group in groups), None)


def _ingress_rules(network: Any, group: str) -> tuple[IngressRule, ...]:
    return tuple(
        IngressRule(
            protocol=protocol_name(rule.protocol),
            low=rule.port_range_min,
            high=rule.port_range_max,
            source=rule.remote_group_id or rule.remote_ip_prefix,
            version=6 if rule.ether_type == "IPv6" else 4,
        )
        for rule in network.security_group_rules(security_group_id=group, direction="ingress")
        # Skip a rule with an address group as its source: only Neutron knows the addresses in it.
        if not getattr(rule, "remote_address_group_id", None)
    )


def _router_addresses(network: Any, settings: PairSettings, project: str) -> tuple[str, ...]:
    routers = network.routers(name=f"{settings.name_prefix}-router", project_id=project)
    return tuple(
        str(fixed["ip_address"])
        for router in routers
        for port in network.ports(device_id=router.id)
        for fixed in port.fixed_ips
    )


# -- floating IPs and their ports ----------------------------------------------------------------------


def _floating_ip_of(port: ObservedPort | None, port_of: Mapping[str, str]) -> str | None:
    return next((ip for ip, port_id in port_of.items() if port and port_id == port.id), None)


def _only_of(ports: Iterable[ObservedPort], port_of: Mapping[str, str]) -> dict[str, str]:
    ids = {port.id for port in ports}
    return {ip: port_id for ip, port_id in port_of.items() if port_id in ids}


# -- what Nova and the member's console have -------------------------------------------------------------


def _member(compute: Any, member: MemberSettings, port: ObservedPort | None) -> ObservedMember:
    server = find_server(compute, member.name)
    if server is None:
        return ObservedMember(member.name, None, None, port)
    console = server.console()
    report = last_report(server, console, member.name)
    notes = notes_of(console, member.name, report.boot) if report else {}
    return ObservedMember(
        member.name, server.status(), server.id, port, report, speaks=notes.get("speaks"), hears=notes.get("hears")
    )
