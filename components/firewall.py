"""The security group of the members and its ingress rules.

Neutron gives every new group its two egress rules by itself; declaring them again is a 409. Every property of a rule
replaces the rule, so each rule is a resource of its own, named after the traffic that it allows.
"""

from __future__ import annotations

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
        what: str,
        protocol: str,
        version: int = 4,
        *,
        # A second rule for the same traffic is a 409, even if it is written differently.
        delete_before_replace: bool = True,
        old_name: str | None = None,
        **source_and_ports: str | int | pulumi.Output[str],
    ) -> openstack.networking.SecGroupRule:
        return openstack.networking.SecGroupRule(
            f"{name}-ingress-{what}",
            security_group_id=group.id,
            direction="ingress",
            ethertype=f"IPv{version}",
            protocol=protocol,
            **source_and_ports,  # pyright: ignore[reportArgumentType] # one of several optional arguments each
            opts=pulumi.ResourceOptions(
                parent=parent,
                delete_before_replace=delete_before_replace,
                aliases=[pulumi.Alias(name=f"{name}-ingress-{old_name}")] if old_name else None,
            ),
        )

    def http(port: int, source: IPv4Network | IPv6Network) -> openstack.networking.SecGroupRule:
        """Open the service's port, which is part of the name: the new port opens before the old one closes.

        The old name had no port, so a changed port can still be a replacement once: it is created first, too.
        """
        return ingress(
            f"http-{port}-from-{_in_a_name(source)}",
            "tcp",
            source.version,
            delete_before_replace=False,
            old_name=f"http-from-{_in_a_name(source)}",
            port_range_min=port,
            port_range_max=port,
            remote_ip_prefix=str(source),
        )

    def ssh(source: IPv4Network | IPv6Network) -> openstack.networking.SecGroupRule:
        return ingress(
            f"ssh-from-{_in_a_name(source)}",
            "tcp",
            source.version,
            port_range_min=SSH_PORT,
            port_range_max=SSH_PORT,
            remote_ip_prefix=str(source),
        )

    rules = [
        ingress("icmp", "icmp", remote_ip_prefix=str(ANYWHERE)),
        ingress("vrrp", VRRP_PROTOCOL, remote_group_id=group.id),
        *(http(settings.service.port, source) for source in settings.http_cidrs),
        *(ssh(source) for source in settings.ssh_cidrs),
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
