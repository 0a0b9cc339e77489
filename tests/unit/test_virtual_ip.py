"""The floating IP and the VIP's port through the changes that move them: what the engine is told to replace, and when.

That the run ends with a service that answers is shown in tests/cloud.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from components import ExistingResources, VrrpPair, VrrpPairArgs
from components.preflight import Asked
from lab.program import run_program
from lab.stack_file import StackConfig
from settings import PairSettings
from settings.allowed_interruptions import SettingChange
from settings.identity import pair_tag

from .conftest import PROJECT, Declare, RecordingCloud, Run, identifier

ADDRESS = "203.0.113.77"
SIX = "2001:db8:7::"
DUAL: dict[str, Any] = {"cidr6": f"{SIX}/64", "http_cidrs": ["0.0.0.0/0", "::/0"]}


def declared(*changes: SettingChange, asked: bool = False, **settings: Any) -> Run:
    """Declare one pair, in a run that makes these allowed changes.

    :param asked: whether a preflight has found what exists.
    """
    by = Asked("vrrp", None) if asked else None
    existing = ExistingResources("external-network", "image", interruptions=frozenset(changes), asked=by)

    def program() -> None:
        VrrpPair("vrrp", VrrpPairArgs(PairSettings.model_validate(settings), existing))

    cloud = RecordingCloud()
    return Run(run_program(StackConfig(PROJECT, "test", {}), cloud, program), cloud)


class TestTheFloatingIpFollowsTheVip:
    """Prevents an outage without end: Neutron changes the address of a port in place, and keeps the floating IP at the
    old address. No later preview showed a difference.
    """

    CHANGES = (
        (SettingChange("vip", "10.0.0.201", "10.0.0.202"), {**DUAL, "vip": "10.0.0.202"}, "vrrp-vip-port"),
        (SettingChange("vip6", f"{SIX}201", f"{SIX}202"), {**DUAL, "vip6": f"{SIX}202"}, "vrrp-vip-port6"),
    )

    @pytest.mark.parametrize(("change", "settings", "changed"), CHANGES)
    def test_another_vip_is_another_port(self, change: SettingChange, settings: dict[str, Any], changed: str) -> None:
        run = declared(change, asked=True, **settings)
        for name in ("vrrp-vip-port", "vrrp-vip-port6"):
            port = run.one("Port", name)
            assert port.replace_on_changes == (("fixedIps",) if name == changed else ())
            assert port.delete_before_replace

    def test_without_a_preflight_any_change_of_the_address_is_another_port(self) -> None:
        run = declared(**DUAL)
        assert {port.replace_on_changes for port in run.all("Port") if "vip" in port.name} == {("fixedIps",)}

    def test_the_same_vip_keeps_its_port(self, pair: Run) -> None:
        """After an adoption every address is a difference, because an import records none. A new port is an outage."""
        assert pair.one("Port", "vrrp-vip-port").replace_on_changes == ()

    @pytest.mark.parametrize(("change", "settings", "port"), CHANGES)
    def test_an_allowed_change_waits_for_the_gate_before_the_members(
        self, change: SettingChange, settings: dict[str, Any], port: str
    ) -> None:
        """Prevents a floating IP at a VIP that no member has, because the gate stayed closed."""
        run = declared(change, **settings)
        gate = run.one("Command", "vrrp-master-stands-in")
        assert gate.urn in run.waits_for(run.one("Port", port))
        # The gate waits for nothing, and runs in each run that changes the user-data.
        assert run.waits_for(gate) == set()

    @pytest.mark.parametrize("port", ["vrrp-vip-port", "vrrp-vip-port6"])
    def test_in_every_other_run_the_vip_waits_for_no_gate(self, port: str) -> None:
        run = declared(**DUAL)
        assert not {gate.urn for gate in run.all("Command")} & run.waits_for(run.one("Port", port))

    def test_the_floating_ip_names_its_port_and_its_address(self, declare: Declare) -> None:
        run = declare("nz-por-1", vip="10.0.0.240")
        inputs = run.one("FloatingIp", "vrrp-floating-ip").inputs
        assert inputs["portId"] == identifier(run.one("Port", "vrrp-vip-port").urn)
        assert inputs["fixedIp"] == "10.0.0.240"

    def test_the_address_that_the_floating_ip_names_replaces_no_floating_ip(self, pair: Run) -> None:
        """The engine deletes, with the port, each resource with a property of it whose change is a replacement."""
        floating_ip = pair.one("FloatingIp", "vrrp-floating-ip")
        port = pair.one("Port", "vrrp-vip-port").urn
        from_the_port = {key for key, urns in floating_ip.property_dependencies.items() if port in urns}
        assert from_the_port == {"portId"}
        assert floating_ip.replace_on_changes == ()


class TestAMoveToAnotherExternalNetwork:
    """Prevents the 409 RouterExternalGatewayInUseByFloatingIp in the middle of a run that was allowed."""

    MOVE = SettingChange("externalNetwork", "public-net", "other-net")

    def test_an_allowed_move_replaces_the_router(self) -> None:
        moved = declared(self.MOVE, external_network="other-net").one("Router", "vrrp-router")
        assert moved.replace_on_changes == ("externalNetworkId",)
        assert moved.delete_before_replace

    def test_in_every_other_run_the_router_is_updated_in_place(self, pair: Run) -> None:
        """Otherwise a gateway that was cleared by hand would cost the floating IP."""
        assert pair.one("Router", "vrrp-router").replace_on_changes == ()

    @pytest.mark.parametrize(
        ("kind", "name", "key"),
        [
            ("FloatingIp", "vrrp-floating-ip", "pool"),
            ("FloatingIp", "vrrp-master-floating-ip", "pool"),
            ("FloatingIp", "vrrp-backup-floating-ip", "pool"),
            ("RouterInterface", "vrrp-router-interface", "routerId"),
        ],
    )
    def test_what_the_router_carries_is_deleted_before_the_router(self, kind: str, name: str, key: str) -> None:
        """Each has a property of the router whose change is a replacement. A test with the engine confirmed this."""
        run = declared(member_floating_ips=True)
        router = run.one("Router", "vrrp-router").urn
        assert router in run.one(kind, name).property_dependencies[key]

    def test_an_associated_address_is_taken_away_before_the_router(self) -> None:
        run = declared(floating_ip=ADDRESS)
        association = run.one("FloatingIpAssociate", "vrrp-floating-ip-association")
        assert run.one("Router", "vrrp-router").urn in association.property_dependencies["floatingIp"]

    def test_the_ipv6_interface_is_deleted_before_its_successor_is_made(self) -> None:
        """Neutron has one router port for all IPv6 subnets of a network."""
        dual = declared(cidr6="2001:db8:7::/64", http_cidrs=["0.0.0.0/0", "::/0"])
        assert dual.one("RouterInterface", "vrrp-router-interface6").delete_before_replace


class TestTheFloatingIpIsProtected:
    """Prevents the loss of an address that DNS names, and a protection that stops every roll."""

    def test_only_the_floating_ip_and_the_first_step_of_a_destroy_are_protected(self, declare: Declare) -> None:
        """Without a preview the engine would delete the servers before it comes to the floating IP."""
        run = declare("tutorial", protectFloatingIp="true")
        assert [made.name for made in run.outcome.resources.values() if made.protect] == [
            "vrrp-floating-ip",
            "vrrp-teardown",
        ]

    def test_by_default_nothing_is_protected(self, pair: Run) -> None:
        assert [made.name for made in pair.outcome.resources.values() if made.protect] == []

    def test_a_tag_says_that_it_is_protected(self) -> None:
        tag = pair_tag(PROJECT, "test", "vrrp")
        assert declared().one("FloatingIp", "vrrp-floating-ip").inputs["tags"] == [tag]
        protected = declared(protect_floating_ip=True).one("FloatingIp", "vrrp-floating-ip")
        assert protected.inputs["tags"] == [tag, "vrrp-protected"]


class TestAnExistingFloatingIp:
    """Prevents a floating IP of the project that is deleted with the pair, or a second one beside it."""

    def test_it_is_associated_and_not_made(self) -> None:
        run = declared(floating_ip=ADDRESS)
        assert run.all("FloatingIp") == []
        assert run.one("FloatingIpAssociate", "vrrp-floating-ip-association").inputs == {
            "floatingIp": ADDRESS,
            "portId": identifier(run.one("Port", "vrrp-vip-port").urn),
            "fixedIp": "10.0.0.201",
        }

    def test_the_association_waits_for_the_routers_interface_and_is_no_twin(self) -> None:
        run = declared(floating_ip=ADDRESS)
        association = run.one("FloatingIpAssociate", "vrrp-floating-ip-association")
        assert run.one("RouterInterface", "vrrp-router-interface").urn in run.waits_for(association)
        assert association.delete_before_replace

    @pytest.mark.parametrize(
        ("change", "settings"),
        [
            (SettingChange("floatingIp", "203.0.113.10", ADDRESS), {"floating_ip": ADDRESS}),
            (SettingChange("floatingIp", ADDRESS, "new"), {}),
        ],
    )
    def test_a_change_between_both_kinds_replaces_the_vips_port(
        self, change: SettingChange, settings: dict[str, str]
    ) -> None:
        """The engine deletes a resource that is no longer declared last; Neutron has refused the new one by then."""
        port = declared(change, asked=True, **settings).one("Port", "vrrp-vip-port")
        assert port.replace_on_changes == ("tags",)
        # The tag is the difference.
        assert ("vrrp-existing-floating-ip" in port.inputs["tags"]) == bool(settings)

    def test_an_older_pair_gets_its_tags_without_a_new_port(self) -> None:
        assert declared(asked=True).one("Port", "vrrp-vip-port").replace_on_changes == ()


class TestAnInternalPair:
    """Prevents a public address that the settings do not ask for, and a url that leads nowhere."""

    def test_it_has_no_floating_ip(self) -> None:
        run = declared(floating_ip="none")
        assert run.all("FloatingIp") == run.all("FloatingIpAssociate") == []

    def test_its_url_has_the_vip(self, declare: Declare) -> None:
        run = declare("nz-por-1", floatingIp="none", service=json.dumps({"port": 8080}))
        assert run.outcome.outputs["url"] == "http://10.0.0.201:8080"
        assert "floatingIp" not in run.outcome.outputs


class TestThePortOfTheServiceMoves:
    """Prevents a port that closes before a server listens on the new one: the old rule was replaced in place."""

    RULE = "vrrp-ingress-http-{}-from-anywhere"

    def test_another_port_is_another_rule(self, declare: Declare) -> None:
        before, after = declare("nz-por-1"), declare("nz-por-1", service=json.dumps({"port": 8080}))
        assert {rule.name for rule in after.all("SecGroupRule")} ^ {
            rule.name for rule in before.all("SecGroupRule")
        } == {
            self.RULE.format(80),
            self.RULE.format(8080),
        }

    def test_a_rule_of_an_older_release_keeps_its_place(self, pair: Run) -> None:
        assert pair.one("SecGroupRule", self.RULE.format(80)).old_names == ("vrrp-ingress-http-from-anywhere",)

    def test_a_changed_port_of_an_older_release_opens_before_the_old_one_closes(self, declare: Declare) -> None:
        """The old name fits the new rule, so this once the engine replaces it."""
        rule = declare("nz-por-1", service=json.dumps({"port": 8080})).one("SecGroupRule", self.RULE.format(8080))
        assert rule.old_names
        assert not rule.delete_before_replace

    def test_the_servers_wait_for_the_new_rule(self, declare: Declare) -> None:
        run = declare("nz-por-1", service=json.dumps({"port": 8080}))
        rule = run.one("SecGroupRule", self.RULE.format(8080)).urn
        assert [server.name for server in run.all("Instance") if rule not in run.waits_for(server)] == []
