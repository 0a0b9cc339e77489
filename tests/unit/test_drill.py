"""The drill's promise: whatever it takes away it gives back, at whatever moment somebody ends it.

The pair is made up here, and time passes only while the drill sleeps. What a client really sees is in tests/lab.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from drill import drill as module
from drill import report
from drill.drill import Drill, NotHealthy
from drill.events import BY_THE_APIS, FROM_INSIDE, KEEPALIVED_KILLED, PORT_DISABLED, SERVER_KILLED, Event
from drill.pair import Pair
from drill.watch import Answer, Watch
from settings.pair import Role

EVERY_EVENT = (*BY_THE_APIS, *FROM_INSIDE, SERVER_KILLED)


class MadeUpMember:
    """Remembers what was taken away from it."""

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
    """Serves as a pair does: whoever lacks nothing answers, the master before the backup."""

    url, vip, advert_interval, preempt, service_unit = "", "", 0.25, True, "apache2.service"

    def __init__(self) -> None:
        self.now = 0.0
        self.both = [MadeUpMember("vrrp-master", Role.MASTER), MadeUpMember("vrrp-backup", Role.BACKUP)]
        self.answers: list[Answer] = []
        self.interrupted_at: float | None = None
        self.unbroken = 0.05

    def members(self) -> list[MadeUpMember]:
        return self.both

    def address_monitors(self) -> list[object]:
        return []

    def sleep(self, seconds: float) -> None:
        for _ in range(max(1, round(seconds / 0.01))):
            self.now += 0.01
            who = next((member.name for member in self.both if not member.lacks), None)
            self.answers.append(Answer(self.now - 0.001, self.now, who))
        if self.interrupted_at is not None and self.now >= self.interrupted_at:
            self.interrupted_at = None
            raise KeyboardInterrupt

    # What a Watch tells.

    def good(self, since: float = 0, until: float = float("inf")) -> list[Answer]:
        return [answer for answer in self.answers if answer.member and since <= answer.over <= until]

    def holders(self, *_: float) -> Iterator[tuple[float, frozenset[str]]]:
        yield 0, frozenset()

    def note_holder(self, *_: object) -> None:
        """Nobody looks inside."""


@pytest.fixture
def pair(monkeypatch: pytest.MonkeyPatch) -> MadeUpPair:
    made = MadeUpPair()
    clock = SimpleNamespace(monotonic=lambda: made.now, sleep=made.sleep)
    monkeypatch.setattr(module, "time", clock)
    return made


def drill_of(pair: MadeUpPair, **own: Any) -> Drill:
    return Drill(cast(Pair, pair), cast(Watch, pair), lambda _: None, **own)


def lacking(pair: MadeUpPair) -> list[set[str]]:
    return [member.lacks for member in pair.both]


EACH_EVENT = pytest.mark.parametrize("event", EVERY_EVENT, ids=lambda event: event.name)


class TestEverythingIsGivenBack:
    @EACH_EVENT
    def test_after_an_event(self, pair: MadeUpPair, event: Event) -> None:
        seen = drill_of(pair).once(event)
        assert (seen[0].before, seen[0].after, seen[0].back) == ("vrrp-master", "vrrp-backup", True)
        assert [one.name for one in seen] == [event.name, *([event.mending] if event.mending else [])]
        assert lacking(pair) == [set(), set()]

    @EACH_EVENT
    def test_after_an_interrupt_at_any_moment(self, pair: MadeUpPair, event: Event) -> None:
        drill_of(pair).once(event)
        whole, moment, interrupted = pair.now, 0.3, 0
        while moment < whole:
            pair.now, pair.answers, pair.interrupted_at = 0.0, [], moment
            with pytest.raises(KeyboardInterrupt):
                drill_of(pair).once(event)
            assert lacking(pair) == [set(), set()], f"interrupted after {moment} s"
            moment, interrupted = moment + 0.3, interrupted + 1
        assert interrupted > 10

    @EACH_EVENT
    def test_after_a_deed_that_fails_half_way(
        self, pair: MadeUpPair, event: Event, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        really_take = MadeUpMember.take

        def take_and_fail(self: MadeUpMember, what: str, *, away: bool) -> None:
            really_take(self, what, away=away)
            if away:
                raise OSError("the way in is gone")

        monkeypatch.setattr(MadeUpMember, "take", take_and_fail)
        with pytest.raises(OSError, match="the way in"):
            drill_of(pair).once(event)
        assert lacking(pair) == [set(), set()]


class TestAPairThatIsNotHealthyIsLeftAlone:
    def test_nothing_is_done_to_it(self, pair: MadeUpPair) -> None:
        done: list[str] = []
        pair.both[0].lacks.add("service")

        def act(*_: object) -> None:
            done.append("act")

        with pytest.raises(NotHealthy, match="a healthy pair before"):
            drill_of(pair, patience=10).once(Event("something", act, act))
        assert done == []

    @pytest.mark.parametrize("lack", ["service", "a say"])
    def test_nor_to_one_whose_backup_could_not_take_over(self, pair: MadeUpPair, lack: str) -> None:
        pair.both[1].lacks.add(lack)
        with pytest.raises(NotHealthy, match="vrrp-backup is not ready"):
            drill_of(pair, patience=10).once(PORT_DISABLED)
        assert lacking(pair) == [set(), {lack}]


class TestWhatIsAmissIsTold:
    """Prevents an event that had no effect from being the best figure of all."""

    def test_a_deed_that_did_nothing(self, pair: MadeUpPair) -> None:
        def nothing(*_: object) -> None:
            pass

        (seen,) = drill_of(pair).once(Event("something", nothing, nothing))
        assert (seen.back, seen.passed, seen.failovers) == (True, False, 0)
        assert seen.amiss == "the other member never answered"

    def test_what_should_come_back_by_itself_and_does_not(self, pair: MadeUpPair) -> None:
        (seen,) = drill_of(pair).once(KEEPALIVED_KILLED)
        assert (seen.back, seen.passed, seen.failovers) == (True, False, 1)
        assert seen.amiss == "not as before by itself"

    def test_nothing_when_all_is_as_it_should_be(self, pair: MadeUpPair) -> None:
        seen = drill_of(pair).once(PORT_DISABLED)
        assert [(one.amiss, one.passed, one.failovers) for one in seen] == [("", True, 1)] * 2


def test_what_was_seen_before_an_interrupt_is_in_the_report(
    pair: MadeUpPair, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def no_picture(*_: object) -> str:
        return "<svg/>"

    monkeypatch.setattr(report, "draw", no_picture)
    pair.interrupted_at = 20.0
    shown: list[object] = []
    path = tmp_path / "new folder" / "drill"
    with pytest.raises(KeyboardInterrupt):
        report.run_and_report(
            drill_of(pair), cast(Watch, pair), [PORT_DISABLED] * 9, path, "A drill", {"stack": "s"}, shown.append
        )
    told = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    assert told["stack"] == "s"
    assert [event["name"] for event in told["events"]][:2] == ["port disabled", "port enabled again"]
    assert "| port disabled | vrrp-master | vrrp-backup |" in path.with_suffix(".md").read_text(encoding="utf-8")
    assert len(shown) == 2
