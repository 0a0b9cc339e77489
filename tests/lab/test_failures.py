"""What a pair does when something fails that the tutorial's does not notice, on this machine's kernel.

Each is done to a healthy pair, and seen from the client's side and by who holds the VIP. How long a failover takes is
measured by `make bench`; here only that it is one, and that it is over.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, ExitStack, contextmanager

import pytest

from drill.drill import Drill, Observation
from drill.events import (
    BOTH_KILLED,
    DRAINED,
    KEEPALIVED_CHILD_KILLED,
    KEEPALIVED_KILLED,
    SERVER_FROZEN,
    SERVER_KILLED,
    SERVICE_HANGS,
    Event,
)
from drill.pair import Member, Pair
from drill.watch import Watch
from lab.cloud import Cloud
from lab.container import ContainerError
from lab.pair import LabMember, LabPair
from lab.up import ask

from .conftest import Labs, holders

MASTER, BACKUP = "vrrp-master", "vrrp-backup"


@pytest.fixture(scope="module")
def cloud(labs_of_module: Labs) -> Cloud:
    return labs_of_module.up("failures")[0]


def once(cloud: Cloud, event: Event) -> Observation:
    pair = LabPair(cloud)
    with Watch(pair) as watch:
        return Drill(pair, watch, print, patience=60).once(event)[0]


def wait_for(true: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


@contextmanager
def done_to(member: LabMember, *command: str, undo: tuple[str, ...]) -> Generator[None]:
    member.run(*command).check_returncode()
    try:
        yield
    finally:
        member.run(*undo).check_returncode()


def runs(member: LabMember, unit: str) -> bool:
    """Whether a unit of a member is active; one that is only booting has none."""
    try:
        return member.run("systemctl", "is-active", unit).stdout == "active\n"
    except ContainerError:
        return False


def stopped(member: LabMember, unit: str = "apache2") -> AbstractContextManager[None]:
    return done_to(member, "systemctl", "stop", unit, undo=("systemctl", "start", unit))


class TestTheOtherOneTakesOver:
    @pytest.mark.parametrize(
        ("event", "seconds"),
        [
            (SERVICE_HANGS, 1.5),
            (DRAINED, 0.5),
            (KEEPALIVED_KILLED, 2.0),
            (KEEPALIVED_CHILD_KILLED, 2.0),
            # By one that misses the master sooner than it is back.
            (SERVER_FROZEN, 0.99),
        ],
        ids=lambda value: value.name if isinstance(value, Event) else "",
    )
    def test_and_the_service_is_back(self, cloud: Cloud, event: Event, seconds: float) -> None:
        seen = once(cloud, event)
        assert seen.passed, seen.amiss
        assert seen.before == MASTER
        # One that ends by itself ends at the master again, and without going back and forth.
        assert seen.after == (MASTER if event.passes else BACKUP)
        assert seen.failovers in ((0, 2) if event.passes else (1,))
        assert seen.longest_gap < seconds
        assert seen.holders_at_end == 1

    def test_a_drained_member_stays_away_over_a_reboot_until_it_is_told_otherwise(self, cloud: Cloud) -> None:
        master = LabPair(cloud).members()[0]
        with done_to(master, "vrrp-health", "drain", undo=("vrrp-health", "undrain")):
            wait_for(lambda: holders(cloud) == [BACKUP])
            master.cut_power()
            master.switch_on()
            wait_for(lambda: runs(master, "keepalived"))
            time.sleep(3)
            assert holders(cloud) == [BACKUP]
        wait_for(lambda: holders(cloud) == [MASTER])


class TestAClockThatJumps:
    """Prevents timers that hang on the time of day: a guest's is set after a boot, a suspension, a migration.

    keepalived's, that is: that the health check never asks for the time of day is shown by tests/unit.
    """

    #: The time of day comes from a file, and all other clocks are as they are.
    ENVIRONMENT = (
        "LD_PRELOAD=/usr/$LIB/faketime/libfaketimeMT.so.1",
        "FAKETIME_TIMESTAMP_FILE=/run/clock",
        "FAKETIME_NO_CACHE=1",
        "FAKETIME_DONT_FAKE_MONOTONIC=1",
    )

    def test_moves_nothing(self, cloud: Cloud) -> None:
        members = LabPair(cloud).members()

        def set_clocks(ahead: int) -> None:
            for member in members:
                member.run("sh", "-c", f"echo {ahead:+d} > /run/clock").check_returncode()

        def jump(_: Pair, __: Member) -> None:
            for ahead in (3600, -3600, 0):
                set_clocks(ahead)
                time.sleep(1.5)

        set_clocks(0)
        with ExitStack() as undoing:
            for member in members:
                manager = ("systemctl", "set-environment", *self.ENVIRONMENT)
                names = [assignment.partition("=")[0] for assignment in self.ENVIRONMENT]
                undoing.callback(member.run, "systemctl", "restart", "keepalived")
                undoing.enter_context(done_to(member, *manager, undo=("systemctl", "unset-environment", *names)))
                member.run("systemctl", "restart", "keepalived").check_returncode()
                assert self._ahead(member) == 0
            seen = once(cloud, Event("clocks jump", jump, lambda _, __: set_clocks(7200), passes=True))
            assert [self._ahead(member) for member in members] == [2, 2]
        assert seen.passed
        assert (seen.before, seen.after, seen.failovers, seen.holders_most) == (MASTER, MASTER, 0, 1)
        assert seen.longest_gap < 0.3

    @staticmethod
    def _ahead(member: LabMember) -> int:
        """By how many hours keepalived is ahead of this machine, as a process with its environment sees it."""
        ask = (
            "pid=$(systemctl show --property=MainPID --value keepalived); "
            "grep -q libfaketime /proc/$pid/maps || exit 9; "
            "xargs -0 -a /proc/$pid/environ sh -c 'env \"$@\" date +%s' sh"
        )
        told = member.run("sh", "-c", ask)
        assert told.returncode == 0, told.stderr
        return round((int(told.stdout) - time.time()) / 3600)


class TestSomebodyHoldsTheVip:
    """Prevents a cure that is worse: a member that gives the VIP away to nobody because its service is slow."""

    def test_a_master_whose_service_is_dead_keeps_it_while_it_is_alone_and_not_longer(self, cloud: Cloud) -> None:
        master, backup = LabPair(cloud).members()
        backup.cut_power()
        try:
            time.sleep(2)
            with stopped(master):
                time.sleep(2)
                assert holders(cloud) == [MASTER]
                backup.switch_on()
                wait_for(lambda: ask(cloud, LabPair(cloud).url) == BACKUP, 60)
                assert holders(cloud) == [BACKUP]
        finally:
            if not backup.is_running():
                backup.switch_on()
        wait_for(lambda: holders(cloud) == [MASTER])

    def test_when_both_services_are_dead_one_of_them_holds_it_and_the_first_that_lives_gets_it(
        self, cloud: Cloud
    ) -> None:
        master, backup = LabPair(cloud).members()
        with stopped(backup):
            with stopped(master):
                time.sleep(5)
                for _ in range(10):
                    assert len(holders(cloud)) == 1
                    time.sleep(0.2)
            wait_for(lambda: ask(cloud, LabPair(cloud).url) == MASTER)
        wait_for(lambda: holders(cloud) == [MASTER])

    def test_a_peer_whose_keepalived_hangs_is_not_waited_for(self, cloud: Cloud) -> None:
        """It says that it is well, and takes nothing."""
        master, backup = LabPair(cloud).members()
        hang = ("systemctl", "kill", "--signal=STOP", "keepalived")
        with done_to(backup, *hang, undo=(*hang[:2], "--signal=CONT", "keepalived")), stopped(master):
            time.sleep(6)
            for _ in range(20):
                assert holders(cloud) == [MASTER]
                time.sleep(0.1)
        wait_for(lambda: ask(cloud, LabPair(cloud).url) == MASTER)
        wait_for(lambda: holders(cloud) == [MASTER])

    def test_a_drain_that_nobody_could_make_up_for_is_refused(self, cloud: Cloud) -> None:
        master, backup = LabPair(cloud).members()
        with stopped(backup):
            wait_for(lambda: '"peer": "ill"' in master.run("vrrp-health", "status").stdout)
            refused = master.run("vrrp-health", "drain")
            assert refused.returncode == 1
            assert "vrrp-backup does not say that it can take over (ill)" in refused.stderr
            assert holders(cloud) == [MASTER]


class TestTheCheckIsTheOperators:
    def test_a_command_and_without_preemption_the_vip_stays_where_it_is(self, labs: Labs) -> None:
        cloud, _ = labs.up(
            "command", preempt="false", service='{"check": "command", "command": "test ! -e /run/broken"}'
        )
        pair = LabPair(cloud)
        wait_for(lambda: len(holders(cloud)) == 1)
        (first,) = holders(cloud)
        holder = next(member for member in pair.members() if member.name == first)
        other = next(member for member in pair.members() if member.name != first)
        with done_to(holder, "touch", "/run/broken", undo=("rm", "/run/broken")):
            wait_for(lambda: holders(cloud) == [other.name])
        time.sleep(3)
        assert holders(cloud) == [other.name]
        # Two that boot together still settle.
        seen = once(cloud, BOTH_KILLED)
        assert seen.passed
        assert seen.holders_at_end == 1

    def test_a_tcp_port_and_a_master_that_comes_back_waits(self, labs: Labs) -> None:
        cloud, _ = labs.up("tcp", preemptDelay="6", service='{"check": "tcp"}')
        wait_for(lambda: holders(cloud) == [MASTER])
        master = LabPair(cloud).members()[0]
        with stopped(master):
            wait_for(lambda: holders(cloud) == [BACKUP])
        time.sleep(3)
        assert holders(cloud) == [BACKUP]
        wait_for(lambda: holders(cloud) == [MASTER])
        assert once(cloud, SERVER_KILLED).passed
