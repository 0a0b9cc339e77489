"""What a drill found, as a table for people, as JSON for programs, and as a picture for a change request."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from .drill import Observation
from .timeline import draw
from .watch import Watch


def table_of(title: str, seen: Sequence[Observation], limit: float) -> Table:
    """:param limit: seconds after which an outage was called endless."""
    table = Table("event", "before", "after", "longest gap", "held the VIP", "service back", title=title)
    for event in seen:
        table.add_row(
            event.name,
            event.before or "nobody",
            event.after or "nobody",
            f"{event.longest_gap * 1000:.0f} ms" if event.back else f"none in {limit:.0f} s",
            f"at most {event.holders_most}, then {event.holders_at_end}" if event.holders_most else "not looked",
            "yes" if event.back else "[red]no[/red]",
        )
    return table


def write_json(path: Path, about: dict[str, Any], seen: Sequence[Observation]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {**about, "events": [event.as_json() for event in seen]}
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def write_picture(path: Path, watch: Watch, seen: Sequence[Observation], title: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(draw(watch, seen, title), encoding="utf-8")
