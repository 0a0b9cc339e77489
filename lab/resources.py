"""What the lab knows of each resource type: the properties it makes real, and no others.

A property that is not here is refused by name. Skipping it would let the lab say yes to a pair that the lab has
not built.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, IPvAnyAddress, IPvAnyNetwork, ValidationError
from pydantic.alias_generators import to_camel


class UnknownToTheLab(Exception):
    """A resource type or a property that the lab can't make real."""


class Inputs(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, validate_by_name=True, extra="forbid", frozen=True)


class NetworkInputs(Inputs):
    name: str
    admin_state_up: Literal[True] = True


class AllocationPool(Inputs):
    start: IPvAnyAddress
    end: IPvAnyAddress


class SubnetInputs(Inputs):
    name: str
    network_id: str
    ip_version: Literal[4, 6] = 4
    cidr: IPvAnyNetwork
    gateway_ip: IPvAnyAddress
    #: The lab has no DHCP server: it gives each server its port's address itself.
    enable_dhcp: bool = True
    #: Whose addresses Neutron knows beforehand; the lab makes none up.
    ipv6_address_mode: Literal["dhcpv6-stateful"] | None = None
    ipv6_ra_mode: Literal["dhcpv6-stateful"] | None = None
    allocation_pools: tuple[AllocationPool, ...] = ()
    dns_nameservers: tuple[IPv4Address, ...] = ()


class RouterInputs(Inputs):
    name: str
    external_network_id: str


class RouterInterfaceInputs(Inputs):
    router_id: str
    subnet_id: str


class FixedIp(Inputs):
    subnet_id: str
    ip_address: IPvAnyAddress


class AddressPair(Inputs):
    #: Neutron takes a network too; the kernel's set of the lab takes both.
    ip_address: IPv4Address | IPv4Network | IPv6Address | IPv6Network


class PortInputs(Inputs):
    name: str
    network_id: str
    admin_state_up: bool = True
    #: One of each family at most, the IPv4 address first.
    fixed_ips: tuple[FixedIp, ...] = Field(min_length=1, max_length=2)
    allowed_address_pairs: tuple[AddressPair, ...] = ()
    security_group_ids: tuple[str, ...] = ()
    no_security_groups: bool = False

    @property
    def own_addresses(self) -> list[IPv4Address | IPv4Network | IPv6Address | IPv6Network]:
        """Those that may stand in what its server sends."""
        return [
            *(fixed.ip_address for fixed in self.fixed_ips),
            *(pair.ip_address for pair in self.allowed_address_pairs),
        ]


class SecGroupInputs(Inputs):
    name: str
    description: str = ""


class SecGroupRuleInputs(Inputs):
    security_group_id: str
    direction: Literal["ingress"]
    ethertype: Literal["IPv4", "IPv6"]
    protocol: str
    port_range_min: int | None = None
    port_range_max: int | None = None
    remote_ip_prefix: IPvAnyNetwork | None = None
    remote_group_id: str | None = None


class FloatingIpInputs(Inputs):
    pool: str
    port_id: str


class KeypairInputs(Inputs):
    name: str
    public_key: str


class ServerGroupInputs(Inputs):
    name: str
    policies: str


class ServerNetwork(Inputs):
    port: str


class SchedulerHint(Inputs):
    group: str


class InstanceInputs(Inputs):
    name: str
    #: The lab has one image, Debian 12, and gives it for every name.
    image_id: str
    flavor_name: str
    key_pair: str
    networks: tuple[ServerNetwork, ...] = Field(min_length=1, max_length=1)
    #: One machine is one hypervisor: the lab takes the hint and places nothing.
    scheduler_hints: tuple[SchedulerHint, ...] = ()
    user_data: str
    stop_before_destroy: bool = False
    #: Every server is switched on when it is made.
    power_state: Literal["active"] = "active"


class CommandInputs(Inputs):
    """The lab makes a pair and never changes one: a gate's creation has nothing to wait for, and is not run."""

    create: Annotated[str, Field(pattern=r"^:$|^date \+%s$| unless-alone$")]
    update: str
    dir: str
    environment: dict[str, str]
    add_previous_output_in_env: bool = True
    logging: str


TYPES: dict[str, type[Inputs]] = {
    "openstack:networking/network:Network": NetworkInputs,
    "openstack:networking/subnet:Subnet": SubnetInputs,
    "openstack:networking/router:Router": RouterInputs,
    "openstack:networking/routerInterface:RouterInterface": RouterInterfaceInputs,
    "openstack:networking/port:Port": PortInputs,
    "openstack:networking/secGroup:SecGroup": SecGroupInputs,
    "openstack:networking/secGroupRule:SecGroupRule": SecGroupRuleInputs,
    "openstack:networking/floatingIp:FloatingIp": FloatingIpInputs,
    "openstack:compute/keypair:Keypair": KeypairInputs,
    "openstack:compute/serverGroup:ServerGroup": ServerGroupInputs,
    "openstack:compute/instance:Instance": InstanceInputs,
    "command:local:Command": CommandInputs,
}


def parse_inputs(type_: str, name: str, inputs: dict[str, Any]) -> Inputs:
    """The inputs of a declared resource as the lab's model of its type.

    :raises UnknownToTheLab: naming the type, or each property and what is wrong with it.
    """
    model = TYPES.get(type_)
    if model is None:
        raise UnknownToTheLab(f"{name}: the lab can't make a resource of type {type_} real")
    try:
        return model.model_validate(inputs)
    except ValidationError as error:
        lines = "; ".join(
            f"{'.'.join(str(part) for part in detail['loc'])}: "
            + ("the lab does not know this property" if detail["type"] == "extra_forbidden" else detail["msg"])
            for detail in error.errors(include_url=False)
        )
        raise UnknownToTheLab(f"{name} ({type_}): {lines}") from None
