"""The pair's network: network, subnet, router and the router's interface."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv6Network

import pulumi
import pulumi_openstack as openstack

from settings.pair import GATEWAY6, POOL6, MemberSettings, PairSettings


@dataclass(frozen=True)
class Network:
    """The tenant network, and its connection to the external network."""

    network: openstack.networking.Network
    subnet: openstack.networking.Subnet
    router: openstack.networking.Router
    #: Floating IPs need this, but no argument of theirs refers to it: declare the dependency.
    router_interface: openstack.networking.RouterInterface
    #: The name of the external network, for floating IPs. It is an output of the router on purpose: before the engine
    #: replaces the router, it then deletes the floating IPs, and Neutron lets it delete the router's interfaces.
    floating_ip_pool: pulumi.Output[str]
    #: None if the pair has no IPv6.
    subnet6: openstack.networking.Subnet | None = None
    router_interface6: openstack.networking.RouterInterface | None = None

    def addresses_of(self, member: MemberSettings) -> list[openstack.networking.PortFixedIpArgs]:
        """Return the fixed addresses of a member's port, one for each address family.

        Each address names its subnet. Otherwise the engine could declare the port before the subnet exists, and Neutron
        could choose another subnet.
        """
        found = [openstack.networking.PortFixedIpArgs(subnet_id=self.subnet.id, ip_address=str(member.address))]
        if self.subnet6 and member.address6:
            found.append(
                openstack.networking.PortFixedIpArgs(subnet_id=self.subnet6.id, ip_address=str(member.address6))
            )
        return found


def declare_network(
    name: str,
    settings: PairSettings,
    external_network_id: pulumi.Input[str],
    parent: pulumi.Resource,
    *,
    replaces_router: bool = False,
) -> Network:
    """Declare the tenant network and its connection to ``external_network_id``.

    :param replaces_router: whether this run moves the pair to another external network. Neutron refuses this for a
        router in use by a floating IP (409), so the router, its interfaces and the floating IPs are replaced.
        In all other runs only a gateway that was cleared by hand differs, and the router is updated in place: the
        preflight refuses a gateway on another network.
    """
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
        opts=pulumi.ResourceOptions(
            parent=parent,
            delete_before_replace=True,
            replace_on_changes=["external_network_id"] if replaces_router else [],
        ),
    )
    pool = router.external_network_id.apply(lambda _: settings.external_network)
    router_interface = openstack.networking.RouterInterface(
        f"{name}-router-interface", router_id=router.id, subnet_id=subnet.id, opts=options
    )
    if settings.cidr6 is None:
        return Network(network, subnet, router, router_interface, pool)
    subnet6 = _declare_subnet6(name, settings, settings.cidr6, network, options)
    router_interface6 = openstack.networking.RouterInterface(
        f"{name}-router-interface6",
        router_id=router.id,
        subnet_id=subnet6.id,
        # Neutron gives a router one port for all IPv6 subnets of a network. The deletion of an old interface would take
        # this port away from the new one.
        opts=pulumi.ResourceOptions(parent=parent, delete_before_replace=True),
    )
    return Network(network, subnet, router, router_interface, pool, subnet6, router_interface6)


def _declare_subnet6(
    name: str,
    settings: PairSettings,
    cidr: IPv6Network,
    network: openstack.networking.Network,
    options: pulumi.ResourceOptions,
) -> openstack.networking.Subnet:
    """Declare the IPv6 subnet, with stateful DHCPv6 so that each port's address is known in advance."""
    return openstack.networking.Subnet(
        f"{name}-subnet6",
        name=f"{settings.name_prefix}-subnet6",
        network_id=network.id,
        ip_version=6,
        cidr=str(cidr),
        gateway_ip=str(cidr[GATEWAY6]),
        enable_dhcp=True,
        ipv6_address_mode="dhcpv6-stateful",
        ipv6_ra_mode="dhcpv6-stateful",
        allocation_pools=[
            openstack.networking.SubnetAllocationPoolArgs(start=str(cidr[POOL6[0]]), end=str(cidr[POOL6[1]]))
        ],
        opts=options,
    )
