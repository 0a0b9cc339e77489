"""The two servers: key pair, server group, and per member a port, a server and, where wanted, a floating IP."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_command as command
import pulumi_openstack as openstack

from settings.pair import AntiAffinity, MemberSettings, PairSettings
from userdata.renderer import render_user_data

from .firewall import Firewall
from .gates import Change, declare_ready_gate, declare_stand_in_gate
from .network import Network

#: Nova's names of the policies.
POLICIES = {AntiAffinity.HARD: "anti-affinity", AntiAffinity.SOFT: "soft-anti-affinity"}


@dataclass(frozen=True)
class Shared:
    """What both members are made from."""

    name: str
    settings: PairSettings
    image_id: pulumi.Input[str]
    #: None where the key pair was there before.
    key_pair: openstack.compute.Keypair | None
    scheduler_hints: list[openstack.compute.InstanceSchedulerHintArgs] | None
    network: Network
    firewall: Firewall
    parent: pulumi.Resource


@dataclass(frozen=True)
class DeclaredMember:
    settings: MemberSettings
    port: openstack.networking.Port
    server: openstack.compute.Instance
    gate: command.local.Command
    floating_ip: openstack.networking.FloatingIp | None


def declare_members(
    name: str,
    settings: PairSettings,
    image_id: pulumi.Input[str],
    network: Network,
    firewall: Firewall,
    parent: pulumi.Resource,
) -> list[DeclaredMember]:
    """Declare both members, the master first."""
    options = pulumi.ResourceOptions(parent=parent)
    key_pair: openstack.compute.Keypair | None = None
    if settings.public_key is not None:
        key_pair = openstack.compute.Keypair(
            f"{name}-key",
            name=settings.key_name,
            public_key=settings.public_key,
            # A second key pair of the same name is a 409. What runs keeps its key meanwhile.
            opts=pulumi.ResourceOptions(parent=parent, delete_before_replace=True),
        )

    hints: list[openstack.compute.InstanceSchedulerHintArgs] | None = None
    if settings.anti_affinity is not AntiAffinity.NONE:
        group = openstack.compute.ServerGroup(
            f"{name}-server-group",
            name=f"{settings.name_prefix}-server-group",
            policies=POLICIES[settings.anti_affinity],
            opts=options,
        )
        hints = [openstack.compute.InstanceSchedulerHintArgs(group=group.id)]

    shared = Shared(name, settings, image_id, key_pair, hints, network, firewall, parent)
    master, backup = settings.members
    # A change goes to the backup first, if the master can serve meanwhile, and to the master through the backup's gate.
    first_gate = declare_stand_in_gate(
        f"{name}-master-stands-in", _change(shared, backup), master.name, f"{name}-{master.role.value}", parent
    )
    declared_backup = _declare_member(shared, backup, after=first_gate, before=master)
    return [_declare_member(shared, master, after=declared_backup.gate, before=None), declared_backup]


def _change(shared: Shared, member: MemberSettings) -> Change:
    settings = shared.settings
    return Change(
        member=member.name,
        logical_name=f"{shared.name}-{member.role.value}",
        restarted_by=[
            shared.image_id,
            settings.flavor,
            settings.key_name,
            settings.public_key or "",
            settings.anti_affinity.value,
            render_user_data(settings, member),
        ],
        ready_timeout=settings.ready_timeout,
    )


def _declare_member(
    shared: Shared, member: MemberSettings, after: command.local.Command, before: MemberSettings | None
) -> DeclaredMember:
    """Declare a member behind the gate ``after``; ``before`` is the one behind its own gate."""
    name, settings, parent = shared.name, shared.settings, shared.parent
    role = member.role.value
    port = openstack.networking.Port(
        f"{name}-{role}-port",
        name=member.port_name,
        network_id=shared.network.network.id,
        admin_state_up=True,
        fixed_ips=shared.network.addresses_of(member),
        # Addresses, never a network: OVN forwards a floating IP to the holder of exactly this pair only.
        allowed_address_pairs=[
            openstack.networking.PortAllowedAddressPairArgs(ip_address=str(vip))
            for vip in (settings.vip, settings.vip6)
            if vip
        ],
        security_group_ids=[shared.firewall.group.id],
        # A second port with the same address is a 409: the old one goes first.
        opts=pulumi.ResourceOptions(parent=parent, delete_before_replace=True),
    )
    server = openstack.compute.Instance(
        f"{name}-{role}",
        name=member.name,
        image_id=shared.image_id,
        flavor_name=settings.flavor,
        # The name, and not an output of the key pair: when that is deleted to be made anew, the engine would first
        # delete whatever takes a value from it, both servers at once.
        key_pair=settings.key_name,
        networks=[openstack.compute.InstanceNetworkArgs(port=port.id)],
        scheduler_hints=shared.scheduler_hints,
        # Readable on the server by everyone, and with authPass in it no output to show in the clear.
        user_data=pulumi.Output.secret(render_user_data(settings, member)),
        # A clean shutdown lets keepalived send priority 0: the peer takes over at once.
        stop_before_destroy=True,
        # Said although it is the default: only then is a server that somebody has stopped a difference.
        power_state="active",
        opts=pulumi.ResourceOptions(
            parent=parent,
            # The port goes with one server at a time.
            delete_before_replace=True,
            # The provider would rebuild the server in place: the disk wiped, and a preview that says "update".
            replace_on_changes=["image_id"],
            # A server gets its key at its first boot only.
            replacement_trigger=settings.public_key,
            # At its first boot a server fetches packages through the router, and is reached under its rules.
            depends_on=[
                *shared.network.ways_out,
                *shared.firewall.rules,
                *([shared.key_pair] if shared.key_pair else []),
                after,
            ],
        ),
    )
    gate = declare_ready_gate(
        f"{name}-{role}-ready", _change(shared, member), server, before.name if before else None, parent
    )
    floating_ip = None
    if settings.member_floating_ips:
        floating_ip = openstack.networking.FloatingIp(
            f"{name}-{role}-floating-ip",
            pool=settings.external_network,
            port_id=port.id,
            # Neutron knows the way from outside to the port only while the router has its interface.
            opts=pulumi.ResourceOptions(parent=parent, depends_on=[shared.network.router_interface]),
        )
    return DeclaredMember(member, port, server, gate, floating_ip)
