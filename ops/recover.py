"""Recover after a killed run: settle the creations that the engine began and could not record.

The state lists each creation that had begun. A resource that exists in the cloud is taken into the stack; one that does
not exist is forgotten. Otherwise the next `up` would create it a second time or fail with a 409, and `destroy` would
leave it behind.

The engine's own `refresh --import-pending-creates` asks for the ids, and then (3.259) loses the resources.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from .engine import Engine
from .inventory import Inventory
from .type_tokens import SERVER

#: Nova's statuses that end by themselves.
UNDER_WAY = {"BUILD", "REBUILD", "RESIZE", "REBOOT", "HARD_REBOOT", "MIGRATING"}

#: Seconds that Nova may take for all servers together.
SETTLES_WITHIN = 600


@dataclass(frozen=True)
class BegunCreation:
    """A resource whose creation had begun when the run was killed."""

    #: Its entry in the state.
    resource: dict[str, Any]
    #: One id when the cloud has it, none when it has not, several when it is ambiguous.
    ids: list[str]
    #: Whether a later run has made another one: then these ids belong to no stack.
    made_again: bool = False

    @property
    def name(self) -> str:
        """The logical name."""
        return str(self.resource["urn"]).rpartition("::")[2]


def find_begun(state: dict[str, Any], inventory: Inventory) -> list[BegunCreation]:
    """Look up each resource whose creation is pending in the state of a stack."""
    resources: list[dict[str, Any]] = state.get("resources") or []
    operations: list[dict[str, Any]] = state.get("pending_operations") or []
    # The state still lists a deleted resource while its replacement is pending.
    standing = [resource for resource in resources if not resource.get("pendingReplacement")]
    known = {str(resource.get("id")) for resource in standing}
    there = {str(resource["urn"]) for resource in standing if not resource.get("delete")}
    begun: list[BegunCreation] = []
    for operation in operations:
        if operation["type"] == "creating":
            resource: dict[str, Any] = operation["resource"]
            type_, inputs = str(resource["type"]), dict(resource.get("inputs") or {})
            found = inventory.ids_of(type_, inputs) if inventory.knows(type_) else []
            # An id that the stack already has is the predecessor of this resource.
            begun.append(BegunCreation(resource, [id_ for id_ in found if id_ not in known], resource["urn"] in there))
    return begun


def with_pending_creations_settled(state: dict[str, Any], begun: Sequence[BegunCreation]) -> dict[str, Any]:
    """Return the state with the resources that exist in the cloud, and without pending creations."""
    operations: list[dict[str, Any]] = state.get("pending_operations") or []
    resources: list[dict[str, Any]] = state.get("resources") or []
    taken: dict[str, dict[str, Any]] = {
        # A refresh follows and reads the outputs. Properties that it can't read keep the program's values.
        str(one.resource["urn"]): {
            **one.resource,
            "id": one.ids[0],
            "outputs": {**one.resource.get("inputs", {}), "id": one.ids[0]},
        }
        for one in begun
        if one.ids and not one.made_again
    }
    # Put it in the place of its predecessor, where it has one, because later resources in the state may depend on it.
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
    """Wait until Nova has finished with the stack's servers, or SETTLES_WITHIN is over.

    The engine can't read a server's networks while Nova builds it, nor a server with an unconfirmed resize.

    :param compute: openstacksdk's proxy of Nova.
    :return: the names of the servers whose resize an operator has to confirm or revert.
    """
    resources: list[dict[str, Any]] = state.get("resources") or []
    ids = [str(resource["id"]) for resource in resources if resource["type"] == SERVER and resource.get("id")]
    end, unconfirmed = clock() + SETTLES_WITHIN, list[str]()
    for id_ in ids:
        said = False
        while (server := compute.find_server(id_)) and server.status in UNDER_WAY and clock() < end:
            if not said:
                say(f"waiting for {server.name}: Nova says {server.status}")
            said = True
            sleep(3)
        if server and server.status == "VERIFY_RESIZE":
            unconfirmed.append(str(server.name))
    return unconfirmed


def record(engine: Engine, begun: Sequence[BegunCreation]) -> None:
    """Settle the pending creations in the state of the stack.

    :raises EngineError: with the engine's message, for example when another run holds the lock of the stack.
    """
    if begun:
        engine.rewrite_state(lambda state: with_pending_creations_settled(state, begun))
