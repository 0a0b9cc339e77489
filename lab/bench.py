"""The tutorial's pair and ours, in one run on one machine: each event many times, in turns.

Machines are shared and noisy, so that only what was measured beside each other can be compared. The report stands in
``docs/failover.md``: figures, machine, versions, and the limit that the protocol sets.
"""

from __future__ import annotations

import fcntl
import json
import math
import os
import platform
import re
import statistics
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from drill.drill import Drill, Observation
from drill.events import (
    BOTH_KILLED,
    DRAINED,
    KEEPALIVED_CHILD_KILLED,
    KEEPALIVED_KILLED,
    KEEPALIVED_STOPPED,
    PORT_DISABLED,
    SERVER_FROZEN,
    SERVER_KILLED,
    SERVICE_HANGS,
    SERVICE_STOPPED,
    Event,
)
from drill.undisturbed import undisturbed
from drill.watch import Watch
from settings.pair import PairSettings
from settings.parsing import parse_settings

from .cloud import Cloud
from .machine import check_machine
from .pair import LabMember, LabPair
from .place import IMAGE_FOLDER, Place
from .stack_file import PROJECT_FOLDER, StackConfig, read_stack
from .up import LabFailed, bring_up

#: In the order of the report. What may go well by luck, a partition that heals, three times a round.
EVENTS = (
    PORT_DISABLED,
    PORT_DISABLED,
    PORT_DISABLED,
    SERVER_KILLED,
    SERVER_FROZEN,
    KEEPALIVED_STOPPED,
    DRAINED,
    KEEPALIVED_KILLED,
    KEEPALIVED_CHILD_KILLED,
    SERVICE_STOPPED,
    SERVICE_HANGS,
    BOTH_KILLED,
)

#: Seconds of observation before an outage is called endless. A router's stale neighbour entry takes up to 49 s
#: (measured); without a check of the service nothing ever ends the other two.
LIMITS = {event.name: 8.0 for event in (SERVICE_STOPPED, SERVICE_HANGS, KEEPALIVED_KILLED, KEEPALIVED_CHILD_KILLED)}
LIMIT = 60.0

#: Where the skew, and with it the backup's priority, makes a difference.
SKEWED = frozenset({PORT_DISABLED.name, KEEPALIVED_STOPPED.name, DRAINED.name})

#: So many are enough for a median: a shorter run is no report for the repository.
ENOUGH_ROUNDS = 10

#: The names of these figures among those of the events.
AFTER_BOOT = "answer after the first of both had booted"
STARVED = "no processor to spare"

#: Where two could hold the VIP although both hear each other.
TOGETHER = (str(PORT_DISABLED.mending), SERVER_FROZEN.name, KEEPALIVED_KILLED.name, BOTH_KILLED.name)

#: Busy loops per processor of the machine, in each member, and for how many seconds.
LOOPS, STARVED_FOR = 4, 60.0


@dataclass(frozen=True)
class Contestant:
    """A configuration that is measured."""

    title: str
    config: StackConfig
    #: What it can't do, or would tell nothing new, and is not asked to.
    lacks: frozenset[str] = frozenset()

    @property
    def settings(self) -> PairSettings:
        own = f"{self.config.project}:"
        return parse_settings(
            {key.removeprefix(own): text for key, text in self.config.values.items() if key.startswith(own)},
            self.config.project,
        )


@dataclass
class Row:
    """All gaps of one event with one contestant, in seconds; an outage that did not end counts as long as it was
    watched, and is counted.
    """

    gaps: list[float] = field(default_factory=list[float])
    endless: int = 0
    #: Why what was to be seen was not, although the service was there; its gap is none of this event's.
    amiss: list[str] = field(default_factory=list[str])
    #: Seconds in which both held the VIP, each time.
    shared: list[float] = field(default_factory=list[float])
    #: How many held it in the end, each time.
    holders: list[int] = field(default_factory=list[int])
    #: How often another member answered than before, each time.
    failovers: list[int] = field(default_factory=list[int])

    def add(self, seen: Observation) -> None:
        if seen.amiss:
            self.amiss.append(seen.amiss)
        if not seen.amiss or seen.failovers:
            self.gaps.append(seen.longest_gap)
        self.endless += not seen.back
        self.shared.append(seen.shared_for)
        self.holders.append(seen.holders_at_end)
        self.failovers.append(seen.failovers)

    @property
    def median(self) -> float:
        """NaN when it never happened."""
        return statistics.median(self.gaps) if self.gaps else math.nan


@dataclass
class Starvation:
    """What a client saw while every processor was wanted by everybody."""

    longest_gap: float
    #: How often another member answered than before, or took the VIP.
    failovers: int


@dataclass
class Results:
    rows: dict[tuple[str, str], Row] = field(default_factory=dict[tuple[str, str], Row])
    starved: dict[str, Starvation] = field(default_factory=dict[str, Starvation])
    #: Contestant → seconds from the moment at which the first of two members that were killed had booted to an answer.
    after_boot: dict[str, list[float]] = field(default_factory=dict[str, list[float]])
    #: Program → version, as a member told.
    versions: dict[str, str] = field(default_factory=dict[str, str])

    def add(self, contestant: Contestant, seen: Observation) -> None:
        self.rows.setdefault((seen.name, contestant.title), Row()).add(seen)


def contestants() -> list[Contestant]:
    ours = read_stack("nz-por-1")

    def but(**own: str) -> StackConfig:
        values = {**ours.values, **{f"{ours.project}:{key}": text for key, text in own.items()}}
        return StackConfig(ours.project, ours.stack, values, ours.secret_keys)

    return [
        Contestant("tutorial", read_stack("tutorial"), frozenset({DRAINED.name})),
        Contestant("ours, 0.25 s", ours),
        Contestant("ours, 0.1 s", but(advertInterval="0.1")),
        Contestant(
            "ours, 0.25 s, 254/253",
            but(masterPriority="254", backupPriority="253"),
            frozenset(event.name for event in EVENTS) - SKEWED,
        ),
    ]


def run(rounds: int, say: Callable[[str], None], report: Path, events: Sequence[Event] = EVENTS) -> Results:
    """Measure, and write the report after every round and at the end: an interrupted run has one, too.

    :raises LabFailed, NotHealthy: when a pair does not come up, or not back; or when another run is under way.
    """
    check_machine()
    results, began = Results(), datetime.now(UTC)
    with ExitStack() as labs:
        labs.enter_context(_alone())
        pairs: list[tuple[Contestant, LabPair]] = []
        for number, contestant in enumerate(contestants()):
            place = Place(f"bench-{number}")
            # A run that was killed may have left one of the same name.
            Cloud(place).sweep()
            labs.callback(_remove, place)
            cloud, _, _ = bring_up(place, contestant.config, say)
            pairs.append((contestant, LabPair(cloud)))
        results.versions = _versions(pairs[-1][1].members()[0])
        labs.callback(lambda: write_report(results, began, report) if results.rows else None)
        for number in range(1, rounds + 1):
            for event in events:
                for contestant, pair in pairs:
                    if event.name in contestant.lacks:
                        continue
                    say(f"round {number} of {rounds}: {event.name}: {contestant.title}")
                    for seen in _measured(pair, event):
                        results.add(contestant, seen)
                        if event is BOTH_KILLED:
                            answered = seen.gap_from + seen.longest_gap
                            results.after_boot.setdefault(contestant.title, []).append(answered - _booted_at(pair))
            write_report(results, began, report)
        for contestant, pair in pairs:
            say(f"no processor to spare: {contestant.title}")
            results.starved[contestant.title] = _starve(pair)
    return results


@contextmanager
def _alone() -> Generator[None]:
    """:raises LabFailed: when another run of this is under way, whose labs this one would take for left ones."""
    IMAGE_FOLDER.mkdir(parents=True, exist_ok=True)
    with (IMAGE_FOLDER / "bench.lock").open("w", encoding="ascii") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LabFailed("another `make bench` is under way on this machine: wait for it, or end it") from None
        yield


def _remove(place: Place) -> None:
    with undisturbed():
        Cloud(place).delete_everything()


def _measured(pair: LabPair, event: Event) -> list[Observation]:
    with Watch(pair) as watch:
        return Drill(pair, watch, lambda _: None, LIMITS.get(event.name, LIMIT), patience=120).once(event)


def _booted_at(pair: LabPair) -> float:
    """When the first member ran all that it serves with, by the clock that containers share with their machine."""

    def since(member: LabMember, unit: str) -> float:
        asked = member.run("systemctl", "show", "--property=ActiveEnterTimestampMonotonic", "--value", unit)
        return int(asked.stdout) / 1_000_000

    return min(max(since(member, unit) for unit in ("keepalived", pair.service_unit)) for member in pair.members())


def _versions(member: LabMember) -> dict[str, str]:
    """What the servers run; both programs tell it on standard error, or on standard output."""

    def said(pattern: str, *command: str) -> str:
        asked = member.run(*command)
        found = re.search(pattern, asked.stdout + asked.stderr)
        return found[1] if found else "unknown"

    return {
        "keepalived": said(r"Keepalived v(\S+)", "keepalived", "--version"),
        "apache2": said(r"Apache/(\S+)", "apache2", "-v"),
        "servers": said(r'PRETTY_NAME="(.*)"', "cat", "/etc/os-release"),
    }


def _starve(pair: LabPair) -> Starvation:
    loops = LOOPS * (os.cpu_count() or 1)
    busy = f"for i in $(seq {loops}); do timeout {STARVED_FOR:.0f} sh -c 'while :; do :; done' & done; wait"
    with Watch(pair) as watch:
        Drill(pair, watch, lambda _: None, patience=120).settle("before the processors are taken")
        began = time.monotonic()
        for member in pair.members():
            member.run("systemd-run", "--quiet", "--collect", "--unit=busy", "sh", "-c", busy).check_returncode()
        time.sleep(STARVED_FOR)
        until = time.monotonic()
        good = watch.good(began, until)
        taken = sum(change.holds and began <= change.at <= until for change in watch.changes)
        Drill(pair, watch, lambda _: None, patience=120).settle("after the processors were taken")
    if not good:
        return Starvation(until - began, taken)
    times = [began, *(answer.over for answer in good), until]
    failovers = sum(earlier.member != later.member for earlier, later in pairwise(good))
    return Starvation(max(later - earlier for earlier, later in pairwise(times)), max(failovers, taken))


# -- the report --------------------------------------------------------------------------------------------


def write_report(results: Results, began: datetime, report: Path) -> None:
    """The text, its picture (``.svg``) and every single figure (``.json``) beside it."""
    names = list(dict.fromkeys(event for event, _ in results.rows))
    asked = contestants()
    report.parent.mkdir(parents=True, exist_ok=True)
    text = _TEMPLATES.get_template("failover.md.j2").render(
        began=began,
        about=_about_the_machine(),
        contestants=asked,
        rows=[(name, _ceilings(name, asked), [results.rows.get((name, one.title)) for one in asked]) for name in names],
        after_boot=results.after_boot,
        versions=results.versions,
        together=[(name, [results.rows.get((name, one.title)) for one in asked]) for name in TOGETHER if name in names],
        starved=results.starved,
        starvation={"loops": LOOPS * (os.cpu_count() or 1), "seconds": STARVED_FOR},
        picture=report.with_suffix(".svg").name,
        figures=report.with_suffix(".json").name,
    )
    report.write_text(text, encoding="utf-8")
    report.with_suffix(".svg").write_text(_picture(results, names, asked), encoding="utf-8")
    figures = [
        {
            "event": event,
            "pair": title,
            "gaps": [round(gap, 4) for gap in row.gaps],
            "endless": row.endless,
            "amiss": row.amiss,
            "sharedFor": [round(shared, 4) for shared in row.shared],
            "holdersAtEnd": row.holders,
            "failovers": row.failovers,
        }
        for (event, title), row in results.rows.items()
    ]
    figures += [
        {"event": AFTER_BOOT, "pair": title, "gaps": [round(gap, 4) for gap in gaps], "endless": 0}
        for title, gaps in results.after_boot.items()
    ]
    figures += [
        {"event": STARVED, "pair": title, "gaps": [round(seen.longest_gap, 4)], "failovers": seen.failovers}
        for title, seen in results.starved.items()
    ]
    report.with_suffix(".json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def ceiling(event: str, settings: PairSettings) -> float | None:
    """Seconds that the protocol may take at this event, the client's own not counted; None where it has no say.

    RFC 9568 section 6.1: a master is given up after three intervals and the skew, (256 - priority) / 256 of an
    interval; RFC 3768 section 6.1: of a second. One that says good-bye (priority 0) costs the skew alone.
    """
    backup = settings.members[1]
    unit = settings.advert_interval if settings.vrrp_version == 3 else Decimal(1)
    skew = Decimal(256 - backup.priority) / 256 * unit
    if event in {PORT_DISABLED.name, SERVER_KILLED.name, SERVER_FROZEN.name, KEEPALIVED_KILLED.name}:
        return float(3 * settings.advert_interval + skew)
    return float(skew) if event in {KEEPALIVED_STOPPED.name, DRAINED.name} else None


def _ceilings(event: str, asked: Sequence[Contestant]) -> list[float | None]:
    return [ceiling(event, one.settings) for one in asked]


def _about_the_machine() -> dict[str, str]:
    model = "unknown processor"
    with suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        model = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return {"machine": f"{os.cpu_count()} × {model}", "kernel": f"Linux {platform.release()}"}


#: Pixels, and the span of the picture's logarithmic axis in seconds.
WIDTH, LEFT, LANE, TOP = 1000, 230, 22, 50
SHORTEST, LONGEST = 0.01, 100.0


def _picture(results: Results, names: Sequence[str], asked: Sequence[Contestant]) -> str:
    """Every gap a dot, on a logarithmic axis: one lane per event and contestant."""
    span = math.log10(LONGEST / SHORTEST)

    def x(seconds: float) -> float:
        inside = min(max(seconds, SHORTEST), LONGEST)
        return round(LEFT + math.log10(inside / SHORTEST) / span * (WIDTH - LEFT - 20), 1)

    lanes: list[dict[str, Any]] = []
    y = TOP
    for name in names:
        for number, one in enumerate(asked):
            row = results.rows.get((name, one.title))
            if row is None:
                continue
            lanes.append(
                {
                    "y": y,
                    "name": name if number == 0 or (name, asked[0].title) not in results.rows else "",
                    "title": one.title,
                    "kind": number,
                    "dots": [(x(gap), f"{one.title}: {1000 * gap:.0f} ms") for gap in row.gaps],
                    "median": x(row.median) if row.gaps else None,
                }
            )
            y += LANE
        y += LANE // 2
    ticks = [(x(seconds), label) for seconds, label in ((0.01, "10 ms"), (0.1, "100 ms"), (1, "1 s"), (10, "10 s"))]
    return _TEMPLATES.get_template("failover.svg.j2").render(
        width=WIDTH, height=y + 40, left=LEFT, top=TOP, bottom=y, lanes=lanes, ticks=ticks, contestants=asked
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

#: Where the report of the repository stands.
REPORT = PROJECT_FOLDER / "docs" / "failover.md"
