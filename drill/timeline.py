"""The timeline of a drill as data: lanes, bars and marks along one axis of seconds. Nothing here draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from .measurement import Observation
from .recording import Recording

#: Seconds that the timeline shows before the first event.
LEAD = 1.0


@dataclass(frozen=True)
class Bar:
    """Something that lasted; times in seconds since the timeline's beginning."""

    #: An index into the timeline's lanes.
    lane: int
    since: float
    until: float
    #: "answers", "silence" or "holds".
    kind: str
    title: str


@dataclass(frozen=True)
class Mark:
    """The beginning of an event; times in seconds since the timeline's beginning."""

    at: float
    until: float
    label: str
    #: Whether the service came back and the event ended as expected.
    passed: bool


@dataclass(frozen=True)
class Timeline:
    """A drill's events (one mark for each), and who answered and held the VIP meanwhile."""

    title: str
    #: Seconds.
    duration: float
    lanes: list[str]
    bars: list[Bar]
    marks: list[Mark]


def timeline_of(recording: Recording, events: Sequence[Observation], title: str) -> Timeline:
    """Return the timeline of one or more events. There are lanes for the holders only if these were recorded."""
    members = list(recording.members)
    begin, end = events[0].at - LEAD, events[-1].until
    lanes = [*(f"{name} answers" for name in members), "no answer"]
    bars = [
        Bar(members.index(member), since - begin, until - begin, "answers", f"{member} answers")
        for member, since, until in _stretches(recording, begin, end)
        if member in members
    ]
    bars += [
        Bar(len(members), since - begin, until - begin, "silence", f"no answer for {1000 * (until - since):.0f} ms")
        for since, until in _silences(recording, begin, end)
    ]
    if recording.changes:
        for member in members:
            bars += [
                Bar(len(lanes), since - begin, until - begin, "holds", f"{member} holds the VIP")
                for since, until in _holding(recording, member, begin, end)
            ]
            lanes.append(f"{member} holds the VIP")
    marks = [Mark(event.at - begin, event.until - begin, _label(event), event.passed) for event in events]
    return Timeline(title, end - begin, lanes, bars, marks)


def _label(event: Observation) -> str:
    """Say that an outage had no end, instead of the time for which it was watched."""
    outage = f"{1000 * event.longest_gap:.0f} ms" if event.back else f"no end in {event.until - event.at:.0f} s"
    return f"{event.name}: {outage}"


def _stretches(recording: Recording, begin: float, end: float) -> list[tuple[str, float, float]]:
    """Return uninterrupted service by one member, as (its name, from, to)."""
    stretches: list[tuple[str, float, float]] = []
    for answer in recording.good(begin, end):
        assert answer.member is not None
        if stretches and stretches[-1][0] == answer.member and answer.over - stretches[-1][2] <= recording.tolerance:
            stretches[-1] = (answer.member, stretches[-1][1], answer.over)
        else:
            stretches.append((answer.member, answer.over, answer.over))
    return stretches


def _silences(recording: Recording, begin: float, end: float) -> list[tuple[float, float]]:
    times = [begin, *(answer.over for answer in recording.good(begin, end)), end]
    return [(since, until) for since, until in pairwise(times) if until - since > recording.tolerance]


def _holding(recording: Recording, member: str, begin: float, end: float) -> list[tuple[float, float]]:
    times: list[tuple[float, float]] = []
    held_since: float | None = None
    for at, held in [*recording.holders(begin, end), (end, frozenset[str]())]:
        if member in held and held_since is None:
            held_since = at
        elif member not in held and held_since is not None:
            times.append((held_since, at))
            held_since = None
    return times
