"""A drill as a picture: who answered and who held the VIP, along one axis of time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from .drill import Observation
from .watch import Watch

#: Pixels.
WIDTH, LEFT, LANE, TOP = 1100, 190, 34, 62


@dataclass(frozen=True)
class Bar:
    x: float
    width: float
    y: float
    kind: str
    title: str


def draw(watch: Watch, events: Sequence[Observation], title: str) -> str:
    """The SVG: a lane for the answers and one for the VIP of each member, and a mark for each event."""
    members = watch.members
    looked = bool(watch.changes)
    begin, end = events[0].at - 1, events[-1].until
    scale = (WIDTH - LEFT - 20) / (end - begin)

    def x(at: float) -> float:
        return round(LEFT + (min(max(at, begin), end) - begin) * scale, 2)

    def bar(since: float, until: float, lane: int, kind: str, what: str) -> Bar:
        return Bar(x(since), max(round(x(until) - x(since), 2), 0.6), TOP + lane * LANE, kind, what)

    bars = [
        bar(since, until, members.index(member), "answers", f"{member} answers")
        for member, since, until in _stretches(watch, begin, end)
        if member in members
    ]
    bars += [
        bar(since, until, len(members), "silence", f"nobody answered for {1000 * (until - since):.0f} ms")
        for since, until in _silences(watch, begin, end)
    ]
    for number, member in enumerate(members if looked else []):
        held_since: float | None = None
        for at, held in [*watch.holders(begin, end), (end, frozenset[str]())]:
            if member in held and held_since is None:
                held_since = at
            elif member not in held and held_since is not None:
                bars.append(bar(held_since, at, len(members) + 1 + number, "holds", f"{member} holds the VIP"))
                held_since = None
    lanes = [*(f"{name} answers" for name in members), "nobody answers"]
    lanes += [f"{name} holds the VIP" for name in members if looked]
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), undefined=StrictUndefined, autoescape=True, trim_blocks=True
    )
    return environment.get_template("timeline.svg.j2").render(
        title=title,
        width=WIDTH,
        height=TOP + len(lanes) * LANE + 60,
        left=LEFT,
        lane_height=LANE,
        lanes=[(TOP + number * LANE, name) for number, name in enumerate(lanes)],
        bars=bars,
        events=[(x(event.at), event) for event in events],
        seconds=[(x(begin + second), second) for second in range(0, int(end - begin) + 1, 5)],
        bottom=TOP + len(lanes) * LANE,
    )


def _stretches(watch: Watch, begin: float, end: float) -> list[tuple[str, float, float]]:
    """Uninterrupted service by one member: (its name, from, to)."""
    stretches: list[tuple[str, float, float]] = []
    for answer in watch.good(begin, end):
        assert answer.member is not None
        if stretches and stretches[-1][0] == answer.member and answer.over - stretches[-1][2] <= watch.unbroken:
            stretches[-1] = (answer.member, stretches[-1][1], answer.over)
        else:
            stretches.append((answer.member, answer.over, answer.over))
    return stretches


def _silences(watch: Watch, begin: float, end: float) -> list[tuple[float, float]]:
    times = [begin, *(answer.over for answer in watch.good(begin, end)), end]
    return [(since, until) for since, until in pairwise(times) if until - since > watch.unbroken]
