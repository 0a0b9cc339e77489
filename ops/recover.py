"""After a run that was killed: what the engine was creating, and could not write down any more.

Its state says what it had begun. Where the cloud has it, the stack takes it in; where not, the stack forgets about it.
Without this the next `up` would make it a second time, or meet a 409, and `destroy` would leave it behind.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from .engine import Engine
from .inventory import Inventory


@dataclass(frozen=True)
class Begun:
    """A resource whose creation had begun."""

    urn: str
    #: One when the cloud has it, none when it has not, several when that can't be told.
    ids: list[str]

    @property
    def name(self) -> str:
        return self.urn.rpartition("::")[2]


def look_for_begun(state: dict[str, Any], inventory: Inventory) -> list[Begun]:
    """Look up each resource that the state of a stack calls begun and not done."""
    resources: list[dict[str, Any]] = state.get("resources") or []
    operations: list[dict[str, Any]] = state.get("pending_operations") or []
    known = {str(resource.get("id")) for resource in resources}
    begun: list[Begun] = []
    for operation in operations:
        if operation["type"] == "creating":
            resource: dict[str, Any] = operation["resource"]
            type_, inputs = str(resource["type"]), dict(resource.get("inputs") or {})
            found = inventory.ids_of(type_, inputs) if inventory.knows(type_) else []
            # What the stack has already is the one that this was to replace.
            begun.append(Begun(resource["urn"], [id_ for id_ in found if id_ not in known]))
    return begun


def write_down(engine: Engine, begun: Iterable[Begun]) -> None:
    """Take what the cloud has into the stack, forget the rest, and compare the stack with the cloud.

    :raises EngineError: with the engine's words, as when another run holds the stack.
    """
    taken = [argument for one in begun if one.ids for argument in (one.urn, one.ids[0])]
    arguments = [part for argument in taken for part in ("--import-pending-creates", argument)]
    engine.run("refresh", "--yes", "--skip-preview", "--clear-pending-creates", *arguments)
