"""The events of a drill: which of them a pair allows, and which an operator chooses."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import cast

import pytest

from drill import events
from drill.events import ALL_EVENTS, DEMONSTRATION, choose, possible_events
from drill.pair import Member, Pair

BY_APIS = ["port disabled", "server paused", "server shut down"]
BY_LOGIN = [
    "keepalived stopped",
    "keepalived killed",
    "keepalived's child killed",
    "drained",
    "web server stopped",
    "web server hangs",
]
BY_HYPERVISOR = ["server killed", "server frozen for 1 s", "both servers killed and started again"]


class TestPossibleEvents:
    """Prevents a drill that finds out half-way that an event is impossible."""

    @pytest.mark.parametrize(
        ("login", "hypervisor", "drain", "possible"),
        [
            (False, False, True, BY_APIS),
            (True, False, True, BY_APIS + BY_LOGIN),
            (True, True, True, BY_APIS + BY_LOGIN + BY_HYPERVISOR),
            (True, False, False, BY_APIS + [name for name in BY_LOGIN if name != "drained"]),
        ],
    )
    def test_the_possible_events_follow_from_the_access_to_the_pair(
        self, login: bool, hypervisor: bool, drain: bool, possible: list[str]
    ) -> None:
        allowed = possible_events(login=login, hypervisor=hypervisor, drain=drain)
        assert [event.name for event in allowed] == possible

    def test_a_lab_allows_all_events(self) -> None:
        assert possible_events(login=True, hypervisor=True, drain=True) == list(ALL_EVENTS)


class TestChosenEvents:
    def test_without_a_name_every_possible_event_is_chosen(self) -> None:
        possible = possible_events(login=False, hypervisor=False, drain=True)
        assert choose(None, possible) == choose([], possible) == possible

    def test_chosen_events_have_the_order_of_the_names(self) -> None:
        names = ["web server hangs", "port disabled"]
        assert [event.name for event in choose(names, ALL_EVENTS)] == names

    def test_an_impossible_event_is_an_error_that_names_the_possible_events(self) -> None:
        possible = possible_events(login=False, hypervisor=False, drain=True)
        with pytest.raises(ValueError, match=r"^'drained', 'earthquake': not an event of this pair; choose from ") as e:
            choose(["port disabled", "drained", "earthquake"], possible)
        assert str(e.value).endswith("'port disabled', 'server paused', 'server shut down'")


class TestTheEvents:
    def test_no_two_events_have_the_same_name(self) -> None:
        names = [name for event in ALL_EVENTS for name in (event.name, event.recovery) if name]
        assert len(names) == len(set(names))

    def test_each_event_of_a_demonstration_has_a_recovery(self) -> None:
        assert [event.name for event in DEMONSTRATION if event.recovery] == [
            "port disabled",
            "keepalived stopped",
            "web server stopped",
            "server killed",
        ]

    def test_only_a_server_that_was_off_boots(self) -> None:
        assert [event.name for event in ALL_EVENTS if event.reboots] == [
            "server shut down",
            "server killed",
            "both servers killed and started again",
        ]

    def test_events_that_end_by_themselves_have_no_recovery(self) -> None:
        assert [event.name for event in ALL_EVENTS if event.self_healing] == [
            event.name for event in ALL_EVENTS if not event.recovery
        ]


class Recorder:
    """A member or a clock that records each call of a method."""

    def __init__(self, done: list[str], name: str) -> None:
        self.done = done
        self.name = name

    def __getattr__(self, action: str) -> Callable[..., SimpleNamespace]:
        def act(*words: object, **own: object) -> SimpleNamespace:
            told = " ".join([action, *map(str, words), *(f"{key}={value}" for key, value in own.items())])
            self.done.append(f"{self.name}: {told}")
            return SimpleNamespace(check_returncode=lambda: self.done.append(f"{self.name}: checked"))

        return act


KILL_CHILD = "run sh -c pkill -KILL -P $(systemctl show -p MainPID --value keepalived)"
CHECKED = "checked"


@pytest.mark.parametrize(
    ("name", "performed", "restored"),
    [
        ("port disabled", ["set_port up=False"], ["set_port up=True"]),
        ("server paused", ["freeze"], ["thaw"]),
        ("server shut down", ["switch_off"], ["switch_on", "b: switch_on"]),
        (
            "keepalived stopped",
            ["run systemctl stop keepalived", CHECKED],
            ["run systemctl start keepalived", CHECKED],
        ),
        (
            "keepalived killed",
            ["run systemctl kill --signal=KILL keepalived", CHECKED],
            ["run systemctl start keepalived", CHECKED],
        ),
        ("keepalived's child killed", [KILL_CHILD, CHECKED], ["run systemctl start keepalived", CHECKED]),
        ("drained", ["run vrrp-health drain", CHECKED], ["run vrrp-health undrain", CHECKED]),
        (
            "web server stopped",
            ["run systemctl stop apache2.service", CHECKED],
            ["run systemctl start apache2.service", CHECKED],
        ),
        (
            "web server hangs",
            ["run systemctl kill --signal=STOP apache2.service", CHECKED],
            ["run systemctl kill --signal=CONT apache2.service", CHECKED],
        ),
        ("server killed", ["cut_power"], ["switch_on", "b: switch_on"]),
        ("server frozen for 1 s", ["freeze", "clock: sleep 1", "thaw"], ["thaw"]),
        (
            "both servers killed and started again",
            ["cut_power", "b: cut_power", "switch_on", "b: switch_on"],
            ["switch_on", "b: switch_on"],
        ),
    ],
)
def test_an_event_does_what_its_name_says_and_its_restoration_undoes_it(
    name: str, performed: list[str], restored: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command that fails must be an error, so its exit status is checked."""
    done: list[str] = []
    member, backup = Recorder(done, "a"), Recorder(done, "b")
    pair = SimpleNamespace(members=lambda: [member, backup], service_unit="apache2.service")
    monkeypatch.setattr(events, "time", Recorder(done, "clock"))
    (event,) = [event for event in ALL_EVENTS if event.name == name]

    def of_member(actions: list[str]) -> list[str]:
        return [action if action.startswith(("b: ", "clock: ")) else f"a: {action}" for action in actions]

    event.perform(cast(Pair, pair), cast(Member, member))
    assert done == of_member(performed)
    done.clear()
    event.restore(cast(Pair, pair), cast(Member, member))
    assert done == of_member(restored)
