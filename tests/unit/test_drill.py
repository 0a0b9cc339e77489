"""The procedure of a drill: it restores the pair, at whatever moment it is interrupted.

The pair is made up, and time passes only while the drill sleeps. tests/lab shows what a client really sees.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from itertools import pairwise
from types import SimpleNamespace
from typing import Any, cast

import pytest

from drill import procedure
from drill.events import (
    API_EVENTS,
    KEEPALIVED_KILLED,
    MEMBER_EVENTS,
    PORT_DISABLED,
    SERVER_KILLED,
    SERVER_PAUSED,
    Event,
)
from drill.observer import Observer
from drill.pair import Pair
from drill.procedure import Drill, NotHealthy
from drill.recording import Answer, HolderChange, Recording
from settings.pair import Role

MASTER, BACKUP = "vrrp-master", "vrrp-backup"

#: The made-up servers do not boot by themselves, and freezing one takes real time.
EVERY_EVENT = (*API_EVENTS, *MEMBER_EVENTS, SERVER_KILLED)


class MadeUpMember:
    """Remembers what it lacks."""

    def __init__(self, name: str, role: Role) -> None:
        self.name = name
        self.role = role
        self.lacks: set[str] = set()

    def set_port(self, *, up: bool) -> None:
        self.take("port", away=not up)

    def switch_off(self) -> None:
        self.take("power", away=True)

    cut_power = switch_off

    def switch_on(self) -> None:
        self.take("power", away=False)

    def freeze(self) -> None:
        self.take("time", away=True)

    def thaw(self) -> None:
        self.take("time", away=False)

    def run(self, *command: str) -> SimpleNamespace:
        words = " ".join(command)
        for what, (aways, back) in {
            "keepalived": (
                (
                    "systemctl stop keepalived",
                    "systemctl kill --signal=KILL keepalived",
                    "sh -c pkill -KILL -P $(systemctl show -p MainPID --value keepalived)",
                ),
                "systemctl start keepalived",
            ),
            "service": (("systemctl stop apache2.service",), "systemctl start apache2.service"),
            "answers": (
                ("systemctl kill --signal=STOP apache2.service",),
                "systemctl kill --signal=CONT apache2.service",
            ),
            "a say": (("vrrp-health drain",), "vrrp-health undrain"),
        }.items():
            if words in (*aways, back):
                self.take(what, away=words != back)
                return SimpleNamespace(check_returncode=lambda: None)
        raise AssertionError(words)

    def is_running(self) -> bool:
        return "power" not in self.lacks

    def is_ready(self) -> bool:
        return not self.lacks

    def take(self, what: str, *, away: bool) -> None:
        (self.lacks.add if away else self.lacks.discard)(what)


class MadeUpPair:
    """The first member that lacks nothing answers, the master before the backup. It is its own observer."""

    url, vip, advert_interval, service_unit = "", "", 0.25, "apache2.service"

    def __init__(self) -> None:
        self.now = 0.0
        self.both = [MadeUpMember(MASTER, Role.MASTER), MadeUpMember(BACKUP, Role.BACKUP)]
        self.recording = Recording([MASTER, BACKUP], tolerance=0.05)
        self.preempt = True
        self.monitored = False
        self.interrupted_at: float | None = None
        #: Later events: the time, and the action.
        self.later: list[tuple[float, Callable[[], object]]] = []

    def members(self) -> list[MadeUpMember]:
        return self.both

    def address_monitors(self) -> list[tuple[str, list[str]]]:
        return [(member.name, []) for member in self.both] if self.monitored else []

    def record_holder(self, member: str, *, holds: bool) -> None:
        self.recording.changes.append(HolderChange(self.now, member, holds))

    def answering(self) -> str | None:
        return next((member.name for member in self.both if not member.lacks), None)

    def sleep(self, seconds: float) -> None:
        for _ in range(max(1, round(seconds / 0.01))):
            self.now += 0.01
            for due in [due for due in self.later if due[0] <= self.now]:
                self.later.remove(due)
                due[1]()
            self.recording.answers.append(Answer(self.now - 0.001, self.now, self.answering()))
        if self.interrupted_at is not None and self.now >= self.interrupted_at:
            self.interrupted_at = None
            raise KeyboardInterrupt


@pytest.fixture
def pair(monkeypatch: pytest.MonkeyPatch) -> MadeUpPair:
    made = MadeUpPair()
    clock = SimpleNamespace(monotonic=lambda: made.now, sleep=made.sleep)
    monkeypatch.setattr(procedure, "time", clock)
    return made


def drill_of(pair: MadeUpPair, **own: Any) -> Drill:
    say = own.pop("say", lambda _: None)  # pyright: ignore[reportUnknownLambdaType] # it takes any text
    return Drill(cast(Pair, pair), cast(Observer, pair), say, **own)


def lacking(pair: MadeUpPair) -> list[set[str]]:
    return [member.lacks for member in pair.both]


def nothing(*_: object) -> None:
    pass


EACH_EVENT = pytest.mark.parametrize("event", EVERY_EVENT, ids=lambda event: event.name)


class TestThePairIsRestored:
    @EACH_EVENT
    def test_every_event_is_a_failover_and_the_pair_lacks_nothing_afterwards(
        self, pair: MadeUpPair, event: Event
    ) -> None:
        seen = drill_of(pair).once(event)
        assert (seen[0].before, seen[0].after, seen[0].back) == (MASTER, BACKUP, True)
        assert [one.name for one in seen] == [event.name, *([event.recovery] if event.recovery else [])]
        assert lacking(pair) == [set(), set()]

    @EACH_EVENT
    def test_an_interrupt_at_any_moment_leaves_a_pair_that_lacks_nothing(self, pair: MadeUpPair, event: Event) -> None:
        drill_of(pair, limit=15).once(event)
        whole, moment, interrupted = pair.now, 0.3, 0
        while moment < whole:
            pair.now, pair.interrupted_at = 0.0, moment
            pair.recording.answers.clear()
            with pytest.raises(KeyboardInterrupt):
                drill_of(pair, limit=15).once(event)
            assert lacking(pair) == [set(), set()], f"interrupted after {moment} s"
            moment, interrupted = moment + 0.3, interrupted + 1
        assert interrupted > 10

    @EACH_EVENT
    def test_an_event_that_fails_half_way_leaves_a_pair_that_lacks_nothing(
        self, pair: MadeUpPair, event: Event, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        really_take = MadeUpMember.take

        def take_and_fail(self: MadeUpMember, what: str, *, away: bool) -> None:
            really_take(self, what, away=away)
            if away:
                raise OSError("the login is gone")

        monkeypatch.setattr(MadeUpMember, "take", take_and_fail)
        with pytest.raises(OSError, match="the login is gone"):
            drill_of(pair).once(event)
        assert lacking(pair) == [set(), set()]

    def test_an_interrupt_during_the_restoration_waits_for_its_end(self, pair: MadeUpPair) -> None:
        def restore(*_: object) -> None:
            if pair.both[0].lacks:
                os.kill(os.getpid(), signal.SIGINT)
            pair.both[0].lacks.clear()

        event = Event("something", lambda _, member: member.set_port(up=False), restore)
        with pytest.raises(KeyboardInterrupt):
            drill_of(pair).once(event)
        assert lacking(pair) == [set(), set()]

    def test_a_failed_attempt_to_restore_is_reported_and_repeated(self, pair: MadeUpPair) -> None:
        attempts: list[float] = []
        said: list[str] = []

        def restore(*_: object) -> None:
            attempts.append(pair.now)
            if len(attempts) < 3:
                raise OSError("conflict")
            pair.both[0].lacks.clear()

        event = Event("something", lambda _, member: member.set_port(up=False), restore)
        drill_of(pair, say=said.append).once(event)
        assert [round(later - earlier) for earlier, later in pairwise(attempts)] == [5, 5]
        retry = "the pair is not restored yet after 'something', and the drill tries again: conflict"
        assert said == ["something", retry, retry]

    def test_the_error_of_the_twelfth_attempt_to_restore_is_raised(self, pair: MadeUpPair) -> None:
        attempts: list[float] = []

        def restore(*_: object) -> None:
            attempts.append(pair.now)
            raise OSError("conflict")

        with pytest.raises(OSError, match="conflict"):
            drill_of(pair).once(Event("something", nothing, restore))
        assert len(attempts) == 12

    def test_a_terminal_that_is_gone_does_not_stop_the_attempts(self, pair: MadeUpPair) -> None:
        attempts: list[float] = []

        def restore(*_: object) -> None:
            attempts.append(pair.now)
            if len(attempts) < 2:
                raise OSError("conflict")

        def say(text: str) -> None:
            if text != "something":
                raise BrokenPipeError

        drill_of(pair, say=say).once(Event("something", nothing, restore))
        assert len(attempts) == 2


class TestAPairThatIsNotHealthyIsLeftAlone:
    def test_no_event_begins_while_the_master_does_not_answer(self, pair: MadeUpPair) -> None:
        done: list[str] = []
        pair.both[0].lacks.add("service")

        def perform(*_: object) -> None:
            done.append("perform")

        with pytest.raises(NotHealthy, match="waited 10 s for a healthy pair before"):
            drill_of(pair, recovery_timeout=10).once(Event("something", perform, perform))
        assert done == []

    @pytest.mark.parametrize("lack", ["service", "a say"])
    def test_no_event_begins_while_the_backup_could_not_take_over(self, pair: MadeUpPair, lack: str) -> None:
        pair.both[1].lacks.add(lack)
        with pytest.raises(NotHealthy, match="vrrp-backup is not ready"):
            drill_of(pair, recovery_timeout=10).once(PORT_DISABLED)
        assert lacking(pair) == [set(), {lack}]

    @pytest.mark.parametrize(
        ("holders", "problem"),
        [
            ([], "the VIP is on no member"),
            ([MASTER, BACKUP], "the VIP is on vrrp-backup and vrrp-master"),
        ],
    )
    def test_no_event_begins_unless_exactly_one_member_holds_the_vip(
        self, pair: MadeUpPair, holders: list[str], problem: str
    ) -> None:
        pair.monitored = True
        for holder in holders:
            pair.record_holder(holder, holds=True)
        with pytest.raises(NotHealthy, match=problem):
            drill_of(pair, recovery_timeout=10).once(PORT_DISABLED)
        assert lacking(pair) == [set(), set()]

    def test_a_backup_that_answers_is_healthy_only_without_preemption(self, pair: MadeUpPair) -> None:
        pair.both.reverse()
        with pytest.raises(NotHealthy, match="vrrp-backup answers, and is not the master"):
            drill_of(pair, recovery_timeout=10).wait_until_healthy("now")
        pair.preempt = False
        drill_of(pair, recovery_timeout=10).wait_until_healthy("now")

    def test_a_page_without_a_members_name_is_an_error_that_names_it(self, pair: MadeUpPair) -> None:
        pair.answering = lambda: "It works!"
        with pytest.raises(NotHealthy, match="'It works!' answers, which is no member's name"):
            drill_of(pair).wait_until_healthy("now")

    def test_a_pair_that_does_not_recover_is_an_error_after_the_recovery_timeout(self, pair: MadeUpPair) -> None:
        event = Event("something", lambda _, member: member.set_port(up=False), nothing)
        with pytest.raises(NotHealthy, match='waited 20 s for a healthy pair after "something"'):
            drill_of(pair, recovery_timeout=20).once(event)

    def test_a_boot_and_the_failback_after_it_have_the_recovery_timeout_each(self, pair: MadeUpPair) -> None:
        """The killed master is ready after 15 s, and answers after 25 s."""

        def kill(_: object, member: MadeUpMember) -> None:
            member.cut_power()
            ready, failback = pair.now + 15, pair.now + 25
            pair.later.append((ready, member.lacks.clear))
            pair.answering = lambda: BACKUP if pair.now < failback else MASTER

        drill_of(pair, limit=3, recovery_timeout=20).once(Event("something", cast(Any, kill), nothing, reboots=True))
        assert pair.answering() == MASTER

    def test_members_that_boot_are_waited_for(self, pair: MadeUpPair) -> None:
        """The service is back long before the killed backup is ready again."""
        pair.both.reverse()
        pair.preempt = False

        def kill_the_other(*_: object) -> None:
            pair.both[1].lacks.add("power")
            pair.later.append((pair.now + 60, pair.both[1].lacks.clear))

        event = Event("something", kill_the_other, nothing, reboots=True)
        drill_of(pair, limit=3).once(event)
        assert pair.now > 60


class TestWhenAnEventIsOver:
    def test_an_outage_without_an_end_is_watched_until_the_limit(self, pair: MadeUpPair) -> None:
        def stop_both(*_: object) -> None:
            for member in pair.both:
                member.lacks.add("service")

        def start_both(*_: object) -> None:
            for member in pair.both:
                member.lacks.clear()

        (seen,) = drill_of(pair, limit=7).once(Event("something", stop_both, start_both))
        assert (seen.back, seen.passed, seen.after, seen.problem) == (False, False, None, "")
        assert seen.until - seen.at == pytest.approx(7, abs=0.1)
        assert seen.longest_gap == pytest.approx(7, abs=0.1)

    def test_the_default_limit_is_longer_than_a_stale_neighbour_entry(self, pair: MadeUpPair) -> None:
        (seen,) = drill_of(pair).once(Event("something", nothing, nothing))
        assert seen.until - seen.at == pytest.approx(60, abs=0.1)

    def test_an_event_is_not_over_before_its_failover(self, pair: MadeUpPair) -> None:
        """The master serves on for 10 s, as with a link that breaks late."""

        def break_later(*_: object) -> None:
            pair.later.append((pair.now + 10, lambda: pair.both[0].lacks.add("port")))

        seen = drill_of(pair).once(Event("something", break_later, lambda _, member: member.set_port(up=True)))[0]
        assert (seen.after, seen.failovers, seen.problem) == (BACKUP, 1, "")
        assert seen.until - seen.at > 10

    def test_a_self_healing_event_is_watched_for_five_seconds_at_least(self, pair: MadeUpPair) -> None:
        (seen,) = drill_of(pair).once(Event("something", nothing, nothing, self_healing=True))
        assert seen.passed
        assert 5 <= seen.until - seen.at < 5.2

    def test_a_self_healing_event_with_a_boot_may_take_as_long_as_the_recovery(self, pair: MadeUpPair) -> None:
        def kill_both(*_: object) -> None:
            for member in pair.both:
                member.lacks.add("power")
                pair.later.append((pair.now + 30, member.lacks.clear))

        event = Event("something", kill_both, nothing, reboots=True, self_healing=True)
        (seen,) = drill_of(pair, limit=5).once(event)
        assert (seen.passed, seen.before, seen.after) == (True, MASTER, MASTER)
        assert seen.longest_gap == pytest.approx(30, abs=0.1)

    @pytest.mark.parametrize(("reboots", "passed"), [(True, True), (False, False)])
    def test_a_recovery_lasts_longer_than_the_limit_only_with_a_boot(
        self, pair: MadeUpPair, reboots: bool, passed: bool
    ) -> None:
        def restore_later(*_: object) -> None:
            pair.later.append((pair.now + 30, pair.both[0].lacks.clear))

        event = Event(
            "something", lambda _, member: member.cut_power(), restore_later, recovery="back", reboots=reboots
        )
        recovery = drill_of(pair, limit=5).once(event)[1]
        assert (recovery.name, recovery.after == MASTER) == ("back", passed)

    def test_a_recovery_is_not_over_before_the_master_answers_again(self, pair: MadeUpPair) -> None:
        def restore_later(_: object, member: MadeUpMember) -> None:
            pair.later.append((pair.now + 9, member.lacks.clear))

        event = Event("something", lambda _, member: member.set_port(up=False), cast(Any, restore_later), recovery="r")
        recovery = drill_of(pair).once(event)[1]
        assert (recovery.before, recovery.after, recovery.failovers) == (BACKUP, MASTER, 1)

    def test_a_recovery_is_not_over_while_the_backup_serves_and_the_master_is_ready(self, pair: MadeUpPair) -> None:
        def restore(_: object, member: MadeUpMember) -> None:
            if member.lacks:
                member.lacks.clear()
                failback = pair.now + 9
                pair.answering = lambda: BACKUP if pair.now < failback else MASTER

        event = Event("something", lambda _, member: member.set_port(up=False), cast(Any, restore), recovery="back")
        recovery = drill_of(pair).once(event)[1]
        assert (recovery.before, recovery.after, recovery.failovers) == (BACKUP, MASTER, 1)

    def test_a_self_healing_event_is_not_over_while_the_backup_is_not_ready(self, pair: MadeUpPair) -> None:
        def kill_the_backup(*_: object) -> None:
            pair.both[1].lacks.add("power")
            pair.later.append((pair.now + 9, pair.both[1].lacks.clear))

        (seen,) = drill_of(pair).once(Event("something", kill_the_backup, nothing, self_healing=True))
        assert seen.passed
        assert seen.until - seen.at > 9

    def test_events_come_in_the_given_order(self, pair: MadeUpPair) -> None:
        said: list[str] = []
        seen = list(drill_of(pair, say=said.append).run([SERVER_PAUSED, PORT_DISABLED]))
        names = ["server paused", "server goes on", "port disabled", "port enabled again"]
        assert [one.name for one in seen] == said == names


class TestAnEventWithoutTheExpectedEffectIsReported:
    """Prevents an event that had no effect from being the best figure of all."""

    def test_an_event_without_a_failover_is_a_problem(self, pair: MadeUpPair) -> None:
        (seen,) = drill_of(pair).once(Event("something", nothing, nothing))
        assert (seen.back, seen.passed, seen.failovers) == (True, False, 0)
        assert seen.problem == "the other member never answered"

    def test_a_self_healing_event_that_does_not_heal_is_a_problem(self, pair: MadeUpPair) -> None:
        (seen,) = drill_of(pair).once(KEEPALIVED_KILLED)
        assert (seen.back, seen.passed, seen.failovers) == (True, False, 1)
        assert seen.problem == "did not recover by itself"

    def test_an_event_with_its_failover_has_no_problem(self, pair: MadeUpPair) -> None:
        seen = drill_of(pair).once(PORT_DISABLED)
        assert [(one.problem, one.passed, one.failovers) for one in seen] == [("", True, 1)] * 2


class TestAMemberWithoutPower:
    """It emits no address event, so the drill records that it holds no VIP."""

    @pytest.mark.parametrize("monitored", [True, False])
    def test_it_counts_as_a_holder_no_longer_if_holders_are_recorded(self, pair: MadeUpPair, monitored: bool) -> None:
        pair.monitored = monitored
        pair.record_holder(MASTER, holds=True)

        def cut_and_move(_: object, member: MadeUpMember) -> None:
            member.cut_power()
            pair.later.append((pair.now + 0.5, lambda: pair.record_holder(BACKUP, holds=True)))

        def switch_on(_: object, member: MadeUpMember) -> None:
            member.switch_on()
            pair.record_holder(MASTER, holds=True)
            pair.record_holder(BACKUP, holds=False)

        event = Event("something", cast(Any, cut_and_move), cast(Any, switch_on))
        (seen,) = drill_of(pair).once(event)
        assert (seen.holders_most, seen.holders_at_end) == ((1, 1) if monitored else (2, 2))
