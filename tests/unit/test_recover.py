"""After a killed run: what the state calls begun is looked for in the cloud."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, cast

from ops.engine import Engine
from ops.inventory import Inventory
from ops.recover import Begun, look_for_begun, write_down

from .test_adopt import GATE, NETWORK, Project


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
        assert look_for_begun(state, project) == [
            Begun("urn::made", ["n-1"]),
            Begun("urn::not-made", []),
            Begun("urn::gate", []),
        ]

    def test_the_one_that_it_was_to_replace_is_known_already(self) -> None:
        state = {
            "resources": [{"urn": "urn::net", "id": "n-1"}],
            "pending_operations": [pending("creating", NETWORK, "net", name="net")],
        }
        project = cast(Inventory, Project({"net": ["n-1", "n-2"]}))
        assert look_for_begun(state, project) == [Begun("urn::net", ["n-2"])]

    def test_a_stack_that_was_not_interrupted_or_is_empty_has_nothing_begun(self) -> None:
        assert look_for_begun({}, cast(Inventory, Project({}))) == []


class TestWhatTheEngineIsTold:
    """Prevents a pending creation that stays, and warns at every later run."""

    def test_what_is_there_is_taken_in_and_the_rest_forgotten(self) -> None:
        ran: list[tuple[str, ...]] = []

        class Recording(Engine):
            def run(self, *arguments: str, given: str | None = None) -> str:
                ran.append(arguments)
                return ""

        write_down(Recording(cast(Any, None), "stack"), [Begun("urn::made", ["n-1"]), Begun("urn::not-made", [])])
        ((command, *arguments),) = ran
        assert command == "refresh"
        assert "--clear-pending-creates" in arguments
        taken = [value for flag, value in pairwise(arguments) if flag.startswith("--import")]
        assert taken == ["urn::made", "n-1"]
