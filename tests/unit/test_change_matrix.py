"""The rows of the change matrix, its judgment of an outcome, and the stack file that it writes."""

from __future__ import annotations

import pytest

from settings.change_classes import KEYS, ChangeClass
from tests.cloud.change_matrix import Outcome, config_after, problems_of
from tests.cloud.change_rows import ROWS, Expected, Row
from tests.cloud.seen import merged

ROLL = Row("a roll", "flavor", ChangeClass.ROLL, {"flavor": "another"})


def _outcome(row: Row = ROLL, **changed: object) -> Outcome:
    outcome = Outcome(row.what, row.key, row.announced.value, row.expected.value, "A roll.", row.announced.value, 2, 0)
    outcome.requests, outcome.unanswered, outcome.longest_gap = 2000, 1, 0.5
    outcome.by, outcome.preview_after = ["master", "backup", "master"], ["same"]
    for name, value in changed.items():
        assert hasattr(outcome, name)
        setattr(outcome, name, value)
    return outcome


class TestTheRows:
    def test_each_key_has_a_row(self) -> None:
        """A key of the service has a row of its own; ``service`` stands for all of them."""
        assert {row.key for row in ROWS if row.key} == set(KEYS) - {"service"}

    def test_each_row_has_a_text_of_its_own(self) -> None:
        assert len({row.what for row in ROWS}) == len(ROWS)

    def test_the_rows_of_a_key_have_its_class(self) -> None:
        for key, change in KEYS.items():
            classes = {row.announced for row in ROWS if row.key == key}
            # Exchanged addresses are refused, although each address alone can change.
            also = {change.from_none, ChangeClass.REFUSED if key == "masterAddress" else None}
            assert key == "service" or change.change_class in classes <= {change.change_class, *also}, key

    def test_a_row_that_is_refused_or_interrupts_is_never_a_roll(self) -> None:
        for row in ROWS:
            if row.expected is Expected.REFUSED:
                assert row.announced in {ChangeClass.INTERRUPTION, ChangeClass.REFUSED}, row.what


class TestTheJudgment:
    """Prevents a row that counts as kept although clients saw an outage."""

    def test_a_good_roll_has_no_problem(self) -> None:
        assert problems_of(ROLL, _outcome()) == []

    @pytest.mark.parametrize(
        ("changed", "problem"),
        [
            ({"longest_gap": 1.01}, "no answer for 1.01 s"),
            ({"unanswered": 3}, "3 of 2000 requests"),
            ({"status": 1}, "`up` exits with 1"),
            ({"announced_class": "nothing"}, "announced as nothing"),
            ({"announced_class": ""}, "announced as nothing at all"),
            ({"by": []}, "no request was answered"),
            ({"preview_after": ["same", "update"]}, "shows same, update"),
            ({"preview_after": []}, "shows nothing"),
        ],
    )
    def test_each_broken_promise_is_named(self, changed: dict[str, object], problem: str) -> None:
        (found,) = problems_of(ROLL, _outcome(ROLL, **changed))
        assert problem in found

    def test_a_refused_change_must_not_move_the_vip(self) -> None:
        row = Row("vip", "vip", ChangeClass.INTERRUPTION, {"vip": "10.0.0.202"}, expected=Expected.REFUSED)
        assert problems_of(row, _outcome(row, status=1, by=["master"])) == []
        assert problems_of(row, _outcome(row, status=1)) == [
            "the holder of the VIP changed: master -> backup -> master"
        ]
        assert any("`up` exits with 0" in problem for problem in problems_of(row, _outcome(row, by=["master"])))

    def test_an_allowed_interruption_may_take_time_but_must_end_with_answers(self) -> None:
        row = Row("vip", "vip", ChangeClass.INTERRUPTION, {"vip": "10.0.0.202"})
        assert problems_of(row, _outcome(row, longest_gap=60.0, unanswered=600)) == []
        assert problems_of(row, _outcome(row, by=[])) == ["no request was answered"]


class TestTheStackFile:
    def test_a_row_keeps_the_other_keys_and_removes_those_that_it_names(self) -> None:
        row = Row("x", "unicast", ChangeClass.ROLL, {"unicast": False}, forget=("authPass",))
        before = {"authPass": "x", "vip": "10.0.0.201"}
        assert config_after(before, row, {}) == {"unicast": False, "vip": "10.0.0.201"}

    def test_a_key_of_the_service_keeps_the_others(self) -> None:
        row = Row("x", "service.delay", ChangeClass.ROLL, {"service": {"delay": 1}})
        assert config_after({"service": {"port": 81}}, row, {})["service"] == {"port": 81, "delay": 1}

    def test_another_check_removes_what_only_the_old_one_has(self) -> None:
        row = Row("x", "service.check", ChangeClass.ROLL, {"service": {"check": "tcp"}})
        before = {"service": {"urlPath": "/x", "expectedCodes": "200", "port": 81}}
        assert config_after(before, row, {})["service"] == {"check": "tcp", "port": 81}

    def test_placeholders_become_the_values_of_the_cloud(self) -> None:
        row = Row("x", "allowInterruption", ChangeClass.INTERRUPTION, {"allowInterruption": ["vip: <vip> -> b"]})
        assert config_after({}, row, {"<vip>": "a"}) == {"allowInterruption": ["vip: a -> b"]}


class TestTwoClients:
    def test_a_request_counts_as_answered_if_one_of_the_clients_got_an_answer(self) -> None:
        one = [{"sent": 0.01, "over": 0.02, "answer": "m"}, {"sent": 0.11, "over": 2.1, "answer": None}]
        two = [{"sent": 0.05, "over": 2.05, "answer": None}, {"sent": 0.15, "over": 0.17, "answer": "b"}]
        assert [request["answer"] for request in merged([one, two])] == ["m", "b"]

    def test_a_request_counts_as_lost_if_no_client_got_an_answer(self) -> None:
        one = [{"sent": 0.01, "over": 2.0, "answer": None}]
        assert [request["answer"] for request in merged([one, one])] == [None]
