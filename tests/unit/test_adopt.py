"""Adoption: which of the cloud's resources are taken for which of the program's, and what is told about it.

What the engine and the provider then make of the import file is shown in tests/cloud.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from ops.adopt import UNKNOWN, changes_of, fill_in, match_all, with_clean_shutdowns
from ops.engine import Step
from ops.inventory import Inventory
from ops.type_tokens import NETWORK, PORT, SERVER, SUBNET

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
    """Answers with the ids of what bears the name; remembers what it was asked."""

    ids: Mapping[str, list[str]]
    asked: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    def knows(self, type_: str) -> bool:
        return type_.startswith("openstack:")

    def ids_of(self, type_: str, inputs: Mapping[str, Any]) -> list[str]:
        self.asked.append(dict(inputs))
        return list(self.ids.get(inputs["name"], []))


def in_the(**ids: list[str]) -> Inventory:
    return cast(Inventory, Project(ids))


class TestWhatIsTakenForWhat:
    """Prevents an import of another pair's network, and an `up` that makes a second one beside the first."""

    def test_one_of_the_name_is_found(self) -> None:
        (match,) = match_all([step(NETWORK, "vrrp-net", name="net")], in_the(net=["n-1"]))
        assert (match.name, match.ids) == ("net", ["n-1"])

    def test_none_is_missing_and_two_are_ambiguous(self) -> None:
        steps = [step(NETWORK, "a", name="none"), step(NETWORK, "b", name="two")]
        assert [match.ids for match in match_all(steps, in_the(two=["n-1", "n-2"]))] == [[], ["n-1", "n-2"]]

    def test_what_hangs_on_it_is_looked_for_inside_what_was_found(self) -> None:
        project = Project({"net": ["n-1"], "subnet": ["s-1"]})
        within = {"networkId": ["urn::vrrp-net"]}
        steps = [
            step(NETWORK, "vrrp-net", name="net"),
            step(SUBNET, "vrrp-subnet", name="subnet", networkId=UNKNOWN, dependencies=within),
        ]
        match_all(steps, cast(Inventory, project))
        assert project.asked[1] == {"name": "subnet", "networkId": "n-1"}

    def test_what_hangs_on_a_missing_or_an_ambiguous_one_is_missing_and_not_looked_for(self) -> None:
        within = {"networkId": ["urn::vrrp-net"]}
        steps = [
            step(NETWORK, "vrrp-net", name="net"),
            step(SUBNET, "vrrp-subnet", name="subnet", networkId=UNKNOWN, dependencies=within),
        ]
        for ids in ([], ["n-1", "n-2"]):
            project = Project({"net": ids, "subnet": ["s-1"]})
            assert match_all(steps, cast(Inventory, project))[1].ids == []
            assert len(project.asked) == 1

    def test_what_the_stack_has_already_and_what_no_cloud_has_is_left_out(self) -> None:
        steps = [step(NETWORK, "vrrp-net", "same", name="net"), step(GATE, "vrrp-backup-ready")]
        assert match_all(steps, in_the(net=["n-1"])) == []


class TestTheImportFile:
    """Prevents a `pulumi import` that fails at a placeholder, or at a resource that is not there."""

    SKELETON: Mapping[str, Any] = {
        "nameTable": {"stack": "urn::stack"},
        "resources": [
            {"type": "vrrp:index:VrrpPair", "name": "vrrp", "component": True},
            {"type": NETWORK, "name": "vrrp-net", "id": "<PLACEHOLDER>", "parent": "vrrp"},
            {"type": PORT, "name": "vrrp-port", "id": "<PLACEHOLDER>", "parent": "vrrp"},
            {"type": GATE, "name": "vrrp-backup-ready", "id": "<PLACEHOLDER>", "parent": "vrrp"},
        ],
    }

    def test_it_has_the_component_and_what_was_found(self) -> None:
        steps = [step(NETWORK, "vrrp-net", name="net"), step(PORT, "vrrp-port", name="port")]
        filled = fill_in(self.SKELETON, match_all(steps, in_the(net=["n-1"])))
        assert filled == {
            "nameTable": {"stack": "urn::stack"},
            "resources": [
                {"type": "vrrp:index:VrrpPair", "name": "vrrp", "component": True},
                {"type": NETWORK, "name": "vrrp-net", "id": "n-1", "parent": "vrrp"},
            ],
        }

    def test_a_name_that_the_engine_had_to_make_unique_is_still_known(self) -> None:
        skeleton = {"resources": [{"type": NETWORK, "name": "vrrp-net_2", "logicalName": "vrrp-net", "id": "?"}]}
        filled = fill_in(skeleton, match_all([step(NETWORK, "vrrp-net", name="net")], in_the(net=["n-1"])))
        assert [entry["id"] for entry in filled["resources"]] == ["n-1"]


class TestServersMadeByHandAreShutDown:
    """Prevents the gap of a lost master, three advertisements and more, when an adopted server is replaced."""

    def test_every_server_and_nothing_else_is_asked_to_stop(self) -> None:
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


class TestWhatAnUpWouldDo:
    """Prevents a replacement that reads like nothing: the engine has three steps for it, and none for what stays."""

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

    def test_a_port_that_is_replaced_loses_its_place_and_a_server_does_not(self) -> None:
        steps = [step(PORT, "a", "replace"), step(PORT, "b", "update"), step(SERVER, "c", "replace")]
        assert [change.loses_its_place for change in changes_of(steps)] == [True, False, False]
