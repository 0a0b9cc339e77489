"""The tutorial's last chapter: the commands that move a running server onto the port of the program."""

from __future__ import annotations

from types import SimpleNamespace as Thing

from ops.adopt import Match
from ops.in_place import moves_in_place
from ops.type_tokens import NETWORK, PORT, SECURITY_GROUP, SERVER, SUBNET

from .test_adopt import step


def _matches(port_ids: list[str]) -> list[Match]:
    port = step(
        PORT,
        "vrrp-master-port",
        name="vrrp_master_server_port",
        fixedIps=[{"ipAddress": "10.0.0.4"}],
        allowedAddressPairs=[{"ipAddress": "10.0.0.201"}],
    )
    server = step(SERVER, "vrrp-master", name="vrrp-master", dependencies={"networks": ["urn::vrrp-master-port"]})
    return [
        Match(step(NETWORK, "vrrp-net", name="vrrp-net"), ["n-1"]),
        Match(step(SUBNET, "vrrp-subnet", name="vrrp-subnet"), ["s-1"]),
        Match(step(SECURITY_GROUP, "vrrp-sec-group", name="vrrp-sec-group"), ["g-1"]),
        Match(port, port_ids),
        Match(server, ["i-1"]),
    ]


def _cloud(*ports: str, address: str = "10.0.0.17") -> Thing:
    there = [
        Thing(id=id_, fixed_ips=[{"ip_address": address}], network_id="other" if id_.startswith("x") else "n-1")
        for id_ in ports
    ]

    def of_device(device_id: str) -> list[Thing]:
        return there if device_id == "i-1" else []

    return Thing(network=Thing(ports=of_device))


class TestAServerOnAPortOfItsOwn:
    """Prevents the advice to keep a port that Nova will delete with the server, and a server without any advice."""

    def test_the_declared_port_replaces_its_own(self) -> None:
        (move,) = moves_in_place(_matches([]), _cloud("p-9"))
        assert move.commands == [
            "openstack server remove port vrrp-master p-9",
            "openstack port create vrrp_master_server_port --network vrrp-net "
            "--fixed-ip subnet=vrrp-subnet,ip-address=10.0.0.4 --allowed-address ip-address=10.0.0.201 "
            "--security-group vrrp-sec-group",
            "openstack server add port vrrp-master vrrp_master_server_port",
        ]
        assert "it has 10.0.0.17" in move.what_up_does

    def test_the_server_is_put_onto_an_existing_declared_port(self) -> None:
        (move,) = moves_in_place(_matches(["p-1"]), _cloud("p-9"))
        assert move.commands == [
            "openstack server remove port vrrp-master p-9",
            "openstack server add port vrrp-master p-1",
        ]

    def test_the_advice_says_that_an_up_fails_while_its_own_port_has_the_address(self) -> None:
        (move,) = moves_in_place(_matches([]), _cloud("p-9", address="10.0.0.4"))
        assert "An `up` can't give vrrp_master_server_port the address" in move.what_up_does

    def test_a_port_on_another_network_stays(self) -> None:
        (move,) = moves_in_place(_matches([]), _cloud("x-1", "p-9"))
        assert [command for command in move.commands if "remove" in command] == [
            "openstack server remove port vrrp-master p-9"
        ]

    def test_a_server_on_the_declared_port_gets_no_advice(self) -> None:
        assert moves_in_place(_matches(["p-1"]), _cloud("p-1")) == []
        assert moves_in_place(_matches(["p-1"]), _cloud("x-1", "p-1")) == []

    def test_an_ambiguous_server_or_port_gets_no_advice(self) -> None:
        assert moves_in_place(_matches(["p-1", "p-2"]), _cloud("p-9")) == []
        *others, server = _matches([])
        assert moves_in_place([*others, Match(server.step, ["i-1", "i-2"])], _cloud("p-9")) == []

    def test_a_resource_that_the_stack_already_has_is_named_by_its_type(self) -> None:
        matches = [match for match in _matches([]) if match.step.type not in {SUBNET, SECURITY_GROUP, NETWORK}]
        (move,) = moves_in_place(matches, _cloud("p-9"))
        assert "--network NETWORK --fixed-ip subnet=SUBNET" in move.commands[1]

    def test_with_ipv6_the_port_gets_both_addresses_each_from_its_own_subnet(self) -> None:
        network, subnet, group, port, server = _matches([])
        port.step.inputs["fixedIps"].append({"ipAddress": "2001:db8::4"})
        subnet6 = Match(step(SUBNET, "vrrp-subnet6", name="vrrp-subnet6", ipVersion=6), ["s-6"])
        four = Match(step(SUBNET, "vrrp-subnet", name="vrrp-subnet", ipVersion=4), subnet.ids)
        (move,) = moves_in_place([network, subnet6, four, group, port, server], _cloud("p-9"))
        assert "--fixed-ip subnet=vrrp-subnet,ip-address=10.0.0.4 " in move.commands[1]
        assert "--fixed-ip subnet=vrrp-subnet6,ip-address=2001:db8::4 " in move.commands[1]
