"""What is wrong with a pair, by its cause: a judgement of what is true from outside, and nothing besides."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from settings.pair import GATEWAY6, PairSettings, Role
from settings.service import HEALTH_PORT
from userdata.console_protocol import Condition

from .outside import MemberFacts, Outside, PortFacts, Rule


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong: what, what follows from it, and the way out."""

    cause: str
    consequence: str
    way_out: str


#: Seconds. A member repeats its word every 600.
OLD = 1500

_CONDITIONS = {Condition.FAILED: "has failed", Condition.NOT_READY: "is not ready"}

PUT_RIGHT = "`pulumi up` puts it right"


def judge(outside: Outside, settings: PairSettings, now: float | None = None) -> list[Finding]:
    """Everything that is wrong, causes before what may follow from them. Empty for a pair that is healthy.

    :param now: seconds since 1970.
    """
    now = time.time() if now is None else now
    found = [*_network(outside, settings)]
    for member in outside.members.values():
        found += _member(outside, settings, member, now)
    found += _together(outside)
    found += _answers(outside, explained=bool(found))
    return found


def _network(outside: Outside, settings: PairSettings) -> Iterator[Finding]:
    yield from _vip_port(outside.vip_port, f"{settings.name_prefix}-port", str(settings.vip))
    if settings.vip6:
        yield from _vip_port(outside.vip6_port, f"{settings.name_prefix}-port6", str(settings.vip6))
    if outside.vip_port is not None and outside.floating_ip is None:
        elsewhere = ", ".join(
            f"{ip} leads to the port of {member.name}"
            for ip, port in outside.members_floating_ips.items()
            for member in outside.members.values()
            if member.port and member.port.id == port and not settings.member_floating_ips
        )
        yield Finding(
            f"the VIP's port has no floating IP{f' ({elsewhere})' if elsewhere else ''}",
            "no request from outside follows the VIP",
            PUT_RIGHT,
        )
    # Before what follows at the other member: its rules let in what is in the group.
    for member in outside.members.values():
        if member.port and member.port.port_security and outside.pair_group not in member.port.groups:
            yield Finding(
                f"the port of {member.name} is not in the security group {settings.name_prefix}-sec-group",
                "what lets clients and the other member in is written there, and means what is in it",
                PUT_RIGHT,
            )
    for gateway in (settings.gateway, settings.cidr6[GATEWAY6] if settings.cidr6 else None):
        if gateway and str(gateway) not in outside.gateways:
            yield Finding(
                f"no router has {gateway} in the network", "nothing comes in, and nothing goes out", PUT_RIGHT
            )


def _vip_port(port: PortFacts | None, name: str, vip: str) -> Iterator[Finding]:
    if port is None:
        yield Finding(f"there is no port {name}", f"nothing keeps {vip} for the pair", PUT_RIGHT)
    elif vip not in port.addresses:
        yield Finding(
            f"the VIP's port has {', '.join(port.addresses)} and not {vip}",
            "what leads there leads to an address that nobody takes",
            PUT_RIGHT,
        )
    elif port.server:
        yield Finding(
            f"the VIP's port is attached to the server {port.server}",
            "requests go to that server, whoever holds the VIP",
            f"`openstack server remove port {port.server} {port.id}`",
        )


def _member(outside: Outside, settings: PairSettings, member: MemberFacts, now: float) -> Iterator[Finding]:
    name = member.name
    if member.server_status is None:
        yield Finding(f"there is no server {name}", "the other one has nobody behind it", PUT_RIGHT)
    elif member.server_status != "ACTIVE":
        yield Finding(
            f"{name} is {member.server_status}",
            "the other one has nobody behind it",
            f"`openstack server start {name}`, or `pulumi up`",
        )
    elif member.report is None:
        yield Finding(
            f"{name} has not said on its console that it is ready",
            "it may still be booting, or its first boot has failed",
            f"`openstack console log show {name}`",
        )
    elif member.report.condition is not Condition.READY:
        yield Finding(
            f"{name} {_CONDITIONS[member.report.condition]}: {member.report.what}",
            "it can't take over",
            f"`vrrp-health status` there (drained: `vrrp-health undrain`), or `openstack console log show {name}`",
        )
    elif member.report.said_at is not None and now - member.report.said_at > OLD:
        yield Finding(
            f"{name} has said nothing for {(now - member.report.said_at) / 60:.0f} minutes",
            "it says every ten minutes how it is, so it may hang",
            f"`openstack console log show {name}`",
        )
    if member.port is None:
        yield Finding(f"{name} has no port of its name", "it is on no network", PUT_RIGHT)
        return
    yield from _port(outside, settings, member, member.port)


def _port(outside: Outside, settings: PairSettings, member: MemberFacts, port: PortFacts) -> Iterator[Finding]:
    name = member.name
    if member.server_id and port.server != member.server_id:
        yield Finding(f"the port of {name} is not attached to it", "no packet reaches it", PUT_RIGHT)
    if not port.enabled:
        yield Finding(
            f"the port of {name} is disabled",
            "no packet passes, and the member may believe that it is the master",
            f"`openstack port set --enable {port.id}`, or `pulumi up`",
        )
    if not port.port_security:
        return  # nothing is filtered: neither pairs nor rules matter
    for vip in (str(vip) for vip in (settings.vip, settings.vip6) if vip):
        if not any(_contains(allowed, vip) for allowed in port.allowed_addresses):
            yield Finding(
                f"the port of {name} has no allowed address pair {vip}",
                "when it holds the VIP every request is lost, and keepalived notices nothing",
                PUT_RIGHT,
            )
        elif vip == str(settings.vip) and vip not in (one.removesuffix("/32") for one in port.allowed_addresses):
            yield Finding(
                f"the allowed address pair of {name} is a network ({', '.join(port.allowed_addresses)})",
                "OVN forwards a floating IP only to the holder of exactly the address",
                PUT_RIGHT,
            )
    rules = [rule for group in port.groups for rule in outside.rules.get(group, ())]
    address = next(str(one.peer_address) for one in settings.members if one.name == name)
    peer = next(one.port for one in outside.members.values() if one.name != name)

    def lets_peers_in(protocol: str, number: int | None = None) -> bool:
        return peer is None or any(_from_peer(rule, peer, address) and rule.lets_in(protocol, number) for rule in rules)

    if not lets_peers_in("112"):
        yield Finding(
            f"no rule lets protocol 112 (VRRP) in at {name}",
            "with multicast both are master; with unicast that hangs on who speaks first",
            PUT_RIGHT,
        )
    if settings.service_check and not lets_peers_in("udp", HEALTH_PORT):
        yield Finding(
            f"no rule lets the peer's word (UDP {HEALTH_PORT}) in at {name}",
            "a member whose service is dead keeps the VIP, as it never hears that the other one is well",
            PUT_RIGHT,
        )
    for clients in settings.http_cidrs:
        if not any(
            rule.lets_in("tcp", settings.service.port, clients.version) and _from_network(rule, clients)
            for rule in rules
        ):
            yield Finding(
                f"no rule lets TCP {settings.service.port} from {clients} in at {name}",
                "no request from there reaches the service",
                PUT_RIGHT,
            )


def _together(outside: Outside) -> Iterator[Finding]:
    one, other = (outside.members[role] for role in (Role.MASTER, Role.BACKUP))
    if one.speaks and other.speaks and one.speaks != other.speaks:
        differing = [
            f"{ours} and {theirs}"
            for ours, theirs in zip(one.speaks.split(", "), other.speaks.split(", "), strict=False)
            if ours != theirs
        ]
        yield Finding(
            f"{one.name} and {other.name} do not agree: {'; '.join(differing)}",
            "neither hears the other, both are master, and neither logs a line",
            "a change was made on a member by hand, or a roll has stopped half-way: `pulumi up`, or "
            f"`pulumi up --replace '**::*-{Role.BACKUP.value}'`",
        )
    for deaf, unheard in ((one, other), (other, one)):
        if deaf.hears == "silent" and deaf.state and unheard.state:
            yield Finding(
                f"{deaf.name} hears no word of {unheard.name} (UDP {HEALTH_PORT})",
                "a dead service keeps the VIP, as nobody is known to be there who could take it",
                "see the causes above, or a firewall on the members",
            )
    if one.state == other.state == "MASTER":
        yield Finding(
            f"{one.name} and {other.name} both say that they are master",
            "two servers answer for one address, and a router takes whoever spoke last",
            "the way between them is cut: see the causes above, or `authPass` and firewalls on the members",
        )
    if one.state == other.state == "BACKUP":
        yield Finding("neither says that it is master", "nobody holds the VIP", "`openstack console log show` of both")


def _answers(outside: Outside, *, explained: bool) -> Iterator[Finding]:
    if not outside.answers:
        return
    lost = outside.answers.count(None)
    who = sorted({answer for answer in outside.answers if answer})
    names = {member.name for member in outside.members.values()}
    if lost == len(outside.answers):
        way_out = "see the causes above" if explained else "`openstack console log show` of both; `pulumi preview`"
        yield Finding(
            "nobody answers through the floating IP",
            "the service is down, or this machine is in none of httpCidrs",
            way_out,
        )
    elif lost:
        yield Finding(f"{lost} of {len(outside.answers)} requests were lost", "the service is flaky", "ask again")
    if len(who) > 1 and names.issuperset(who):
        yield Finding(
            f"{' and '.join(who)} answered in turns", "the VIP goes back and forth", "see the causes above; ask again"
        )
    masters = [member.name for member in outside.members.values() if member.state == "MASTER"]
    if len(who) == 1 and len(masters) == 1 and names.issuperset(who) and who != masters:
        yield Finding(
            f"{who[0]} answers, and {masters[0]} is the master",
            "the VIP is left on a server that gave it up, or the router has the wrong MAC address for it",
            f"ask again in a minute; else `openstack server reboot {who[0]}`",
        )


def _contains(allowed: str, address: str) -> bool:
    """Whether a network contains an address; one of the other family does not."""
    return ip_address(address) in ip_network(allowed, strict=False)


def _from_peer(rule: Rule, peer: PortFacts, address: str) -> bool:
    """Whether a rule means the peer: by its address, or by a group that its port is in."""
    if rule.source is None:
        return True
    return _contains(rule.source, address) if "/" in rule.source else rule.source in peer.groups


def _from_network(rule: Rule, network: IPv4Network | IPv6Network) -> bool:
    """Whether a rule, which is of the network's family, means all of it."""
    if rule.source is None:
        return True
    if "/" not in rule.source:
        return False  # a group
    source = ip_network(rule.source, strict=False)
    if isinstance(network, IPv4Network):
        return isinstance(source, IPv4Network) and network.subnet_of(source)
    return isinstance(source, IPv6Network) and network.subnet_of(source)
