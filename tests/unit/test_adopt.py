"""Adoption matches existing resources with those of the program, and shows what an `up` would do.

The test in tests/cloud runs `ops adopt` with the real engine and provider.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from ops.adopt import (
    UNKNOWN,
    Adoption,
    changes_of,
    fill_in,
    import_all,
    match_all,
    unmanaged,
    with_clean_shutdowns,
)
from ops.engine import Engine, Step
from ops.inventory import Inventory
from ops.type_tokens import FLOATING_IP, NETWORK, PORT, RULE, SECURITY_GROUP, SERVER, SUBNET

GATE = "command:local:Command"


def step(
    type_: str,
    logical: str,
    /,
    operation: str = "create",
    reasons: list[str] | None = None,
    dependencies: dict[str, list[str]] | None = None,
    **inputs: Any,
) -> Step:
    return Step(operation, f"urn::{logical}", type_, reasons or [], inputs, dependencies or {})


@dataclass
class Project:
    """Finds resources by their name, and records the inputs that it was asked for."""

    ids: Mapping[str, list[str]]
    asked: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    def knows(self, type_: str) -> bool:
        return type_.startswith("openstack:")

    def ids_of(self, type_: str, inputs: Mapping[str, Any]) -> list[str]:
        self.asked.append(dict(inputs))
        return list(self.ids.get(inputs["name"], []))


def in_the(**ids: list[str]) -> Inventory:
    return cast(Inventory, Project(ids))


class TestMatching:
    """Prevents an import of another pair's network, and an `up` that creates a second network beside the pair's own."""

    def test_one_resource_of_the_name_is_found(self) -> None:
        (match,) = match_all([step(NETWORK, "vrrp-net", name="net")], in_the(net=["n-1"]))
        assert (match.name, match.ids) == ("net", ["n-1"])

    def test_a_name_of_no_resource_is_missing_and_a_name_of_two_is_ambiguous(self) -> None:
        steps = [step(NETWORK, "a", name="none"), step(NETWORK, "b", name="two")]
        assert [match.ids for match in match_all(steps, in_the(two=["n-1", "n-2"]))] == [[], ["n-1", "n-2"]]

    def test_a_subnet_is_searched_in_the_network_that_was_found(self) -> None:
        project = Project({"net": ["n-1"], "subnet": ["s-1"]})
        within = {"networkId": ["urn::vrrp-net"]}
        steps = [
            step(NETWORK, "vrrp-net", name="net"),
            step(SUBNET, "vrrp-subnet", name="subnet", networkId=UNKNOWN, dependencies=within),
        ]
        match_all(steps, cast(Inventory, project))
        assert project.asked[1] == {"name": "subnet", "networkId": "n-1"}

    def test_a_subnet_of_a_missing_or_ambiguous_network_is_missing(self) -> None:
        within = {"networkId": ["urn::vrrp-net"]}
        steps = [
            step(NETWORK, "vrrp-net", name="net"),
            step(SUBNET, "vrrp-subnet", name="subnet", networkId=UNKNOWN, dependencies=within),
        ]
        for ids in ([], ["n-1", "n-2"]):
            project = Project({"net": ids, "subnet": ["s-1"]})
            assert match_all(steps, cast(Inventory, project))[1].ids == []
            assert len(project.asked) == 1

    def test_resources_of_the_stack_and_gates_are_not_searched(self) -> None:
        steps = [step(NETWORK, "vrrp-net", "same", name="net"), step(GATE, "vrrp-backup-ready")]
        assert match_all(steps, in_the(net=["n-1"])) == []


class TestTheImportFile:
    """Prevents a `pulumi import` that fails at a placeholder, or at a missing resource."""

    SKELETON: Mapping[str, Any] = {
        "nameTable": {"stack": "urn::stack"},
        "resources": [
            {"type": "vrrp:index:VrrpPair", "name": "vrrp", "component": True},
            {"type": NETWORK, "name": "vrrp-net", "id": "<PLACEHOLDER>", "parent": "vrrp"},
            {"type": PORT, "name": "vrrp-port", "id": "<PLACEHOLDER>", "parent": "vrrp"},
            {"type": GATE, "name": "vrrp-backup-ready", "id": "<PLACEHOLDER>", "parent": "vrrp"},
        ],
    }

    def test_it_has_the_component_and_the_resources_that_were_found(self) -> None:
        steps = [step(NETWORK, "vrrp-net", name="net"), step(PORT, "vrrp-port", name="port")]
        filled = fill_in(self.SKELETON, match_all(steps, in_the(net=["n-1"])))
        assert filled == {
            "nameTable": {"stack": "urn::stack"},
            "resources": [
                {"type": "vrrp:index:VrrpPair", "name": "vrrp", "component": True},
                {"type": NETWORK, "name": "vrrp-net", "id": "n-1", "parent": "vrrp"},
            ],
        }

    def test_a_name_that_the_engine_made_unique_is_recognized(self) -> None:
        skeleton = {"resources": [{"type": NETWORK, "name": "vrrp-net_2", "logicalName": "vrrp-net", "id": "?"}]}
        filled = fill_in(skeleton, match_all([step(NETWORK, "vrrp-net", name="net")], in_the(net=["n-1"])))
        assert [entry["id"] for entry in filled["resources"]] == ["n-1"]


class TestAdoptedServersShutDownCleanly:
    """Prevents a stop of an adopted server without priority 0: its peer would first miss three advertisements."""

    def test_every_server_and_nothing_else_gets_the_setting(self) -> None:
        state = {
            "manifest": "kept",
            "resources": [
                {"type": "pulumi:pulumi:Stack", "urn": "urn::stack"},
                {"type": NETWORK, "inputs": {"name": "net"}, "outputs": {"name": "net"}},
                {"type": SERVER, "inputs": {"name": "s"}, "outputs": {"name": "s", "stopBeforeDestroy": False}},
            ],
        }
        changed = with_clean_shutdowns(state)
        assert changed["manifest"] == "kept"
        assert changed["resources"][:2] == state["resources"][:2]
        stopped = {"name": "s", "stopBeforeDestroy": True}
        assert changed["resources"][2] == {"type": SERVER, "inputs": stopped, "outputs": stopped}


class TestTheImport:
    """Prevents protected servers that no later `up` can replace."""

    @staticmethod
    def _imported(ids: list[str]) -> list[tuple[str, ...]]:
        """Import one network (or none), and return the engine's commands."""
        ran: list[tuple[str, ...]] = []

        class Recording(Engine):
            def run(self, *arguments: str, given: str | None = None) -> str:
                ran.append(arguments)
                return json.dumps({"deployment": {"resources": []}}) if arguments == ("stack", "export") else ""

        adoption = Adoption(match_all([step(NETWORK, "vrrp-net", name="net")], in_the(net=ids)), {})
        import_all(Recording(Path("/nowhere"), "prod"), adoption, Path("adopt.json"))
        return ran

    def test_nothing_is_protected_and_the_servers_get_their_clean_shutdown_afterwards(self) -> None:
        command, *rest = self._imported(["n-1"])
        assert command[:3] == ("import", "--file", "adopt.json")
        assert {"--protect=false", "--generate-code=false", "--yes"} <= set(command)
        assert [arguments[:2] for arguments in rest] == [("stack", "export"), ("stack", "import")]

    def test_without_any_match_nothing_is_imported(self) -> None:
        assert [arguments[:2] for arguments in self._imported([])] == [("stack", "export"), ("stack", "import")]


class TestUnmanagedRulesAndAddresses:
    """Prevents an open port that the operator believes closed after the adoption."""

    def test_only_rules_and_addresses_without_a_match_are_reported(self) -> None:
        class OfTheProject(Project):
            def ingress_rules(self, group: str) -> dict[str, str]:
                assert group == "g-1"
                return {"r-1": "tcp 80", "r-2": "tcp 22"}

            def floating_ips(self, port: str) -> dict[str, str]:
                assert port == "p-1"
                return {"f-1": "198.51.100.7", "f-2": "198.51.100.8"}

        ids = {"group": ["g-1"], "rule": ["r-1"], "port": ["p-1"], "ip": ["f-1"], "two": ["p-2", "p-3"]}
        project = cast(Inventory, OfTheProject(ids))
        steps = [
            step(SECURITY_GROUP, "a", name="group"),
            step(RULE, "b", name="rule"),
            step(PORT, "c", name="port"),
            step(FLOATING_IP, "d", name="ip"),
            step(PORT, "e", name="two"),
        ]
        adoption = Adoption(match_all(steps, project), {})
        assert unmanaged(adoption, project) == ["group lets in tcp 22", "port has the floating IP 198.51.100.8"]


class TestPlannedChanges:
    """Prevents a replacement that is overlooked: the engine has three steps for it."""

    def test_the_steps_of_a_replacement_are_one_change_with_every_reason(self) -> None:
        steps = [
            step(SERVER, "vrrp-backup", "delete-replaced", ["userData"]),
            step(SERVER, "vrrp-backup", "replace", ["userData", "keyPair"]),
            step(SERVER, "vrrp-backup", "create-replacement", ["userData"]),
            step(NETWORK, "vrrp-net", "same"),
            step(PORT, "vrrp-port", "update", ["name"]),
        ]
        assert [(change.operation, change.name, change.reasons) for change in changes_of(steps)] == [
            ("replace", "vrrp-backup", ["keyPair", "userData"]),
            ("update", "vrrp-port", ["name"]),
        ]

    def test_the_replacement_of_a_port_is_an_outage_and_that_of_a_server_is_not(self) -> None:
        steps = [step(PORT, "a", "replace"), step(PORT, "b", "update"), step(SERVER, "c", "replace")]
        assert [change.is_an_outage for change in changes_of(steps)] == [True, False, False]

    def test_the_deletion_of_a_floating_ip_is_an_outage(self) -> None:
        assert [change.is_an_outage for change in changes_of([step(FLOATING_IP, "a", "delete")])] == [True]


class TestTheEnginesSteps:
    """Prevents a change without its reason, and a deletion without its type."""

    def test_a_step_has_the_reasons_of_its_difference_and_of_its_replacement(self) -> None:
        planned = Step.of(
            {
                "op": "replace",
                "urn": "urn:pulumi:prod::vrrp-pair::t::vrrp-backup",
                "newState": {"type": SERVER, "inputs": {"name": "s"}, "propertyDependencies": {"networks": ["urn"]}},
                "replaceReasons": ["userData"],
                "diffReasons": ["flavorName", "userData"],
            }
        )
        assert (planned.name, planned.type, planned.reasons) == ("vrrp-backup", SERVER, ["flavorName", "userData"])
        assert (planned.inputs, planned.dependencies) == ({"name": "s"}, {"networks": ["urn"]})

    def test_a_deletion_has_the_type_of_the_old_state(self) -> None:
        assert Step.of({"op": "delete", "urn": "u::p", "oldState": {"type": PORT}}).type == PORT
