"""After a killed run: what the state calls begun is looked for in the cloud."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

from ops.engine import Engine
from ops.inventory import Inventory
from ops.recover import Begun, look_for_begun, until_settled, with_what_was_begun, write_down
from ops.type_tokens import NETWORK, SERVER

from .test_adopt import GATE, Project


def pending(kind: str, type_: str, logical: str, /, **inputs: Any) -> dict[str, Any]:
    return {"type": kind, "resource": {"urn": f"urn::{logical}", "type": type_, "inputs": inputs}}


class TestWhatWasBegun:
    """Prevents a second network of the same name after a killed `up`, and one that `destroy` does not know."""

    def test_it_is_looked_for_by_its_inputs(self) -> None:
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
        assert [(one.name, one.ids) for one in look_for_begun(state, project)] == [
            ("made", ["n-1"]),
            ("not-made", []),
            ("gate", []),
        ]

    def test_the_one_that_it_was_to_replace_is_known_already(self) -> None:
        state = {
            "resources": [{"urn": "urn::net", "id": "n-1", "delete": True}],
            "pending_operations": [pending("creating", NETWORK, "net", name="net")],
        }
        project = cast(Inventory, Project({"net": ["n-1", "n-2"]}))
        assert [(one.ids, one.made_again) for one in look_for_begun(state, project)] == [(["n-2"], False)]

    def test_a_predecessor_that_is_deleted_already_is_no_obstacle(self) -> None:
        """The worst moment of a roll; a key pair's id is its name, so that it is the same."""
        state = {
            "resources": [{"urn": "urn::key", "id": "key", "pendingReplacement": True}],
            "pending_operations": [pending("creating", NETWORK, "key", name="key")],
        }
        project = cast(Inventory, Project({"key": ["key"]}))
        assert [(one.ids, one.made_again) for one in look_for_begun(state, project)] == [(["key"], False)]

    def test_one_that_the_stack_has_made_again_is_left_over(self) -> None:
        """An `up` after the kill, without this command between."""
        state = {
            "resources": [{"urn": "urn::net", "id": "n-2"}],
            "pending_operations": [pending("creating", NETWORK, "net", name="net")],
        }
        project = cast(Inventory, Project({"net": ["n-1", "n-2"]}))
        assert [(one.ids, one.made_again) for one in look_for_begun(state, project)] == [(["n-1"], True)]

    def test_a_stack_that_was_not_interrupted_or_is_empty_has_nothing_begun(self) -> None:
        assert look_for_begun({}, cast(Inventory, Project({}))) == []


class TestWhatIsWrittenDown:
    """Prevents a resource that the stack has forgotten, and a pending creation that warns at every later run."""

    MADE = pending("creating", NETWORK, "made", name="made")
    NOT_MADE = pending("creating", NETWORK, "not-made", name="not-made")
    STATE: Mapping[str, Any] = {
        "manifest": "kept",
        "resources": [{"urn": "urn::stack"}],
        "pending_operations": [MADE, NOT_MADE, pending("deleting", NETWORK, "going", name="going")],
    }

    def test_what_is_there_is_taken_in_and_the_rest_forgotten(self) -> None:
        state = with_what_was_begun(
            dict(self.STATE), [Begun(self.MADE["resource"], ["n-1"]), Begun(self.NOT_MADE["resource"], [])]
        )
        assert state["manifest"] == "kept"
        assert [(one["urn"], one.get("id")) for one in state["resources"]] == [
            ("urn::stack", None),
            ("urn::made", "n-1"),
        ]
        assert [operation["type"] for operation in state["pending_operations"]] == ["deleting"]

    def test_what_the_cloud_can_not_be_asked_for_stays_as_the_program_wanted_it(self) -> None:
        """A server's clean shutdown, and its user-data."""
        begun = pending("creating", SERVER, "server", name="s", stopBeforeDestroy=True)
        state = with_what_was_begun({"pending_operations": [begun]}, [Begun(begun["resource"], ["i-1"])])
        (server,) = state["resources"]
        assert server["inputs"] == {"name": "s", "stopBeforeDestroy": True}
        assert server["outputs"] == {"name": "s", "stopBeforeDestroy": True, "id": "i-1"}

    def test_a_successor_takes_its_predecessors_place(self) -> None:
        """What depends on it comes after it, or the engine refuses the state."""
        state = {
            "resources": [
                {"urn": "urn::stack"},
                {"urn": "urn::made", "id": "old", "pendingReplacement": True},
                {"urn": "urn::gate", "dependencies": ["urn::made"]},
            ],
            "pending_operations": [self.MADE],
        }
        written = with_what_was_begun(state, [Begun(self.MADE["resource"], ["new"])])["resources"]
        assert [(one["urn"], one.get("id"), "pendingReplacement" in one) for one in written] == [
            ("urn::stack", None, False),
            ("urn::made", "new", False),
            ("urn::gate", None, False),
        ]

    def test_the_stack_is_written(self) -> None:
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
        write_down(Recording(cast(Any, None), "stack"), [Begun(self.MADE["resource"], ["n-1"])])
        assert [arguments[:2] for arguments in ran] == [("stack", "export"), ("stack", "import")]
        assert written[0]["version"] == 3
        assert [one["urn"] for one in written[0]["deployment"]["resources"]] == ["urn::stack", "urn::made"]


class TestServersThatNovaIsBusyWith:
    """Prevents a server in the state without its networks, and a stack that no run can read any more."""

    @staticmethod
    def _nova(*statuses: str) -> SimpleNamespace:
        answers = list(statuses)

        def find_server(_: str) -> SimpleNamespace:
            return SimpleNamespace(name="vrrp-backup", status=answers.pop(0) if len(answers) > 1 else answers[0])

        return SimpleNamespace(find_server=find_server)

    STATE: Mapping[str, Any] = {"resources": [{"type": "pulumi:pulumi:Stack"}, {"type": SERVER, "id": "i-1"}]}

    def _settled(self, *statuses: str) -> tuple[list[str], list[str], float]:
        now, said = [0.0], list[str]()

        def sleep(seconds: float) -> None:
            now[0] += seconds

        waiting = until_settled(dict(self.STATE), self._nova(*statuses), said.append, sleep, lambda: now[0])
        return waiting, said, now[0]

    def test_one_that_is_built_is_waited_for(self) -> None:
        assert self._settled("BUILD", "BUILD", "ACTIVE") == ([], ["waiting for vrrp-backup: Nova says BUILD"], 6)

    def test_one_whose_resize_nobody_confirms_is_named(self) -> None:
        assert self._settled("RESIZE", "VERIFY_RESIZE")[0] == ["vrrp-backup"]

    def test_the_wait_has_an_end(self) -> None:
        assert self._settled("BUILD")[2] <= 610
