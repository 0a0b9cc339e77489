"""The report of a drill: a table, figures for programs, a picture for a change request, and a page to explore."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from .drawing import as_html, as_svg
from .measurement import Observation
from .recording import Recording
from .timeline import timeline_of

HEADINGS = ("event", "before", "after", "longest gap", "held the VIP", "service back")

#: The suffixes of the report's files.
SUFFIXES = (".md", ".json", ".svg", ".html")


def write_report(
    path: Path, title: str, about: dict[str, Any], recording: Recording, seen: Sequence[Observation]
) -> None:
    """Write the report's files: ``.md``, ``.json``, ``.svg`` and ``.html``.

    :param path: of the files, without the suffix.
    :param about: further keys of the JSON file, in addition to ``events``.
    :param seen: at least one observation.
    """
    timeline = timeline_of(recording, seen, title)
    rows = [_row(event) for event in seen]
    # A stack's name may contain a dot, and Path.with_suffix would cut the name there.
    markdown, figures, picture, page = (path.with_name(path.name + suffix) for suffix in SUFFIXES)
    picture.write_text(as_svg(timeline), encoding="utf-8")
    page.write_text(as_html(timeline, HEADINGS, rows), encoding="utf-8")
    content = {**about, "events": [event.as_json() for event in seen]}
    figures.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    table = "\n".join(f"| {' | '.join(line)} |" for line in [HEADINGS, ("---",) * len(HEADINGS), *rows])
    markdown.write_text(f"# {title}\n\n{table}\n\n![Timeline]({picture.name})\n", encoding="utf-8")


def table_of(title: str, seen: Sequence[Observation]) -> Table:
    """Return the report's table for a terminal."""
    table = Table(*HEADINGS, title=title)
    for event in seen:
        table.add_row(*_row(event), style=None if event.passed else "red")
    return table


def _row(event: Observation) -> tuple[str, ...]:
    back = f"yes, but {event.problem}" if event.problem else "yes"
    return (
        event.name,
        event.before or "no member",
        event.after or "no member",
        f"{event.longest_gap * 1000:.0f} ms" if event.back else f"no end in {event.until - event.at:.0f} s",
        f"at most {event.holders_most}, then {event.holders_at_end}" if event.holders_most else "not observed",
        back if event.back else "no",
    )
