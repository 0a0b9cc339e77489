"""Everything an operator decides about a pair, as one model that is checked before anything is declared.

The field names are Python's; the aliases are the keys of the stack file (``masterAddress`` for
``master_address``). Fields are declared in the order in which they are checked: a rule that compares two
fields stands with the later one, and is left out when the earlier one is itself wrong, so that every message
points at a cause and none at a consequence.
"""

from __future__ import annotations

import re
from decimal import Decimal
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    IPvAnyNetwork,
    PlainSerializer,
    SecretStr,
    ValidationInfo,
    field_validator,
)
from pydantic.alias_generators import to_camel

from .service import Service
from .stack_file_model import StackFileModel

#: Neutron reserves nothing in a subnet but the first and the last address; a pair needs a gateway, two
#: members and the VIP besides, and a /29 is the smallest subnet that holds them with a pool.
LONGEST_PREFIX = 29

#: What the hosts of an IPv6 subnet have, counted from its prefix: the same ends as the tutorial's IPv4 addresses.
GATEWAY6, MASTER6, BACKUP6, VIP6 = 0x1, 0x4, 0x5, 0x201

#: What Neutron may hand out of an IPv6 subnet to others, counted from its prefix.
POOL6 = (0x1000, 0x1FFF)

#: RFC 4291 section 2.5.4: the interface identifiers of a unicast prefix have 64 bits.
PREFIX6 = 64

#: RFC 9568 section 5.2.7: Maximum Advertise Interval is a 12-bit number of centiseconds (40.95 s); the
#: contract stops at 40 s, and below 0.1 s false failovers were measured under load.
VERSION_3_INTERVALS = (Decimal("0.1"), Decimal(40))

#: RFC 3768 section 5.3.7: Advertisement Interval is an 8-bit number of seconds.
VERSION_2_INTERVALS = (Decimal(1), Decimal(255))

#: RFC 2338 section 5.3.10: the authentication data field is eight bytes; a longer password would be cut.
AUTH_PASS_LONGEST = 8

#: What keepalived.conf takes as one word, without quoting: no blank, quote, comment sign, brace or "$".
AUTH_PASS_CHARACTERS = re.compile(r"[A-Za-z0-9_.,:;+*/=@%^~?-]+")

#: Nova makes the server's name its host name: RFC 1123 letters, digits and hyphens, and "-master" follows.
NAME_PREFIX = re.compile(r"[a-z](?:[a-z0-9-]{0,38}[a-z0-9])?")

PUBLIC_KEY = re.compile(r"(?:ssh-(?:rsa|ed25519)|ecdsa-sha2-nistp\d+|sk-\S+@openssh\.com) [A-Za-z0-9+/]+={0,3}(?: .*)?")

Interval = Annotated[Decimal, PlainSerializer(float, return_type=float)]


class AntiAffinity(StrEnum):
    """Whether Nova must, should or need not place the two servers on different hypervisors."""

    HARD = "hard"
    SOFT = "soft"
    NONE = "none"


class Role(StrEnum):
    """The place of a member in the pair when both are well; who holds the VIP now is another matter."""

    MASTER = "master"
    BACKUP = "backup"


class MemberSettings(BaseModel):
    """One of the two servers, as the settings describe it."""

    model_config = ConfigDict(frozen=True)

    role: Role
    #: OpenStack's name of the server, and so its host name.
    name: str
    port_name: str
    address: IPv4Address
    peer_address: IPv4Address
    #: None where the pair has no IPv6.
    address6: IPv6Address | None
    priority: int


class PairSettings(StackFileModel):
    """The settings of one pair; the defaults are the tutorial's where they are sound, and ours elsewhere."""

    name_prefix: str = Field(default="vrrp", description="lower-case letters, digits and hyphens, a letter first")
    external_network: str = Field(default="public-net", min_length=1, description="the name of an external network")

    cidr: IPv4Network = Field(
        default=IPv4Network("10.0.0.0/24"), description="an IPv4 network such as 10.0.0.0/24, without host bits"
    )
    gateway: IPv4Address = Field(default=IPv4Address("10.0.0.1"), description="an IPv4 address")
    pool_start: IPv4Address = Field(default=IPv4Address("10.0.0.2"), description="an IPv4 address")
    pool_end: IPv4Address = Field(default=IPv4Address("10.0.0.200"), description="an IPv4 address")
    master_address: IPv4Address = Field(default=IPv4Address("10.0.0.4"), description="an IPv4 address")
    backup_address: IPv4Address = Field(default=IPv4Address("10.0.0.5"), description="an IPv4 address")
    vip: IPv4Address = Field(default=IPv4Address("10.0.0.201"), description="an IPv4 address")
    cidr6: IPv6Network | None = Field(
        default=None, description=f"an IPv6 network of /{PREFIX6} that the cloud routes to the pair's router"
    )
    vip6: IPv6Address | None = Field(default=None, description="an IPv6 address of cidr6")
    dns_servers: tuple[IPv4Address, ...] = Field(
        default=(), description="a list of IPv4 addresses; without any, the subnet hands out Neutron's own"
    )

    image: str = Field(
        default="debian-12-x86_64", min_length=1, description="the name of an image; the newest of it is taken"
    )
    image_id: str | None = Field(
        default=None, description="the id of an image (a UUID); it pins what `image` would look up"
    )
    flavor: str = Field(default="c1.c1r1", min_length=1, description="the name of a flavor")
    key_name: str = Field(default="vrrp-demo-key", min_length=1, description="the name of a key pair")
    public_key: str | None = Field(default=None, description="one line of an OpenSSH public key (the .pub file)")

    http_cidrs: tuple[IPvAnyNetwork, ...] = Field(
        default=(IPv4Network("0.0.0.0/0"),), description="a list of networks that may reach the service"
    )
    ssh_cidrs: tuple[IPvAnyNetwork, ...] = Field(default=(), description="a list of networks that may reach port 22")
    member_floating_ips: bool = Field(default=False, description="true or false")

    vrrp_version: Literal[2, 3] = Field(default=3, description="2 (RFC 3768) or 3 (RFC 9568)")
    unicast: bool = Field(default=True, description="true or false")
    advert_interval: Interval = Field(
        default=Decimal("0.25"),
        description="seconds: 0.1 to 40 in steps of 0.01 with version 3, whole ones with version 2",
    )
    virtual_router_id: int = Field(default=1, ge=1, le=255, description="1 to 255 (RFC 9568 section 5.2.3)")
    master_priority: int = Field(
        default=150, ge=1, le=254, description="1 to 254 (255 is for the owner of the address)"
    )
    backup_priority: int = Field(
        default=149, ge=1, le=254, description="1 to 254 (255 is for the owner of the address)"
    )
    auth_pass: SecretStr | None = Field(default=None, description="1 to 8 characters, with version 2 only")
    preempt: bool = Field(default=True, description="true or false")
    preempt_delay: int = Field(
        default=0, ge=0, le=1000, description="0 to 1000 seconds that a returning master waits (keepalived.conf(5))"
    )
    heal_partitions: bool = Field(default=True, description="true or false")
    service: Service = Field(
        default=Service(), description='packages, unit, port, check and more (README, "The service")'
    )
    service_check: bool = Field(default=True, description="true or false")
    ready_timeout: int = Field(
        default=900, ge=60, le=7200, description="60 to 7200 seconds that a changed member may take until it is ready"
    )
    anti_affinity: AntiAffinity = Field(default=AntiAffinity.SOFT, description="hard, soft or none")

    # -- rules -------------------------------------------------------------------------------------------

    @field_validator("image_id", "public_key", "auth_pass", "cidr6", "vip6", mode="before")
    @classmethod
    def _empty_is_unset(cls, value: Any) -> Any:
        # Pulumi demands a value of every key that a project declares; the empty default stands for "none".
        return None if value == "" else value

    @field_validator("vrrp_version", mode="before")
    @classmethod
    def _digits_are_a_number(cls, value: Any) -> Any:
        # The engine hands every value over as text, and a Literal is not coerced.
        return int(value) if isinstance(value, str) and value.isdecimal() else value

    @field_validator("name_prefix")
    @classmethod
    def _name_prefix_makes_host_names(cls, value: str) -> str:
        if not NAME_PREFIX.fullmatch(value):
            raise ValueError(
                "it begins the servers' host names: use at most 40 lower-case letters, digits and hyphens, "
                "a letter first and no hyphen last, such as 'vrrp'"
            )
        return value

    @field_validator("cidr")
    @classmethod
    def _cidr_has_room(cls, value: IPv4Network) -> IPv4Network:
        if value.prefixlen > LONGEST_PREFIX:
            raise ValueError(
                f"it has no room for a gateway, two members, the VIP and a pool: use a /{LONGEST_PREFIX} or larger"
            )
        if value.is_multicast or value.is_loopback or value.is_link_local or value.is_unspecified:
            raise ValueError(
                "no server can have an address of it: use a private network (RFC 1918), such as 10.0.0.0/24"
            )
        return value

    @field_validator("gateway", "pool_start")
    @classmethod
    def _in_cidr(cls, value: IPv4Address, info: ValidationInfo) -> IPv4Address:
        _host_of(info.data.get("cidr"), value)
        return value

    @field_validator("pool_end")
    @classmethod
    def _pool_is_a_range(cls, value: IPv4Address, info: ValidationInfo) -> IPv4Address:
        _host_of(info.data.get("cidr"), value)
        start, gateway = info.data.get("pool_start"), info.data.get("gateway")
        if start is not None and value < start:
            raise ValueError(f"the pool ends before it starts ({start}): use an address from {start} on")
        if start is not None and gateway is not None and start <= gateway <= value:
            raise ValueError(
                f"the pool {start} to {value} contains the gateway {gateway}, which Neutron refuses: "
                "let the pool start after the gateway, or end before it"
            )
        return value

    @field_validator("master_address")
    @classmethod
    def _master_address_is_free(cls, value: IPv4Address, info: ValidationInfo) -> IPv4Address:
        _host_of(info.data.get("cidr"), value)
        _distinct(value, info.data, "gateway")
        return value

    @field_validator("backup_address")
    @classmethod
    def _backup_address_is_free(cls, value: IPv4Address, info: ValidationInfo) -> IPv4Address:
        _host_of(info.data.get("cidr"), value)
        _distinct(value, info.data, "gateway", "master_address")
        return value

    @field_validator("vip")
    @classmethod
    def _vip_is_free(cls, value: IPv4Address, info: ValidationInfo) -> IPv4Address:
        _host_of(info.data.get("cidr"), value)
        _distinct(value, info.data, "gateway", "master_address", "backup_address")
        start, end = info.data.get("pool_start"), info.data.get("pool_end")
        if start is not None and end is not None and start <= value <= end:
            raise ValueError(
                f"it lies in the allocation pool {start} to {end}, from which Neutron may give it to any other "
                f"port: {_outside_the_pool(info.data)}"
            )
        return value

    @field_validator("dns_servers", "http_cidrs", "ssh_cidrs")
    @classmethod
    def _no_entry_twice(cls, value: tuple[object, ...]) -> tuple[object, ...]:
        twice = sorted({str(entry) for entry in value if value.count(entry) > 1})
        if twice:
            raise ValueError(f"{', '.join(twice)} is there twice, which Neutron refuses: name each once")
        return value

    @field_validator("http_cidrs", "ssh_cidrs")
    @classmethod
    def _of_a_family_that_the_pair_has(
        cls, value: tuple[IPvAnyNetwork, ...], info: ValidationInfo
    ) -> tuple[IPvAnyNetwork, ...]:
        if "cidr6" not in info.data:
            return value
        six = [str(network) for network in value if network.version == 6]
        if six and info.data["cidr6"] is None:
            raise ValueError(f"without cidr6 the pair has no IPv6: set cidr6, or remove {', '.join(six)}")
        if not six and value and info.data["cidr6"] is not None and info.field_name == "http_cidrs":
            raise ValueError(
                f"the pair has IPv6 (cidr6 {info.data['cidr6']}), and nobody would reach the service by it: "
                "add ::/0, or your networks"
            )
        return value

    @field_validator("vrrp_version")
    @classmethod
    def _version_has_the_family(cls, value: int, info: ValidationInfo) -> int:
        if value == 2 and info.data.get("cidr6") is not None:
            raise ValueError("VRRP version 2 is IPv4 only (RFC 3768): use 3, or remove cidr6")
        return value

    @field_validator("image_id")
    @classmethod
    def _image_id_is_a_uuid(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", value):
            raise ValueError("an image id is a UUID in lower case: see `openstack image list`, or use `image`")
        return value

    @field_validator("public_key")
    @classmethod
    def _public_key_is_public(cls, value: str | None) -> str | None:
        if value is not None and not PUBLIC_KEY.fullmatch(value.strip()):
            raise ValueError("this is no OpenSSH public key: give the one line of the .pub file, never the private key")
        return None if value is None else value.strip()

    @field_validator("cidr6")
    @classmethod
    def _cidr6_is_one_link(cls, value: IPv6Network | None) -> IPv6Network | None:
        if value is None:
            return value
        if value.prefixlen != PREFIX6:
            raise ValueError(f"the subnet of a router's interface is a /{PREFIX6} (RFC 4291): use {value[0]}/{PREFIX6}")
        if value.is_multicast or value.is_loopback or value.is_link_local or value.is_unspecified:
            raise ValueError("no server can have an address of it: use a prefix that the cloud routes to the router")
        return value

    @field_validator("vip6")
    @classmethod
    def _vip6_is_free(cls, value: IPv6Address | None, info: ValidationInfo) -> IPv6Address | None:
        if "cidr6" not in info.data:
            return value
        cidr: IPv6Network | None = info.data["cidr6"]
        if cidr is None:
            if value is not None:
                raise ValueError("without cidr6 the pair has no IPv6: set cidr6, or remove vip6")
            return None
        if value is None:
            return cidr[VIP6]
        if value not in cidr:
            raise ValueError(f"no host of cidr6 {cidr} can have it: use {cidr[VIP6]}")
        taken = {0: "the routers of the subnet", GATEWAY6: "its gateway", MASTER6: "the master", BACKUP6: "the backup"}
        if owner := taken.get(int(value) - int(cidr[0])):
            raise ValueError(f"it belongs to {owner}: use {cidr[VIP6]}")
        if cidr[POOL6[0]] <= value <= cidr[POOL6[1]]:
            raise ValueError(
                f"it lies in {cidr[POOL6[0]]} to {cidr[POOL6[1]]}, from which Neutron may give it to any other port: "
                f"use {cidr[VIP6]}"
            )
        return value

    @field_validator("advert_interval")
    @classmethod
    def _interval_fits_version(cls, value: Decimal, info: ValidationInfo) -> Decimal:
        version = info.data.get("vrrp_version")
        if version == 2:
            low, high = VERSION_2_INTERVALS
            if value != value.to_integral_value() or not low <= value <= high:
                raise ValueError(
                    f"VRRP version 2 advertises in whole seconds, {low} to {high}: use 1, or vrrpVersion 3"
                )
        elif version == 3:
            low, high = VERSION_3_INTERVALS
            if not low <= value <= high:
                raise ValueError(f"VRRP version 3 takes {low} to {high} seconds here: use 0.25, or 1 on a busy cloud")
            if value * 100 != (value * 100).to_integral_value():
                raise ValueError(
                    f"VRRP version 3 counts in centiseconds (RFC 9568 section 5.2.7): use {round(value, 2)}"
                )
        return value

    @field_validator("backup_priority")
    @classmethod
    def _backup_below_master(cls, value: int, info: ValidationInfo) -> int:
        master = info.data.get("master_priority")
        if master is not None and value >= master:
            way_out = "raise masterPriority to 2 or more" if master == 1 else f"use {master - 1}, close below it"
            raise ValueError(
                f"it must be lower than masterPriority ({master}), or both claim to be the master: "
                f"{way_out} (a low priority makes a failover slower)"
            )
        return value

    @field_validator("auth_pass")
    @classmethod
    def _auth_pass_fits_version(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if value is None:
            return value
        text = value.get_secret_value()
        if info.data.get("vrrp_version") == 3:
            raise ValueError(
                "VRRP version 3 has no authentication (RFC 9568 section 9): remove authPass, or use vrrpVersion 2"
            )
        if len(text) > AUTH_PASS_LONGEST:
            raise ValueError(f"it has {len(text)} characters and VRRP carries {AUTH_PASS_LONGEST}: shorten it")
        if not AUTH_PASS_CHARACTERS.fullmatch(text):
            raise ValueError("keepalived.conf takes no blanks, quotes, braces, '#', '!' or '$' there: use others")
        return value

    @field_validator("preempt_delay")
    @classmethod
    def _delay_needs_preemption(cls, value: int, info: ValidationInfo) -> int:
        if value and info.data.get("preempt") is False:
            raise ValueError("preempt is false, so there is nothing to delay: remove one of the two")
        return value

    # -- what follows from the settings ------------------------------------------------------------------

    @property
    def members(self) -> tuple[MemberSettings, MemberSettings]:
        """The master and the backup, in this order."""
        return (
            self._member(Role.MASTER, self.master_address, self.backup_address, MASTER6, self.master_priority),
            self._member(Role.BACKUP, self.backup_address, self.master_address, BACKUP6, self.backup_priority),
        )

    @property
    def vips(self) -> tuple[str, ...]:
        """What moves between the members, as keepalived puts it on the interface. An IPv6 VIP is a host route: so it is
        no address that the master would call out from (keepalived.conf(5), ``preferred_lft``).
        """
        four = f"{self.vip}/{self.cidr.prefixlen}"
        return (four, f"{self.vip6}/128") if self.vip6 else (four,)

    def peer_of(self, member: MemberSettings) -> MemberSettings:
        return next(other for other in self.members if other.role is not member.role)

    def _member(self, role: Role, address: IPv4Address, peer: IPv4Address, host6: int, priority: int) -> MemberSettings:
        return MemberSettings(
            role=role,
            name=f"{self.name_prefix}-{role.value}",
            port_name=f"{self.name_prefix}_{role.value}_server_port",
            address=address,
            peer_address=peer,
            address6=self.cidr6[host6] if self.cidr6 else None,
            priority=priority,
        )


def _host_of(network: IPv4Network | None, address: IPv4Address) -> None:
    """Raise ValueError unless ``address`` is one that a host of ``network`` can have."""
    if network is None:
        return
    first, last = network[1], network[-2]
    if not first <= address <= last:
        raise ValueError(f"no host of cidr {network} can have it: use an address from {first} to {last}")


def _distinct(address: IPv4Address, data: dict[str, Any], *fields: str) -> None:
    """Raise ValueError when another of the fields has the same address."""
    for field in fields:
        if data.get(field) == address:
            raise ValueError(f"{to_camel(field)} has the same address: give each its own")


def _outside_the_pool(data: dict[str, Any]) -> str:
    """Advice: an address next to the pool that a host can have and nobody has yet."""
    network: IPv4Network | None = data.get("cidr")
    after, before = data["pool_end"], data["pool_start"]
    taken = [data.get(field) for field in ("gateway", "master_address", "backup_address")]
    # Three addresses may be taken, so that one of four is free if the subnet goes on that far.
    for free in [*(after + step for step in range(1, 5)), *(before - step for step in range(1, 5))]:
        if network is not None and network[1] <= free <= network[-2] and free not in taken:
            return f"use {free}, or another address outside the pool"
    return "end the pool earlier (poolEnd) and use an address after it"
