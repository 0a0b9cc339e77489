"""Describe each step of the engine in an operator's words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from .plan_interrupts import LABELS
from .plan_steps import PlannedStep, ResourceChange
from .type_tokens import COMMAND, SERVER

#: End of a gate's logical name → the engine's operation → what the gate does then. An empty text means that the gate
#: does nothing, and the step is left out. A gate that is not in the table is shown by its name.
GATES: dict[str, dict[str, str]] = {
    "-master-stands-in": {
        "create": "",
        "update": "gate: check that the master can serve alone",
        "delete": "",
    },
    "-backup-ready": {
        "create": "gate: wait until the backup is ready, unless the pair is new",
        "update": "gate: wait until the backup is ready",
        "delete": "",
    },
    "-master-ready": {
        "create": "",
        "update": "gate: wait until the master is ready",
        "delete": "",
    },
    "-backup-handover": {
        "create": "",
        "update": "",
        "delete": "gate: check that the master can serve, before the backup is taken away",
    },
    "-master-handover": {
        "create": "",
        "update": "",
        "delete": "gate: check that the backup can serve, before the master is taken away",
    },
    "-teardown": {"create": "", "update": "", "delete": "mark both servers, so that the gates let them be deleted"},
    "-complete": {
        "create": "",
        "update": "final check: compare the floating IP, the ports, the rules and both members' reports",
        "delete": "",
    },
}

_VERBS = {"create": "create", "update": "change", "delete": "delete"}


def order_in_words(order: Iterable[PlannedStep], changes: Iterable[ResourceChange]) -> list[str]:
    """Return the steps that an operator can see, in the engine's order."""
    by_name = {(change.type, change.name): change for change in changes}
    steps = (_in_words(step, by_name.get((step.type, step.name))) for step in order)
    return [text for text in steps if text]


def _in_words(step: PlannedStep, change: ResourceChange | None) -> str:
    if step.type == COMMAND:
        return _gate(step)
    if step.type == SERVER and (role := step.role):
        return _server(step, role, change)
    return f"{_VERBS[step.operation]} {step.name}"


def _gate(step: PlannedStep) -> str:
    known = next((words for end, words in GATES.items() if step.name.endswith(end)), None)
    if known is None:
        return f"run the command {step.name} ({step.operation})"
    text = known[step.operation]
    return f"{text} ({step.name})" if text else ""


def _server(step: PlannedStep, role: str, change: ResourceChange | None) -> str:
    if step.operation == "delete":
        return f"shut the {role} down, and delete it ({step.name})"
    if step.operation == "create":
        return f"create the {role} ({step.name})"
    touched = change.touched - LABELS if change else frozenset[str]()
    if "flavorName" in touched:
        return f"resize the {role}, which restarts it ({step.name})"
    if touched == frozenset({"powerState"}):
        return f"start the {role} ({step.name})"
    return f"change the {role} in place ({step.name})"


def kinds(changes: Iterable[ResourceChange]) -> Iterator[tuple[str, str, ResourceChange]]:
    """Yield the kind of each resource (``Port``), what happens to it, and the change. Gates are left out."""
    words = {"create": "created", "update": "changed", "replace": "replaced", "delete": "deleted"}
    for change in changes:
        if change.type != COMMAND:
            yield change.type.rpartition(":")[2], words[change.operation], change
