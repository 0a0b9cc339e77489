"""The pair survives failures on this machine's kernel, also those that the tutorial's pair does not notice.

Each test does one failure to a healthy pair, and watches the client's requests and the holders of the VIP. `make bench`
measures the length of a failover. The tests here only check that the failover happens and ends.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, ExitStack, contextmanager

import pytest

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
from lab.cloud import Cloud
from lab.container import ContainerError
from lab.pair import LabMember, LabPair
from lab.up import ask

from .conftest import Labs, holders, once

MASTER, BACKUP = "vrrp-master", "vrrp-backup"


@pytest.fixture(scope="module")
def cloud(labs_of_module: Labs) -> Cloud:
    return labs_of_module.up("failures")[0]


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
    """Whether a unit of a member is active; on a booting member none is."""
    try:
        return member.run("systemctl", "is-active", unit).stdout == "active\n"
    except ContainerError:
        return False


def stopped(member: LabMember, unit: str = "apache2") -> AbstractContextManager[None]:
    return done_to(member, "systemctl", "stop", unit, undo=("systemctl", "start", unit))


class TestThePeerTakesOver:
    @pytest.mark.parametrize(
        ("event", "seconds"),
        [
            (SERVICE_HANGS, 1.5),
            (DRAINED, 0.5),
            (KEEPALIVED_KILLED, 2.0),
            (KEEPALIVED_CHILD_KILLED, 2.0),
            # The backup takes over before the master resumes.
            (SERVER_FROZEN, 0.99),
        ],
        ids=lambda value: value.name if isinstance(value, Event) else "",
    )
    def test_the_service_comes_back_after_the_failure(self, cloud: Cloud, event: Event, seconds: float) -> None:
        seen = once(cloud, event)
        assert seen.passed, seen.problem
        assert seen.before == MASTER
        # After a failure that ends by itself, the master has the VIP again, without further failovers.
        assert seen.after == (MASTER if event.self_healing else BACKUP)
        assert seen.failovers in ((0, 2) if event.self_healing else (1,))
        assert seen.longest_gap < seconds
        assert seen.holders_at_end == 1

    def test_a_drained_member_stays_drained_over_a_reboot_until_it_is_undrained(self, cloud: Cloud) -> None:
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
    """Prevents timers of keepalived that depend on the time of day, which may jump after a boot or a migration.

    A test in tests/unit shows that the health daemon never uses the time of day.
    """

    #: The time of day comes from a file. All other clocks stay real.
    ENVIRONMENT = (
        "LD_PRELOAD=/usr/$LIB/faketime/libfaketimeMT.so.1",
        "FAKETIME_TIMESTAMP_FILE=/run/clock",
        "FAKETIME_NO_CACHE=1",
        "FAKETIME_DONT_FAKE_MONOTONIC=1",
    )

    def test_causes_no_failover(self, cloud: Cloud) -> None:
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
            seen = once(cloud, Event("clocks jump", jump, lambda _, __: set_clocks(7200), self_healing=True))
            assert [self._ahead(member) for member in members] == [2, 2]
        assert seen.passed
        assert (seen.before, seen.after, seen.failovers, seen.holders_most) == (MASTER, MASTER, 0, 1)
        assert seen.longest_gap < 0.3

    @staticmethod
    def _ahead(member: LabMember) -> int:
        """Return how many hours keepalived's time of day is ahead, as a process with its environment sees it."""
        ask = (
            "pid=$(systemctl show --property=MainPID --value keepalived); "
            "grep -q libfaketime /proc/$pid/maps || exit 9; "
            "xargs -0 -a /proc/$pid/environ sh -c 'env \"$@\" date +%s' sh"
        )
        told = member.run("sh", "-c", ask)
        assert told.returncode == 0, told.stderr
        return round((int(told.stdout) - time.time()) / 3600)


class TestOneMemberAlwaysHoldsTheVip:
    """Prevents a member with a slow service that gives up the VIP although its peer can't take it."""

    def test_a_master_with_a_dead_service_keeps_the_vip_only_until_its_peer_is_back(self, cloud: Cloud) -> None:
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

    def test_with_both_services_dead_one_member_holds_the_vip_and_the_first_to_recover_gets_it(
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

    def test_the_master_keeps_the_vip_if_the_keepalived_of_its_peer_hangs(self, cloud: Cloud) -> None:
        """Such a peer reports that it is well, but does not take the VIP."""
        master, backup = LabPair(cloud).members()
        hang = ("systemctl", "kill", "--signal=STOP", "keepalived")
        with done_to(backup, *hang, undo=(*hang[:2], "--signal=CONT", "keepalived")), stopped(master):
            time.sleep(6)
            for _ in range(20):
                assert holders(cloud) == [MASTER]
                time.sleep(0.1)
        wait_for(lambda: ask(cloud, LabPair(cloud).url) == MASTER)
        wait_for(lambda: holders(cloud) == [MASTER])

    def test_a_drain_is_refused_while_the_peer_can_not_take_over(self, cloud: Cloud) -> None:
        master, backup = LabPair(cloud).members()
        with stopped(backup):
            wait_for(lambda: '"peer": "ill"' in master.run("vrrp-health", "status").stdout)
            refused = master.run("vrrp-health", "drain")
            assert refused.returncode == 1
            assert "vrrp-backup does not say that it can take over (ill)" in refused.stderr
            assert holders(cloud) == [MASTER]


class TestTheOperatorChoosesTheCheck:
    def test_with_a_failed_command_the_vip_moves_and_without_preemption_it_stays(self, labs: Labs) -> None:
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
        # Also two members that boot together agree on one holder.
        seen = once(cloud, BOTH_KILLED)
        assert seen.passed
        assert seen.holders_at_end == 1

    def test_with_a_closed_tcp_port_the_vip_moves_and_a_returning_master_waits_for_the_delay(self, labs: Labs) -> None:
        cloud, _ = labs.up("tcp", preemptDelay="6", service='{"check": "tcp"}')
        wait_for(lambda: holders(cloud) == [MASTER])
        master = LabPair(cloud).members()[0]
        with stopped(master):
            wait_for(lambda: holders(cloud) == [BACKUP])
        time.sleep(3)
        assert holders(cloud) == [BACKUP]
        wait_for(lambda: holders(cloud) == [MASTER])
        assert once(cloud, SERVER_KILLED).passed
