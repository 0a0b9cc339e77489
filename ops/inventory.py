"""What there is in the project that the program would make: looked up by what the program says about it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from . import type_tokens as tokens

Inputs = Mapping[str, Any]

#: Neutron's names and numbers of the same protocol: a rule keeps whichever it was made with.
_PROTOCOLS = {"1": "icmp", "6": "tcp", "17": "udp", "112": "vrrp"}

_ANYWHERE = {"IPv4": "0.0.0.0/0", "IPv6": "::/0"}


class Inventory:
    """The resources of one project.

    The answers are the ids that the provider imports by; several when the project has several that fit.
    """

    def __init__(self, connection: Any) -> None:
        """:param connection: an ``openstack.connection.Connection``; its proxies have no types that would help."""
        self._network: Any = connection.network
        self._compute: Any = connection.compute
        self._project: str = connection.current_project_id
        self._lookups: dict[str, Callable[[Inputs], Iterable[str]]] = {
            tokens.NETWORK: self._networks,
            tokens.SUBNET: self._subnets,
            tokens.ROUTER: self._routers,
            tokens.ROUTER_INTERFACE: self._router_interfaces,
            tokens.SECURITY_GROUP: self._security_groups,
            tokens.RULE: self._rules,
            tokens.PORT: self._ports,
            tokens.FLOATING_IP: self._floating_ips,
            tokens.SERVER: self._servers,
            tokens.SERVER_GROUP: self._server_groups,
            tokens.KEY_PAIR: self._key_pairs,
        }

    def knows(self, type_: str) -> bool:
        """Whether the cloud has such things at all: the gates are the engine's alone."""
        return type_ in self._lookups

    def ids_of(self, type_: str, inputs: Inputs) -> list[str]:
        """The ids of all that is what a resource of this type with these inputs would be."""
        return sorted(set(self._lookups[type_](inputs)))

    def ingress_rules(self, group_id: str) -> dict[str, str]:
        """The id of each ingress rule of a group → what it lets in."""
        rules = self._network.security_group_rules(security_group_id=group_id, direction="ingress")
        return {
            rule.id: f"{_protocol(rule.protocol) or 'everything'}"
            f"{f' {rule.port_range_min}' if rule.port_range_min else ''}"
            f"{f'–{rule.port_range_max}' if rule.port_range_max != rule.port_range_min else ''} "
            f"from {_source(rule.remote_ip_prefix, rule.remote_group_id, rule.ether_type)} ({rule.ether_type})"
            for rule in rules
        }

    def floating_ips(self, port_id: str) -> dict[str, str]:
        """The id of each floating IP of a port → its address."""
        return {ip.id: ip.floating_ip_address for ip in self._network.ips(port_id=port_id)}

    def _networks(self, inputs: Inputs) -> Iterable[str]:
        return (one.id for one in self._network.networks(name=inputs["name"], project_id=self._project))

    def _subnets(self, inputs: Inputs) -> Iterable[str]:
        return (
            one.id
            for one in self._network.subnets(
                name=inputs["name"], network_id=inputs["networkId"], project_id=self._project
            )
        )

    def _routers(self, inputs: Inputs) -> Iterable[str]:
        return (one.id for one in self._network.routers(name=inputs["name"], project_id=self._project))

    def _router_interfaces(self, inputs: Inputs) -> Iterable[str]:
        for port in self._network.ports(device_id=inputs["routerId"]):
            on_subnet = any(fixed["subnet_id"] == inputs["subnetId"] for fixed in port.fixed_ips)
            # network:router_interface, and what distributed and highly available routers call theirs.
            if on_subnet and "router" in port.device_owner and "interface" in port.device_owner:
                yield port.id

    def _security_groups(self, inputs: Inputs) -> Iterable[str]:
        return (one.id for one in self._network.security_groups(name=inputs["name"], project_id=self._project))

    def _rules(self, inputs: Inputs) -> Iterable[str]:
        wanted = (
            inputs["direction"],
            inputs["ethertype"],
            _protocol(inputs.get("protocol")),
            inputs.get("portRangeMin"),
            inputs.get("portRangeMax"),
            _source(inputs.get("remoteIpPrefix"), inputs.get("remoteGroupId"), inputs["ethertype"]),
        )
        for rule in self._network.security_group_rules(security_group_id=inputs["securityGroupId"]):
            there = (
                rule.direction,
                rule.ether_type,
                _protocol(rule.protocol),
                rule.port_range_min,
                rule.port_range_max,
                _source(rule.remote_ip_prefix, rule.remote_group_id, rule.ether_type),
            )
            if there == wanted:
                yield rule.id

    def _ports(self, inputs: Inputs) -> Iterable[str]:
        """By name; and a free one by the address, which no second port of the network can have.

        A port without the name that a server has may be one that Nova made, and will delete with the server.
        """
        on_network = self._network.ports(network_id=inputs["networkId"], project_id=self._project)
        fixed_ips: list[dict[str, Any]] = inputs.get("fixedIps") or []
        addresses = {fixed.get("ipAddress") for fixed in fixed_ips}
        return (
            port.id
            for port in on_network
            if port.name == inputs["name"]
            or (not port.device_id and any(fixed["ip_address"] in addresses for fixed in port.fixed_ips))
        )

    def _floating_ips(self, inputs: Inputs) -> Iterable[str]:
        return (one.id for one in self._network.ips(port_id=inputs["portId"], project_id=self._project))

    def _servers(self, inputs: Inputs) -> Iterable[str]:
        # Nova takes a name for a pattern.
        return (one.id for one in self._compute.servers(project_id=self._project) if one.name == inputs["name"])

    def _server_groups(self, inputs: Inputs) -> Iterable[str]:
        return (one.id for one in self._compute.server_groups() if one.name == inputs["name"])

    def _key_pairs(self, inputs: Inputs) -> Iterable[str]:
        return (one.name for one in self._compute.keypairs() if one.name == inputs["name"])


def _protocol(protocol: Any) -> str | None:
    return None if protocol is None else _PROTOCOLS.get(str(protocol), str(protocol))


def _source(prefix: str | None, group: str | None, ethertype: str) -> str:
    """A rule that names no source lets in everyone."""
    return group or prefix or _ANYWHERE[ethertype]
