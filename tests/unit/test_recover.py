"""Recovery after a killed run: pending creations are searched in the cloud, and settled in the state."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

from ops.engine import Engine
from ops.inventory import Inventory
from ops.recover import BegunCreation, find_begun, record, until_settled, with_pending_creations_settled
from ops.type_tokens import NETWORK, SERVER

from .test_adopt import GATE, Project


def pending(kind: str, type_: str, logical: str, /, **inputs: Any) -> dict[str, Any]:
    return {"type": kind, "resource": {"urn": f"urn::{logical}", "type": type_, "inputs": inputs}}


class TestPendingCreationsAreFound:
    """Prevents a second network of the same name after a killed `up`, and one that `destroy` does not know."""

    def test_each_is_searched_by_its_inputs(self) -> None:
        state = {
            "pending_operations": [
                pending("creating", NETWORK, "made", name="made"),
                pending("creating", NETWORK, "not-made", name="not-made"),
                pending("deleting", NETWORK, "going", name="going"),
                pending("updating", NETWORK, "changing", name="changing"),
                pending("creating", GATE, "gate"),
            ]
        }
        project = cast(Inventory, Project({"made": ["n-1"], "going": ["n-2"], "changing": ["n-3"]}))
        assert [(one.name, one.ids) for one in find_begun(state, project)] == [
            ("made", ["n-1"]),
            ("not-made", []),
            ("gate", []),
        ]

    def test_the_predecessor_of_a_replacement_is_not_taken_for_it(self) -> None:
        state = {
            "resources": [{"urn": "urn::net", "id": "n-1", "delete": True}],
            "pending_operations": [pending("creating", NETWORK, "net", name="net")],
        }
        project = cast(Inventory, Project({"net": ["n-1", "n-2"]}))
        assert [(one.ids, one.made_again) for one in find_begun(state, project)] == [(["n-2"], False)]

    def test_a_replacement_with_the_id_of_its_deleted_predecessor_is_found(self) -> None:
        """The worst moment of a roll. The id of a key pair is its name, so both have the same."""
        state = {
            "resources": [{"urn": "urn::key", "id": "key", "pendingReplacement": True}],
            "pending_operations": [pending("creating", NETWORK, "key", name="key")],
        }
        project = cast(Inventory, Project({"key": ["key"]}))
        assert [(one.ids, one.made_again) for one in find_begun(state, project)] == [(["key"], False)]

    def test_a_resource_that_a_later_run_created_again_is_marked(self) -> None:
        """An `up` ran after the kill, without `recover` in between."""
        state = {
            "resources": [{"urn": "urn::net", "id": "n-2"}],
            "pending_operations": [pending("creating", NETWORK, "net", name="net")],
        }
        project = cast(Inventory, Project({"net": ["n-1", "n-2"]}))
        assert [(one.ids, one.made_again) for one in find_begun(state, project)] == [(["n-1"], True)]

    def test_an_empty_stack_has_no_pending_creations(self) -> None:
        assert find_begun({}, cast(Inventory, Project({}))) == []


class TestTheStateIsSettled:
    """Prevents a resource that the stack has forgotten, and a pending creation that warns at every later run."""

    MADE = pending("creating", NETWORK, "made", name="made")
    NOT_MADE = pending("creating", NETWORK, "not-made", name="not-made")
    STATE: Mapping[str, Any] = {
        "manifest": "kept",
        "resources": [{"urn": "urn::stack"}],
        "pending_operations": [MADE, NOT_MADE, pending("deleting", NETWORK, "going", name="going")],
    }

    def test_existing_resources_are_taken_in_and_missing_ones_forgotten(self) -> None:
        state = with_pending_creations_settled(
            dict(self.STATE),
            [BegunCreation(self.MADE["resource"], ["n-1"]), BegunCreation(self.NOT_MADE["resource"], [])],
        )
        assert state["manifest"] == "kept"
        assert [(one["urn"], one.get("id")) for one in state["resources"]] == [
            ("urn::stack", None),
            ("urn::made", "n-1"),
        ]
        assert [operation["type"] for operation in state["pending_operations"]] == ["deleting"]

    def test_a_resource_that_a_later_run_created_again_is_not_taken_in(self) -> None:
        """The command ends before, with a message; the state would have two resources of one URN."""
        begun = BegunCreation(self.MADE["resource"], ["n-1"], made_again=True)
        state = with_pending_creations_settled(dict(self.STATE), [begun])
        assert [one["urn"] for one in state["resources"]] == ["urn::stack"]

    def test_properties_that_a_refresh_can_not_read_keep_the_programs_values(self) -> None:
        """For example the clean shutdown of a server, and its user-data."""
        begun = pending("creating", SERVER, "server", name="s", stopBeforeDestroy=True)
        state = with_pending_creations_settled(
            {"pending_operations": [begun]}, [BegunCreation(begun["resource"], ["i-1"])]
        )
        (server,) = state["resources"]
        assert server["inputs"] == {"name": "s", "stopBeforeDestroy": True}
        assert server["outputs"] == {"name": "s", "stopBeforeDestroy": True, "id": "i-1"}

    def test_a_replacement_takes_the_place_of_its_predecessor(self) -> None:
        """The engine refuses a state in which a resource comes before its dependency."""
        state = {
            "resources": [
                {"urn": "urn::stack"},
                {"urn": "urn::made", "id": "old", "pendingReplacement": True},
                {"urn": "urn::gate", "dependencies": ["urn::made"]},
            ],
            "pending_operations": [self.MADE],
        }
        written = with_pending_creations_settled(state, [BegunCreation(self.MADE["resource"], ["new"])])["resources"]
        assert [(one["urn"], one.get("id"), "pendingReplacement" in one) for one in written] == [
            ("urn::stack", None, False),
            ("urn::made", "new", False),
            ("urn::gate", None, False),
        ]

    def test_the_settled_state_is_imported_into_the_stack(self) -> None:
        ran: list[tuple[str, ...]] = []

        class Recording(Engine):
            def run(self, *arguments: str, given: str | None = None) -> str:
                ran.append(arguments)
                if arguments == ("stack", "export"):
                    return json.dumps({"version": 3, "deployment": dict(there)})
                if given is not None:
                    written.append(json.loads(given))
                return ""

        there, written = self.STATE, list[Any]()
        record(Recording(cast(Any, None), "stack"), [BegunCreation(self.MADE["resource"], ["n-1"])])
        assert [arguments[:2] for arguments in ran] == [("stack", "export"), ("stack", "import")]
        assert written[0]["version"] == 3
        assert [one["urn"] for one in written[0]["deployment"]["resources"]] == ["urn::stack", "urn::made"]


class TestServersWithATaskAreAwaited:
    """Prevents a server without its networks in the state, and a stack that no run can refresh."""

    @staticmethod
    def _nova(*statuses: str) -> SimpleNamespace:
        answers = list(statuses)

        def find_server(server: str) -> SimpleNamespace:
            assert server == "i-1"
            return SimpleNamespace(name="vrrp-backup", status=answers.pop(0) if len(answers) > 1 else answers[0])

        return SimpleNamespace(find_server=find_server)

    STATE: Mapping[str, Any] = {
        "resources": [
            {"type": "pulumi:pulumi:Stack"},
            {"type": NETWORK, "id": "n-1"},
            {"type": SERVER, "id": "i-1"},
            # Nova has not created it yet.
            {"type": SERVER},
        ]
    }

    def _settled(self, *statuses: str) -> tuple[list[str], list[str], float]:
        now, said = [0.0], list[str]()

        def sleep(seconds: float) -> None:
            now[0] += seconds

        waiting = until_settled(dict(self.STATE), self._nova(*statuses), said.append, sleep, lambda: now[0])
        return waiting, said, now[0]

    def test_a_server_that_is_being_built_is_awaited(self) -> None:
        assert self._settled("BUILD", "BUILD", "ACTIVE") == ([], ["waiting for vrrp-backup: Nova says BUILD"], 6)

    def test_a_server_with_an_unconfirmed_resize_is_named(self) -> None:
        assert self._settled("RESIZE", "VERIFY_RESIZE")[0] == ["vrrp-backup"]

    def test_the_wait_ends_after_ten_minutes(self) -> None:
        assert self._settled("BUILD")[2] <= 610
