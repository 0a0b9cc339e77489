"""Everything an operator decides about a pair, as one model that is validated before anything is declared.

The field names are Python's; the aliases are the keys of the stack file (``masterAddress`` for ``master_address``).
Fields stand in the order in which they are validated. A rule about two fields belongs to the later one. It is left out
if the earlier field is itself wrong, so that each message names a cause and not its consequence.

The rules of the address plan are in ``addresses``, those of VRRP in ``vrrp_rules``.
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

from .addresses import (
    BACKUP6,
    GATEWAY6,
    LONGEST_PREFIX,
    MASTER6,
    POOL6,
    PREFIX6,
    VIP6,
    check_distinct,
    check_host,
    check_network,
    check_network6,
    check_outside_pool,
    check_pool,
    vip6_of,
)
from .allowed_interruptions import SettingChange, parse_allowed
from .service import Service
from .stack_file_model import Accepts, StackFileModel
from .vrrp_rules import (
    AUTH_PASS_LONGEST,
    VERSION_2_INTERVALS,
    VERSION_3_INTERVALS,
    check_auth_pass,
    check_backup_priority,
    check_interval,
)

#: Nova makes the server's name its host name, so RFC 1123 applies: letters, digits and hyphens. "-master" follows.
NAME_PREFIX = re.compile(r"[a-z](?:[a-z0-9-]{0,38}[a-z0-9])?")

PUBLIC_KEY = re.compile(r"(?:ssh-(?:rsa|ed25519)|ecdsa-sha2-nistp\d+|sk-\S+@openssh\.com) [A-Za-z0-9+/]+={0,3}(?: .*)?")

#: The values of ``floatingIp`` that are no address.
NEW, NO_FLOATING_IP = "new", "none"

Interval = Annotated[Decimal, PlainSerializer(float, return_type=float)]
Switch = Annotated[bool, Accepts("true or false")]
Priority = Annotated[int, Field(ge=1, le=254)]


class AntiAffinity(StrEnum):
    """Whether Nova must, should or need not place the two servers on different hypervisors."""

    HARD = "hard"
    SOFT = "soft"
    NONE = "none"


class Role(StrEnum):
    """The role of a member while both members are healthy. It does not say which member holds the VIP now."""

    MASTER = "master"
    BACKUP = "backup"


class MemberSettings(BaseModel):
    """The settings of one of the two servers."""

    model_config = ConfigDict(frozen=True)

    role: Role
    #: OpenStack's name of the server, and therefore its host name.
    name: str
    port_name: str
    address: IPv4Address
    peer_address: IPv4Address
    #: None for a pair without IPv6.
    address6: IPv6Address | None
    priority: int


class PairSettings(StackFileModel):
    """The settings of one pair. The defaults are the tutorial's where those are sound."""

    name_prefix: Annotated[
        str, Accepts("at most 40 lower-case letters, digits and hyphens, a letter first and no hyphen last")
    ] = Field(default="vrrp", description="Beginning of the name of every resource, as in vrrp-net and vrrp-master")
    external_network: Annotated[str, Accepts("the name of an external network")] = Field(
        default="public-net",
        min_length=1,
        description="External network of the router and of the floating IPs, looked up by name",
    )

    cidr: Annotated[
        IPv4Network, Accepts(f"an IPv4 network of /{LONGEST_PREFIX} or larger such as 10.0.0.0/24, without host bits")
    ] = Field(default=IPv4Network("10.0.0.0/24"), description="Subnet of the pair")
    gateway: Annotated[IPv4Address, Accepts("an IPv4 address of `cidr` outside the pool")] = Field(
        default=IPv4Address("10.0.0.1"), description="Address of the router in the subnet"
    )
    pool_start: Annotated[IPv4Address, Accepts("an IPv4 address of `cidr`")] = Field(
        default=IPv4Address("10.0.0.10"),
        description="First address of the allocation pool, from which Neutron may give addresses to any port",
    )
    pool_end: Annotated[IPv4Address, Accepts("an IPv4 address of `cidr`, not before `poolStart`")] = Field(
        default=IPv4Address("10.0.0.200"), description="Last address of the allocation pool"
    )
    master_address: Annotated[
        IPv4Address, Accepts("an IPv4 address of `cidr`, other than the gateway, the backup and the VIP")
    ] = Field(default=IPv4Address("10.0.0.4"), description="Fixed address of the master")
    backup_address: Annotated[
        IPv4Address, Accepts("an IPv4 address of `cidr`, other than the gateway, the master and the VIP")
    ] = Field(default=IPv4Address("10.0.0.5"), description="Fixed address of the backup")
    vip: Annotated[
        IPv4Address, Accepts("an IPv4 address of `cidr` outside the pool, other than the gateway and both members")
    ] = Field(
        default=IPv4Address("10.0.0.201"),
        description="Virtual IP (VIP), the address that moves between the two members",
    )
    cidr6: Annotated[
        IPv6Network | None, Accepts(f"an IPv6 network of /{PREFIX6} that the cloud routes to the pair's router")
    ] = Field(default=None, description="IPv6 subnet of the pair; without it, the pair has only IPv4")
    vip6: Annotated[
        IPv6Address | None,
        Accepts(
            f"an IPv6 address of `cidr6`, other than its ::, ::{GATEWAY6:x}, ::{MASTER6:x}, ::{BACKUP6:x} and "
            f"::{POOL6[0]:x} to ::{POOL6[1]:x}"
        ),
    ] = Field(default=None, description=f"IPv6 VIP; the address ::{VIP6:x} of `cidr6` when left out")
    floating_ip: Annotated[str, Accepts("new, none, or the address of a floating IP that the project has")] = Field(
        default=NEW,
        description="Public address of the VIP. `new`: the pair makes a floating IP, and deletes it with the pair. An "
        "address: an existing floating IP of the project, which the pair never deletes. `none`: no public address",
    )
    protect_floating_ip: Switch = Field(
        default=False,
        description="Refuse every `up` and `destroy` that would lose the floating IP that the pair made",
    )
    dns_servers: Annotated[tuple[IPv4Address, ...], Accepts("a list of IPv4 addresses, each once")] = Field(
        default=(), description="DNS servers of the region; without any, the subnet announces Neutron's own"
    )

    image: Annotated[str, Accepts("the name of an image")] = Field(
        default="debian-12-x86_64",
        min_length=1,
        description="Name of the image of both servers. Every run looks up the newest image of this name, so a newer "
        "image replaces the servers at the next `pulumi up`. Set `imageId` to keep one image",
    )
    image_id: Annotated[str | None, Accepts("the id of an image (a UUID in lower case)")] = Field(
        default=None, description="Id of the image of both servers; `image` is then not looked up"
    )
    flavor: Annotated[str, Accepts("the name of a flavor")] = Field(
        default="c1.c1r1",
        min_length=1,
        description="Flavor of both servers. Do not use a burst flavor: it may get so little CPU time that "
        "advertisements are late",
    )
    key_name: Annotated[str, Accepts("the name of a key pair")] = Field(
        default="vrrp-demo-key",
        min_length=1,
        description="Name of an existing key pair of the user whose credentials make the servers. "
        "Not used with `publicKey`",
    )
    public_key: Annotated[str | None, Accepts("one line of an OpenSSH public key (the .pub file)")] = Field(
        default=None,
        description="OpenSSH public key that may log in as the image's default user. It goes into the user-data, and "
        "no key pair is used",
    )

    http_cidrs: Annotated[
        tuple[IPvAnyNetwork, ...], Accepts("a list of networks that may reach the service, each once")
    ] = Field(
        default=(IPv4Network("0.0.0.0/0"),),
        description="Networks that may reach the service. With `cidr6`, list networks of both address families",
    )
    ssh_cidrs: Annotated[tuple[IPvAnyNetwork, ...], Accepts("a list of networks that may reach port 22, each once")] = (
        Field(default=(), description="Networks that may reach port 22")
    )
    member_floating_ips: Switch = Field(default=False, description="Give each member a public address of its own")

    vrrp_version: Annotated[Literal[2, 3], Accepts("2 (RFC 3768) or 3 (RFC 9568)")] = Field(
        default=3, description="Version of VRRP; version 2 supports only IPv4"
    )
    unicast: Switch = Field(
        default=True,
        description="Send advertisements from one fixed address to the other; false sends multicast to 224.0.0.18",
    )
    advert_interval: Annotated[
        Interval,
        Accepts(
            f"seconds: {VERSION_3_INTERVALS[0]} to {VERSION_3_INTERVALS[1]} in steps of 0.01 with version 3, "
            f"whole seconds from {VERSION_2_INTERVALS[0]} to {VERSION_2_INTERVALS[1]} with version 2"
        ),
    ] = Field(
        default=Decimal("0.25"),
        description="Seconds between two advertisements. The loss of a master costs three intervals and the skew",
    )
    virtual_router_id: Annotated[int, Accepts("1 to 255 (RFC 9568 section 5.2.3)")] = Field(
        default=1,
        ge=1,
        le=255,
        description="Virtual router id: the same on both members, and on no other pair in the network",
    )
    master_priority: Annotated[Priority, Accepts("1 to 254 (255 is for the owner of the address)")] = Field(
        default=254, description="VRRP priority of the master"
    )
    backup_priority: Annotated[
        Priority, Accepts("1 to 254, lower than `masterPriority` (255 is for the owner of the address)")
    ] = Field(
        default=253,
        description="VRRP priority of the backup. Keep it close to the master's: a low priority makes failovers slower",
    )
    auth_pass: Annotated[
        SecretStr | None,
        Accepts(f"1 to {AUTH_PASS_LONGEST} characters without blanks, quotes, braces, #, ! and $, with version 2 only"),
    ] = Field(
        default=None,
        description="Password that version 2 sends in clear text. It protects nothing: rely on the network's rules",
    )
    preempt: Switch = Field(default=True, description="Let a returning master take the VIP back")
    preempt_delay: Annotated[int, Accepts("0 to 1000 seconds, and 0 without `preempt` (keepalived.conf(5))")] = Field(
        default=0, ge=0, le=1000, description="Seconds that a returning master waits before it takes the VIP back"
    )
    heal_partitions: Switch = Field(
        default=True,
        description="Announce the VIP again after both members were master, so that the router learns the right MAC "
        "address",
    )
    service: Annotated[
        Service, Accepts('packages, unit, port, check and more (docs/configuration.md, "The service")')
    ] = Field(default=Service(), description="Service behind the VIP and its check; apache2 on port 80 when left out")
    service_check: Switch = Field(
        default=True,
        description="Move the VIP when the service stops answering, and restart keepalived when it dies",
    )
    ready_timeout: Annotated[int, Accepts("60 to 7200 seconds that a changed member may take until it is ready")] = (
        Field(
            default=900,
            ge=60,
            le=7200,
            description="Seconds that a changed member may take until it is ready. After this time the change stops, "
            "and the other member is not touched",
        )
    )
    allow_interruption: Annotated[
        tuple[str, ...], Accepts("a list of changes such as 'vip: 10.0.0.201 -> 10.0.0.202'")
    ] = Field(
        default=(),
        description="Changes that may interrupt the service, each exactly as the message of the refused run writes it. "
        "An entry that fits no change has no effect",
    )
    anti_affinity: Annotated[AntiAffinity, Accepts("hard, soft or none")] = Field(
        default=AntiAffinity.SOFT,
        description="Whether Nova must (hard), should (soft) or need not (none) place the two servers on different "
        "hypervisors",
    )

    # -- rules -------------------------------------------------------------------------------------------

    @field_validator("image_id", "public_key", "auth_pass", "cidr6", "vip6", mode="before")
    @classmethod
    def _empty_is_unset(cls, value: Any) -> Any:
        # Pulumi demands a default for every key that a project declares; an empty default means "not set".
        return None if value == "" else value

    @field_validator("vrrp_version", mode="before")
    @classmethod
    def _digits_are_a_number(cls, value: Any) -> Any:
        # The engine passes every value as text, and pydantic does not convert text to a Literal.
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
        check_network(value)
        return value

    @field_validator("gateway", "pool_start")
    @classmethod
    def _in_cidr(cls, value: IPv4Address, info: ValidationInfo) -> IPv4Address:
        check_host(info.data.get("cidr"), value)
        return value

    @field_validator("pool_end")
    @classmethod
    def _pool_is_a_range(cls, value: IPv4Address, info: ValidationInfo) -> IPv4Address:
        check_host(info.data.get("cidr"), value)
        check_pool(info.data.get("pool_start"), value, info.data.get("gateway"))
        return value

    @field_validator("master_address")
    @classmethod
    def _master_address_is_free(cls, value: IPv4Address, info: ValidationInfo) -> IPv4Address:
        check_host(info.data.get("cidr"), value)
        check_distinct(value, _addresses(info, "gateway"))
        return value

    @field_validator("backup_address")
    @classmethod
    def _backup_address_is_free(cls, value: IPv4Address, info: ValidationInfo) -> IPv4Address:
        check_host(info.data.get("cidr"), value)
        check_distinct(value, _addresses(info, "gateway", "master_address"))
        return value

    @field_validator("vip")
    @classmethod
    def _vip_is_free(cls, value: IPv4Address, info: ValidationInfo) -> IPv4Address:
        network = info.data.get("cidr")
        check_host(network, value)
        others = _addresses(info, "gateway", "master_address", "backup_address")
        check_distinct(value, others)
        pool = info.data.get("pool_start"), info.data.get("pool_end")
        check_outside_pool(value, pool, network, list(others.values()))
        return value

    @field_validator("floating_ip")
    @classmethod
    def _floating_ip_is_an_address(cls, value: str) -> str:
        if value in (NEW, NO_FLOATING_IP):
            return value
        try:
            return str(IPv4Address(value))
        except ValueError:
            raise ValueError(
                f"this is neither {NEW} nor {NO_FLOATING_IP} nor an IPv4 address: use {NEW}, or an address that "
                "`openstack floating ip list` shows"
            ) from None

    @field_validator("protect_floating_ip")
    @classmethod
    def _there_is_a_floating_ip_to_protect(cls, value: bool, info: ValidationInfo) -> bool:
        floating_ip: str | None = info.data.get("floating_ip")
        if value and floating_ip is not None and floating_ip != NEW:
            raise ValueError(
                f"with floatingIp = {floating_ip} the pair makes no floating IP, so there is none to protect: remove "
                f"one of the two keys. To change floatingIp of a protected pair, first set it back to {NEW} and "
                "protectFloatingIp to false, and run `pulumi up`"
            )
        return value

    @field_validator("allow_interruption")
    @classmethod
    def _entries_are_changes(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for entry in value:
            parse_allowed(entry)
        return value

    @field_validator("dns_servers", "http_cidrs", "ssh_cidrs")
    @classmethod
    def _no_entry_twice(cls, value: tuple[object, ...]) -> tuple[object, ...]:
        twice = sorted({str(entry) for entry in value if value.count(entry) > 1})
        if twice:
            raise ValueError(f"{', '.join(twice)} is listed twice, which Neutron refuses: name each once")
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
                f"the pair has IPv6 (cidr6 {info.data['cidr6']}), and no client could reach the service over IPv6: "
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
            raise ValueError(
                "this is not an OpenSSH public key: give the one line of the .pub file, never the private key"
            )
        return None if value is None else value.strip()

    @field_validator("cidr6")
    @classmethod
    def _cidr6_is_one_link(cls, value: IPv6Network | None) -> IPv6Network | None:
        if value is not None:
            check_network6(value)
        return value

    @field_validator("vip6")
    @classmethod
    def _vip6_is_free(cls, value: IPv6Address | None, info: ValidationInfo) -> IPv6Address | None:
        return vip6_of(info.data["cidr6"], value) if "cidr6" in info.data else value

    @field_validator("advert_interval")
    @classmethod
    def _interval_fits_version(cls, value: Decimal, info: ValidationInfo) -> Decimal:
        check_interval(value, info.data.get("vrrp_version"))
        return value

    @field_validator("backup_priority")
    @classmethod
    def _backup_below_master(cls, value: int, info: ValidationInfo) -> int:
        check_backup_priority(value, info.data.get("master_priority"))
        return value

    @field_validator("auth_pass")
    @classmethod
    def _auth_pass_fits_version(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if value is not None:
            check_auth_pass(value.get_secret_value(), info.data.get("vrrp_version"))
        return value

    @field_validator("preempt_delay")
    @classmethod
    def _delay_needs_preemption(cls, value: int, info: ValidationInfo) -> int:
        if value and info.data.get("preempt") is False:
            raise ValueError("preempt is false, so there is nothing to delay: remove one of the two")
        return value

    # -- derived from the settings -----------------------------------------------------------------------

    @property
    def members(self) -> tuple[MemberSettings, MemberSettings]:
        """The master and the backup, in this order."""
        return (
            self._member(Role.MASTER, self.master_address, self.backup_address, MASTER6, self.master_priority),
            self._member(Role.BACKUP, self.backup_address, self.master_address, BACKUP6, self.backup_priority),
        )

    @property
    def vips(self) -> tuple[str, ...]:
        """The VIPs with their prefix lengths, as keepalived puts them on the interface.

        The IPv6 VIP is a /128, because the kernel must not choose it as the source address of the master's own
        connections (keepalived.conf(5), ``preferred_lft``).
        """
        four = f"{self.vip}/{self.cidr.prefixlen}"
        return (four, f"{self.vip6}/128") if self.vip6 else (four,)

    @property
    def existing_floating_ip(self) -> str | None:
        """The address of ``floatingIp``; None if the pair makes its floating IP, or has none."""
        return None if self.floating_ip in (NEW, NO_FLOATING_IP) else self.floating_ip

    @property
    def allowed_interruptions(self) -> frozenset[SettingChange]:
        """The changes that may interrupt the service."""
        return frozenset(parse_allowed(entry) for entry in self.allow_interruption)

    def peer_of(self, member: MemberSettings) -> MemberSettings:
        """Return the other member of the pair."""
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


def _addresses(info: ValidationInfo, *fields: str) -> dict[str, IPv4Address | None]:
    """Return key → address of the fields; None for a field that is itself wrong."""
    return {to_camel(field): info.data.get(field) for field in fields}
