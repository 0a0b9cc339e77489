"""What is true of a pair from outside: who answers, what the members say, what Neutron and Nova have of it.

Nothing here asks keepalived, or logs in anywhere: keepalived's own state looks healthy in most of the ways in which a
pair can be declared wrongly.
"""

from __future__ import annotations

import http.client
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gates.member_console import find_server, last_report
from settings.pair import MemberSettings, PairSettings, Role
from settings.service import Check, Service, code_ranges
from userdata.console_protocol import Condition, Report, notes_of

#: How often the service is asked, with so many seconds in between and so many for an answer.
QUESTIONS, PAUSE, PATIENCE = 20, 0.1, 2.0
#: After so many in vain nobody is there: a monitoring has a timeout of its own.
IN_VAIN = 5


@dataclass(frozen=True)
class Rule:
    """An ingress rule of a security group; None is Neutron's "any"."""

    protocol: str | None
    low: int | None
    high: int | None
    #: A network, or the id of a group.
    source: str | None
    #: Of IP.
    version: int = 4

    def lets_in(self, protocol: str, port: int | None = None, version: int = 4) -> bool:
        if self.protocol not in {None, protocol} or self.version != version:
            return False
        return port is None or self.low is None or self.low <= port <= (self.high or self.low)


@dataclass(frozen=True)
class PortFacts:
    id: str
    enabled: bool
    addresses: tuple[str, ...]
    allowed_addresses: tuple[str, ...]
    groups: tuple[str, ...]
    port_security: bool
    #: The id of the server that has it; empty when none does.
    server: str


@dataclass(frozen=True)
class MemberFacts:
    name: str
    #: Nova's, None when there is no such server.
    server_status: str | None
    server_id: str | None
    port: PortFacts | None = None
    #: What the member said last in its present boot, None when it has said nothing.
    report: Report | None = None
    #: What it says that both have to agree on.
    speaks: str | None = None
    #: What it hears the other one say: well, ill or silent; None where they tell each other nothing.
    hears: str | None = None

    @property
    def state(self) -> str | None:
        """keepalived's, as long as the member is ready."""
        return self.report.what if self.report and self.report.condition is Condition.READY else None


@dataclass(frozen=True)
class Outside:
    """Everything at one moment."""

    members: Mapping[Role, MemberFacts]
    vip_port: PortFacts | None
    #: That of the IPv6 VIP.
    vip6_port: PortFacts | None
    #: The floating IP of the VIP's port.
    floating_ip: str | None
    #: Floating IP → the port that it leads to, for those of the members' ports.
    members_floating_ips: Mapping[str, str]
    #: The id of the security group that the pair declares.
    pair_group: str | None
    #: Security group → its ingress rules.
    rules: Mapping[str, tuple[Rule, ...]]
    #: The addresses that routers have in the network.
    gateways: tuple[str, ...]
    #: Who answered each question through the floating IP, None when nobody did in time.
    answers: list[str | None] = field(default_factory=list[str | None])


def look(
    connection: Any,
    settings: PairSettings,
    ask: Callable[[str, Service], str | None] | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> Outside:
    """Everything there is to see.

    :param connection: an ``openstack.connection.Connection``.
    :raises SDKException, ClientException: when the cloud does not answer.
    """
    network, project = connection.network, connection.current_project_id
    filters = any(extension.alias == "port-security" for extension in network.extensions())
    ports = {str(port.name): _port(port, filters) for port in network.ports(project_id=project)}

    vip_port = ports.get(f"{settings.name_prefix}-port")
    members = {
        member.role: _member(connection.compute, member, ports.get(member.port_name)) for member in settings.members
    }
    leads_to = {str(ip.floating_ip_address): str(ip.port_id) for ip in network.ips(project_id=project) if ip.port_id}
    floating_ip = next((ip for ip, port in leads_to.items() if vip_port and port == vip_port.id), None)
    member_ports = {facts.port.id for facts in members.values() if facts.port}
    groups = {group for facts in members.values() if facts.port for group in facts.port.groups}
    declared = network.security_groups(name=f"{settings.name_prefix}-sec-group", project_id=project)
    answers: list[str | None] = []
    if floating_ip:
        for number in range(QUESTIONS):
            sleep(PAUSE if number else 0)
            answers.append((ask or ask_the_service)(floating_ip, settings.service))
            if answers[-IN_VAIN:] == [None] * IN_VAIN:
                break
    return Outside(
        members=members,
        vip_port=vip_port,
        vip6_port=ports.get(f"{settings.name_prefix}-port6"),
        floating_ip=floating_ip,
        members_floating_ips={ip: port for ip, port in leads_to.items() if port in member_ports},
        pair_group=next((str(group.id) for group in declared), None),
        rules={group: _rules(network, group) for group in groups},
        gateways=_gateways(network, settings, project),
        answers=answers,
    )


def ask_the_service(address: str, service: Service) -> str | None:
    """The first line of its page; an empty text when a good answer has none; None when there was no good answer.

    A service that is checked by ``tcp`` or a command speaks whatever it speaks: a connection is a good answer.
    """
    try:
        if service.check is not Check.HTTP:
            socket.create_connection((address, service.port), timeout=PATIENCE).close()
            return ""
        # No proxy and no redirects: the question is whether this address answers.
        connection = http.client.HTTPConnection(address, service.port, timeout=PATIENCE)
        try:
            connection.request("GET", service.url_path, headers={"User-Agent": "vrrp-pair status"})
            answer = connection.getresponse()
            page = answer.read(200).decode(errors="replace").strip().partition("\n")[0]
        finally:
            connection.close()
    except (OSError, http.client.HTTPException):
        return None
    good = any(low <= answer.status <= high for low, high in code_ranges(service.expected_codes))
    return page if good else None


def _port(port: Any, filters: bool) -> PortFacts:
    pairs: list[dict[str, Any]] = port.allowed_address_pairs or []
    return PortFacts(
        id=str(port.id),
        enabled=bool(port.is_admin_state_up),
        addresses=tuple(str(fixed["ip_address"]) for fixed in port.fixed_ips),
        allowed_addresses=tuple(str(pair["ip_address"]) for pair in pairs),
        groups=tuple(port.security_group_ids or ()),
        # Without the extension Neutron tells nothing, and filters always.
        port_security=not filters or bool(port.is_port_security_enabled),
        server=str(port.device_id or "") if str(port.device_owner or "").startswith("compute:") else "",
    )


def _member(compute: Any, member: MemberSettings, port: PortFacts | None) -> MemberFacts:
    server = find_server(compute, member.name)
    if server is None:
        return MemberFacts(member.name, None, None, port)
    console = server.console()
    report = last_report(server, console, member.name)
    notes = notes_of(console, member.name, report.boot) if report else {}
    return MemberFacts(
        member.name, server.status(), server.id, port, report, speaks=notes.get("speaks"), hears=notes.get("hears")
    )


def _rules(network: Any, group: str) -> tuple[Rule, ...]:
    return tuple(
        Rule(
            protocol=None if rule.protocol is None else _NAMES.get(str(rule.protocol), str(rule.protocol)),
            low=rule.port_range_min,
            high=rule.port_range_max,
            source=rule.remote_group_id or rule.remote_ip_prefix,
            version=6 if rule.ether_type == "IPv6" else 4,
        )
        for rule in network.security_group_rules(security_group_id=group, direction="ingress")
        # One from an address group lets in what only Neutron knows: it is not counted on.
        if not getattr(rule, "remote_address_group_id", None)
    )


#: Neutron's names and numbers of the same protocol.
_NAMES = {"1": "icmp", "6": "tcp", "17": "udp", "vrrp": "112"}


def _gateways(network: Any, settings: PairSettings, project: str) -> tuple[str, ...]:
    routers = network.routers(name=f"{settings.name_prefix}-router", project_id=project)
    return tuple(
        str(fixed["ip_address"])
        for router in routers
        for port in network.ports(device_id=router.id)
        for fixed in port.fixed_ips
    )
