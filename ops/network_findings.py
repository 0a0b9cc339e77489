"""Problems of what Neutron has: the VIP's port, the floating IP, the gateway, and each member's port and rules.

One function for each kind of finding, in the order in which they are reported. keepalived notices none of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from settings.pair import GATEWAY6, NO_FLOATING_IP, PairSettings
from settings.service import HEALTH_PORT

from .findings import PULUMI_REPAIRS_IT, Finding
from .observation import IngressRule, ObservedMember, ObservedPair, ObservedPort
from .protocols import VRRP


def network_findings(pair: ObservedPair, settings: PairSettings) -> Iterator[Finding]:
    """Yield the problems that belong to no single member."""
    yield from _vip_port(pair.vip_port, f"{settings.name_prefix}-port", str(settings.vip))
    if settings.vip6:
        yield from _vip_port(pair.vip6_port, f"{settings.name_prefix}-port6", str(settings.vip6))
    yield from _floating_ip(pair, settings)
    # Before the rules of each member, because some rules let in only the ports of this group.
    yield from _group_membership(pair, settings)
    yield from _gateways(pair, settings)


def port_findings(
    pair: ObservedPair, settings: PairSettings, member: ObservedMember, port: ObservedPort
) -> Iterator[Finding]:
    """Yield the problems of a member's port."""
    yield from _attachment(member, port)
    yield from _admin_state(member, port)
    if not port.port_security:
        return  # Neutron filters nothing, so neither address pairs nor rules matter.
    yield from _address_pairs(settings, member, port)
    rules = [rule for group in port.groups for rule in pair.rules.get(group, ())]
    yield from _rules_for_the_peer(pair, settings, member, rules)
    yield from _rules_for_clients(settings, member, rules)


# -- the pair ----------------------------------------------------------------------------------------------


def _vip_port(port: ObservedPort | None, name: str, vip: str) -> Iterator[Finding]:
    if port is None:
        yield Finding(f"there is no port {name}", f"nothing reserves {vip} for the pair", PULUMI_REPAIRS_IT)
    elif vip not in port.addresses:
        yield Finding(
            f"the VIP's port has {', '.join(port.addresses)} instead of {vip}",
            "traffic goes to an unused address",
            PULUMI_REPAIRS_IT,
        )
    elif port.server:
        yield Finding(
            f"the VIP's port is attached to the server {port.server}",
            "requests go to that server, whichever member holds the VIP",
            f"`openstack server remove port {port.server} {port.id}`",
        )


def _floating_ip(pair: ObservedPair, settings: PairSettings) -> Iterator[Finding]:
    if pair.floating_ip and pair.floating_ip_leads_to not in (None, str(settings.vip)):
        yield Finding(
            f"the floating IP {pair.floating_ip} leads to {pair.floating_ip_leads_to} instead of {settings.vip}",
            "no request from outside reaches the VIP",
            PULUMI_REPAIRS_IT,
        )
    if pair.vip_port is None or pair.floating_ip is not None or settings.floating_ip == NO_FLOATING_IP:
        return
    elsewhere = "" if settings.member_floating_ips else ", ".join(_floating_ips_at_members(pair))
    yield Finding(
        f"the VIP's port has no floating IP{f' ({elsewhere})' if elsewhere else ''}",
        "no request from outside reaches the VIP",
        PULUMI_REPAIRS_IT,
    )


def _floating_ips_at_members(pair: ObservedPair) -> list[str]:
    return [
        f"{ip} leads to the port of {member.name}"
        for ip, port_id in pair.members_floating_ips.items()
        for member in pair.members.values()
        if member.port and member.port.id == port_id
    ]


def _group_membership(pair: ObservedPair, settings: PairSettings) -> Iterator[Finding]:
    for member in pair.members.values():
        if member.port and member.port.port_security and pair.pair_group not in member.port.groups:
            yield Finding(
                f"the port of {member.name} is not in the security group {settings.name_prefix}-sec-group",
                "the rules of that group let in clients and the other member, and some of them only ports in the group",
                PULUMI_REPAIRS_IT,
            )


def _gateways(pair: ObservedPair, settings: PairSettings) -> Iterator[Finding]:
    for gateway in (settings.gateway, settings.cidr6[GATEWAY6] if settings.cidr6 else None):
        if gateway and str(gateway) not in pair.gateways:
            yield Finding(
                f"no router has {gateway} in the network", "no traffic enters or leaves the network", PULUMI_REPAIRS_IT
            )


# -- a member's port ---------------------------------------------------------------------------------------


def _attachment(member: ObservedMember, port: ObservedPort) -> Iterator[Finding]:
    if member.server_id and port.server != member.server_id:
        yield Finding(
            f"the port of {member.name} is not attached to its server", "no packet reaches it", PULUMI_REPAIRS_IT
        )


def _admin_state(member: ObservedMember, port: ObservedPort) -> Iterator[Finding]:
    if not port.enabled:
        yield Finding(
            f"the port of {member.name} is disabled",
            "no packet passes, and the member may consider itself the master",
            f"`openstack port set --enable {port.id}`, or `pulumi up`",
        )


def _address_pairs(settings: PairSettings, member: ObservedMember, port: ObservedPort) -> Iterator[Finding]:
    for vip in (str(vip) for vip in (settings.vip, settings.vip6) if vip):
        if not any(_contains(allowed, vip) for allowed in port.allowed_addresses):
            yield Finding(
                f"the port of {member.name} has no allowed address pair {vip}",
                "every request is lost while it holds the VIP, and keepalived notices nothing",
                PULUMI_REPAIRS_IT,
            )
        elif vip == str(settings.vip) and vip not in (one.removesuffix("/32") for one in port.allowed_addresses):
            yield Finding(
                f"the allowed address pair of {member.name} is a network ({', '.join(port.allowed_addresses)})",
                "OVN forwards a floating IP only to a port with a pair of exactly that address",
                PULUMI_REPAIRS_IT,
            )


def _rules_for_the_peer(
    pair: ObservedPair, settings: PairSettings, member: ObservedMember, rules: list[IngressRule]
) -> Iterator[Finding]:
    peer = next(other.port for other in pair.members.values() if other.name != member.name)
    if peer is None:
        return  # Without its port the peer sends nothing.
    peer_address = next(str(one.peer_address) for one in settings.members if one.name == member.name)
    from_the_peer = [rule for rule in rules if _covers_the_peer(rule, peer, peer_address)]
    if not any(rule.lets_in(VRRP) for rule in from_the_peer):
        yield Finding(
            f"no rule lets protocol 112 (VRRP) of the peer in at {member.name}",
            "with multicast both members are master; with unicast it depends on which of them sends first",
            PULUMI_REPAIRS_IT,
        )
    if settings.service_check and not any(rule.lets_in("udp", HEALTH_PORT) for rule in from_the_peer):
        yield Finding(
            f"no rule lets the peer's reports (UDP {HEALTH_PORT}) in at {member.name}",
            "it keeps the VIP when its service is dead, because it never learns that its peer can serve",
            PULUMI_REPAIRS_IT,
        )


def _rules_for_clients(settings: PairSettings, member: ObservedMember, rules: list[IngressRule]) -> Iterator[Finding]:
    port = settings.service.port
    for clients in settings.http_cidrs:
        if not any(rule.lets_in("tcp", port, clients.version) and _covers(rule, clients) for rule in rules):
            yield Finding(
                f"no rule lets TCP {port} from {clients} in at {member.name}",
                "no request from there reaches the service",
                PULUMI_REPAIRS_IT,
            )


def _contains(network: str, address: str) -> bool:
    """Return whether a network contains an address; one of the other IP version does not."""
    return ip_address(address) in ip_network(network, strict=False)


def _covers_the_peer(rule: IngressRule, peer: ObservedPort, address: str) -> bool:
    """Return whether the source of a rule includes the peer: by its address, or by a group of its port."""
    if rule.source is None:
        return True
    return _contains(rule.source, address) if "/" in rule.source else rule.source in peer.groups


def _covers(rule: IngressRule, network: IPv4Network | IPv6Network) -> bool:
    """Return whether the source of a rule includes a whole network of the rule's own IP version."""
    if rule.source is None:
        return True
    if "/" not in rule.source:
        return False  # a group
    source = ip_network(rule.source, strict=False)
    if isinstance(network, IPv4Network):
        return isinstance(source, IPv4Network) and network.subnet_of(source)
    return isinstance(source, IPv6Network) and network.subnet_of(source)
