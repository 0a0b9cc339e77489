"""The benchmark's report: the text (``.md``), its picture (``.svg``), and every figure (``.json``).

The text and the picture are made from the JSON alone, so `redraw` can write them again without a measurement.
"""

from __future__ import annotations

import json
import math
import statistics
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from drill.events import BOTH_KILLED, KEEPALIVED_KILLED, PORT_DISABLED, SERVER_FROZEN
from drill.measurement import Observation

from .stack_file import PROJECT_FOLDER

#: The report of the repository.
REPORT = PROJECT_FOLDER / "docs" / "failover.md"

#: The names of these figures in the JSON, beside the names of the events.
AFTER_BOOT = "answer after the first of both had booted"
STARVED = "no processor to spare"

#: Both members hear each other at these events, so the report has the time with two holders.
SHARED = frozenset({PORT_DISABLED.recovery, SERVER_FROZEN.name, KEEPALIVED_KILLED.name, BOTH_KILLED.name})


@dataclass
class Row:
    """All outages of one event with one pair, in seconds. The lists have one entry for each time."""

    #: The longest time between two answers. For an outage without an end, the time for which it was watched.
    gaps: list[float] = field(default_factory=list[float])
    #: Whether the outage ended; one entry for each gap.
    ended: list[bool] = field(default_factory=list[bool])
    #: Why the event did not end as expected although the service was there. Without a failover its gap does not count.
    problems: list[str] = field(default_factory=list[str])
    #: Seconds during which both members held the VIP.
    shared: list[float] = field(default_factory=list[float])
    #: How many members held the VIP at the end.
    holders: list[int] = field(default_factory=list[int])
    #: How often another member answered than before.
    failovers: list[int] = field(default_factory=list[int])
    #: Seconds that the protocol may take; None where the protocol sets no limit.
    limit: float | None = None

    def add(self, seen: Observation) -> None:
        """Add one observation of the event."""
        if seen.problem:
            self.problems.append(seen.problem)
        if not seen.problem or seen.failovers:
            self.gaps.append(round(seen.longest_gap, 4))
            self.ended.append(seen.back)
        self.shared.append(round(seen.shared_for, 4))
        self.holders.append(seen.holders_at_end)
        self.failovers.append(seen.failovers)

    @property
    def endless(self) -> int:
        """The number of outages that did not end while they were watched."""
        return self.ended.count(False)

    @property
    def median(self) -> float:
        """The median of the gaps; NaN if there is none."""
        return statistics.median(self.gaps) if self.gaps else math.nan


@dataclass
class Starvation:
    """The outages while every processor was busy."""

    #: Seconds.
    longest_gap: float
    #: How often another member answered than before, or took the VIP.
    failovers: int


@dataclass
class Results:
    """Everything that the report says. Pairs are named by their titles, in the order of the report."""

    pairs: list[str]
    #: The date, as in 2026-11-23.
    measured: str
    machine: str
    kernel: str
    #: Program → version on the servers.
    versions: dict[str, str] = field(default_factory=dict[str, str])
    #: The busy loops in each member, and for how many seconds they ran.
    busy_loops: int = 0
    busy_seconds: float = 0
    #: (event, pair) → its row, in the order of the report.
    rows: dict[tuple[str, str], Row] = field(default_factory=dict[tuple[str, str], Row])
    #: Pair → seconds from the boot of the first of two killed members to the first answer.
    after_boot: dict[str, list[float]] = field(default_factory=dict[str, list[float]])
    starved: dict[str, Starvation] = field(default_factory=dict[str, Starvation])

    def add(self, pair: str, seen: Observation, limit: float | None) -> None:
        """Add an observation.

        :param limit: seconds that the protocol may take at this event with this pair.
        """
        self.rows.setdefault((seen.name, pair), Row(limit=limit)).add(seen)

    @property
    def events(self) -> list[str]:
        """The names of the events, in the order of the report."""
        return list(dict.fromkeys(event for event, _ in self.rows))

    def rows_of(self, event: str) -> list[Row | None]:
        """Return the event's row for each pair, None for a pair without it."""
        return [self.rows.get((event, pair)) for pair in self.pairs]


# -- the figures -------------------------------------------------------------------------------------------


def figures_of(results: Results) -> dict[str, Any]:
    """Return the content of the JSON file."""
    figures: list[dict[str, Any]] = [
        {
            "event": event,
            "pair": pair,
            "limit": row.limit,
            "gaps": row.gaps,
            "ended": row.ended,
            "problems": row.problems,
            "sharedFor": row.shared,
            "holdersAtEnd": row.holders,
            "failovers": row.failovers,
        }
        for (event, pair), row in results.rows.items()
    ]
    figures += [
        {"event": AFTER_BOOT, "pair": pair, "gaps": [round(gap, 4) for gap in gaps]}
        for pair, gaps in results.after_boot.items()
    ]
    figures += [
        {"event": STARVED, "pair": pair, "gaps": [round(seen.longest_gap, 4)], "failovers": seen.failovers}
        for pair, seen in results.starved.items()
    ]
    return {
        "pairs": results.pairs,
        "measured": results.measured,
        "machine": results.machine,
        "kernel": results.kernel,
        "versions": results.versions,
        "busyLoops": results.busy_loops,
        "busySeconds": results.busy_seconds,
        "figures": figures,
    }


def results_of(content: dict[str, Any]) -> Results:
    """Return the results from the content of the JSON file: the opposite of `figures_of`."""
    results = Results(
        pairs=content["pairs"],
        measured=content["measured"],
        machine=content["machine"],
        kernel=content["kernel"],
        versions=content["versions"],
        busy_loops=content["busyLoops"],
        busy_seconds=content["busySeconds"],
    )
    for figure in content["figures"]:
        event, pair = figure["event"], figure["pair"]
        if event == AFTER_BOOT:
            results.after_boot[pair] = figure["gaps"]
        elif event == STARVED:
            results.starved[pair] = Starvation(figure["gaps"][0], figure["failovers"])
        else:
            results.rows[event, pair] = Row(
                gaps=figure["gaps"],
                ended=figure["ended"],
                problems=figure["problems"],
                shared=figure["sharedFor"],
                holders=figure["holdersAtEnd"],
                failovers=figure["failovers"],
                limit=figure["limit"],
            )
    return results


def write_report(results: Results, report: Path) -> None:
    """Write the text, and the picture (``.svg``) and the figures (``.json``) beside it."""
    report.parent.mkdir(parents=True, exist_ok=True)
    figures = json.dumps(figures_of(results), indent=1) + "\n"
    report.with_suffix(".json").write_text(figures, encoding="utf-8")
    redraw(report)


def redraw(report: Path) -> None:
    """Write the text and the picture again, from the figures beside them."""
    results = results_of(json.loads(report.with_suffix(".json").read_text(encoding="utf-8")))
    report.write_text(text_of(results, report.stem), encoding="utf-8")
    report.with_suffix(".svg").write_text(picture_of(results), encoding="utf-8")


# -- the text ----------------------------------------------------------------------------------------------


def text_of(results: Results, name: str) -> str:
    """Return the report's text.

    :param name: of the picture and the figures, without the suffix.
    """
    return _TEMPLATES.get_template("failover.md.j2").render(
        results=results,
        rows=[(event, results.rows_of(event)) for event in results.events],
        shared=[(event, results.rows_of(event)) for event in results.events if event in SHARED],
        two_masters=any(event.startswith("two masters") for event in results.events),
        picture=f"{name}.svg",
        figures=f"{name}.json",
    )


# -- the picture -------------------------------------------------------------------------------------------

#: Pixels: the picture's width, the distance of the lanes, the space above them, the column for outages without an end.
WIDTH, LANE, TOP, ENDLESS = 1100, 22, 78, 96
#: Pixels of a character at the font size of the labels. The widest common sans-serif (DejaVu) takes 6.9 on average.
CHARACTER = 7.2
#: The marks of the logarithmic axis. The first and the last are its ends, in seconds.
TICKS = ((0.01, "10 ms"), (0.1, "100 ms"), (1.0, "1 s"), (10.0, "10 s"), (100.0, "100 s"))


def picture_of(results: Results) -> str:
    """Return the picture: a dot for each outage on a logarithmic axis, one lane for each event and pair.

    An outage without an end is no dot. An arrow leads from the time for which it was watched to a column of its own.
    """
    left = CHARACTER * max(map(len, results.events)) + 24
    right = WIDTH - ENDLESS
    (shortest, _), (longest, _) = TICKS[0], TICKS[-1]
    span = math.log10(longest / shortest)

    def x(seconds: float) -> float:
        inside = min(max(seconds, shortest), longest)
        return round(left + math.log10(inside / shortest) / span * (right - left), 1)

    lanes: list[dict[str, Any]] = []
    y = TOP
    for event in results.events:
        name = event
        for number, row in enumerate(results.rows_of(event)):
            if row is None:
                continue
            watched = [gap for gap, ended in zip(row.gaps, row.ended, strict=True) if not ended]
            dots = [gap for gap, ended in zip(row.gaps, row.ended, strict=True) if ended]
            endless = f"no end in {len(watched)} of {len(row.gaps)}"
            pair = results.pairs[number]
            lanes.append(
                {
                    "y": y,
                    # Once for each event.
                    "name": name,
                    "number": number,
                    "dots": [(x(gap), f"{pair}: {1000 * gap:,.0f} ms") for gap in dots],
                    "median": x(row.median) if len(dots) > len(watched) else None,
                    "arrow": (x(min(watched)), f"{len(watched)} of {len(row.gaps)}") if watched else None,
                    "arrow_title": f"{pair}: {endless}, watched for {min(watched):.0f} s" if watched else "",
                }
            )
            name = ""
            y += LANE
        y += LANE // 2
    key: list[tuple[float, str]] = []
    at = left
    for pair in results.pairs:
        key.append((round(at, 1), pair))
        at += CHARACTER * len(pair) + 36
    return _TEMPLATES.get_template("failover.svg.j2").render(
        width=WIDTH,
        height=y + 56,
        left=left,
        right=right,
        top=TOP - 18,
        bottom=y,
        lanes=lanes,
        ticks=[(x(seconds), label) for seconds, label in TICKS],
        key=key,
    )


def _milliseconds(seconds: float) -> str:
    return f"{1000 * seconds:,.0f}"


_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
    autoescape=lambda name: bool(name) and ".svg" in str(name),
)
_TEMPLATES.filters["ms"] = _milliseconds
_TEMPLATES.filters["median"] = statistics.median
