"""Turn a pair that was made by hand into a stack: match the cloud's resources with the program's, and import them.

A preview lists the missing resources, and the project is searched for each of them. The import file contains the
matches. The import is rehearsed on a copy of the stack, so the operator knows beforehand what an `up` would do.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .engine import Engine, Step
from .engine_json import UNKNOWN
from .inventory import Inventory
from .rehearsal import rehearsal
from .type_tokens import FLOATING_IP, NETWORK, PORT, ROUTER, ROUTER_INTERFACE, SECURITY_GROUP, SERVER, SUBNET


@dataclass(frozen=True)
class Match:
    """One resource of the program, and the existing resources that match it."""

    step: Step
    #: One id when it is found, several when it is ambiguous, none when it is missing.
    ids: list[str]

    @property
    def name(self) -> str:
        """The name in OpenStack, or the logical name of a resource that has no name there."""
        return str(self.step.inputs.get("name", self.step.name))


@dataclass(frozen=True)
class Adoption:
    """All matches of a stack, and the import file that follows from them."""

    matches: list[Match]
    #: The engine's own skeleton of the import file, with the ids that were found.
    import_file: dict[str, Any]

    @property
    def found(self) -> list[Match]:
        """The resources with exactly one match."""
        return [match for match in self.matches if len(match.ids) == 1]

    @property
    def ambiguous(self) -> list[Match]:
        """The resources with several matches."""
        return [match for match in self.matches if len(match.ids) > 1]


def plan_adoption(engine: Engine, inventory: Inventory, folder: Path) -> Adoption:
    """Match the resources that the stack lacks with those of the project.

    :param folder: an existing folder for the engine's files.
    :raises EngineError: with the engine's message, which contains the program's message about a wrong setting or a
        cloud that is not ready.
    """
    skeleton = folder / "skeleton.json"
    matches = match_all(engine.preview("--import-file", str(skeleton)), inventory)
    return Adoption(matches, fill_in(json.loads(skeleton.read_text(encoding="utf-8")), matches))


def match_all(steps: Iterable[Step], inventory: Inventory) -> list[Match]:
    """Look up each resource that ``steps`` would create.

    A resource inside a missing or ambiguous one, such as a subnet of a missing network, counts as missing.
    """
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
    """Return a step's inputs, with the found ids in place of unknown values; None if an id was not found."""
    inputs = dict(step.inputs)
    for key, value in inputs.items():
        if value == UNKNOWN:
            (source,) = step.dependencies[key]
            if source not in ids:
                return None
            inputs[key] = ids[source]
    return inputs


def fill_in(skeleton: Mapping[str, Any], matches: Iterable[Match]) -> dict[str, Any]:
    """Return the import file: the components and the resources that were found. `up` makes the others."""
    ids = {(match.step.type, match.step.name): match.ids[0] for match in matches if len(match.ids) == 1}
    resources = list[dict[str, Any]]()
    for entry in skeleton["resources"]:
        found = ids.get((entry["type"], entry.get("logicalName", entry["name"])))
        if entry.get("component"):
            resources.append(entry)
        elif found is not None:
            resources.append({**entry, "id": found})
    return {**skeleton, "resources": resources}


def unmanaged(adoption: Adoption, inventory: Inventory) -> list[str]:
    """Return the undeclared rules of the adopted group, and the undeclared floating IPs of the adopted ports.

    `pulumi up` leaves them alone. `pulumi destroy` leaves the floating IPs, but Neutron deletes a rule with its group.

    :return: a sentence about each, without its full stop.
    """
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


#: Resource types whose replacement is an outage: they hold the addresses, or carry the traffic to them.
LASTING = {NETWORK, SUBNET, ROUTER, ROUTER_INTERFACE, PORT, FLOATING_IP}

#: The engine's steps of one replacement.
REPLACEMENTS = ("replace", "create-replacement", "delete-replaced")


@dataclass(frozen=True)
class PlannedChange:
    """The change of one resource by an `up` after the import."""

    #: ``create``, ``update``, ``replace`` or ``delete``.
    operation: str
    name: str
    type: str
    #: The properties that differ.
    reasons: list[str]

    @property
    def is_an_outage(self) -> bool:
        """Whether the change removes an address, or the way to it."""
        return self.type in LASTING and self.operation in {"replace", "delete"}


def rehearse(engine: Engine, adoption: Adoption, import_file: Path) -> list[PlannedChange]:
    """Import on a copy of the stack, and preview there. This only reads from the cloud.

    :param import_file: the adoption's import file, already written.
    :raises EngineError: with the engine's message.
    """
    with rehearsal(engine) as copy:
        import_all(copy, adoption, import_file)
        return changes_of(copy.preview())


#: The next `up` could not replace protected resources. No code is needed: the program declares the resources already.
IMPORT_OPTIONS = ("--protect=false", "--generate-code=false")


def import_all(engine: Engine, adoption: Adoption, import_file: Path) -> None:
    """Import the resources that were found, and have the servers shut down cleanly when they are replaced.

    :raises EngineError: with the engine's message.
    """
    if adoption.found:
        engine.run("import", "--file", str(import_file), *IMPORT_OPTIONS, "--yes", "--skip-preview")
    engine.rewrite_state(with_clean_shutdowns)


def with_clean_shutdowns(state: dict[str, Any]) -> dict[str, Any]:
    """Return the state with ``stopBeforeDestroy`` on every server.

    It is a setting of the provider, so an import can't read it from Nova. Without it the provider deletes a running
    server. keepalived then sends no priority 0, and the peer takes over only after three missed advertisements.
    """
    resources: list[dict[str, Any]] = state["resources"]
    setting = {"stopBeforeDestroy": True}
    return {
        **state,
        "resources": [
            {**one, "inputs": {**one["inputs"], **setting}, "outputs": {**one["outputs"], **setting}}
            if one["type"] == SERVER
            else one
            for one in resources
        ],
    }


def changes_of(steps: Iterable[Step]) -> list[PlannedChange]:
    """Return one change for each resource that does not stay the same, in the engine's order."""
    changes: dict[str, PlannedChange] = {}
    for step in steps:
        operation = "replace" if step.operation in REPLACEMENTS else step.operation
        if operation in {"create", "update", "replace", "delete"}:
            reasons = set(step.reasons)
            if step.urn in changes:
                reasons.update(changes[step.urn].reasons)
            changes[step.urn] = PlannedChange(operation, step.name, step.type, sorted(reasons))
    return list(changes.values())
