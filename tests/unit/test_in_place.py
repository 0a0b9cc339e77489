"""The tutorial's last chapter: what is told about a server that is not on the port the program would give it."""

from __future__ import annotations

from types import SimpleNamespace as Thing

from ops.adopt import Match
from ops.in_place import GROUP, PORT, SERVER, SUBNET, moves_in_place

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
        Match(step(SUBNET, "vrrp-subnet", name="vrrp-subnet"), ["s-1"]),
        Match(step(GROUP, "vrrp-sec-group", name="vrrp-sec-group"), ["g-1"]),
        Match(port, port_ids),
        Match(server, ["i-1"]),
    ]


def _cloud(*ports: str) -> Thing:
    there = [Thing(id=id_, fixed_ips=[{"ip_address": "10.0.0.17"}]) for id_ in ports]

    def of_device(device_id: str) -> list[Thing]:
        return there if device_id == "i-1" else []

    return Thing(network=Thing(ports=of_device))


class TestAServerOnAPortOfItsOwn:
    """Prevents a 409 for the fixed address, and a server that nobody tells how to move."""

    def test_its_port_gets_the_name_the_address_the_vip_and_the_group(self) -> None:
        (move,) = moves_in_place(_matches([]), _cloud("p-9"))
        assert move.commands == [
            "openstack port set --name vrrp_master_server_port --no-fixed-ip "
            "--fixed-ip subnet=vrrp-subnet,ip-address=10.0.0.4 --allowed-address ip-address=10.0.0.201 "
            "--no-security-group --security-group vrrp-sec-group p-9"
        ]
        assert "it has 10.0.0.17" in move.what_up_does

    def test_where_the_declared_port_is_there_the_server_is_put_onto_it(self) -> None:
        (move,) = moves_in_place(_matches(["p-1"]), _cloud("p-9"))
        assert move.commands == [
            "openstack server remove port vrrp-master p-9",
            "openstack server add port vrrp-master p-1",
        ]

    def test_a_server_on_the_declared_port_is_left_where_it_is(self) -> None:
        assert moves_in_place(_matches(["p-1"]), _cloud("p-1")) == []
