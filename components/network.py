"""The network that the pair lives in: network, subnet, router and the router's interface."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_openstack as openstack

from .settings import PairSettings


@dataclass(frozen=True)
class Network:
    network: openstack.networking.Network
    subnet: openstack.networking.Subnet
    router: openstack.networking.Router
    #: Floating IPs and servers come after it and go before it, though nothing in their arguments says so.
    router_interface: openstack.networking.RouterInterface


def declare_network(
    name: str, settings: PairSettings, external_network_id: pulumi.Input[str], parent: pulumi.Resource
) -> Network:
    """Declare the tenant network with its way out to ``external_network_id``."""
    options = pulumi.ResourceOptions(parent=parent)
    network = openstack.networking.Network(f"{name}-net", name=f"{settings.name_prefix}-net", opts=options)
    subnet = openstack.networking.Subnet(
        f"{name}-subnet",
        name=f"{settings.name_prefix}-subnet",
        network_id=network.id,
        ip_version=4,
        cidr=str(settings.cidr),
        gateway_ip=str(settings.gateway),
        enable_dhcp=True,
        allocation_pools=[
            openstack.networking.SubnetAllocationPoolArgs(start=str(settings.pool_start), end=str(settings.pool_end))
        ],
        dns_nameservers=[str(server) for server in settings.dns_servers],
        opts=options,
    )
    router = openstack.networking.Router(
        f"{name}-router",
        name=f"{settings.name_prefix}-router",
        external_network_id=external_network_id,
        opts=options,
    )
    router_interface = openstack.networking.RouterInterface(
        f"{name}-router-interface", router_id=router.id, subnet_id=subnet.id, opts=options
    )
    return Network(network, subnet, router, router_interface)
