"""The benchmark: the tutorial's pair and ours in one run on one machine, each event many times and in turns.

The speed of a shared machine varies, so only figures of one run can be compared. `bench_report` writes the report.
"""

from __future__ import annotations

import fcntl
import os
import platform
import re
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

from drill.events import (
    BOTH_KILLED,
    DRAINED,
    KEEPALIVED_CHILD_KILLED,
    KEEPALIVED_KILLED,
    KEEPALIVED_STOPPED,
    PORT_DISABLED,
    SERVER_FROZEN,
    SERVER_KILLED,
    SERVER_STOPPED,
    SERVICE_HANGS,
    SERVICE_STOPPED,
    Event,
)
from drill.interrupts import interrupts_postponed
from drill.measurement import Observation
from drill.observer import Observer
from drill.procedure import Drill
from drill.timing import LIMIT
from settings.pair import PairSettings
from settings.parsing import parse_settings

from .bench_report import Results, Starvation, write_report
from .cloud import Cloud
from .machine import check_machine
from .pair import LabMember, LabPair
from .place import IMAGE_FOLDER, Place
from .stack_file import StackConfig, read_stack
from .two_masters import SILENT_MASTER_OF_TWO_STOPPED, TWO_MASTERS
from .up import LabFailed, bring_up

#: In the order of the report. The end of a partition depends on chance, so that event comes three times a round.
EVENTS = (
    PORT_DISABLED,
    PORT_DISABLED,
    PORT_DISABLED,
    SERVER_KILLED,
    SERVER_FROZEN,
    KEEPALIVED_STOPPED,
    DRAINED,
    SERVER_STOPPED,
    KEEPALIVED_KILLED,
    KEEPALIVED_CHILD_KILLED,
    SERVICE_STOPPED,
    SERVICE_HANGS,
    BOTH_KILLED,
    *TWO_MASTERS,
)

#: A limit for the events at which the tutorial's pair has outages without an end, in seconds; any other event has the
#: drill's own limit.
LIMITS = {
    event.name: 8.0
    for event in (SERVICE_STOPPED, SERVICE_HANGS, KEEPALIVED_KILLED, KEEPALIVED_CHILD_KILLED, *TWO_MASTERS)
}

#: Seconds within which a pair has to be healthy again. Four pairs share the machine.
RECOVERY_TIMEOUT = 120.0

#: The events at which the skew, and so the backup's priority, makes a difference.
SKEWED = frozenset({PORT_DISABLED.name, KEEPALIVED_STOPPED.name, DRAINED.name, SERVER_STOPPED.name})

#: The rounds that a median needs. A shorter run does not write the repository's report.
ENOUGH_ROUNDS = 10

#: Busy loops for each processor of the machine, in each member, and for how many seconds they run.
LOOPS, STARVED_FOR = 4, 60.0


@dataclass(frozen=True)
class Contestant:
    """A configuration that is measured."""

    title: str
    config: StackConfig
    #: Names of events to skip: the configuration does not allow them, or they tell nothing new.
    skipped: frozenset[str] = frozenset()

    @property
    def settings(self) -> PairSettings:
        """The settings, as the program reads them."""
        own = f"{self.config.project}:"
        return parse_settings(
            {key.removeprefix(own): text for key, text in self.config.values.items() if key.startswith(own)},
            self.config.project,
        )


def contestants() -> list[Contestant]:
    """Return the configurations that are measured, in the order of the report."""
    ours = read_stack("nz-por-1")

    def but(**own: str) -> StackConfig:
        values = {**ours.values, **{f"{ours.project}:{key}": text for key, text in own.items()}}
        return StackConfig(ours.project, ours.stack, values, ours.secret_keys)

    return [
        # Without a health daemon there is no drain, and with multicast no member needs the other's address.
        Contestant("tutorial", read_stack("tutorial"), frozenset({DRAINED.name, SILENT_MASTER_OF_TWO_STOPPED.name})),
        Contestant("ours, 0.25 s", ours),
        Contestant("ours, 0.1 s", but(advertInterval="0.1")),
        Contestant(
            "ours, 0.25 s, 150/149",
            but(masterPriority="150", backupPriority="149"),
            frozenset(event.name for event in EVENTS) - SKEWED,
        ),
    ]


def new_results(asked: Sequence[Contestant]) -> Results:
    """Return results without figures, for a run that begins now on this machine."""
    return Results(
        pairs=[contestant.title for contestant in asked],
        measured=datetime.now(UTC).strftime("%Y-%m-%d"),
        machine=f"{os.cpu_count()} × {_processor()}",
        kernel=f"Linux {platform.release()}",
        busy_loops=LOOPS * (os.cpu_count() or 1),
        busy_seconds=STARVED_FOR,
    )


def run(
    rounds: int,
    say: Callable[[str], None],
    report: Path,
    events: Sequence[Event] = EVENTS,
    asked: Sequence[Contestant] = (),
) -> Results:
    """Measure. Write the report after every round and at the end, so that an interrupted run has one as well.

    :param asked: the configurations; all without any.
    :raises LabFailed: if a pair does not come up, or if another run is under way.
    :raises NotHealthy: if a pair does not recover from an event.
    """
    check_machine()
    asked = asked or contestants()
    results = new_results(asked)
    with ExitStack() as labs:
        labs.enter_context(_alone())
        pairs: list[tuple[Contestant, LabPair]] = []
        for number, contestant in enumerate(asked):
            place = Place(f"bench-{number}")
            # A killed run may have left a lab of the same name.
            Cloud(place).sweep()
            labs.callback(_remove, place)
            cloud, _, _ = bring_up(place, contestant.config, say)
            pairs.append((contestant, LabPair(cloud)))
        results.versions = _versions(pairs[-1][1].members()[0])
        labs.callback(lambda: write_report(results, report) if results.rows else None)
        for number in range(1, rounds + 1):
            for event in events:
                for contestant, pair in pairs:
                    if event.name in contestant.skipped:
                        continue
                    say(f"round {number} of {rounds}: {event.name}: {contestant.title}")
                    for seen in _measured(pair, event):
                        results.add(contestant.title, seen, ceiling(seen.name, contestant.settings))
                        if event is BOTH_KILLED:
                            answered = seen.gap_from + seen.longest_gap
                            results.after_boot.setdefault(contestant.title, []).append(answered - _booted_at(pair))
            write_report(results, report)
        for contestant, pair in pairs if tuple(events) == EVENTS else ():
            say(f"no processor to spare: {contestant.title}")
            results.starved[contestant.title] = _starve(pair)
    return results


@contextmanager
def _alone() -> Generator[None]:
    """Let no second run begin, because it would remove the labs of this one.

    :raises LabFailed: if another run is under way.
    """
    IMAGE_FOLDER.mkdir(parents=True, exist_ok=True)
    with (IMAGE_FOLDER / "bench.lock").open("w", encoding="ascii") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LabFailed("another `make bench` is under way on this machine: wait for it, or end it") from None
        yield


def _remove(place: Place) -> None:
    with interrupts_postponed():
        Cloud(place).delete_everything()


def _measured(pair: LabPair, event: Event) -> list[Observation]:
    with Observer(pair) as observer:
        return _drill(pair, observer, LIMITS.get(event.name, LIMIT)).once(event)


def _drill(pair: LabPair, observer: Observer, limit: float = LIMIT) -> Drill:
    return Drill(pair, observer, lambda _: None, limit, RECOVERY_TIMEOUT)


def _booted_at(pair: LabPair) -> float:
    """Return when the first member ran both keepalived and the service, in seconds of ``time.monotonic``.

    Containers share that clock with their machine.
    """

    def since(member: LabMember, unit: str) -> float:
        asked = member.run("systemctl", "show", "--property=ActiveEnterTimestampMonotonic", "--value", unit)
        return int(asked.stdout) / 1_000_000

    return min(max(since(member, unit) for unit in ("keepalived", pair.service_unit)) for member in pair.members())


def _versions(member: LabMember) -> dict[str, str]:
    """Return program → version. Some programs print it on standard error, others on standard output."""

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
    with Observer(pair) as observer:
        _drill(pair, observer).wait_until_healthy("before the processors are busy")
        began = time.monotonic()
        for member in pair.members():
            member.run("systemd-run", "--quiet", "--collect", "--unit=busy", "sh", "-c", busy).check_returncode()
        time.sleep(STARVED_FOR)
        until = time.monotonic()
        good = observer.recording.good(began, until)
        taken = sum(change.holds and began <= change.at <= until for change in observer.recording.changes)
        _drill(pair, observer).wait_until_healthy("after the processors were busy")
    if not good:
        return Starvation(until - began, taken)
    times = [began, *(answer.over for answer in good), until]
    failovers = sum(earlier.member != later.member for earlier, later in pairwise(good))
    return Starvation(max(later - earlier for earlier, later in pairwise(times)), max(failovers, taken))


def ceiling(event: str, settings: PairSettings) -> float | None:
    """Return the seconds that the protocol may take at this event, without the client's own; None if it sets no limit.

    A silent master is replaced after three intervals and the skew. The skew is (256 - priority) / 256 of an interval
    (RFC 9568 section 6.1), or of a second (RFC 3768 section 6.1). A master that announces its end with priority 0
    costs the skew alone.
    """
    backup = settings.members[1]
    unit = settings.advert_interval if settings.vrrp_version == 3 else Decimal(1)
    skew = Decimal(256 - backup.priority) / 256 * unit
    if event in {PORT_DISABLED.name, SERVER_KILLED.name, SERVER_FROZEN.name, KEEPALIVED_KILLED.name}:
        return float(3 * settings.advert_interval + skew)
    return float(skew) if event in {KEEPALIVED_STOPPED.name, DRAINED.name, SERVER_STOPPED.name} else None


def _processor() -> str:
    with suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return "unknown processor"
