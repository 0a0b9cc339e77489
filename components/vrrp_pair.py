"""The component: one highly available pair, from its network to its public address."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypedDict

import pulumi

from settings.pair import PairSettings
from settings.service import HTTP_PORT

from .firewall import Firewall, declare_firewall
from .gates import declare_final_check, withdraw_teardown
from .members import DeclaredMember, DeclaredMembers, declare_members
from .network import declare_network
from .preflight import Asked, ExistingResources, PreflightError
from .provider_credentials import provider_of
from .virtual_ip import VirtualIp, declare_virtual_ip


@dataclass(frozen=True)
class VrrpPairArgs:
    """The settings of a pair, and the existing resources that it uses."""

    settings: PairSettings
    existing: ExistingResources


class MemberOutputs(TypedDict):
    """The outputs of one member. A preview shows those that are known beforehand."""

    name: str
    role: str
    serverId: pulumi.Output[str]
    portId: pulumi.Output[str]
    fixedAddress: str
    #: None without ``member_floating_ips``.
    floatingIp: pulumi.Output[str] | None


class VrrpPair(pulumi.ComponentResource):
    """Two keepalived servers that share a virtual IP, behind one floating IP.

    In scope: everything that exists for the pair alone, from the network to the servers' first boot. Not in scope:
    the existing resources that it uses (the external network, the image, the flavor, an existing key pair).

    One stack can have two pairs: give each its own name and ``name_prefix``. Each can have a provider of its own
    (``opts.provider``, ``opts.providers``, or its parent's): then give the preflight the same provider.
    """

    #: ``http://`` and the floating IP, with the service's port if that is not 80. Without a floating IP it has the VIP.
    url: pulumi.Output[str]
    #: The public address that leads to the member with the VIP; None with ``floating_ip`` "none".
    floating_ip: pulumi.Output[str] | None
    #: The address that the members share inside the network.
    vip: pulumi.Output[str]
    #: The VIP in IPv6; None without ``cidr6``. It has no floating IP: the cloud must route it.
    vip6: str | None
    #: The master and the backup.
    members: list[MemberOutputs]

    def __init__(self, name: str, args: VrrpPairArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        """Declare the pair.

        :param name: the logical name; every child's name begins with it, so renaming it replaces the pair.
        :raises PreflightError: if the preflight asked about another pair, or another provider than the one that makes
            the pair.
        """
        super().__init__("vrrp:index:VrrpPair", name, None, opts)
        settings, existing = args.settings, args.existing
        _check_what_was_asked(existing.asked, name, provider_of(self))
        if existing.is_torn_down and not pulumi.runtime.is_dry_run():
            # Nothing of the pair is declared yet, so no gate can see the mark.
            withdraw_teardown(name, settings, parent=self)

        network = declare_network(
            name,
            settings,
            existing.external_network_id,
            parent=self,
            replaces_router=existing.changes("externalNetwork"),
        )
        firewall = declare_firewall(name, settings, parent=self)
        members = declare_members(name, settings, existing, network, firewall, parent=self)
        virtual_ip = declare_virtual_ip(name, settings, existing, network, members.first_gate, parent=self)
        declare_final_check(
            f"{name}-complete",
            _expected(settings, firewall, virtual_ip, members),
            settings.ready_timeout,
            members.first_gate,
            depends_on=_touched_by_a_change(firewall, virtual_ip, members),
            parent=self,
            existing=existing,
        )

        self.floating_ip = virtual_ip.public_address
        port = settings.service.port
        self.vip = pulumi.Output.from_input(str(settings.vip))
        host = self.vip if self.floating_ip is None else self.floating_ip
        self.url = pulumi.Output.concat("http://", host, "" if port == HTTP_PORT else f":{port}")
        self.vip6 = str(settings.vip6) if settings.vip6 else None
        self.members = [_outputs_of(member) for member in members.both]
        self.register_outputs(
            {
                "url": self.url,
                "floatingIp": self.floating_ip,
                "vip": self.vip,
                **({"vip6": self.vip6} if self.vip6 else {}),
                "members": self.members,
            }
        )


def _check_what_was_asked(asked: Asked | None, name: str, provider: pulumi.ProviderResource | None) -> None:
    """Check that the preflight asked about this pair and its provider.

    :raises PreflightError: if it did not.
    """
    if asked is None:
        return
    if asked.name != name:
        raise PreflightError(
            f"the preflight of {name} asked about the pair {asked.name}, so no resource of {name} was declared: give "
            f'both the same name, as in preflight(settings, name="{name}") and VrrpPair("{name}", …)'
        )
    if asked.provider is not provider:
        raise PreflightError(
            f"the preflight of {name} asked another provider than the one that makes the pair, so no resource of "
            f"it was declared: give both the same one, as in preflight(settings, pulumi.InvokeOptions(provider=…), "
            f'name="{name}") and VrrpPair("{name}", …, opts=pulumi.ResourceOptions(provider=…))'
        )


def _expected(
    settings: PairSettings, firewall: Firewall, virtual_ip: VirtualIp, members: DeclaredMembers
) -> dict[str, Any]:
    """Return what the final check compares with Neutron (``gates.complete``)."""
    vip_ports = {str(settings.vip): virtual_ip.port.id}
    if virtual_ip.port6 and settings.vip6:
        vip_ports[str(settings.vip6)] = virtual_ip.port6.id
    return {
        "vip_ports": vip_ports,
        "floating_ip": virtual_ip.public_address,
        "group": firewall.group.id,
        "rules": {rule.pulumi_resource_name: rule.id for rule in firewall.rules},
        "members": {
            member.settings.name: {
                "server": member.server.id,
                "port": member.port.id,
                "addresses": [str(one) for one in (member.settings.address, member.settings.address6) if one],
            }
            for member in members.both
        },
    }


def _touched_by_a_change(firewall: Firewall, virtual_ip: VirtualIp, members: DeclaredMembers) -> list[pulumi.Resource]:
    gates = [*(member.ready for member in members.both), *members.handovers]
    way_in = [virtual_ip.port, *([virtual_ip.floating_ip] if virtual_ip.floating_ip else [])]
    return [*firewall.rules, *way_in, *gates]


def _outputs_of(member: DeclaredMember) -> MemberOutputs:
    return MemberOutputs(
        name=member.settings.name,
        role=member.settings.role.value,
        serverId=member.server.id,
        portId=member.port.id,
        fixedAddress=str(member.settings.address),
        floatingIp=member.floating_ip.address if member.floating_ip else None,
    )
