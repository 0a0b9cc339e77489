"""Read the events of a preview: the change of each resource, the order of the steps, and the drift."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

from .engine_json import UNKNOWN, is_secret, list_in, logical_name, mapping_in
from .plan_members import pair_in, place_of

#: How a report shows a value that is secret, and one that only an `up` can tell.
SECRET, AFTERWARDS = "(secret)", "(known afterwards)"

#: The same for a secret that is another one than before.
ANOTHER_SECRET = "(secret, another one)"

#: The engine's operations → the operation on the resource as a whole.
_WHOLE = {
    "create": "create",
    "import": "create",
    "update": "update",
    "delete": "delete",
    "replace": "replace",
    "create-replacement": "replace",
    "delete-replaced": "replace",
}

#: The engine's operations on the cloud → the part of a change that each of them is.
_PERFORMED = {
    "create": "create",
    "import": "create",
    "create-replacement": "create",
    "update": "update",
    "delete": "delete",
    "delete-replaced": "delete",
}

#: Types of the engine itself: the stack, and the providers.
_OF_THE_ENGINE = "pulumi:"


@dataclass(frozen=True)
class PropertyChange:
    """One property, from what to what, as texts. Secrets are masked."""

    path: str
    #: None if there is none.
    old: str | None
    new: str | None


@dataclass(frozen=True)
class Drift:
    """A change that was made outside of the program."""

    name: str
    type: str
    #: ``update`` or ``delete``.
    operation: str
    properties: tuple[PropertyChange, ...] = ()

    @property
    def touched(self) -> frozenset[str]:
        """The names of all top-level properties that were changed."""
        return _names(one.path for one in self.properties)


@dataclass(frozen=True)
class ResourceChange:
    """The change of one resource."""

    urn: str
    type: str
    #: ``create``, ``update``, ``replace`` or ``delete``.
    operation: str
    properties: tuple[PropertyChange, ...] = ()
    #: The causes that the engine names: properties, and some of them are no inputs.
    causes: tuple[str, ...] = ()
    #: The change by hand that this change may only repair. None if there is none.
    drift: Drift | None = None
    #: The logical name of the pair, as the parent tells it; empty if there is no such parent.
    pair: str = ""

    @property
    def name(self) -> str:
        """The logical name."""
        return logical_name(self.urn)

    @property
    def role(self) -> str | None:
        """The member whose server, port or floating IP the resource is: ``master``, ``backup`` or None."""
        return place_of(self.name, self.pair).role

    @property
    def touched(self) -> frozenset[str]:
        """The names of all top-level properties that differ."""
        return _names((*(one.path for one in self.properties), *self.causes))

    @property
    def own(self) -> frozenset[str]:
        """The names of the top-level properties that the program itself changes.

        A property with a change by hand is one of them if the program gives it another value than before.
        """
        if self.drift is None:
            return self.touched
        # The provider may list the values of a set in another order, so their places do not count.
        before = {(_name(one.path), one.old) for one in self.drift.properties}
        paths = {one.path for one in self.drift.properties}
        another = [
            one.path for one in self.properties if one.path in paths and (_name(one.path), one.new) not in before
        ]
        return self.touched - self.drift.touched | _names(another)

    @property
    def drifted(self) -> bool:
        """Whether the change repairs something that was changed outside of the program."""
        if self.drift is None:
            return False
        return self.drift.operation == "delete" or bool(self.touched - self.own)


def _names(paths: Iterable[str]) -> frozenset[str]:
    return frozenset(_name(path) for path in paths)


def _name(path: str) -> str:
    """Return the top-level name: ``fixedIps`` for ``fixedIps[0].ipAddress``."""
    return path.partition(".")[0].partition("[")[0]


@dataclass(frozen=True)
class PlannedStep:
    """One operation of the engine on the cloud."""

    #: ``create``, ``update`` or ``delete``.
    operation: str
    type: str
    name: str
    #: Whether it is a part of a replacement.
    replacement: bool = False
    #: The logical name of the pair, as the parent tells it; empty if there is no such parent.
    pair: str = ""

    @property
    def role(self) -> str | None:
        """The member whose server, port or floating IP the resource is: ``master``, ``backup`` or None."""
        return place_of(self.name, self.pair).role


@dataclass(frozen=True)
class Steps:
    """Everything that an `up` would do."""

    changes: tuple[ResourceChange, ...] = ()
    #: In the engine's order.
    order: tuple[PlannedStep, ...] = ()
    drift: tuple[Drift, ...] = ()
    #: Whether the state has no resource of the pair yet.
    new: bool = False


def masked(steps: Steps, mask: Callable[[str], str]) -> Steps:
    """Return the steps with each value masked: a provider may repeat a secret where the engine does not know it."""

    def in_all(properties: tuple[PropertyChange, ...]) -> tuple[PropertyChange, ...]:
        return tuple(replace(one, old=one.old and mask(one.old), new=one.new and mask(one.new)) for one in properties)

    return replace(
        steps,
        changes=tuple(replace(one, properties=in_all(one.properties)) for one in steps.changes),
        drift=tuple(replace(one, properties=in_all(one.properties)) for one in steps.drift),
    )


def steps_of(events: Iterable[Mapping[str, Any]]) -> Steps:
    """Return what the events of a preview say (``Engine.preview_events``)."""
    changes: dict[str, ResourceChange] = {}
    order = list[PlannedStep]()
    drift: dict[str, Drift] = {}
    refreshed = set[str]()
    known = False
    for event in events:
        if metadata := _metadata(event, "resourcePreEvent"):
            urn, operation = str(metadata["urn"]), str(metadata["op"])
            if operation == "refresh":
                refreshed.add(urn)
                continue
            known = known or bool(metadata.get("old") and _is_of_the_cloud(metadata))
            if operation in _PERFORMED and _is_of_the_cloud(metadata):
                replacement = _WHOLE[operation] == "replace"
                step = PlannedStep(
                    _PERFORMED[operation], _type(metadata), logical_name(urn), replacement, _pair(metadata)
                )
                order.append(step)
            if operation in _WHOLE and _is_of_the_cloud(metadata):
                changes[urn] = _merged(changes.get(urn), _change(metadata, drift.get(urn)))
        elif metadata := _metadata(event, "resOutputsEvent"):
            urn, operation = str(metadata["urn"]), str(metadata["op"])
            # The engine reports what a refresh found as the outcome of its step.
            found = operation in {"update", "delete"} and urn in refreshed and urn not in changes
            if found and urn not in drift and (one := _drift(metadata)):
                drift[urn] = one
    return Steps(tuple(changes.values()), tuple(order), tuple(drift.values()), new=bool(changes) and not known)


def _metadata(event: Mapping[str, Any], kind: str) -> Mapping[str, Any] | None:
    return cast(Mapping[str, Any], event[kind]["metadata"]) if kind in event else None


def _type(metadata: Mapping[str, Any]) -> str:
    return str(metadata["type"])


def _pair(metadata: Mapping[str, Any]) -> str:
    return pair_in((mapping_in(metadata, "new") or mapping_in(metadata, "old")).get("parent"))


def _is_of_the_cloud(metadata: Mapping[str, Any]) -> bool:
    """Whether the resource is no component, no stack and no provider."""
    state = mapping_in(metadata, "new") or mapping_in(metadata, "old")
    return bool(state.get("custom")) and not _type(metadata).startswith(_OF_THE_ENGINE)


def _change(metadata: Mapping[str, Any], drift: Drift | None) -> ResourceChange:
    causes = {*list_in(metadata, "keys"), *list_in(metadata, "diffs"), *mapping_in(metadata, "detailedDiff")}
    return ResourceChange(
        urn=str(metadata["urn"]),
        type=_type(metadata),
        operation=_WHOLE[str(metadata["op"])],
        properties=tuple(_property_changes(metadata)),
        causes=tuple(sorted(causes)),
        drift=drift,
        pair=_pair(metadata),
    )


def _merged(earlier: ResourceChange | None, later: ResourceChange) -> ResourceChange:
    """Return one change for the steps of one resource. Only the step in the middle of a replacement has both states."""
    if earlier is None:
        return later
    return ResourceChange(
        urn=later.urn,
        type=later.type,
        operation="replace" if "replace" in {earlier.operation, later.operation} else later.operation,
        properties=earlier.properties or later.properties,
        causes=tuple(sorted({*earlier.causes, *later.causes})),
        drift=earlier.drift or later.drift,
        pair=later.pair or earlier.pair,
    )


def _property_changes(metadata: Mapping[str, Any]) -> Iterator[PropertyChange]:
    """Yield each input that differs; for a created or deleted resource none."""
    old, new = mapping_in(metadata, "old"), mapping_in(metadata, "new")
    if not old or not new:
        return
    detailed = mapping_in(metadata, "detailedDiff")
    before, after = _flat(mapping_in(old, "inputs")), _flat(mapping_in(new, "inputs"))
    seen = set[str]()
    for path in sorted({*before, *after}):
        # A secret looks the same whatever it is, so only the engine can tell whether it differs.
        masked = SECRET in (before.get(path), after.get(path))
        if before.get(path) != after.get(path) or (masked and _is_named(path, detailed)):
            seen.add(path)
            yield PropertyChange(path, before.get(path), after.get(path))
    outputs_before, outputs_after = _flat(mapping_in(old, "outputs")), _flat(mapping_in(new, "outputs"))
    for path in sorted(detailed):
        # A difference in the cloud only: no input has it.
        if path not in seen and not any(one.startswith(path) for one in {*before, *after}):
            yield PropertyChange(path, outputs_before.get(path), outputs_after.get(path))


def _is_named(path: str, detailed: Mapping[str, Any]) -> bool:
    return any(path == one or path.startswith((f"{one}.", f"{one}[")) for one in detailed)


def _drift(metadata: Mapping[str, Any]) -> Drift | None:
    """Return what a refresh found; None if it found nothing that matters."""
    urn, operation = str(metadata["urn"]), str(metadata["op"])
    if not _is_of_the_cloud(metadata):
        return None
    if operation == "delete":
        return Drift(logical_name(urn), _type(metadata), operation)
    detailed = mapping_in(metadata, "detailedDiff")
    before = _flat(mapping_in(mapping_in(metadata, "old"), "outputs"))
    after = _flat(mapping_in(mapping_in(metadata, "new"), "outputs"))
    found = tuple(
        PropertyChange(path, before.get(path), after.get(path))
        for path in sorted({*before, *after})
        if _is_named(path, detailed) and before.get(path) != after.get(path)
    )
    return Drift(logical_name(urn), _type(metadata), operation, found) if detailed else None


def _flat(properties: Mapping[str, Any]) -> dict[str, str]:
    """Return path → text for each value: ``fixedIps[0].ipAddress``."""
    return dict(_leaves("", properties))


def _leaves(path: str, value: Any) -> Iterator[tuple[str, str]]:
    if value is None:
        return
    if is_secret(value) or not isinstance(value, dict | list):
        yield path, shown(value)
    elif isinstance(value, dict):
        for key, inner in cast(dict[str, Any], value).items():
            # Marks of the provider. "__meta" repeats secrets in the clear.
            if not key.startswith("__"):
                yield from _leaves(f"{path}.{key}" if path else key, inner)
    else:
        for place, inner in enumerate(cast(list[Any], value)):
            yield from _leaves(f"{path}[{place}]", inner)


def shown(value: Any) -> str:
    """Return a value of the engine's JSON as a text for people, without its secret."""
    if is_secret(value):
        return SECRET
    if value == UNKNOWN:
        return AFTERWARDS
    return value if isinstance(value, str) else json.dumps(value)
