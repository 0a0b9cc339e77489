"""The figures of a drill, from a made-up recording, so that the right figure is known.

No thread and no clock is involved. The figures of a real kernel are in tests/lab.
"""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from drill.measurement import Criterion, Observation, measure
from drill.recording import Answer, HolderChange, Recording

MASTER, BACKUP = "vrrp-master", "vrrp-backup"
CRITERION = Criterion(shortest=2, steady=1)

Change = tuple[float, str, bool]


def recording(answers: Iterable[tuple[float, str | None]] = (), changes: Iterable[Change] = ()) -> Recording:
    return Recording(
        [MASTER, BACKUP],
        tolerance=0.05,
        answers=[Answer(over - 0.002, over, member) for over, member in answers],
        changes=[HolderChange(*change) for change in changes],
    )


def every_10_ms(since: float, until: float, member: str | None) -> list[tuple[float, str | None]]:
    return [(hundredth / 100, member) for hundredth in range(round(since * 100), round(until * 100) + 1)]


class TestHolders:
    """Prevents a drill that counts two masters as one, or counts a server that is off."""

    def test_the_first_entry_is_the_state_at_the_beginning(self) -> None:
        seen = recording(
            changes=[(0, MASTER, True), (0, BACKUP, False), (7, MASTER, False), (8, BACKUP, True)]
        ).holders(5, 10)
        assert list(seen) == [(5, {MASTER}), (7, set()), (8, {BACKUP})]

    def test_two_members_that_hold_the_vip_at_once_are_two_holders(self) -> None:
        seen = recording(changes=[(0, MASTER, True), (6, BACKUP, True)])
        assert max(len(held) for _, held in seen.holders(5, 10)) == 2

    def test_a_time_without_changes_has_one_entry(self) -> None:
        assert list(recording(changes=[(0, MASTER, True)]).holders(5, 10)) == [(5, {MASTER})]

    def test_a_change_after_the_end_does_not_count(self) -> None:
        seen = recording(changes=[(0, MASTER, True), (11, MASTER, False)])
        assert list(seen.holders(5, 10)) == [(5, {MASTER})]

    def test_changes_count_in_the_order_of_their_times(self) -> None:
        """Two threads record them."""
        seen = recording(changes=[(7, MASTER, True), (0, MASTER, True), (6, MASTER, False)])
        assert list(seen.holders(5, 10)) == [(5, {MASTER}), (6, set()), (7, {MASTER})]


class TestGoodAnswers:
    def test_only_answered_requests_of_the_given_time_count_and_in_the_order_of_their_end(self) -> None:
        seen = recording([(3.0, MASTER), (1.0, MASTER), (2.0, None), (9.0, BACKUP), (0.4, MASTER)])
        assert [answer.over for answer in seen.good(0.5, 4)] == [1.0, 3.0]


class TestSteadyService:
    """Prevents a service that still flaps from counting as back."""

    def test_one_member_that_answers_without_a_break_is_steady(self) -> None:
        assert recording(every_10_ms(8, 10, MASTER)).is_steady(10, 1)

    @pytest.mark.parametrize(
        ("answers", "why"),
        [
            ([], "no answer at all"),
            (every_10_ms(8, 9.5, MASTER) + every_10_ms(9.51, 10, BACKUP), "two members answer"),
            (every_10_ms(9.06, 10, MASTER), "the answers begin too late"),
            (every_10_ms(8, 9.89, MASTER), "the answers end too early"),
            (every_10_ms(8, 9.5, MASTER) + every_10_ms(9.61, 10, MASTER), "a break in between"),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_any_other_service_is_not(self, answers: list[tuple[float, str | None]], why: str) -> None:
        assert not recording(answers).is_steady(10, 1), why

    @pytest.mark.parametrize(
        "answers",
        [
            every_10_ms(9.04, 10, MASTER),
            every_10_ms(8, 9.91, MASTER),
            every_10_ms(8, 9.5, MASTER) + every_10_ms(9.59, 10, MASTER),
        ],
        ids=["late beginning", "early end", "short break"],
    )
    def test_a_few_late_requests_do_not_interrupt_it(self, answers: list[tuple[float, str | None]]) -> None:
        assert recording(answers).is_steady(10, 1)

    def test_answers_before_the_time_in_question_do_not_matter(self) -> None:
        assert recording(every_10_ms(0, 8.9, BACKUP) + every_10_ms(8.95, 10, MASTER)).is_steady(10, 1)

    def test_answers_after_the_moment_in_question_do_not_matter(self) -> None:
        assert recording(every_10_ms(8, 10, MASTER) + every_10_ms(10.01, 11, BACKUP)).is_steady(10, 1)


class TestTheCriterion:
    @pytest.mark.parametrize(("interval", "shortest", "steady"), [(0.1, 2, 1), (0.25, 2, 1), (1, 5, 2), (2, 10, 4)])
    def test_it_waits_longer_than_a_takeover_and_two_seconds_at_least(
        self, interval: float, shortest: float, steady: float
    ) -> None:
        assert Criterion.of(interval) == Criterion(shortest, steady)

    @pytest.mark.parametrize(("performed", "met"), [(8.0, True), (8.01, False)])
    def test_it_is_not_met_too_soon_after_the_event(self, performed: float, met: bool) -> None:
        assert CRITERION.is_met(recording(every_10_ms(0, 10, MASTER)), performed, 10) is met

    def test_it_is_not_met_without_steady_service(self) -> None:
        assert not CRITERION.is_met(recording(every_10_ms(0, 9, MASTER)), 0, 10)


def measured(seen: Recording, *, last: float = 9.99, begun: float = 10, performed: float = 10, until: float = 20):
    return measure(
        "server killed",
        seen,
        CRITERION,
        last=Answer(last - 0.002, last, MASTER),
        begun=begun,
        performed=performed,
        until=until,
    )


class TestAFailover:
    """The master answers until 10.5 s, and the backup from 11.3 s on."""

    @pytest.fixture
    def seen(self) -> Observation:
        answers = every_10_ms(0, 10.5, MASTER) + every_10_ms(10.51, 11.29, None) + every_10_ms(11.3, 20, BACKUP)
        changes = [(0, MASTER, True), (11.2, BACKUP, True), (11.5, MASTER, False)]
        return measured(recording(answers, changes))

    def test_the_longest_gap_lies_between_two_good_answers(self, seen: Observation) -> None:
        assert seen.longest_gap == pytest.approx(0.8)
        assert seen.gap_from == pytest.approx(10.5)

    def test_the_members_before_and_after_are_those_that_answered(self, seen: Observation) -> None:
        assert (seen.before, seen.after, seen.failovers, seen.back) == (MASTER, BACKUP, 1, True)

    def test_holders_are_counted_at_most_and_at_the_end_with_the_time_of_two(self, seen: Observation) -> None:
        assert (seen.holders_most, seen.holders_at_end) == (2, 1)
        assert seen.shared_for == pytest.approx(0.3)

    def test_it_is_named_with_its_times_and_has_no_problem(self, seen: Observation) -> None:
        assert (seen.name, seen.at, seen.until, seen.problem, seen.passed) == ("server killed", 10, 20, "", True)


class TestAnOutageWithoutAnEnd:
    def test_its_gap_lasts_until_the_end_of_the_observation(self) -> None:
        seen = measured(recording(every_10_ms(0, 10.5, MASTER)))
        assert (seen.back, seen.after, seen.passed) == (False, None, False)
        assert seen.longest_gap == pytest.approx(9.5)
        assert seen.gap_from == pytest.approx(10.5)

    def test_a_service_that_returns_too_late_to_be_steady_is_not_back(self) -> None:
        seen = measured(recording(every_10_ms(0, 10.5, MASTER) + every_10_ms(19.5, 20, BACKUP)))
        assert (seen.back, seen.after, seen.failovers) == (False, None, 1)
        assert seen.longest_gap == pytest.approx(9)


class TestWithoutServiceBefore:
    """Prevents an event from being charged with an outage that was there before it."""

    def test_the_gap_begins_with_the_event(self) -> None:
        seen = measured(recording(every_10_ms(0, 5, MASTER) + every_10_ms(10.4, 20, BACKUP)), last=5)
        assert (seen.before, seen.after, seen.failovers) == (None, BACKUP, 0)
        assert seen.longest_gap == pytest.approx(0.4)

    @pytest.mark.parametrize(("last", "before"), [(9.91, MASTER), (9.89, None)])
    def test_service_is_missing_after_ten_requests_without_an_answer(self, last: float, before: str | None) -> None:
        answers = every_10_ms(0, last, MASTER) + every_10_ms(10.01, 20, MASTER)
        assert measured(recording(answers), last=last).before == before


class TestTheTimeOfAnEvent:
    def test_the_gap_reaches_back_to_the_last_answer_before_the_event(self) -> None:
        seen = measured(recording(every_10_ms(0, 9.95, MASTER) + every_10_ms(10.2, 20, BACKUP)), last=9.95)
        assert seen.longest_gap == pytest.approx(0.25)

    def test_answers_during_a_long_action_count(self) -> None:
        answers = every_10_ms(0, 12, MASTER) + every_10_ms(12.5, 20, BACKUP)
        seen = measured(recording(answers), performed=15)
        assert (seen.failovers, seen.longest_gap) == (1, pytest.approx(0.5))

    def test_an_event_is_not_back_too_soon_after_a_long_action(self) -> None:
        assert not measured(recording(every_10_ms(0, 20, MASTER)), performed=18.5).back

    def test_answers_and_holders_after_the_observation_do_not_count(self) -> None:
        answers = every_10_ms(0, 20, MASTER) + every_10_ms(25, 26, BACKUP)
        seen = measured(recording(answers, [(0, MASTER, True), (21, BACKUP, True)]))
        assert (seen.after, seen.failovers, seen.holders_most) == (MASTER, 0, 1)

    def test_a_service_that_goes_there_and_back_is_two_failovers(self) -> None:
        answers = every_10_ms(0, 11, MASTER) + every_10_ms(11.01, 12, BACKUP) + every_10_ms(12.01, 20, MASTER)
        assert measured(recording(answers)).failovers == 2

    def test_a_vip_that_no_member_holds_at_the_end_has_no_holder_there(self) -> None:
        changes = [(0, MASTER, True), (12, BACKUP, True), (13, MASTER, False), (14, BACKUP, False)]
        seen = measured(recording(every_10_ms(0, 20, MASTER), changes))
        assert (seen.holders_most, seen.holders_at_end) == (2, 0)

    def test_without_recorded_holders_none_is_counted(self) -> None:
        seen = measured(recording(every_10_ms(0, 20, MASTER)))
        assert (seen.holders_most, seen.holders_at_end, seen.shared_for) == (0, 0, 0)
