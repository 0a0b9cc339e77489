"""What the lab's figures are made of: who held the VIP when, where the silences are, and the picture of both.

The figures themselves come from a kernel and are in tests/lab; here the past is made up, so that the right answer
is known.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from types import SimpleNamespace
from typing import cast

from drill.drill import Observation
from drill.pair import Pair
from drill.timeline import draw
from drill.watch import Answer, Change, Watch

MASTER, BACKUP = "vrrp-master", "vrrp-backup"


def watch(answers: list[tuple[float, str | None]], changes: list[tuple[float, str, bool]]) -> Watch:
    made_up = Watch(
        cast(Pair, SimpleNamespace(members=lambda: [SimpleNamespace(name=MASTER), SimpleNamespace(name=BACKUP)]))
    )
    made_up.answers += [Answer(over - 0.002, over, member) for over, member in answers]
    made_up.changes += [Change(*change) for change in changes]
    return made_up


def event(name: str, at: float, gap: float, *, back: bool = True) -> Observation:
    return Observation(name, at, at + 5, MASTER, BACKUP if back else None, gap, 1.0, 1, 1, back)


class TestWhoHeldTheVip:
    """Prevents a drill that calls two masters one, or counts a server that is off."""

    def test_the_first_entry_is_the_state_at_the_beginning(self) -> None:
        seen = watch([], [(0, MASTER, True), (0, BACKUP, False), (7, MASTER, False), (8, BACKUP, True)])
        assert list(seen.holders(5, 10)) == [(5, {MASTER}), (7, set()), (8, {BACKUP})]

    def test_two_at_once_are_two(self) -> None:
        seen = watch([], [(0, MASTER, True), (6, BACKUP, True)])
        assert max(len(held) for _, held in seen.holders(5, 10)) == 2

    def test_a_time_without_changes_has_one_entry(self) -> None:
        assert list(watch([], [(0, MASTER, True)]).holders(5, 10)) == [(5, {MASTER})]

    def test_what_comes_after_the_end_does_not_count(self) -> None:
        assert list(watch([], [(0, MASTER, True), (11, MASTER, False)]).holders(5, 10)) == [(5, {MASTER})]


class TestWhatWasAnswered:
    def test_only_good_answers_of_that_time_count_in_the_order_of_their_arrival(self) -> None:
        seen = watch([(3.0, MASTER), (1.0, MASTER), (2.0, None), (9.0, BACKUP)], [])
        assert [answer.over for answer in seen.good(0.5, 4)] == [1.0, 3.0]


class TestThePicture:
    """Prevents a timeline that nobody can open, or that leaves the outage out."""

    def drawn(self, *events: Observation) -> list[ElementTree.Element]:
        answers: list[tuple[float, str | None]] = [(at / 100, MASTER) for at in range(1000, 1201)]
        answers += [(at / 100, BACKUP) for at in range(1280, 1700)]
        seen = watch(answers, [(0, MASTER, True), (0, BACKUP, False), (12, MASTER, False), (12.8, BACKUP, True)])
        return list(ElementTree.fromstring(draw(seen, events, "a <drill> & more")).iter())  # noqa: S314 # our own text

    def test_it_shows_the_silence_with_its_length(self) -> None:
        titles = [element.text for element in self.drawn(event("server killed", 12, 0.8))]
        assert "nobody answered for 800 ms" in titles
        assert "server killed: 800 ms" in titles

    def test_an_event_without_a_way_back_says_so(self) -> None:
        titles = [element.text for element in self.drawn(event("web server stopped", 12, 5, back=False))]
        assert "web server stopped: no service" in titles

    def test_each_members_lane_has_a_bar_where_it_answered_and_where_it_held_the_vip(self) -> None:
        titles = [element.text for element in self.drawn(event("server killed", 12, 0.8))]
        for member in (MASTER, BACKUP):
            assert titles.count(f"{member} holds the VIP") == 2, "the lane's name and its bar"
            assert titles.count(f"{member} answers") == 2
