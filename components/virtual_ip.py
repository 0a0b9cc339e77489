"""The virtual IP: the ports that reserve it, and the floating IP in front of it.

``protectFloatingIp`` protects only the floating IP and ``vrrp-teardown``, the first step of a `destroy`. ``protect`` on
the component would reach all its children, and the engine would then refuse to replace a server: every roll would stop.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

import pulumi
import pulumi_command as command
import pulumi_openstack as openstack

from settings.identity import EXISTING_FLOATING_IP_TAG, PROTECTED_TAG, PortRole, pair_tag, role_tag
from settings.pair import NEW, PairSettings

from .network import Network
from .preflight import ExistingResources


@dataclass(frozen=True)
class VirtualIp:
    """The reserved address and the public address that leads to it."""

    port: openstack.networking.Port
    #: The pair's floating IP, or the association of an existing one. None without a floating IP.
    floating_ip: openstack.networking.FloatingIp | openstack.networking.FloatingIpAssociate | None
    #: None if the pair has no IPv6.
    port6: openstack.networking.Port | None

    @property
    def public_address(self) -> pulumi.Output[str] | None:
        """The address of the floating IP."""
        if isinstance(self.floating_ip, openstack.networking.FloatingIpAssociate):
            return self.floating_ip.floating_ip
        return self.floating_ip.address if self.floating_ip else None


def declare_virtual_ip(
    name: str,
    settings: PairSettings,
    existing: ExistingResources,
    network: Network,
    first_gate: command.local.Command,
    parent: pulumi.Resource,
) -> VirtualIp:
    """Declare the ports that reserve the VIPs, and the floating IP. The ports are bound to no server: they stay DOWN.

    Each address family has a port of its own, because OVN knows one virtual IP per port.

    :param first_gate: the gate before the backup. If it stays closed, the members keep the old VIP. So in a run that
        changes a VIP, its port waits for this gate too, and the floating IP does not move without the members.
    """
    tag = pair_tag(pulumi.get_project(), pulumi.get_stack(), name)
    prefix = settings.name_prefix
    port = _reserve(
        f"{name}-vip-port",
        f"{prefix}-port",
        network,
        network.subnet,
        settings.vip,
        [
            tag,
            role_tag(PortRole.VIP),
            *([EXISTING_FLOATING_IP_TAG] if settings.existing_floating_ip else []),
        ],
        parent,
        replaced_by=[
            *_replaced_by_another_address(existing, "vip"),
            # Neutron refuses a second floating IP for the same fixed address (409), and the engine deletes the old one
            # only at the end of the run. Without its port the old one is associated with nothing.
            *(["tags"] if existing.changes("floatingIp") else []),
        ],
        after=[first_gate] if existing.changes("vip") else [],
    )
    floating_ip = _declare_floating_ip(name, settings, network, port, tag, parent)
    port6 = None
    if network.subnet6 and settings.vip6:
        port6 = _reserve(
            f"{name}-vip-port6",
            f"{prefix}-port6",
            network,
            network.subnet6,
            settings.vip6,
            [tag, role_tag(PortRole.VIP6)],
            parent,
            replaced_by=_replaced_by_another_address(existing, "vip6"),
            after=[first_gate] if existing.changes("vip6") else [],
        )
    return VirtualIp(port, floating_ip, port6)


def _declare_floating_ip(
    name: str,
    settings: PairSettings,
    network: Network,
    port: openstack.networking.Port,
    tag: str,
    parent: pulumi.Resource,
) -> openstack.networking.FloatingIp | openstack.networking.FloatingIpAssociate | None:
    """Declare the public address.

    ``fixed_ip`` is explicit. Otherwise a floating IP that still leads to an old VIP would be no difference.
    """
    # Neutron gives a port a floating IP only while the router has an interface in the port's subnet.
    needs = [network.router_interface]
    if settings.floating_ip == NEW:
        return openstack.networking.FloatingIp(
            f"{name}-floating-ip",
            pool=network.floating_ip_pool,
            port_id=port.id,
            fixed_ip=str(settings.vip),
            tags=[tag, *([PROTECTED_TAG] if settings.protect_floating_ip else [])],
            opts=pulumi.ResourceOptions(parent=parent, depends_on=needs, protect=settings.protect_floating_ip),
        )
    if settings.existing_floating_ip is None:
        return None
    return openstack.networking.FloatingIpAssociate(
        f"{name}-floating-ip-association",
        # An output of the router, like the pool: so the engine deletes the association before it replaces the router.
        floating_ip=network.floating_ip_pool.apply(lambda _: str(settings.existing_floating_ip)),
        port_id=port.id,
        fixed_ip=str(settings.vip),
        # Neutron refuses a second floating IP for the same address (409).
        opts=pulumi.ResourceOptions(parent=parent, depends_on=needs, delete_before_replace=True),
    )


def _replaced_by_another_address(existing: ExistingResources, key: str) -> list[str]:
    """Return the property that replaces the port of a VIP in this run.

    Neutron up to 22 changes the address of a port with a floating IP and leaves the floating IP at the old one; later
    releases refuse it (400). Another port frees the floating IP, and it follows in place.

    Only a run that changes the VIP replaces its port. After an adoption the port has the right address, but the engine
    sees a difference, because an import does not record ``fixed_ips``.
    """
    # Without a preflight, the VIP was not compared with the port's address.
    return ["fixed_ips"] if existing.asked is None or existing.changes(key) else []


def _reserve(
    logical_name: str,
    name: str,
    network: Network,
    subnet: openstack.networking.Subnet,
    address: IPv4Address | IPv6Address,
    tags: list[str],
    parent: pulumi.Resource,
    replaced_by: list[str],
    after: list[command.local.Command],
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
        tags=tags,
        opts=pulumi.ResourceOptions(
            parent=parent,
            delete_before_replace=True,
            depends_on=after,
            replace_on_changes=replaced_by,
        ),
    )
