"""The two members: server group, and for each member a port, a server, a gate and perhaps a floating IP."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_command as command
import pulumi_openstack as openstack

from settings import AntiAffinity, MemberSettings, PairSettings
from settings.identity import PortRole, role_tag
from userdata.renderer import render_user_data

from .firewall import Firewall
from .gates import (
    GatedMember,
    GatedPair,
    declare_handover_gate,
    declare_peer_gate,
    declare_ready_gate,
    declare_teardown,
    unless_new,
)
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
    scheduler_hints: list[openstack.compute.InstanceSchedulerHintArgs] | None
    network: Network
    firewall: Firewall
    #: The resources that must exist before a server boots, and as long as the server exists.
    before_servers: list[pulumi.Resource]
    gated: GatedPair
    existing: ExistingResources
    #: The gate before the backup.
    first_gate: command.local.Command
    parent: pulumi.Resource


@dataclass(frozen=True)
class DeclaredMember:
    """The resources of one member."""

    settings: MemberSettings
    port: openstack.networking.Port
    server: openstack.compute.Instance
    #: The gate that opens when the server is ready.
    ready: command.local.Command
    #: None without ``memberFloatingIps``.
    floating_ip: openstack.networking.FloatingIp | None


@dataclass(frozen=True)
class DeclaredMembers:
    """Both members, and the gate before them."""

    master: DeclaredMember
    backup: DeclaredMember
    #: The gate that prints the time at which a new pair was made.
    first_gate: command.local.Command
    #: The gates that open when a server may be taken away.
    handovers: list[command.local.Command]

    @property
    def both(self) -> list[DeclaredMember]:
        """The master and the backup."""
        return [self.master, self.backup]


def declare_members(
    name: str,
    settings: PairSettings,
    existing: ExistingResources,
    network: Network,
    firewall: Firewall,
    parent: pulumi.Resource,
) -> DeclaredMembers:
    """Declare both members.

    A change begins with the backup, if the master can serve meanwhile. The master follows when the backup's gate opens.
    A changed address replaces the member's port, and the server with it, so the ports wait for the same gates.
    """
    began = time.time()
    master, backup = settings.members
    texts = {member.role: render_user_data(settings, member) for member in settings.members}
    gated = GatedPair(
        name,
        _gated(name, settings, existing, master, texts[master.role]),
        _gated(name, settings, existing, backup, texts[backup.role]),
        parent,
    )
    first_gate = declare_peer_gate(gated, existing)
    shared = Shared(
        name,
        settings,
        _declare_server_group(name, settings, parent),
        network,
        firewall,
        # Without the router no server could fetch packages at its first boot, and without the rules none could receive
        # packets. The router's interfaces come while the server boots.
        [network.router, *firewall.rules],
        gated,
        existing,
        first_gate,
        parent,
    )

    def after(gate: command.local.Command, others: Sequence[pulumi.Resource]) -> Dependencies:
        return unless_new(first_gate, gate, others, began=began, has_servers=existing.has_servers)

    declared_backup = _declare_member(
        shared,
        backup,
        texts[backup.role],
        gated.backup,
        port_depends_on=[first_gate],
        server_depends_on=[*shared.before_servers, first_gate],
    )
    declared_master = _declare_member(
        shared,
        master,
        texts[master.role],
        gated.master,
        port_depends_on=after(declared_backup.ready, []),
        server_depends_on=after(declared_backup.ready, shared.before_servers),
    )
    handovers = [
        declare_handover_gate(gated, gated.master, declared_master.server, declared_backup.server),
        declare_handover_gate(gated, gated.backup, declared_backup.server, declared_master.server),
    ]
    declare_teardown(
        gated, handovers, first_gate, has_servers=existing.has_servers, protect=settings.protect_floating_ip
    )
    return DeclaredMembers(declared_master, declared_backup, first_gate, handovers)


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


def _gated(
    name: str, settings: PairSettings, existing: ExistingResources, member: MemberSettings, user_data: str
) -> GatedMember:
    return GatedMember(
        role=PortRole(member.role.value),
        name=member.name,
        port_name=member.port_name,
        address=str(member.address),
        logical_name=f"{name}-{member.role.value}",
        key_pair=_key_pair(settings),
        restarted_by=[
            existing.image_id,
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
    port_depends_on: Dependencies,
    server_depends_on: Dependencies,
) -> DeclaredMember:
    port = _declare_port(shared, member, port_depends_on)
    server = _declare_server(shared, member, port, user_data, server_depends_on)
    return DeclaredMember(
        member,
        port,
        server,
        declare_ready_gate(shared.gated, gated, server, shared.first_gate, shared.existing),
        _declare_floating_ip(shared, member, port),
    )


def _declare_port(shared: Shared, member: MemberSettings, depends_on: Dependencies) -> openstack.networking.Port:
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
        # The gates find the port by its tags: its name and its address may be new.
        tags=[shared.gated.tag, role_tag(PortRole(member.role.value))],
        opts=pulumi.ResourceOptions(
            parent=shared.parent,
            # Neutron refuses a second port with the same address (409), so the old port is deleted first.
            delete_before_replace=True,
            # Port security drops all packets of a running member as soon as its port has another address, and the
            # backup takes over only after three missed advertisements. With a new port the old server leaves cleanly.
            # A trigger, because an imported port has no "fixed_ips" in its state: it would be replaced once.
            replacement_trigger=" ".join(str(one) for one in (member.address, member.address6) if one),
            depends_on=depends_on,
        ),
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
        image_id=shared.existing.image_id,
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
            # Otherwise the provider rebuilds or resizes both servers in place, past the gates.
            replace_on_changes=["image_id", "flavor_name"],
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
