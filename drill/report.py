"""What a drill found, as a table for people, as JSON for programs, and as a picture for a change request."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rich.console import RenderableType
from rich.table import Table

from .drill import Drill, Observation
from .events import Event
from .timeline import draw
from .watch import Watch

HEADINGS = ("event", "before", "after", "longest gap", "held the VIP", "service back")


def run_and_report(
    drill: Drill,
    watch: Watch,
    events: Sequence[Event],
    path: Path,
    title: str,
    about: dict[str, Any],
    show: Callable[[RenderableType], object],
) -> list[Observation]:
    """Do the drill, show its table, and write table (``.md``), figures (``.json``) and picture (``.svg``).

    :param path: of the three files, without the suffix.
    :param about: what stands in the JSON besides the ``events``.
    """
    # First: a folder that can't be made is told before anything is done to the pair.
    path.parent.mkdir(parents=True, exist_ok=True)
    seen: list[Observation] = []
    try:
        # One by one into the list: what was seen before somebody ended it is told, too.
        seen.extend(drill.run(events))
    finally:
        if seen:
            show(_write(path, title, about, watch, seen))
            show(f"written: {path.with_suffix('.md')}, .json and .svg")
    return seen


def _write(path: Path, title: str, about: dict[str, Any], watch: Watch, seen: Sequence[Observation]) -> Table:
    picture = path.with_suffix(".svg")
    picture.write_text(draw(watch, seen, title), encoding="utf-8")
    content = {**about, "events": [event.as_json() for event in seen]}
    path.with_suffix(".json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    lines = [HEADINGS, ("---",) * len(HEADINGS), *map(_row, seen)]
    text = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    path.with_suffix(".md").write_text(f"# {title}\n\n{text}\n\n![Timeline]({picture.name})\n", encoding="utf-8")
    table = Table(*HEADINGS, title=title)
    for event in seen:
        table.add_row(*_row(event), style=None if event.passed else "red")
    return table


def _row(event: Observation) -> tuple[str, ...]:
    back = f"yes, but {event.amiss}" if event.amiss else "yes"
    return (
        event.name,
        event.before or "nobody",
        event.after or "nobody",
        f"{event.longest_gap * 1000:.0f} ms" if event.back else f"none in {event.until - event.at:.0f} s",
        f"at most {event.holders_most}, then {event.holders_at_end}" if event.holders_most else "not looked",
        back if event.back else "no",
    )
