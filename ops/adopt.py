"""Which of the cloud's resources are the ones that the program would make: the way from a pair made by hand to a stack.

The engine says what it would create, the cloud what there is. What fits goes into an import file, and the import is
rehearsed on a copy of the stack, so that an operator knows beforehand what an `up` after it would do.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .engine import Engine, Step
from .inventory import Inventory
from .rehearsal import rehearsal
from .type_tokens import FLOATING_IP, NETWORK, PORT, ROUTER, ROUTER_INTERFACE, SECURITY_GROUP, SERVER, SUBNET

#: What the engine's JSON has in place of a value that is not known before an `up`.
UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"


@dataclass(frozen=True)
class Match:
    """What the cloud has for one resource that the program would create."""

    step: Step
    #: One when it is found, several when that is ambiguous, none when it is missing.
    ids: list[str]

    @property
    def name(self) -> str:
        """OpenStack's name, or the logical one of what has none there."""
        return str(self.step.inputs.get("name", self.step.name))


@dataclass(frozen=True)
class Adoption:
    matches: list[Match]
    #: The engine's own skeleton of the import file, with the ids of what was found.
    import_file: dict[str, Any]

    @property
    def found(self) -> list[Match]:
        return [match for match in self.matches if len(match.ids) == 1]

    @property
    def ambiguous(self) -> list[Match]:
        return [match for match in self.matches if len(match.ids) > 1]


def plan_adoption(engine: Engine, inventory: Inventory, folder: Path) -> Adoption:
    """Match what the stack lacks with what the project has.

    :param folder: for the engine's files.
    :raises EngineError: with the engine's words; the program's own, when a setting or the cloud is not as it must be.
    """
    skeleton = folder / "skeleton.json"
    matches = match_all(engine.preview("--import-file", str(skeleton)), inventory)
    return Adoption(matches, fill_in(json.loads(skeleton.read_text(encoding="utf-8")), matches))


def match_all(steps: Iterable[Step], inventory: Inventory) -> list[Match]:
    """Look up each resource that ``steps`` would create; one that hangs on a missing one is missing itself."""
    matches: list[Match] = []
    ids: dict[str, str] = {}
    for step in steps:
        if step.operation != "create" or not inventory.knows(step.type):
            continue
        inputs = _resolved(step, ids)
        found = [] if inputs is None else inventory.ids_of(step.type, inputs)
        if len(found) == 1:
            ids[step.urn] = found[0]
        matches.append(Match(step, found))
    return matches


def _resolved(step: Step, ids: Mapping[str, str]) -> dict[str, Any] | None:
    """The inputs with the ids of what was found for what they come from, or None when one of those is missing."""
    inputs = dict(step.inputs)
    for key, value in inputs.items():
        if value == UNKNOWN:
            (source,) = step.dependencies[key]
            if source not in ids:
                return None
            inputs[key] = ids[source]
    return inputs


def fill_in(skeleton: Mapping[str, Any], matches: Iterable[Match]) -> dict[str, Any]:
    """The import file: components, and whatever was found; without what `up` will make."""
    ids = {(match.step.type, match.step.name): match.ids[0] for match in matches if len(match.ids) == 1}
    resources = list[dict[str, Any]]()
    for entry in skeleton["resources"]:
        found = ids.get((entry["type"], entry.get("logicalName", entry["name"])))
        if entry.get("component"):
            resources.append(entry)
        elif found is not None:
            resources.append({**entry, "id": found})
    return {**skeleton, "resources": resources}


def besides(adoption: Adoption, inventory: Inventory) -> list[str]:
    """What is in the found group and on the found ports, and is nothing that the program would make: it stays."""
    known = {id_ for match in adoption.matches for id_ in match.ids}
    others: list[str] = []
    for match in adoption.found:
        if match.step.type == SECURITY_GROUP:
            rules = inventory.ingress_rules(match.ids[0])
            others += [f"{match.name} lets in {what}" for id_, what in rules.items() if id_ not in known]
        elif match.step.type == PORT:
            addresses = inventory.floating_ips(match.ids[0])
            others += [f"{match.name} has the floating IP {ip}" for id_, ip in addresses.items() if id_ not in known]
    return others


#: What keeps addresses and the way to them: replaced, the traffic has lost its place.
LASTING = {NETWORK, SUBNET, ROUTER, ROUTER_INTERFACE, PORT, FLOATING_IP}

#: The engine's steps of one replacement; the first of them stands for all.
REPLACEMENTS = ("replace", "create-replacement", "delete-replaced")


@dataclass(frozen=True)
class Change:
    """What an `up` after the import would do with one resource."""

    #: ``create``, ``update``, ``replace`` or ``delete``.
    operation: str
    name: str
    type: str
    reasons: list[str]

    @property
    def loses_its_place(self) -> bool:
        return self.type in LASTING and self.operation in {"replace", "delete"}


def rehearse(engine: Engine, adoption: Adoption, import_file: Path) -> list[Change]:
    """Import on a copy of the stack, and preview there. Reads from the cloud, changes nothing in it.

    :param import_file: the adoption's, as it was written.
    :raises EngineError: with the engine's words.
    """
    with rehearsal(engine) as copy:
        import_all(copy, adoption, import_file)
        return changes_of(copy.preview())


#: Protected resources could not be replaced by the next `up`; the program has its code already.
IMPORT_OPTIONS = ("--protect=false", "--generate-code=false")


def import_all(engine: Engine, adoption: Adoption, import_file: Path) -> None:
    """Import what was found, and have its servers shut down cleanly when they are replaced.

    :raises EngineError: with the engine's words.
    """
    if adoption.found:
        engine.run("import", "--file", str(import_file), *IMPORT_OPTIONS, "--yes", "--skip-preview")
    engine.rewrite_state(with_clean_shutdowns)


def with_clean_shutdowns(state: dict[str, Any]) -> dict[str, Any]:
    """The state with ``stopBeforeDestroy`` on every server.

    Nova knows nothing of it, so an import can't either: the provider would pull the plug, and the peer would have to
    miss three advertisements, where keepalived could have said that it goes.
    """
    resources: list[dict[str, Any]] = state["resources"]
    asked = {"stopBeforeDestroy": True}
    return {
        **state,
        "resources": [
            {**one, "inputs": {**one["inputs"], **asked}, "outputs": {**one["outputs"], **asked}}
            if one["type"] == SERVER
            else one
            for one in resources
        ],
    }


def changes_of(steps: Iterable[Step]) -> list[Change]:
    """One change for each resource that does not stay as it is, in the engine's order."""
    changes: dict[str, Change] = {}
    for step in steps:
        operation = "replace" if step.operation in REPLACEMENTS else step.operation
        if operation in {"create", "update", "replace", "delete"}:
            reasons = set(step.reasons)
            if step.urn in changes:
                reasons.update(changes[step.urn].reasons)
            changes[step.urn] = Change(operation, step.name, step.type, sorted(reasons))
    return list(changes.values())
