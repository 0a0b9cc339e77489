"""The two members: server group, and for each member a port, a server, a gate and perhaps a floating IP."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_command as command
import pulumi_openstack as openstack

from settings import AntiAffinity, MemberSettings, PairSettings
from userdata.renderer import render_user_data

from .firewall import Firewall
from .gates import GatedMember, declare_peer_gate, declare_ready_gate, unless_new
from .network import Network
from .preflight import ExistingResources

#: Nova's names of the anti-affinity policies.
POLICIES = {AntiAffinity.HARD: "anti-affinity", AntiAffinity.SOFT: "soft-anti-affinity"}

Dependencies = pulumi.Input[Sequence[pulumi.Input[pulumi.Resource]]]


@dataclass(frozen=True)
class Shared:
    """The values and resources that both members use."""

    #: The logical name of the pair.
    name: str
    settings: PairSettings
    image_id: str
    scheduler_hints: list[openstack.compute.InstanceSchedulerHintArgs] | None
    network: Network
    firewall: Firewall
    #: The resources that must exist before a server boots, and as long as the server exists.
    before_servers: list[pulumi.Resource]
    parent: pulumi.Resource


@dataclass(frozen=True)
class DeclaredMember:
    """The resources of one member."""

    settings: MemberSettings
    port: openstack.networking.Port
    server: openstack.compute.Instance
    gate: command.local.Command
    #: None without ``memberFloatingIps``.
    floating_ip: openstack.networking.FloatingIp | None


def declare_members(
    name: str,
    settings: PairSettings,
    existing: ExistingResources,
    network: Network,
    firewall: Firewall,
    parent: pulumi.Resource,
) -> list[DeclaredMember]:
    """Declare both members, the master first.

    A change begins with the backup, if the master can serve meanwhile. The master follows when the backup's gate opens.
    """
    began = time.time()
    shared = Shared(
        name,
        settings,
        existing.image_id,
        _declare_server_group(name, settings, parent),
        network,
        firewall,
        # At its first boot a server needs the router to fetch packages, and the rules to receive packets.
        [*network.router_interfaces, *firewall.rules],
        parent,
    )
    master, backup = settings.members
    texts = {member.role: render_user_data(settings, member) for member in settings.members}
    gated = {member.role: _gated(shared, member, texts[member.role]) for member in settings.members}

    first_gate = declare_peer_gate(
        f"{name}-master-stands-in",
        gated[backup.role],
        gated[master.role],
        has_servers=existing.has_servers,
        parent=parent,
    )
    declared_backup = _declare_member(
        shared,
        backup,
        texts[backup.role],
        gated[backup.role],
        depends_on=[*shared.before_servers, first_gate],
        next_member=master.name,
        first_gate=first_gate,
    )
    declared_master = _declare_member(
        shared,
        master,
        texts[master.role],
        gated[master.role],
        depends_on=unless_new(
            first_gate, declared_backup.gate, shared.before_servers, began=began, has_servers=existing.has_servers
        ),
        next_member=None,
        first_gate=first_gate,
    )
    return [declared_master, declared_backup]


def _key_pair(settings: PairSettings) -> str | None:
    """Return the name of the servers' key pair; None with a public key, which is in the user-data.

    No key pair is declared: in Nova it belongs to a user, and the stack belongs to a team. The preview of a second
    operator would not find it, and would plan another one.
    """
    return settings.key_name if settings.public_key is None else None


def _declare_server_group(
    name: str, settings: PairSettings, parent: pulumi.Resource
) -> list[openstack.compute.InstanceSchedulerHintArgs] | None:
    """Declare the server group with the anti-affinity policy, and return the hint that puts a server into the group."""
    if settings.anti_affinity is AntiAffinity.NONE:
        return None
    group = openstack.compute.ServerGroup(
        f"{name}-server-group",
        name=f"{settings.name_prefix}-server-group",
        policies=POLICIES[settings.anti_affinity],
        opts=pulumi.ResourceOptions(parent=parent),
    )
    return [openstack.compute.InstanceSchedulerHintArgs(group=group.id)]


def _gated(shared: Shared, member: MemberSettings, user_data: str) -> GatedMember:
    settings = shared.settings
    return GatedMember(
        name=member.name,
        logical_name=f"{shared.name}-{member.role.value}",
        restarted_by=[
            shared.image_id,
            settings.flavor,
            _key_pair(settings) or "",
            settings.anti_affinity.value,
            user_data,
        ],
        ready_timeout=settings.ready_timeout,
    )


def _declare_member(
    shared: Shared,
    member: MemberSettings,
    user_data: str,
    gated: GatedMember,
    depends_on: Dependencies,
    next_member: str | None,
    first_gate: command.local.Command,
) -> DeclaredMember:
    port = _declare_port(shared, member)
    server = _declare_server(shared, member, port, user_data, depends_on)
    gate = declare_ready_gate(f"{gated.logical_name}-ready", gated, server, next_member, first_gate, shared.parent)
    return DeclaredMember(member, port, server, gate, _declare_floating_ip(shared, member, port))


def _declare_port(shared: Shared, member: MemberSettings) -> openstack.networking.Port:
    settings = shared.settings
    return openstack.networking.Port(
        f"{shared.name}-{member.role.value}-port",
        name=member.port_name,
        network_id=shared.network.network.id,
        admin_state_up=True,
        fixed_ips=shared.network.addresses_of(member),
        # Addresses, never a network: OVN forwards a floating IP only to a port whose address pair is exactly the VIP.
        allowed_address_pairs=[
            openstack.networking.PortAllowedAddressPairArgs(ip_address=str(vip))
            for vip in (settings.vip, settings.vip6)
            if vip
        ],
        security_group_ids=[shared.firewall.group.id],
        # Neutron refuses a second port with the same address (409), so the old port is deleted first.
        opts=pulumi.ResourceOptions(parent=shared.parent, delete_before_replace=True),
    )


def _declare_server(
    shared: Shared,
    member: MemberSettings,
    port: openstack.networking.Port,
    user_data: str,
    depends_on: Dependencies,
) -> openstack.compute.Instance:
    settings = shared.settings
    return openstack.compute.Instance(
        f"{shared.name}-{member.role.value}",
        name=member.name,
        image_id=shared.image_id,
        flavor_name=settings.flavor,
        key_pair=_key_pair(settings),
        networks=[openstack.compute.InstanceNetworkArgs(port=port.id)],
        scheduler_hints=shared.scheduler_hints,
        # Every process on the server can read the user-data. It may contain authPass, so no output may show it.
        user_data=pulumi.Output.secret(user_data),
        # A clean shutdown lets keepalived send priority 0: the peer takes over at once.
        stop_before_destroy=True,
        # Explicit, so that a stopped server counts as drift.
        power_state="active",
        opts=pulumi.ResourceOptions(
            parent=shared.parent,
            # A port can be attached to only one server at a time.
            delete_before_replace=True,
            # Otherwise the provider rebuilds the server in place: it wipes the disk, and a preview says "update".
            replace_on_changes=["image_id"],
            depends_on=depends_on,
        ),
    )


def _declare_floating_ip(
    shared: Shared, member: MemberSettings, port: openstack.networking.Port
) -> openstack.networking.FloatingIp | None:
    if not shared.settings.member_floating_ips:
        return None
    return openstack.networking.FloatingIp(
        f"{shared.name}-{member.role.value}-floating-ip",
        pool=shared.network.floating_ip_pool,
        port_id=port.id,
        # Neutron gives a port a floating IP only while the router has an interface in the port's subnet.
        opts=pulumi.ResourceOptions(parent=shared.parent, depends_on=[shared.network.router_interface]),
    )
