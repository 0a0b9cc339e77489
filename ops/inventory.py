"""Find existing resources of a project that match the resources of the program."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from . import type_tokens as tokens
from .protocols import protocol_name

Inputs = Mapping[str, Any]

_ANYWHERE = {"IPv4": "0.0.0.0/0", "IPv6": "::/0"}


class Inventory:
    """The resources of one project.

    Its answers are ids, as the provider's import takes them: none, one, or several where several resources match.
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
        }

    def knows(self, type_: str) -> bool:
        """Return whether a type exists in the cloud: the gates exist only in the engine's state."""
        return type_ in self._lookups

    def ids_of(self, type_: str, inputs: Inputs) -> list[str]:
        """Return the ids of every existing resource that matches a type and the inputs of the program."""
        return sorted(set(self._lookups[type_](inputs)))

    def ingress_rules(self, group_id: str) -> dict[str, str]:
        """Return the id of each ingress rule of a group → a description such as ``tcp 22 from 0.0.0.0/0 (IPv4)``."""
        rules = self._network.security_group_rules(security_group_id=group_id, direction="ingress")
        return {
            rule.id: f"{protocol_name(rule.protocol) or 'everything'}"
            f"{f' {rule.port_range_min}' if rule.port_range_min else ''}"
            f"{f'–{rule.port_range_max}' if rule.port_range_max != rule.port_range_min else ''} "
            f"from {_source(rule.remote_ip_prefix, rule.remote_group_id, rule.ether_type)} ({rule.ether_type})"
            for rule in rules
        }

    def floating_ips(self, port_id: str) -> dict[str, str]:
        """Return the id of each floating IP of a port → its address."""
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
            # network:router_interface, or the names of distributed and highly available routers.
            if on_subnet and "router" in port.device_owner and "interface" in port.device_owner:
                yield port.id

    def _security_groups(self, inputs: Inputs) -> Iterable[str]:
        return (one.id for one in self._network.security_groups(name=inputs["name"], project_id=self._project))

    def _rules(self, inputs: Inputs) -> Iterable[str]:
        wanted = (
            inputs["direction"],
            inputs["ethertype"],
            protocol_name(inputs.get("protocol")),
            inputs.get("portRangeMin"),
            inputs.get("portRangeMax"),
            _source(inputs.get("remoteIpPrefix"), inputs.get("remoteGroupId"), inputs["ethertype"]),
        )
        for rule in self._network.security_group_rules(security_group_id=inputs["securityGroupId"]):
            there = (
                rule.direction,
                rule.ether_type,
                protocol_name(rule.protocol),
                rule.port_range_min,
                rule.port_range_max,
                _source(rule.remote_ip_prefix, rule.remote_group_id, rule.ether_type),
            )
            if there == wanted:
                yield rule.id

    def _ports(self, inputs: Inputs) -> Iterable[str]:
        """Match by name; match an unattached port also by its address, which no second port of the network can have.

        An attached port without the name does not match: Nova may have made it, and would delete it with the server.
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
        # Compare the names here, because Nova reads a name as a pattern.
        return (one.id for one in self._compute.servers(project_id=self._project) if one.name == inputs["name"])

    def _server_groups(self, inputs: Inputs) -> Iterable[str]:
        return (one.id for one in self._compute.server_groups() if one.name == inputs["name"])


def _source(prefix: str | None, group: str | None, ethertype: str) -> str:
    """Return the group or the network of a rule; without either the rule is for every address."""
    return group or prefix or _ANYWHERE[ethertype]
