"""The inventory finds the resources of a project that match the program's; the cloud is made up."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace as Thing
from typing import Any

import pytest

from ops.inventory import Inventory
from ops.type_tokens import FLOATING_IP, PORT, ROUTER, RULE, SECURITY_GROUP, SERVER_GROUP, SUBNET


class MadeUpNeutron:
    """Lists all resources of a kind, and filters by properties, as Neutron does."""

    def __init__(self, **things: list[Thing]) -> None:
        self._things = things

    def __getattr__(self, kind: str) -> Any:
        def listed(**filters: Any) -> list[Thing]:
            return [
                thing
                for thing in self._things.get(kind, [])
                if all(getattr(thing, key) == value for key, value in filters.items())
            ]

        return listed


def inventory(*, servers: list[Thing] | None = None, **network: list[Thing]) -> Inventory:
    compute = MadeUpNeutron(servers=servers or [])
    return Inventory(Thing(network=MadeUpNeutron(**network), compute=compute, current_project_id="ours"))


class TestResourcesOfOthersAreNotFound:
    """Prevents the import of another project's shared network, and of a server with a longer name."""

    def test_a_shared_network_of_another_project_is_not_found(self) -> None:
        networks = [
            Thing(id="n-1", name="vrrp-net", project_id="ours"),
            Thing(id="n-2", name="vrrp-net", project_id="x"),
        ]
        assert inventory(networks=networks).ids_of("openstack:networking/network:Network", {"name": "vrrp-net"}) == [
            "n-1"
        ]

    def test_a_server_is_found_by_its_whole_name(self) -> None:
        servers = [Thing(id=name, name=name, project_id="ours") for name in ("vrrp-master", "vrrp-master-old")]
        found = inventory(servers=servers).ids_of("openstack:compute/instance:Instance", {"name": "vrrp-master"})
        assert found == ["vrrp-master"]


class TestEachKindIsFoundByItsOwnProperties:
    """Prevents an import of a resource of another network, another port or another name."""

    @staticmethod
    def _two(**different: Any) -> list[Thing]:
        """Two resources of one name that differ in one property."""
        ((key, values),) = different.items()
        usual = {"name": "vrrp", "project_id": "ours", "network_id": "n-1", "port_id": "p-1"}
        return [Thing(id=f"r-{value}", **{**usual, key: value}) for value in values]

    @pytest.mark.parametrize(
        ("type_", "kind", "inputs", "different", "found"),
        [
            (SUBNET, "subnets", {"name": "vrrp", "networkId": "n-1"}, {"network_id": ["n-1", "n-2"]}, "r-n-1"),
            (ROUTER, "routers", {"name": "vrrp"}, {"name": ["vrrp", "other"]}, "r-vrrp"),
            (ROUTER, "routers", {"name": "vrrp"}, {"project_id": ["ours", "x"]}, "r-ours"),
            (SECURITY_GROUP, "security_groups", {"name": "vrrp"}, {"project_id": ["ours", "x"]}, "r-ours"),
            (SECURITY_GROUP, "security_groups", {"name": "vrrp"}, {"name": ["vrrp", "other"]}, "r-vrrp"),
            (FLOATING_IP, "ips", {"portId": "p-1"}, {"port_id": ["p-1", "p-2"]}, "r-p-1"),
            (FLOATING_IP, "ips", {"portId": "p-1"}, {"project_id": ["ours", "x"]}, "r-ours"),
        ],
    )
    def test_a_neutron_resource_is_found(
        self, type_: str, kind: str, inputs: dict[str, str], different: dict[str, list[str]], found: str
    ) -> None:
        assert inventory(**{kind: self._two(**different)}).ids_of(type_, inputs) == [found]

    def test_a_server_group_is_found_by_its_name(self) -> None:
        things = [Thing(id=f"id-of-{name}", name=name) for name in ("vrrp", "vrrp-other")]
        nova = Thing(network=None, compute=MadeUpNeutron(server_groups=things), current_project_id="ours")
        assert Inventory(nova).ids_of(SERVER_GROUP, {"name": "vrrp"}) == ["id-of-vrrp"]

    def test_a_gate_is_no_resource_of_the_cloud(self) -> None:
        assert not inventory().knows("command:local:Command")


def port(id_: str, name: str, address: str, server: str = "") -> Thing:
    fixed = [{"subnet_id": "s-1", "ip_address": address}]
    return Thing(id=id_, name=name, network_id="n-1", project_id="ours", fixed_ips=fixed, device_id=server)


class TestAPortIsFoundByItsNameOrByItsAddress:
    """Prevents a 409 in the next `up`: no two ports of a network can have one address, whatever their names."""

    DECLARED: Mapping[str, Any] = {"name": "vrrp-port", "networkId": "n-1", "fixedIps": [{"ipAddress": "10.0.0.201"}]}

    @pytest.mark.parametrize(
        ("ports", "found"),
        [
            ([port("p-1", "vrrp-port", "10.0.0.7")], ["p-1"]),
            ([port("p-1", "", "10.0.0.201")], ["p-1"]),
            # Nova may have made it, and would delete it with the server.
            ([port("p-1", "", "10.0.0.201", server="i-1")], []),
            ([port("p-1", "vrrp-port", "10.0.0.201", server="i-1")], ["p-1"]),
            ([port("p-1", "vrrp-port", "10.0.0.7"), port("p-2", "", "10.0.0.201")], ["p-1", "p-2"]),
            ([port("p-1", "vrrp-port", "10.0.0.7"), port("p-2", "vrrp-port", "10.0.0.8")], ["p-1", "p-2"]),
            ([port("p-1", "other", "10.0.0.7")], []),
        ],
    )
    def test_the_matching_ports_are_found(self, ports: list[Thing], found: list[str]) -> None:
        assert inventory(ports=ports).ids_of(PORT, self.DECLARED) == found


def rule(id_: str, **properties: Any) -> Thing:
    usual = {
        "security_group_id": "g-1",
        "direction": "ingress",
        "ether_type": "IPv4",
        "protocol": "tcp",
        "port_range_min": 80,
        "port_range_max": 80,
        "remote_ip_prefix": "0.0.0.0/0",
        "remote_group_id": None,
    }
    return Thing(id=id_, **(usual | properties))


class TestARuleIsFoundByItsContent:
    """Prevents a second rule of the same content (Neutron: 409), and the import of another rule."""

    WEB: Mapping[str, Any] = {
        "securityGroupId": "g-1",
        "direction": "ingress",
        "ethertype": "IPv4",
        "protocol": "tcp",
        "portRangeMin": 80,
        "portRangeMax": 80,
        "remoteIpPrefix": "0.0.0.0/0",
    }

    @pytest.mark.parametrize(
        ("properties", "same"),
        [
            ({}, True),
            ({"remote_ip_prefix": None}, True),
            ({"protocol": "6"}, True),
            ({"protocol": "udp"}, False),
            ({"port_range_max": 81}, False),
            ({"remote_ip_prefix": "192.0.2.0/24"}, False),
            ({"remote_ip_prefix": None, "remote_group_id": "g-1"}, False),
            ({"ether_type": "IPv6"}, False),
            ({"ether_type": "IPv6", "remote_ip_prefix": None}, False),
            ({"direction": "egress"}, False),
        ],
    )
    def test_a_rule_for_http_is_found_if_its_content_is_the_same(self, properties: dict[str, Any], same: bool) -> None:
        assert inventory(security_group_rules=[rule("r-1", **properties)]).ids_of(RULE, self.WEB) == ["r-1"] * same

    def test_an_ipv6_rule_without_a_source_is_for_every_ipv6_address(self) -> None:
        declared = {**self.WEB, "ethertype": "IPv6", "remoteIpPrefix": "::/0"}
        there = rule("r-1", ether_type="IPv6", remote_ip_prefix=None)
        assert inventory(security_group_rules=[there]).ids_of(RULE, declared) == ["r-1"]

    @pytest.mark.parametrize("protocol", ["112", "vrrp"])
    def test_a_rule_for_vrrp_is_found_by_number_and_by_name(self, protocol: str) -> None:
        declared = {
            "securityGroupId": "g-1",
            "direction": "ingress",
            "ethertype": "IPv4",
            "protocol": "112",
            "remoteGroupId": "g-1",
        }
        there = rule(
            "r-1",
            protocol=protocol,
            port_range_min=None,
            port_range_max=None,
            remote_ip_prefix=None,
            remote_group_id="g-1",
        )
        assert inventory(security_group_rules=[there]).ids_of(RULE, declared) == ["r-1"]


class TestARouterInterfaceIsFoundByItsPort:
    """Prevents an import of the router's gateway, or of its interface on another subnet."""

    def test_the_interface_on_the_subnet_is_found_also_on_a_distributed_router(self) -> None:
        def interface(id_: str, owner: str, subnet: str, device: str = "r-1") -> Thing:
            return Thing(id=id_, device_id=device, device_owner=owner, fixed_ips=[{"subnet_id": subnet}])

        ports = [
            interface("p-1", "network:router_gateway", "s-1"),
            interface("p-2", "network:router_interface", "s-2"),
            interface("p-3", "network:router_interface_distributed", "s-1"),
            interface("p-4", "network:router_interface", "s-1", device="r-2"),
            interface("p-5", "compute:nova", "s-1"),
        ]
        declared = {"routerId": "r-1", "subnetId": "s-1"}
        found = inventory(ports=ports).ids_of("openstack:networking/routerInterface:RouterInterface", declared)
        assert found == ["p-3"]


class TestUnmanagedRulesAndAddressesAreDescribed:
    """Prevents an open port and a paid address that the operator does not know of."""

    def test_ingress_rules_are_described_in_words(self) -> None:
        rules = [
            rule("r-1", port_range_min=22, port_range_max=22),
            rule("r-2", port_range_min=8000, port_range_max=8080, remote_ip_prefix="192.0.2.0/24"),
            rule("r-3", protocol=None, port_range_min=None, port_range_max=None, remote_ip_prefix=None),
            rule("r-4", direction="egress"),
        ]
        assert inventory(security_group_rules=rules).ingress_rules("g-1") == {
            "r-1": "tcp 22 from 0.0.0.0/0 (IPv4)",
            "r-2": "tcp 8000–8080 from 192.0.2.0/24 (IPv4)",
            "r-3": "everything from 0.0.0.0/0 (IPv4)",
        }

    def test_floating_ips_are_found_by_their_port(self) -> None:
        ips = [Thing(id=n, port_id=f"p-{n}", floating_ip_address=f"198.51.100.{n}") for n in (1, 2)]
        assert inventory(ips=ips).floating_ips("p-2") == {2: "198.51.100.2"}
