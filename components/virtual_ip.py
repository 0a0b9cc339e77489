"""The address that the two members share, and the public one that leads to it."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_openstack as openstack

from .network import Network
from .settings import PairSettings


@dataclass(frozen=True)
class VirtualIp:
    port: openstack.networking.Port
    floating_ip: openstack.networking.FloatingIp


def declare_virtual_ip(name: str, settings: PairSettings, network: Network, parent: pulumi.Resource) -> VirtualIp:
    """Declare the port that reserves the VIP, bound to no server (so it stays DOWN), and its floating IP."""
    port = openstack.networking.Port(
        f"{name}-vip-port",
        name=f"{settings.name_prefix}-port",
        network_id=network.network.id,
        admin_state_up=True,
        fixed_ips=network.fixed_ips(settings.vip, settings.vip6),
        # No frame ever passes this port; what guards the VIP is the group on the members' ports.
        no_security_groups=True,
        opts=pulumi.ResourceOptions(parent=parent, delete_before_replace=True),
    )
    floating_ip = openstack.networking.FloatingIp(
        f"{name}-floating-ip",
        pool=settings.external_network,
        port_id=port.id,
        # Neutron knows the way from outside to the port only while the router has its interface.
        opts=pulumi.ResourceOptions(parent=parent, depends_on=[network.router_interface]),
    )
    return VirtualIp(port, floating_ip)
