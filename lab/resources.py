"""The resource types and properties that the lab can make.

The lab refuses every other property by its name. If it ignored one, it would accept a pair that it has not built.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, IPvAnyAddress, IPvAnyNetwork, ValidationError
from pydantic.alias_generators import to_camel


class UnknownToTheLab(Exception):
    """A resource type, a property or a lookup that the lab does not have."""


class Inputs(BaseModel):
    """The inputs of a resource, by the provider's names (camelCase)."""

    model_config = ConfigDict(alias_generator=to_camel, validate_by_name=True, extra="forbid", frozen=True)


class NetworkInputs(Inputs):
    """A network."""

    name: str
    admin_state_up: Literal[True] = True


class AllocationPool(Inputs):
    """A range of a subnet's addresses, both ends included."""

    start: IPvAnyAddress
    end: IPvAnyAddress


class SubnetInputs(Inputs):
    """A subnet of either family."""

    name: str
    network_id: str
    ip_version: Literal[4, 6] = 4
    cidr: IPvAnyNetwork
    gateway_ip: IPvAnyAddress
    #: The lab has no DHCP server. It sets a port's addresses on the server's device.
    enable_dhcp: bool = True
    #: Only with this mode does Neutron know an address in advance.
    ipv6_address_mode: Literal["dhcpv6-stateful"] | None = None
    ipv6_ra_mode: Literal["dhcpv6-stateful"] | None = None
    allocation_pools: tuple[AllocationPool, ...] = ()
    dns_nameservers: tuple[IPv4Address, ...] = ()


class RouterInputs(Inputs):
    """A router with a gateway to the external network."""

    name: str
    external_network_id: str


class RouterInterfaceInputs(Inputs):
    """A router's interface on a subnet, with the subnet's gateway address."""

    router_id: str
    subnet_id: str


class FixedIp(Inputs):
    """An address of a port."""

    subnet_id: str
    ip_address: IPvAnyAddress


class AddressPair(Inputs):
    """An allowed address pair: a server may send with this address, too."""

    #: An address or a network, as in Neutron.
    ip_address: IPv4Address | IPv4Network | IPv6Address | IPv6Network


class PortInputs(Inputs):
    """A port, for a server or unbound."""

    name: str
    network_id: str
    admin_state_up: bool = True
    #: At most one of each family, the IPv4 address first.
    fixed_ips: tuple[FixedIp, ...] = Field(min_length=1, max_length=2)
    allowed_address_pairs: tuple[AddressPair, ...] = ()
    security_group_ids: tuple[str, ...] = ()
    no_security_groups: bool = False
    #: The lab only records them.
    tags: tuple[str, ...] = ()

    @property
    def own_addresses(self) -> list[IPv4Address | IPv4Network | IPv6Address | IPv6Network]:
        """The source addresses that port security lets pass."""
        return [
            *(fixed.ip_address for fixed in self.fixed_ips),
            *(pair.ip_address for pair in self.allowed_address_pairs),
        ]


class SecGroupInputs(Inputs):
    """A security group; its rules are resources of their own."""

    name: str
    description: str = ""


class SecGroupRuleInputs(Inputs):
    """A rule that lets traffic in."""

    security_group_id: str
    direction: Literal["ingress"]
    ethertype: Literal["IPv4", "IPv6"]
    protocol: str
    port_range_min: int | None = None
    port_range_max: int | None = None
    remote_ip_prefix: IPvAnyNetwork | None = None
    remote_group_id: str | None = None


class FloatingIpInputs(Inputs):
    """A floating IP for the first address of a port."""

    pool: str
    port_id: str
    #: The port's address. The lab translates to the port's first address.
    fixed_ip: IPv4Address | None = None
    #: The lab only records them.
    tags: tuple[str, ...] = ()


class ServerGroupInputs(Inputs):
    """A server group, which the lab only records."""

    name: str
    policies: str


class ServerNetwork(Inputs):
    """The network of a server, given by its port."""

    port: str


class SchedulerHint(Inputs):
    """A server's group."""

    group: str


class InstanceInputs(Inputs):
    """A server."""

    name: str
    #: The lab has one image, Debian 12, under every name.
    image_id: str
    flavor_name: str
    #: The name of an existing key pair, which the lab does not have. None if the user-data has the public key.
    key_pair: str | None = None
    networks: tuple[ServerNetwork, ...] = Field(min_length=1, max_length=1)
    #: Without effect, because the lab has one hypervisor, this machine.
    scheduler_hints: tuple[SchedulerHint, ...] = ()
    user_data: str
    stop_before_destroy: bool = False
    #: The lab switches every server on when it makes it.
    power_state: Literal["active"] = "active"


class CommandInputs(Inputs):
    """A gate's command, which the lab does not run: it never changes a pair, and on creation no gate waits."""

    create: Annotated[str, Field(pattern=r"^:$|^date \+%s$| unless-new-pair$| gates.teardown withdraw$")]
    update: str | None = None
    delete: str | None = None
    triggers: tuple[str, ...] = ()
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
    "openstack:compute/serverGroup:ServerGroup": ServerGroupInputs,
    "openstack:compute/instance:Instance": InstanceInputs,
    "command:local:Command": CommandInputs,
}


def parse_inputs(type_: str, name: str, inputs: dict[str, Any]) -> Inputs:
    """Return the inputs of a declared resource as the lab's model of its type.

    :raises UnknownToTheLab: with the type, or with each property and what is wrong with it.
    """
    model = TYPES.get(type_)
    if model is None:
        raise UnknownToTheLab(f"{name}: the lab can't make a resource of type {type_}")
    try:
        return model.model_validate(inputs)
    except ValidationError as error:
        lines = "; ".join(
            f"{'.'.join(str(part) for part in detail['loc'])}: "
            + ("the lab does not know this property" if detail["type"] == "extra_forbidden" else detail["msg"])
            for detail in error.errors(include_url=False)
        )
        raise UnknownToTheLab(f"{name} ({type_}): {lines}") from None
