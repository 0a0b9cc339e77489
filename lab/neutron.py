"""Neutron, as far as a pair needs it: the kernel makes each resource, and the lab refuses what Neutron refuses.

A network is a bridge in its own namespace. A port is a veth pair between a server and that bridge, with port security
at the bridge's end. A router is a namespace with NAT. The external network is 198.51.100.0/24, with the client in it;
RFC 5737 reserves that network for documentation, so no real host has an address in it.
"""

from __future__ import annotations

import uuid
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from .kernel import Namespace, connect, has_ipv6
from .place import Place
from .record import Made, Record
from .resources import (
    FloatingIpInputs,
    InstanceInputs,
    NetworkInputs,
    PortInputs,
    RouterInputs,
    RouterInterfaceInputs,
    SecGroupInputs,
    SecGroupRuleInputs,
    SubnetInputs,
)

EXTERNAL_NETWORK = "public-net"
EXTERNAL_NETWORK_ID = str(uuid.uuid5(uuid.NAMESPACE_DNS, "public-net.vrrp-pair.lab"))
EXTERNAL_CIDR = IPv4Network("198.51.100.0/24")
#: Reserved for documentation by RFC 3849.
EXTERNAL_CIDR6 = IPv6Network("2001:db8:ffff:ffff::/64")
#: The client's addresses, which are also the routers' default gateway. The client forwards nothing.
CLIENT_ADDRESS = EXTERNAL_CIDR[1]
CLIENT_ADDRESS6 = EXTERNAL_CIDR6[1]
BRIDGE = "bridge"
OUTSIDE = "outside"
#: Neutron's name of a protocol → nft's own. For any other name nft needs /etc/protocols, which a small system lacks.
NFT_NAMES = {"ipv6-icmp": "icmpv6"}
EXTENSIONS = ["allowed-address-pairs", "port-security", "router", "security-group"]

_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
)


class Conflict(Exception):
    """Neutron's error 409: another resource is in the way."""


class Neutron:
    """The networks of one lab."""

    def __init__(self, place: Place, record: Record) -> None:
        """:param record: everything that the lab has made."""
        self._place = place
        self._record = record

    # -- external network -------------------------------------------------------------------------------------

    @property
    def public(self) -> Namespace:
        """The namespace of the external network and the client."""
        return self._place.namespace("public")

    def start(self) -> None:
        """Make the external network and the client, with IPv6 if the kernel has it."""
        self.public.create()
        _make_bridge(self.public)
        self.public.ip("address", "add", f"{CLIENT_ADDRESS}/{EXTERNAL_CIDR.prefixlen}", "dev", BRIDGE)
        if has_ipv6():
            self.public.enable_ipv6(BRIDGE)
            _add_address6(self.public, CLIENT_ADDRESS6, EXTERNAL_CIDR6.prefixlen, BRIDGE)

    # -- creation ------------------------------------------------------------------------------------------

    def create_network(self, made: Made) -> None:
        """Make a network's namespace and bridge."""
        namespace = self._network(made.id)
        namespace.create()
        _make_bridge(namespace)

    def create_subnet(self, inputs: SubnetInputs) -> None:
        """Check a subnet, which is only a record.

        :raises Conflict: for a gateway inside an allocation pool, or a pool outside the subnet.
        """
        for pool in inputs.allocation_pools:
            if int(pool.start) <= int(inputs.gateway_ip) <= int(pool.end):
                raise Conflict(f"gateway ip {inputs.gateway_ip} conflicts with allocation pool {pool.start}-{pool.end}")
            if pool.start not in inputs.cidr or pool.end not in inputs.cidr:
                raise Conflict(f"the allocation pool {pool.start}-{pool.end} spans beyond the subnet {inputs.cidr}")

    def create_router(self, made: Made, inputs: RouterInputs) -> None:
        """Make a router's namespace, and connect it to the external network.

        :raises Conflict: for another external network than the lab's.
        """
        if inputs.external_network_id != EXTERNAL_NETWORK_ID:
            raise Conflict(f"network {inputs.external_network_id} could not be found")
        made.chosen["address"] = str(self._free_external_address())
        namespace = self._router(made.id)
        namespace.create()
        namespace.sysctl("net.ipv4.ip_forward", 1)
        tap = _device("rt", made.id)
        connect(self.public, tap, namespace, OUTSIDE)
        self.public.ip("link", "set", tap, "master", BRIDGE, "up")
        namespace.ip("address", "add", f"{made.chosen['address']}/{EXTERNAL_CIDR.prefixlen}", "dev", OUTSIDE)
        if has_ipv6():
            namespace.enable_ipv6(OUTSIDE, forwards=True)
        namespace.ip("link", "set", OUTSIDE, "up")
        namespace.ip("route", "add", "default", "via", str(CLIENT_ADDRESS))
        if has_ipv6():
            _add_address6(namespace, _outside6(made.chosen["address"]), EXTERNAL_CIDR6.prefixlen, OUTSIDE)
        self._translate(made.id)

    def create_router_interface(self, made: Made, inputs: RouterInterfaceInputs) -> None:
        """Connect a router to a subnet's network, with the subnet's gateway address.

        :raises Conflict: if a port has the gateway address.
        """
        subnet = self._subnet(inputs.subnet_id)
        self._refuse_taken(subnet.network_id, subnet.gateway_ip)
        network, router = self._network(subnet.network_id), self._router(inputs.router_id)
        tap, inside = _device("qr", made.id), _device("in", made.id)
        connect(network, tap, router, inside)
        network.ip("link", "set", tap, "master", BRIDGE, "up")
        if isinstance(subnet.gateway_ip, IPv4Address):
            router.ip("address", "add", f"{subnet.gateway_ip}/{subnet.cidr.prefixlen}", "dev", inside)
            router.ip("link", "set", inside, "up")
            return
        router.enable_ipv6(inside, forwards=True)
        router.ip("link", "set", inside, "up")
        _add_address6(router, subnet.gateway_ip, subnet.cidr.prefixlen, inside)
        # There is no NAT for IPv6: the cloud routes the subnet to the router.
        outside = _outside6(self._record.get(inputs.router_id, RouterInputs)[0].chosen["address"])
        self.public.ip("-6", "route", "replace", str(subnet.cidr), "via", str(outside))

    def create_port(self, made: Made, inputs: PortInputs) -> None:
        """Check a port's addresses, and choose its MAC address. ``plug`` connects it when its server starts.

        :raises Conflict: for an address outside the subnet, or an address of another port.
        """
        for fixed in inputs.fixed_ips:
            cidr = self._subnet(fixed.subnet_id).cidr
            if fixed.ip_address not in cidr:
                raise Conflict(f"IP address {fixed.ip_address} is not a valid IP for the subnet {cidr}")
            self._refuse_taken(inputs.network_id, fixed.ip_address, besides=made.id)
        # Neutron's default base_mac, and three bytes of the port's id.
        made.chosen["mac"] = "fa:16:3e:" + ":".join(made.id.replace("-", "")[at : at + 2] for at in (0, 2, 4))
        made.chosen["adminStateUp"] = str(inputs.admin_state_up)
        # Its addresses belong to its groups now, so the rules of ports that were connected earlier let it in.
        self._refresh_ports()

    def create_security_group_rule(self, made: Made, inputs: SecGroupRuleInputs) -> None:
        """Apply a rule to every port in its group.

        :raises Conflict: if the same rule exists already.
        """
        for other, existing in self._record.every(SecGroupRuleInputs):
            if existing == inputs and other.id != made.id:
                raise Conflict(f"security group rule already exists; rule id is {other.id}")
        self._refresh_ports()

    def create_floating_ip(self, made: Made, inputs: FloatingIpInputs) -> None:
        """Choose an external address, and have the router translate it.

        :raises Conflict: for another pool than the lab's, or a subnet without a router.
        """
        if inputs.pool != EXTERNAL_NETWORK:
            raise Conflict(f"no network {inputs.pool} was found for the floating IP")
        router_id = self._router_of(inputs.port_id)
        if router_id is None:
            subnet_id = self._port(inputs.port_id).fixed_ips[0].subnet_id
            raise Conflict(f"external network {EXTERNAL_NETWORK_ID} is not reachable from subnet {subnet_id}")
        made.chosen["address"] = str(self._free_external_address())
        self._router(router_id).ip("address", "add", f"{made.chosen['address']}/32", "dev", OUTSIDE)
        self._translate(router_id)

    # -- deletion ----------------------------------------------------------------------------------------

    def blockers(self, made: Made) -> list[tuple[str, Made]]:
        """Return the resources that Neutron wants deleted before this one, as (reason, resource)."""
        record = self._record
        match made.inputs:
            case NetworkInputs():
                ports = [(m, port.network_id) for m, port in record.every(PortInputs)]
                legs = [(m, self._subnet(leg.subnet_id).network_id) for m, leg in record.every(RouterInterfaceInputs)]
                found = [("a port on it", m) for m, network in ports if network == made.id]
                found += [("a router's interface on it", m) for m, network in legs if network == made.id]
            case SubnetInputs():
                ports = [(m, [fixed.subnet_id for fixed in port.fixed_ips]) for m, port in record.every(PortInputs)]
                legs = [(m, leg.subnet_id) for m, leg in record.every(RouterInterfaceInputs)]
                found = [("a port on it", m) for m, subnets in ports if made.id in subnets]
                found += [("a router's interface on it", m) for m, subnet in legs if subnet == made.id]
            case RouterInputs():
                legs = record.every(RouterInterfaceInputs)
                found = [("an interface of it", m) for m, leg in legs if leg.router_id == made.id]
            case RouterInterfaceInputs(subnet_id=subnet_id):
                found = [
                    ("a floating IP behind it", m)
                    for m, floating_ip in record.every(FloatingIpInputs)
                    if self._port(floating_ip.port_id).fixed_ips[0].subnet_id == subnet_id
                ]
            case SecGroupInputs():
                ports = record.every(PortInputs)
                found = [("a port in it", m) for m, port in ports if made.id in port.security_group_ids]
            case PortInputs():
                # Neutron allows this, but the server keeps a dead interface; the lab refuses it.
                servers = record.every(InstanceInputs)
                found = [("a server on it", m) for m, server in servers if server.networks[0].port == made.id]
            case _:
                found = []
        return found

    def refuse_deletion(self, made: Made) -> None:
        """Do nothing if Neutron would delete this resource.

        :raises Conflict: if Neutron would answer 409.
        """
        for why, blocker in self.blockers(made):
            raise Conflict(f"{made.kind} {made.name} can't be deleted while there is {why}: {blocker.name}")

    def delete(self, made: Made) -> None:
        """Remove from the kernel what ``create_…`` made. The record no longer has the resource."""
        inputs = made.inputs
        if isinstance(inputs, NetworkInputs):
            self._network(made.id).delete()
        elif isinstance(inputs, RouterInputs):
            self._router(made.id).delete()
        elif isinstance(inputs, RouterInterfaceInputs):
            subnet = self._subnet(inputs.subnet_id)
            self._network(subnet.network_id).ip("link", "delete", _device("qr", made.id))
            if isinstance(subnet.cidr, IPv6Network):
                self.public.ip("-6", "route", "delete", str(subnet.cidr))
        elif isinstance(inputs, FloatingIpInputs):
            router_id = self._router_of(inputs.port_id)
            if router_id is not None and "address" in made.chosen:
                self._router(router_id).ip("address", "delete", f"{made.chosen['address']}/32", "dev", OUTSIDE)
                self._translate(router_id)
        elif isinstance(inputs, SecGroupRuleInputs):
            self._refresh_ports()

    # -- ports and servers -------------------------------------------------------------------------------

    def plug(self, port_id: str, server: Namespace, device: str) -> None:
        """Connect a server to its port, and set the port's addresses, which on a cloud come from DHCP.

        :param device: the name of the network device in the server.
        """
        made, port = self._record.get(port_id, PortInputs)
        network = self._network(port.network_id)
        tap = _device("tap", port_id)
        self.unplug(port_id)
        connect(network, tap, server, device)
        network.ip("link", "set", tap, "master", BRIDGE, "up")
        self._secure(made, port)
        server.ip("link", "set", device, "address", made.chosen["mac"])
        for fixed in port.fixed_ips:
            subnet = self._subnet(fixed.subnet_id)
            if isinstance(fixed.ip_address, IPv4Address):
                server.ip("address", "add", f"{fixed.ip_address}/{subnet.cidr.prefixlen}", "dev", device)
                server.ip("link", "set", device, "up")
                server.ip("route", "add", "default", "via", str(subnet.gateway_ip))
            else:
                server.enable_ipv6(device)
                _add_address6(server, fixed.ip_address, subnet.cidr.prefixlen, device)
                server.ip("-6", "route", "add", "default", "via", str(subnet.gateway_ip))

    def unplug(self, port_id: str) -> None:
        """Remove the cable between a server and its port, as a hypervisor does for a server that is off."""
        port = self._port(port_id)
        network, tap = self._network(port.network_id), _device("tap", port_id)
        if any(link["ifname"] == tap for link in network.links()):
            network.ip("link", "delete", tap)

    def set_admin_state(self, port_id: str, *, up: bool) -> None:
        """Enable or disable a port, as ``openstack port set`` does. The server keeps its link, and no packet passes."""
        made, port = self._record.get(port_id, PortInputs)
        made.chosen["adminStateUp"] = str(up)
        self._record.save()
        self._secure(made, port)

    def address_of(self, port_id: str) -> IPv4Address | IPv6Address:
        """Return a port's first address."""
        return self._port(port_id).fixed_ips[0].ip_address

    # -- internals ----------------------------------------------------------------------------------

    def _network(self, network_id: str) -> Namespace:
        return self._place.namespace(f"net-{network_id[:8]}")

    def _router(self, router_id: str) -> Namespace:
        return self._place.namespace(f"router-{router_id[:8]}")

    def _port(self, port_id: str) -> PortInputs:
        return self._record.get(port_id, PortInputs)[1]

    def _subnet(self, subnet_id: str) -> SubnetInputs:
        return self._record.get(subnet_id, SubnetInputs)[1]

    def _router_of(self, port_id: str) -> str | None:
        """Return the id of the router with an interface on the port's subnet, or None."""
        subnet_id = self._port(port_id).fixed_ips[0].subnet_id
        legs = self._record.every(RouterInterfaceInputs)
        return next((leg.router_id for _, leg in legs if leg.subnet_id == subnet_id), None)

    def _refuse_taken(self, network_id: str, address: IPv4Address | IPv6Address, besides: str | None = None) -> None:
        for made, port in self._record.every(PortInputs):
            for fixed in port.fixed_ips:
                if made.id != besides and port.network_id == network_id and fixed.ip_address == address:
                    raise Conflict(f"IP address {address} already allocated in subnet {fixed.subnet_id}")

    def _free_external_address(self) -> IPv4Address:
        taken = {made.chosen.get("address") for made in self._record}
        return next(host for host in EXTERNAL_CIDR.hosts() if host > EXTERNAL_CIDR[9] and str(host) not in taken)

    def _translate(self, router_id: str) -> None:
        """Load the router's NAT rules again, for its present floating IPs."""
        floating_ips = [
            {
                "public": made.chosen["address"],
                "fixed": self._port(inputs.port_id).fixed_ips[0].ip_address,
            }
            for made, inputs in self._record.every(FloatingIpInputs)
            if "address" in made.chosen and self._router_of(inputs.port_id) == router_id
        ]
        rules = _TEMPLATES.get_template("router.nft.j2").render(
            floating_ips=floating_ips,
            outside=OUTSIDE,
            own_address=self._record.get(router_id, RouterInputs)[0].chosen["address"],
        )
        self._router(router_id).nft(rules)

    def _refresh_ports(self) -> None:
        """Load the rules of every connected port again, because a group has changed."""
        for made, port in self._record.every(PortInputs):
            if "mac" in made.chosen and any(
                link["ifname"] == _device("tap", made.id) for link in self._network(port.network_id).links()
            ):
                self._secure(made, port)

    def _secure(self, made: Made, port: PortInputs) -> None:
        rules = _TEMPLATES.get_template("port_security.nft.j2").render(
            table=_device("port", made.id),
            tap=_device("tap", made.id),
            mac=made.chosen["mac"],
            addresses=[address for address in port.own_addresses if address.version == 4],
            addresses6=[address for address in port.own_addresses if address.version == 6],
            admin_state_up=made.chosen["adminStateUp"] == "True",
            rules=[rule for group_id in port.security_group_ids for rule in self._rules_of(group_id)],
        )
        self._network(port.network_id).nft(rules)

    def _rules_of(self, group_id: str) -> list[str]:
        """Return a group's rules in nft's syntax."""
        rules = [rule for _, rule in self._record.every(SecGroupRuleInputs) if rule.security_group_id == group_id]
        return [words for rule in rules if (words := self._in_words(rule))]

    def _in_words(self, rule: SecGroupRuleInputs) -> str:
        words: list[str] = []
        family, version = ("ip", 4) if rule.ethertype == "IPv4" else ("ip6", 6)
        words.append(f"ether type {family}")
        if rule.remote_ip_prefix is not None:
            words.append(f"{family} saddr {rule.remote_ip_prefix}")
        if rule.remote_group_id is not None:
            # Neutron counts the allowed address pairs of a group's ports as addresses of the group.
            addresses = [
                str(address)
                for _, port in self._record.every(PortInputs)
                if rule.remote_group_id in port.security_group_ids
                for address in port.own_addresses
                if address.version == version
            ]
            if not addresses:
                return ""
            words.append(f"{family} saddr {{ {', '.join(dict.fromkeys(addresses))} }}")
        words.append(f"meta l4proto {NFT_NAMES.get(rule.protocol, rule.protocol)}")
        if rule.port_range_min is not None:
            words.append(f"th dport {rule.port_range_min}-{rule.port_range_max}")
        return " ".join(words)


def _add_address6(namespace: Namespace, address: IPv6Address, prefixlen: int, device: str) -> None:
    """Set an address without duplicate address detection, which takes a second. Neutron keeps addresses unique."""
    namespace.ip("-6", "address", "add", f"{address}/{prefixlen}", "dev", device, "nodad")


def _outside6(address: str) -> IPv6Address:
    """Return a router's external IPv6 address, derived from its IPv4 address."""
    return EXTERNAL_CIDR6[int(IPv4Address(address)) - int(EXTERNAL_CIDR[0])]


def _make_bridge(namespace: Namespace) -> None:
    namespace.ip("link", "add", BRIDGE, "type", "bridge", "mcast_snooping", "0")
    namespace.ip("link", "set", BRIDGE, "up")


def _device(kind: str, identifier: str) -> str:
    """Return the name of a device, as short as Neutron makes it: the kernel permits at most 15 characters."""
    return f"{kind}-{identifier[:8]}"
