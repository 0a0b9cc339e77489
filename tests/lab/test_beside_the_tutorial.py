"""The tutorial's pair and ours, in one run on one machine. Only the ratio of their figures means anything."""

from __future__ import annotations

from drill.events import DEMONSTRATION
from drill.measurement import Observation
from drill.observer import Observer
from drill.procedure import Drill
from drill.timing import DEMONSTRATION_LIMIT
from lab.cloud import Cloud
from lab.pair import LabPair

from .conftest import Labs


def drilled(cloud: Cloud) -> dict[str, Observation]:
    pair = LabPair(cloud)
    with Observer(pair) as observer:
        drill = Drill(pair, observer, print, DEMONSTRATION_LIMIT)
        return {event.name: event for event in drill.run(DEMONSTRATION)}


def test_our_pair_is_three_times_faster_after_a_lost_master_and_survives_a_dead_web_server(labs: Labs) -> None:
    tutorial, _ = labs.up("tutorial", "tutorial")
    ours, _ = labs.up("ours")
    theirs, mine = drilled(tutorial), drilled(ours)
    for events in (theirs, mine):
        print({name: f"{event.longest_gap * 1000:.0f} ms" for name, event in events.items()})

    lost = [name for name in ("port disabled", "server killed") if theirs[name].back]
    assert lost
    for name in lost:
        assert mine[name].longest_gap * 3 <= theirs[name].longest_gap, name
    assert not theirs["web server stopped"].back, "the tutorial's pair has no health check"
    assert all(event.back for event in mine.values())
