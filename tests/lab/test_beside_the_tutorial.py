"""The tutorial's pair and ours in one run on one machine: only the ratio between them means anything."""

from __future__ import annotations

from lab.cloud import Cloud
from lab.drill import Drill, Event
from lab.watch import Watch

from .conftest import Labs


def drill(cloud: Cloud) -> dict[str, Event]:
    url, vip = str(cloud.record.about["outputs"]["url"]), str(cloud.record.about["vip"])
    members = [(member.name, member.namespace) for member in cloud.nova.members()]
    with Watch(cloud.neutron.public, url, vip, members) as watch:
        return {event.name: event for event in Drill(cloud, watch, print).run()}


def test_ours_is_three_times_faster_at_a_lost_master_and_survives_a_dead_web_server(labs: Labs) -> None:
    tutorial, _ = labs.up("tutorial", "tutorial")
    ours, _ = labs.up("ours")
    theirs, mine = drill(tutorial), drill(ours)
    for events in (theirs, mine):
        print({name: f"{event.longest_gap * 1000:.0f} ms" for name, event in events.items()})

    lost = [name for name in ("port disabled", "server killed") if theirs[name].back]
    assert lost
    for name in lost:
        assert mine[name].longest_gap * 3 <= theirs[name].longest_gap, name
    assert not theirs["web server stopped"].back, "the tutorial's pair has no health check"
    assert all(event.back for event in mine.values())
