"""After a run that was killed: what the engine was creating, and could not write down any more.

Its state says what it had begun. Where the cloud has it, the stack takes it in; where not, the stack forgets about it.
Without this the next `up` would make it a second time, or meet a 409, and `destroy` would leave it behind.

The engine's own `refresh --import-pending-creates` asks for the ids, and then (3.259) forgets the resources.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from .engine import Engine
from .inventory import Inventory
from .type_tokens import SERVER

#: Nova's states that end by themselves.
UNDER_WAY = {"BUILD", "REBUILD", "RESIZE", "REBOOT", "HARD_REBOOT", "MIGRATING"}

#: Seconds.
SETTLES_WITHIN = 600


@dataclass(frozen=True)
class Begun:
    """A resource whose creation had begun, as the state has it."""

    resource: dict[str, Any]
    #: One when the cloud has it, none when it has not, several when that can't be told.
    ids: list[str]
    #: The stack has made another one since: what the cloud has besides belongs to nobody.
    made_again: bool = False

    @property
    def name(self) -> str:
        return str(self.resource["urn"]).rpartition("::")[2]


def look_for_begun(state: dict[str, Any], inventory: Inventory) -> list[Begun]:
    """Look up each resource that the state of a stack calls begun and not done."""
    resources: list[dict[str, Any]] = state.get("resources") or []
    operations: list[dict[str, Any]] = state.get("pending_operations") or []
    # One that is deleted, and waits for the successor that was begun, is still listed.
    standing = [resource for resource in resources if not resource.get("pendingReplacement")]
    known = {str(resource.get("id")) for resource in standing}
    there = {str(resource["urn"]) for resource in standing if not resource.get("delete")}
    begun: list[Begun] = []
    for operation in operations:
        if operation["type"] == "creating":
            resource: dict[str, Any] = operation["resource"]
            type_, inputs = str(resource["type"]), dict(resource.get("inputs") or {})
            found = inventory.ids_of(type_, inputs) if inventory.knows(type_) else []
            # What the stack has already is the one that this was to replace.
            begun.append(Begun(resource, [id_ for id_ in found if id_ not in known], resource["urn"] in there))
    return begun


def with_what_was_begun(state: dict[str, Any], begun: Sequence[Begun]) -> dict[str, Any]:
    """The state with what the cloud has among its resources, and with nothing begun."""
    operations: list[dict[str, Any]] = state.get("pending_operations") or []
    resources: list[dict[str, Any]] = state.get("resources") or []
    taken: dict[str, dict[str, Any]] = {
        # Read from the cloud in a moment; what can't be read there stays as the program wanted it.
        str(one.resource["urn"]): {
            **one.resource,
            "id": one.ids[0],
            "outputs": {**one.resource.get("inputs", {}), "id": one.ids[0]},
        }
        for one in begun
        if one.ids and not one.made_again
    }
    # In the place of its predecessor, where there is one: what comes after that in the state may depend on it.
    placed = [
        taken.pop(resource["urn"], resource) if resource.get("pendingReplacement") else resource
        for resource in resources
    ]
    rest = [operation for operation in operations if operation["type"] != "creating"]
    return {**state, "resources": [*placed, *taken.values()], "pending_operations": rest}


def until_settled(
    state: dict[str, Any],
    compute: Any,
    say: Callable[[str], None],
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> list[str]:
    """Wait until Nova is through with the stack's servers; the names of those that wait for somebody themselves.

    A server that is being built has no networks yet that the engine could read, and one whose resize is not confirmed
    it can't read at all.

    :param compute: openstacksdk's proxy of Nova.
    """
    resources: list[dict[str, Any]] = state.get("resources") or []
    ids = [str(resource["id"]) for resource in resources if resource["type"] == SERVER and resource.get("id")]
    end, waiting = clock() + SETTLES_WITHIN, list[str]()
    for id_ in ids:
        told = False
        while (server := compute.find_server(id_)) and server.status in UNDER_WAY and clock() < end:
            if not told:
                say(f"waiting for {server.name}: Nova says {server.status}")
            told = True
            sleep(3)
        if server and server.status == "VERIFY_RESIZE":
            waiting.append(str(server.name))
    return waiting


def write_down(engine: Engine, begun: Sequence[Begun]) -> None:
    """Put what was begun in order in the state of the stack.

    :raises EngineError: with the engine's words, as when another run holds the stack.
    """
    if begun:
        engine.rewrite_state(lambda state: with_what_was_begun(state, begun))
