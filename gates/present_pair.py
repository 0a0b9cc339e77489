"""Finds the pair that Neutron has at present, and compares it with the settings.

Everything here is a pure function of Neutron's lists (``gates.cloud_questions`` reads them) and of the settings. So a
preview refuses the same changes as an `up`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Any

from settings.allowed_interruptions import SettingChange
from settings.change_classes import KEYS, NONE, ChangeClass
from settings.identity import EXISTING_FLOATING_IP_TAG, PAIR_TAG, PROTECTED_TAG, PortRole, role_tag
from settings.pair import NEW, PairSettings


@dataclass(frozen=True)
class Port:
    """A port of the project."""

    id: str
    name: str
    tags: frozenset[str]
    network_id: str
    device_id: str
    device_owner: str
    #: (id of the subnet, address)
    fixed_ips: tuple[tuple[str, str], ...]
    #: The addresses or networks of the allowed address pairs.
    allowed_addresses: frozenset[str]

    @property
    def belongs_to_a_pair(self) -> bool:
        """Whether the port has the tag of any pair."""
        return any(tag.startswith(PAIR_TAG) for tag in self.tags)

    @property
    def is_router_interface(self) -> bool:
        """Whether the port is a router's: ``network:router_interface``, or a name for distributed or HA routers."""
        return "router" in self.device_owner and "interface" in self.device_owner

    @property
    def server_id(self) -> str | None:
        """Nova's id of the server that the port is attached to; None without one."""
        return self.device_id if self.device_owner.startswith("compute:") and self.device_id else None

    @property
    def owner(self) -> str:
        """The port for a message, with its id and what uses it."""
        named = f" ({self.name})" if self.name else ""
        used_by = f" of {self.device_owner} {self.device_id}".rstrip() if self.device_owner else ""
        return f"port {self.id}{named}{used_by}"


@dataclass(frozen=True)
class Subnet:
    """A subnet of the project."""

    id: str
    name: str
    ip_version: int
    cidr: str
    gateway: str | None


@dataclass(frozen=True)
class FloatingIp:
    """A floating IP of the project."""

    address: str
    port_id: str | None
    fixed_ip: str | None
    external_network_id: str
    tags: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Networking:
    """Neutron's resources in the project."""

    ports: tuple[Port, ...] = ()
    #: Id → subnet.
    subnets: dict[str, Subnet] = field(default_factory=dict[str, Subnet])
    #: Id of a router → id of its external network; None if it has no gateway.
    routers: dict[str, str | None] = field(default_factory=dict[str, str | None])
    floating_ips: tuple[FloatingIp, ...] = ()
    #: Id → name, of all external networks that the project sees.
    external_networks: dict[str, str] = field(default_factory=dict[str, str])

    @staticmethod
    def of(answer: Mapping[str, list[dict[str, Any]]]) -> Networking:
        """Return the lists of an answer of ``gates.cloud_questions``. A missing list is empty."""
        return Networking(
            ports=tuple(
                Port(
                    **{key: port[key] for key in ("id", "name", "network_id", "device_id", "device_owner")},
                    tags=frozenset(port["tags"]),
                    fixed_ips=tuple((fixed["subnet_id"], fixed["ip_address"]) for fixed in port["fixed_ips"]),
                    allowed_addresses=frozenset(port["allowed_addresses"]),
                )
                for port in answer.get("ports", [])
            ),
            subnets={subnet["id"]: Subnet(**subnet) for subnet in answer.get("subnets", [])},
            routers={router["id"]: router["external_network_id"] for router in answer.get("routers", [])},
            floating_ips=tuple(
                FloatingIp(
                    **{key: one[key] for key in ("address", "port_id", "fixed_ip", "external_network_id")},
                    tags=frozenset(one["tags"]),
                )
                for one in answer.get("floating_ips", [])
            ),
            external_networks={one["id"]: one["name"] for one in answer.get("external_networks", [])},
        )


@dataclass(frozen=True)
class PresentPair:
    """A pair as Neutron has it. A part that does not exist, or was not found, is missing or None."""

    ports: dict[PortRole, Port]
    #: Whether a port was found by its name only, as a port of an older release or of a pair made by hand.
    found_by_name: bool
    subnet: Subnet | None
    subnet6: Subnet | None
    #: Id and name of the router's external network.
    external_network: tuple[str, str] | None
    #: The floating IP that leads to the VIP's port.
    floating_ip: FloatingIp | None

    def address(self, role: PortRole, version: int = 4) -> str | None:
        """Return the address of a port of the pair."""
        port = self.ports.get(role)
        return next((one for _, one in port.fixed_ips if ip_address(one).version == version), None) if port else None


def find_present_pair(networking: Networking, tag: str, settings: PairSettings) -> PresentPair:
    """Return the pair that exists.

    Each port is found by its tags. A port without the tag of a pair is found by the name that the settings give, if no
    other port has this name.

    :param tag: ``settings.identity.pair_tag`` of the pair.
    """
    ports: dict[PortRole, Port] = {}
    found_by_name = False
    for role, name in _port_names(settings).items():
        tagged = [port for port in networking.ports if tag in port.tags and role_tag(role) in port.tags]
        named = [port for port in networking.ports if port.name == name and not port.belongs_to_a_pair]
        if tagged:
            ports[role] = tagged[0]
        elif len(named) == 1:
            ports[role], found_by_name = named[0], True
    name = f"{settings.name_prefix}-subnet"
    subnet = _subnet(networking, ports.values(), 4) or _subnet_by_name(networking, name, tag)
    return PresentPair(
        ports=ports,
        found_by_name=found_by_name,
        subnet=subnet,
        subnet6=_subnet(networking, ports.values(), 6) or _subnet_by_name(networking, f"{name}6", tag),
        external_network=_external_network(networking, subnet) if ports else None,
        floating_ip=_floating_ip(networking, ports.get(PortRole.VIP), settings),
    )


def unclear_ports(networking: Networking, tag: str, settings: PairSettings) -> Iterator[str]:
    """Yield a message for each role for which several ports have the tags of the pair.

    The gates could ask about a member of the other pair, and change the only member that serves here.

    :param tag: ``settings.identity.pair_tag`` of the pair.
    """
    for role in _port_names(settings):
        found = [port for port in networking.ports if tag in port.tags and role_tag(role) in port.tags]
        if len(found) > 1:
            yield (
                f"{len(found)} ports have the tags of this pair's {role.value}: "
                f"{', '.join(port.owner for port in found)}. Two stacks of the same name in two backends have the same "
                "tags: rename one of them (`pulumi stack rename NAME`) and run `pulumi up` there without another "
                "change, which gives its ports other tags. "
                "Delete a port that belongs to no pair: `openstack port delete ID`."
            )


def servers_of(present: PresentPair) -> frozenset[str]:
    """Return the ids of the servers on the members' ports."""
    ports = (present.ports.get(role) for role in (PortRole.MASTER, PortRole.BACKUP))
    return frozenset(port.server_id for port in ports if port and port.server_id)


def strangers_with_a_members_address(networking: Networking, settings: PairSettings) -> bool:
    """Whether a server without a pair's tag has a member's address, in a subnet like the pair's.

    It may be a member of a pair that was taken into the stack, and whose ``namePrefix`` has changed since.
    """
    addresses = {str(settings.master_address), str(settings.backup_address)}
    alike = {subnet.id for subnet in networking.subnets.values() if subnet.cidr == str(settings.cidr)}
    return any(
        port.server_id and not port.belongs_to_a_pair and subnet_id in alike and address in addresses
        for port in networking.ports
        for subnet_id, address in port.fixed_ips
    )


def changes_of(present: PresentPair, settings: PairSettings, external_network_id: str | None) -> list[SettingChange]:
    """Return each change of a value that Neutron knows, from the present value to the one of the settings.

    Consequences are left out: with another ``cidr`` every address is another one.

    :param external_network_id: the network that ``externalNetwork`` names; None if this is unknown.
    """
    if not present.ports:
        return []
    return [
        *_external_network_change(present, settings, external_network_id),
        *_address_changes(present, settings),
        *_address_changes6(present, settings),
        *_floating_ip_change(present, settings),
    ]


def refusals(present: PresentPair, settings: PairSettings, changes: Iterable[SettingChange]) -> Iterator[str]:
    """Yield a message for each change that must not happen now, with the way out."""
    by_name = (
        f" (This pair was found by the names of its ports. If {settings.name_prefix} is another pair, choose another "
        "namePrefix.)"
        if present.found_by_name
        else ""
    )
    position = len(settings.allow_interruption)
    for change in changes:
        about = KEYS[change.key]
        if change.change_class is ChangeClass.REFUSED:
            yield f"{change}: this {about.effect}. Set {change.key} back to {change.old}. {about.way_out}{by_name}"
        elif change.key in _ROLES and _would_change_in_place(present.ports.get(_ROLES[change.key])):
            yield (
                f"{change}: this would change the port of the running {_ROLES[change.key].value}, whose port has no "
                "tags of this release yet: the service would not answer for about 9 s. Set "
                f"{change.key} back to {change.old}, run `pulumi up`, and change {change.key} then.{by_name}"
            )
        elif change.change_class is not ChangeClass.INTERRUPTION:
            continue
        elif reason := _must_come_first(present, settings, change):
            yield f"{change}: this {about.effect}. {reason}{by_name}"
        elif change not in settings.allowed_interruptions:
            yield (
                f"{change}: this {about.effect}. To allow exactly this change, run "
                f"`pulumi config set --path 'allowInterruption[{position}]' '{change}'`, which adds it to the stack "
                f"file; else set {change.key} back to {change.old}.{by_name}"
            )
            position += 1


def taken_addresses(networking: Networking, present: PresentPair, settings: PairSettings) -> Iterator[str]:
    """Yield a message for each address of the settings that another port has.

    Neutron would answer 409 in the middle of the run. A port is left out if it may belong to a pair that was made by
    hand: ``ops adopt`` takes it into the stack.
    """
    by_hand = not any(port.belongs_to_a_pair for port in present.ports.values())
    for key, role, address in _wanted_addresses(settings):
        subnet = present.subnet if ip_address(address).version == 4 else present.subnet6
        if subnet is None or ip_address(address) not in ip_network(subnet.cidr):
            continue
        own = present.ports.get(role)
        for port in networking.ports:
            if (subnet.id, address) not in port.fixed_ips or port == own:
                continue
            if own is None and by_hand and not port.belongs_to_a_pair and not port.device_owner.startswith("network:"):
                continue
            yield f"{key} = {address}: {_whose(port, role, present)}"


def floating_ip_problems(
    networking: Networking, present: PresentPair, settings: PairSettings, external_network_id: str | None
) -> Iterator[str]:
    """Yield a message if ``floatingIp`` is an address that can't lead to the pair."""
    address = settings.existing_floating_ip
    if address is None:
        return
    subject = f"floatingIp = {address}:"
    found = next((one for one in networking.floating_ips if one.address == address), None)
    vip_port = present.ports.get(PortRole.VIP)
    if found is None:
        yield (
            f"{subject} the project has no floating IP with this address. `openstack floating ip list` lists those "
            f"that exist; or use {NEW}."
        )
    elif external_network_id is not None and found.external_network_id != external_network_id:
        network = networking.external_networks.get(found.external_network_id, found.external_network_id)
        yield (
            f"{subject} it is an address of the external network {network}, and externalNetwork is "
            f"{settings.external_network}. Use an address of that network, or {NEW}."
        )
    elif found.port_id is not None and (vip_port is None or found.port_id != vip_port.id):
        port = next((port.owner for port in networking.ports if port.id == found.port_id), f"port {found.port_id}")
        yield (
            f"{subject} it leads to {port}. Take it away there first (`openstack floating ip unset --port {address}`), "
            "or use another address."
        )
    elif found.port_id is not None and vip_port is not None and _is_made_by_the_pair(found, vip_port):
        yield (
            f"{subject} it is the floating IP that the pair has with floatingIp = {NEW}, and the pair would delete it "
            f"in this run. Leave floatingIp at {NEW}, and set protectFloatingIp to true to keep it. (If you have "
            f"associated it by hand: `openstack floating ip unset --port {address}`, then `pulumi up`.)"
        )


# -- what exists -------------------------------------------------------------------------------------------


def _port_names(settings: PairSettings) -> dict[PortRole, str]:
    master, backup = settings.members
    return {
        PortRole.MASTER: master.port_name,
        PortRole.BACKUP: backup.port_name,
        PortRole.VIP: f"{settings.name_prefix}-port",
        PortRole.VIP6: f"{settings.name_prefix}-port6",
    }


def _subnet(networking: Networking, ports: Iterable[Port], version: int) -> Subnet | None:
    subnets = (networking.subnets.get(subnet_id) for port in ports for subnet_id, _ in port.fixed_ips)
    return next((subnet for subnet in subnets if subnet and subnet.ip_version == version), None)


def _subnet_by_name(networking: Networking, name: str, tag: str) -> Subnet | None:
    """Return the only subnet of this name without a port of another pair: a first `up` may have made no port yet."""
    others = {
        subnet_id
        for port in networking.ports
        if port.belongs_to_a_pair and tag not in port.tags
        for subnet_id, _ in port.fixed_ips
    }
    named = [subnet for subnet in networking.subnets.values() if subnet.name == name and subnet.id not in others]
    return named[0] if len(named) == 1 else None


def _external_network(networking: Networking, subnet: Subnet | None) -> tuple[str, str] | None:
    if subnet is None:
        return None
    for port in networking.ports:
        if port.is_router_interface and any(subnet_id == subnet.id for subnet_id, _ in port.fixed_ips):
            network_id = networking.routers.get(port.device_id)
            return (network_id, networking.external_networks.get(network_id, network_id)) if network_id else None
    return None


def _floating_ip(networking: Networking, vip_port: Port | None, settings: PairSettings) -> FloatingIp | None:
    if vip_port is None:
        return None
    there = [one for one in networking.floating_ips if one.port_id == vip_port.id]
    return next((one for one in there if one.address == settings.existing_floating_ip), there[0] if there else None)


def _is_made_by_the_pair(floating_ip: FloatingIp, vip_port: Port) -> bool:
    """Whether the pair made the floating IP that leads to its VIP port. In doubt it did.

    An older release made every floating IP, and set no tags. The first run of this release may end between the tags of
    the port and those of the floating IP. So the port says it: it has a tag if ``floatingIp`` is an address.
    """
    return any(tag.startswith(PAIR_TAG) for tag in floating_ip.tags) or EXISTING_FLOATING_IP_TAG not in vip_port.tags


# -- what changes ------------------------------------------------------------------------------------------


def _external_network_change(
    present: PresentPair, settings: PairSettings, external_network_id: str | None
) -> Iterator[SettingChange]:
    if present.external_network is None or external_network_id is None:
        return
    network_id, name = present.external_network
    if network_id != external_network_id:
        same_name = name == settings.external_network
        old, new = (network_id, external_network_id) if same_name else (name, settings.external_network)
        yield SettingChange("externalNetwork", old, new)


def _address_changes(present: PresentPair, settings: PairSettings) -> Iterator[SettingChange]:
    if present.subnet is None:
        return
    if present.subnet.cidr != str(settings.cidr):
        yield SettingChange("cidr", present.subnet.cidr, str(settings.cidr))
        return
    if present.subnet.gateway not in (None, str(settings.gateway)):
        yield SettingChange("gateway", str(present.subnet.gateway), str(settings.gateway))
    for key, role, wanted in (
        ("masterAddress", PortRole.MASTER, str(settings.master_address)),
        ("backupAddress", PortRole.BACKUP, str(settings.backup_address)),
    ):
        if (old := present.address(role)) and old != wanted:
            yield SettingChange(key, old, wanted)
    old = present.address(PortRole.VIP)
    if old and old != str(settings.vip) and not _members_allow(present, str(settings.vip)):
        yield SettingChange("vip", old, str(settings.vip))


def _address_changes6(present: PresentPair, settings: PairSettings) -> Iterator[SettingChange]:
    old = present.subnet6.cidr if present.subnet6 else NONE
    new = str(settings.cidr6) if settings.cidr6 else NONE
    if old != new:
        yield SettingChange("cidr6", old, new)
        return
    old_vip, new_vip = present.address(PortRole.VIP6, 6), str(settings.vip6)
    if old_vip and ip_address(old_vip) != settings.vip6 and not _members_allow(present, new_vip):
        yield SettingChange("vip6", old_vip, new_vip)


def _members_allow(present: PresentPair, vip: str) -> bool:
    """Whether both members' ports have this VIP already.

    Then the pair has changed before, and only the VIP's port is left: an interrupted run, or a change by hand.
    """
    members = [present.ports.get(role) for role in (PortRole.MASTER, PortRole.BACKUP)]
    return all(port is not None and vip in port.allowed_addresses for port in members)


def _floating_ip_change(present: PresentPair, settings: PairSettings) -> Iterator[SettingChange]:
    old, vip_port = present.floating_ip, present.ports.get(PortRole.VIP)
    if old is None or vip_port is None or settings.existing_floating_ip == old.address:
        return
    if settings.floating_ip == NEW and _is_made_by_the_pair(old, vip_port):
        return
    yield SettingChange("floatingIp", old.address, settings.floating_ip)


def _must_come_first(present: PresentPair, settings: PairSettings, change: SettingChange) -> str:
    """Return what an operator must do before this change can be allowed; empty if there is nothing."""
    if change.key == "cidr6" and settings.cidr6 is not None:
        return (
            "Neutron does not delete a subnet in which the members have addresses, so the run would stop half-way. "
            "First remove cidr6, run `pulumi up`, and set the new cidr6 then."
        )
    floating_ip, vip_port = present.floating_ip, present.ports.get(PortRole.VIP)
    if floating_ip is None or change.key not in ("externalNetwork", "floatingIp"):
        return ""
    if settings.protect_floating_ip or PROTECTED_TAG in floating_ip.tags:
        return (
            f"It would lose {floating_ip.address}, which protectFloatingIp protects: set {change.key} back to "
            f"{change.old} and protectFloatingIp to false, run `pulumi up`, and change {change.key} then."
        )
    if change.key == "externalNetwork" and vip_port is not None and not vip_port.belongs_to_a_pair:
        return (
            f"An older release made the pair, and Neutron would refuse the change in the middle of the run: set "
            f"{change.key} back to {change.old}, run `pulumi up`, and change {change.key} then."
        )
    return ""


#: The key of each member's address → its role.
_ROLES = {"masterAddress": PortRole.MASTER, "backupAddress": PortRole.BACKUP}


def _would_change_in_place(port: Port | None) -> bool:
    """Whether another address would not replace the port: it has no trigger in the state before it has its tags."""
    return port is not None and port.server_id is not None and not port.belongs_to_a_pair


# -- addresses ---------------------------------------------------------------------------------------------


def _wanted_addresses(settings: PairSettings) -> Iterator[tuple[str, PortRole, str]]:
    master, backup = settings.members
    yield "masterAddress", PortRole.MASTER, str(master.address)
    yield "backupAddress", PortRole.BACKUP, str(backup.address)
    yield "vip", PortRole.VIP, str(settings.vip)
    if settings.vip6:
        yield "vip6", PortRole.VIP6, str(settings.vip6)
        yield "cidr6", PortRole.MASTER, str(master.address6)
        yield "cidr6", PortRole.BACKUP, str(backup.address6)


def _whose(port: Port, role: PortRole, present: PresentPair) -> str:
    """Return who has an address, and the way out."""
    for other, own in present.ports.items():
        if own == port and other is not role:
            return (
                f"the pair's own {other.value} has it ({port.owner}). Neutron gives an address to one port at a time: "
                "first give that one a free address with a `pulumi up` of its own, or use another address here."
            )
    if port.device_owner.startswith("network:") and not port.is_router_interface:
        return (
            f"{port.owner} has it: Neutron took it from the allocation pool. Use another address, or end the pool "
            f"before it or start the pool after it (poolStart), and run `openstack port delete {port.id}`: Neutron "
            "makes another port."
        )
    return f"{port.owner} has it. Use another address, or delete that port if nothing needs it."
