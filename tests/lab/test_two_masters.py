"""Two masters that cannot hear each other: either one stops, and the other one serves within a second.

`python -m lab bench --only 'two masters'` measures the same as often as you like.
"""

from __future__ import annotations

import pytest

from drill.events import Event
from lab.cloud import Cloud
from lab.two_masters import BACKUP_OF_TWO_STOPPED, MASTER_OF_TWO_STOPPED, TWO_MASTERS

from .conftest import Labs, once

ROUNDS = 2


@pytest.fixture(scope="module")
def cloud(labs_of_module: Labs) -> Cloud:
    return labs_of_module.up("two-masters")[0]


@pytest.mark.parametrize("event", TWO_MASTERS, ids=lambda event: event.name)
def test_either_one_stops_and_the_other_one_serves_within_a_second(cloud: Cloud, event: Event) -> None:
    """Prevents an outage until the next refresh of keepalived, up to ten seconds."""
    for _ in range(ROUNDS):
        seen = once(cloud, event)
        assert seen.passed, seen.problem
        assert (seen.holders_most, seen.holders_at_end) == (2, 1)
        assert seen.longest_gap <= 1.0


def test_without_the_health_daemon_keepaliveds_refresh_bounds_the_outage(labs: Labs) -> None:
    cloud, _ = labs.up("no-daemon", serviceCheck="false")
    for event in (MASTER_OF_TWO_STOPPED, BACKUP_OF_TWO_STOPPED):
        seen = once(cloud, event)
        assert seen.passed, seen.problem
        assert seen.holders_most == 2
        # The refresh comes with an advertisement, so up to an interval later than after a second.
        assert seen.longest_gap <= 1.25
