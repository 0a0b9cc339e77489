"""Record the previews that the unit tests of `ops plan` read (tests/unit/recorded_previews.py).

    python -m tests.cloud.record_previews [NAME…]

Record all of them again after each change of the program, the engine or the provider that changes a preview. It needs
the Pulumi CLI and its plugins, no cloud and no credentials: the stack is that of an offline plan
(``ops.offline_plan``).

A recording has only what ``ops.plan_steps`` reads. The rest of the engine's events repeats the configuration, and the
provider's notes in them repeat the user-data in the clear.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from ops.engine import Engine
from ops.engine_json import list_in, mapping_in
from ops.offline_plan import offline_stack
from ops.plan_steps import steps_of
from tests.unit.recorded_previews import PREVIEWS, RECORDED, Change

from .repository import new_repository

#: The engine's words about a resource, and about one of its states, that are kept.
_ABOUT_A_RESOURCE = ("op", "urn", "type")
_CAUSES = ("keys", "diffs", "detailedDiff")
_ABOUT_A_STATE = ("custom", "parent")


class NotRecorded(Exception):
    """A preview that can't be kept; the message has the reason."""


def record(name: str, folder: Path = PREVIEWS) -> None:
    """Make the preview of a change in ``RECORDED``, and write ``name``.json.

    :raises NotRecorded: when the preview fails, when it means something else without what is left out, or when a secret
        or a path of this machine is in it.
    """
    change = RECORDED[name]
    with tempfile.TemporaryDirectory(prefix="vrrp-pair-record-") as temporary:
        events = _events(change, Path(temporary))
        trimmed = list(_trimmed(events))
        if steps_of(trimmed) != steps_of(events):
            raise NotRecorded(f"{name}: ops.plan_steps reads more than what is kept here")
        lines = [json.dumps(event) for event in trimmed]
        text = "[\n" + ",\n".join(lines) + "\n]\n"
        unwanted = [tempfile.gettempdir(), str(Path.home()), '"plaintext"', *_secrets(change)]
    if found := [one for one in unwanted if one in text]:
        raise NotRecorded(f"{name}: the events have {', '.join(found)}, which must not be kept")
    (folder / f"{name}.json").write_text(text, encoding="utf-8")


def _events(change: Change, folder: Path) -> list[dict[str, Any]]:
    repository = new_repository(folder)
    repository.set(change.stack, **change.before)
    repository.commit()
    repository.set(change.stack, **change.after)
    with offline_stack(Engine(folder, change.stack), "HEAD") as offline:
        preview = offline.engine.preview_events("--refresh=false")
    if preview.errors:
        raise NotRecorded("\n".join(preview.errors))
    return preview.events


def _secrets(change: Change) -> list[str]:
    return [str(one["authPass"]) for one in (change.before, change.after) if "authPass" in one]


def _trimmed(events: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield the steps with what ``ops.plan_steps`` reads. It reads the outcome of a step only after a refresh."""
    for event in events:
        if "resourcePreEvent" in event:
            yield {"resourcePreEvent": {"metadata": _metadata(event["resourcePreEvent"]["metadata"])}}


def _metadata(metadata: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: metadata[key] for key in (*_ABOUT_A_RESOURCE, *_CAUSES) if metadata.get(key)}
    old, new = mapping_in(metadata, "old"), mapping_in(metadata, "new")
    for side, state in (("old", old), ("new", new)):
        if state:
            kept[side] = {key: state[key] for key in _ABOUT_A_STATE if key in state}
    # Values are compared only if both states are there.
    if old and new and metadata["op"] != "same":
        causes = [*mapping_in(metadata, "detailedDiff"), *list_in(metadata, "diffs"), *list_in(metadata, "keys")]
        named = {path.partition(".")[0].partition("[")[0] for path in causes}
        inputs = mapping_in(old, "inputs"), mapping_in(new, "inputs")
        differing = {key for one in inputs for key in one if inputs[0].get(key) != inputs[1].get(key)}
        for side, state in (("old", old), ("new", new)):
            kept[side]["inputs"] = _only(mapping_in(state, "inputs"), named | differing)
            kept[side]["outputs"] = _only(mapping_in(state, "outputs"), named)
    return kept


def _only(properties: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    return {key: _without_notes(value) for key, value in properties.items() if key in names and key[:2] != "__"}


def _without_notes(value: Any) -> Any:
    """Return a value without the provider's own notes, which ``ops.plan_steps`` leaves out too."""
    if isinstance(value, dict):
        entries = cast(dict[str, Any], value)
        return {key: _without_notes(one) for key, one in entries.items() if not key.startswith("__")}
    if isinstance(value, list):
        return [_without_notes(one) for one in cast(list[Any], value)]
    return value


def main(
    names: Annotated[list[str] | None, typer.Argument(help="All if left out.")] = None,
    folder: Annotated[Path, typer.Option(help="Where the recordings are written.")] = PREVIEWS,
) -> None:
    """Record previews again."""
    for name in names or RECORDED:
        record(name, folder)
        print(f"{name}: recorded")


if __name__ == "__main__":
    typer.run(main)
