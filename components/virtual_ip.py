"""The virtual IP: the ports that reserve it, and the floating IP in front of it."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

import pulumi
import pulumi_openstack as openstack

from settings.pair import PairSettings

from .network import Network


@dataclass(frozen=True)
class VirtualIp:
    """The reserved address and the public address that leads to it."""

    port: openstack.networking.Port
    floating_ip: openstack.networking.FloatingIp
    #: None if the pair has no IPv6.
    port6: openstack.networking.Port | None


def declare_virtual_ip(name: str, settings: PairSettings, network: Network, parent: pulumi.Resource) -> VirtualIp:
    """Declare the ports that reserve the VIPs, and the floating IP. The ports are bound to no server: they stay DOWN.

    Each address family has a port of its own, because OVN knows one virtual IP per port.
    """
    port = _reserve(f"{name}-vip-port", f"{settings.name_prefix}-port", network, network.subnet, settings.vip, parent)
    floating_ip = openstack.networking.FloatingIp(
        f"{name}-floating-ip",
        pool=settings.external_network,
        port_id=port.id,
        # Neutron gives a port a floating IP only while the router has an interface in the port's subnet.
        opts=pulumi.ResourceOptions(parent=parent, depends_on=[network.router_interface]),
    )
    port6 = None
    if network.subnet6 and settings.vip6:
        prefix = settings.name_prefix
        port6 = _reserve(f"{name}-vip-port6", f"{prefix}-port6", network, network.subnet6, settings.vip6, parent)
    return VirtualIp(port, floating_ip, port6)


def _reserve(
    logical_name: str,
    name: str,
    network: Network,
    subnet: openstack.networking.Subnet,
    address: IPv4Address | IPv6Address,
    parent: pulumi.Resource,
) -> openstack.networking.Port:
    return openstack.networking.Port(
        logical_name,
        name=name,
        network_id=network.network.id,
        admin_state_up=True,
        # Otherwise the engine could declare the port before the subnet exists, and Neutron could choose another subnet.
        fixed_ips=[openstack.networking.PortFixedIpArgs(subnet_id=subnet.id, ip_address=str(address))],
        # No frame passes this port. The group on the members' ports guards the VIP.
        no_security_groups=True,
        opts=pulumi.ResourceOptions(parent=parent, delete_before_replace=True),
    )
