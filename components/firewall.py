"""The security group of the members and its ingress rules.

Neutron gives every new group its two egress rules by itself; declaring them again is a 409. Every property of a rule
replaces the rule, so each rule is a resource of its own, named after the traffic that it allows.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network

import pulumi
import pulumi_openstack as openstack

from settings.pair import PairSettings
from settings.service import HEALTH_PORT, SSH_PORT

#: VRRP is an IP protocol of its own, without ports (RFC 9568 section 5.1.1.4).
VRRP_PROTOCOL = "112"

ANYWHERE = IPv4Network("0.0.0.0/0")
ANYWHERE6 = IPv6Network("::/0")


@dataclass(frozen=True)
class Firewall:
    """The security group and its rules."""

    group: openstack.networking.SecGroup
    rules: list[openstack.networking.SecGroupRule]


def declare_firewall(name: str, settings: PairSettings, parent: pulumi.Resource) -> Firewall:
    """Declare the security group of the members' ports."""
    options = pulumi.ResourceOptions(parent=parent)
    group = openstack.networking.SecGroup(
        f"{name}-sec-group",
        name=f"{settings.name_prefix}-sec-group",
        description="VRRP security group",
        opts=options,
    )

    def ingress(
        what: str, protocol: str, version: int = 4, **source_and_ports: str | int | pulumi.Output[str]
    ) -> openstack.networking.SecGroupRule:
        return openstack.networking.SecGroupRule(
            f"{name}-ingress-{what}",
            security_group_id=group.id,
            direction="ingress",
            ethertype=f"IPv{version}",
            protocol=protocol,
            **source_and_ports,  # pyright: ignore[reportArgumentType] # one of several optional arguments each
            # A second rule for the same traffic is a 409, even if it is written differently.
            opts=pulumi.ResourceOptions(parent=parent, delete_before_replace=True),
        )

    def tcp(
        what: str, port: int, sources: Iterable[IPv4Network | IPv6Network]
    ) -> list[openstack.networking.SecGroupRule]:
        return [
            ingress(
                f"{what}-from-{_in_a_name(source)}",
                "tcp",
                source.version,
                port_range_min=port,
                port_range_max=port,
                remote_ip_prefix=str(source),
            )
            for source in sources
        ]

    rules = [
        ingress("icmp", "icmp", remote_ip_prefix=str(ANYWHERE)),
        ingress("vrrp", VRRP_PROTOCOL, remote_group_id=group.id),
        *tcp("http", settings.service.port, settings.http_cidrs),
        *tcp("ssh", SSH_PORT, settings.ssh_cidrs),
    ]
    if settings.cidr6 is not None:
        rules.append(ingress("icmp6", "ipv6-icmp", 6, remote_ip_prefix=str(ANYWHERE6)))
    if settings.service_check:
        rules.append(
            ingress(
                "health",
                "udp",
                port_range_min=HEALTH_PORT,
                port_range_max=HEALTH_PORT,
                remote_group_id=group.id,
            )
        )
    return Firewall(group, rules)


def _in_a_name(network: IPv4Network | IPv6Network) -> str:
    """Return a stable part of a logical name. A position in the list would rename every rule after a removed one."""
    if network in (ANYWHERE, ANYWHERE6):
        return "anywhere" if network == ANYWHERE else "anywhere6"
    # "::" separates the parts of a URN.
    return f"{network.network_address}-{network.prefixlen}".replace(":", "-")
