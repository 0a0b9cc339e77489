"""The `drill` command: `python -m ops drill` and `python -m lab drill` have the same options, report and exit status.

A fake drill takes the place of the real one.
"""

from __future__ import annotations

import inspect
import json
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace, TracebackType
from typing import Any, Self, cast

import pytest
import typer
from rich.table import Table
from typer.testing import CliRunner

import lab.cli
import ops.cli
from drill import command
from drill.command import chosen_events, exit_status, run_drill
from drill.events import ALL_EVENTS, DEMONSTRATION, PORT_DISABLED, SERVER_PAUSED, Event
from drill.measurement import Observation
from drill.pair import Pair
from drill.procedure import NotHealthy
from drill.recording import Recording
from drill.timing import LIMIT

from .conftest import settings_of

PAIR = cast(Pair, SimpleNamespace(advert_interval=1.0))
PASSED = Observation("port disabled", 1, 9, "vrrp-master", "vrrp-backup", 0.7, 2, 1, 1, True)
FAILED = Observation("drained", 1, 9, "vrrp-master", "vrrp-master", 0.1, 2, 1, 1, True, problem="nothing happened")


def returning(value: object) -> Callable[..., object]:
    """Return a function that returns the value, whatever it is asked."""

    def give(*_: object) -> object:
        return value

    return give


class MadeUpObserver:
    """Observes nothing."""

    def __init__(self, pair: Pair, poll_interval: float) -> None:
        self.asked = (pair, poll_interval)
        self.recording = Recording(["vrrp-master", "vrrp-backup"], 0.05)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        pass


class MadeUpDrill:
    """Yields the given observations, then ends with an error or an interrupt, if one is given."""

    seen: Sequence[Observation] = ()
    ending: Exception | None = None
    interrupted_by: signal.Signals | None = None
    made: tuple[Any, ...] = ()

    def __init__(self, *made: Any) -> None:
        type(self).made = made

    def run(self, events: Sequence[Event]) -> Iterator[Observation]:
        type(self).made += (events,)
        yield from self.seen
        if self.ending is not None:
            raise self.ending
        if self.interrupted_by is not None:
            os.kill(os.getpid(), self.interrupted_by)


@pytest.fixture
def drill(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> type[MadeUpDrill]:
    class Fresh(MadeUpDrill):
        pass

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(command, "Drill", Fresh)
    monkeypatch.setattr(command, "Observer", MadeUpObserver)
    return Fresh


def run(**own: Any) -> tuple[list[Observation], list[Any]]:
    shown: list[Any] = []
    own = {"name": "nz", "stack": "org/nz", "say": shown.append, "show": shown.append, **own}
    return run_drill(PAIR, [PORT_DISABLED], **own), shown


class TestTheRun:
    def test_it_shows_the_table_the_files_and_a_summary(self, drill: type[MadeUpDrill]) -> None:
        drill.seen = [PASSED]
        seen, (table, written, summary) = run()
        assert seen == [PASSED]
        assert isinstance(table, Table)
        assert table.title == "org/nz: advertisements every 1 s"
        assert written == "written: build/drill-nz.md, .json, .svg and .html"
        assert summary == "service came back every time"

    def test_its_report_goes_into_the_build_folder_by_default(self, drill: type[MadeUpDrill]) -> None:
        drill.seen = [PASSED]
        run()
        told = json.loads(Path("build/drill-nz.json").read_text("utf-8"))
        assert (told["stack"], told["limit"], len(told["events"])) == ("org/nz", 60, 1)

    def test_its_report_goes_to_the_path_of_the_operator(self, drill: type[MadeUpDrill]) -> None:
        drill.seen = [PASSED]
        run(report=Path("new folder/mine"))
        assert len(list(Path("new folder").glob("mine.*"))) == 4

    def test_it_names_the_events_that_did_not_pass(self, drill: type[MadeUpDrill]) -> None:
        drill.seen = [PASSED, FAILED]
        seen, shown = run()
        assert shown[-1] == "these events did not pass: drained"
        assert (exit_status(seen), exit_status([PASSED])) == (1, 0)

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
    def test_an_interrupt_ends_it_with_the_report_of_what_was_seen(
        self, drill: type[MadeUpDrill], number: signal.Signals
    ) -> None:
        drill.seen, drill.interrupted_by = [PASSED], number
        shown: list[Any] = []
        with pytest.raises(KeyboardInterrupt):
            run(show=shown.append)
        assert "| port disabled | vrrp-master | vrrp-backup |" in Path("build/drill-nz.md").read_text("utf-8")
        assert len(shown) == 2, "the table and the files, and no summary"

    def test_a_pair_that_is_not_healthy_has_no_report(self, drill: type[MadeUpDrill]) -> None:
        drill.ending = NotHealthy("vrrp-backup is not ready")
        with pytest.raises(NotHealthy):
            run()
        assert list(Path("build").iterdir()) == []

    def test_it_needs_the_reports_folder_before_it_touches_the_pair(self, drill: type[MadeUpDrill]) -> None:
        Path("build").write_text("a file", "utf-8")
        with pytest.raises(FileExistsError):
            run()
        assert drill.made == ()

    def test_its_limit_and_intervals_reach_the_drill_and_the_client(self, drill: type[MadeUpDrill]) -> None:
        run(limit=7, poll_interval=0.3, recovery_timeout=8)
        pair, observer, _, limit, recovery_timeout, events = drill.made
        assert (pair, limit, recovery_timeout, events) == (PAIR, 7, 8, [PORT_DISABLED])
        assert observer.asked == (PAIR, 0.3)

    def test_its_default_limit_and_intervals_are_those_of_a_lab(self, drill: type[MadeUpDrill]) -> None:
        run()
        _, observer, _, limit, recovery_timeout, _ = drill.made
        assert (limit, recovery_timeout, observer.asked[1]) == (60, 90, 0.01)


class TestTheEventOption:
    def test_an_unknown_event_is_an_error_with_the_possible_ones_and_the_hint(self) -> None:
        with pytest.raises(typer.BadParameter, match=r"'quake': not an event .*'server paused'; more with a key$") as e:
            chosen_events(["quake"], [SERVER_PAUSED], "; more with a key")
        assert e.value.param_hint == "--event"

    def test_without_a_name_every_possible_event_is_chosen(self) -> None:
        assert chosen_events(None, ALL_EVENTS) == list(ALL_EVENTS)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The arguments with which each of the two commands calls `run_drill`."""
    told: dict[str, Any] = {"result": [PASSED]}

    def run_it(pair: object, events: Sequence[Event], **own: object) -> list[Observation]:
        told.update(own, pair=pair, events=[event.name for event in events])
        return told["result"]

    monkeypatch.setattr(lab.cli, "run_drill", run_it)
    monkeypatch.setattr(ops.cli, "run_drill", run_it)
    return told


Invoke = Callable[..., tuple[int, str]]


def invoke(app: typer.Typer, *arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["drill", *arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, " ".join(result.output.replace("│", " ").split())


@pytest.fixture
def in_the_lab(monkeypatch: pytest.MonkeyPatch) -> Invoke:
    """Run the lab's command with a lab named `nz`, of a pair without a service check if `--tutorial` comes first."""
    cloud = SimpleNamespace(place=SimpleNamespace(name="nz"), record=SimpleNamespace(about={"stack": "nz-por-1"}))

    def run_it(*arguments: str) -> tuple[int, str]:
        tutorial = arguments[:1] == ("--tutorial",)
        monkeypatch.setattr(lab.cli, "check_machine", returning(None))
        monkeypatch.setattr(lab.cli, "the_place", returning(cloud.place))
        monkeypatch.setattr(lab.cli, "Cloud", returning(cloud))
        monkeypatch.setattr(lab.cli, "LabPair", returning(SimpleNamespace(service_check=not tutorial)))
        return invoke(lab.cli.app, *arguments[tutorial:])

    return run_it


@pytest.fixture
def on_a_cloud(monkeypatch: pytest.MonkeyPatch) -> Invoke:
    """Run the operator's command with a healthy pair."""

    def run_it(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(ops.cli, "_engine", returning(None))
        monkeypatch.setattr(ops.cli, "_settings", returning(settings_of("nz-por-1")))
        monkeypatch.setattr(ops.cli, "_pair_to_drill", returning(PAIR))
        return invoke(ops.cli.app, *arguments)

    return run_it


class TestBothCommands:
    def test_they_have_the_same_defaults_for_events_limit_and_report(self) -> None:
        lab_defaults, ops_defaults = (
            {name: (one.annotation, one.default) for name, one in inspect.signature(function).parameters.items()}
            for function in (lab.cli.drill, ops.cli.drill)
        )
        for name, default in {"event": None, "limit": 60.0, "report": None}.items():
            assert lab_defaults[name] == ops_defaults[name] == (f"{name.capitalize()}Option", default)

    @pytest.mark.parametrize(("result", "status"), [([PASSED], 0), ([PASSED, FAILED], 1)])
    def test_the_exit_status_tells_whether_service_came_back_every_time(
        self,
        asked: dict[str, Any],
        in_the_lab: Invoke,
        on_a_cloud: Invoke,
        result: list[Observation],
        status: int,
    ) -> None:
        asked["result"] = result
        assert (in_the_lab()[0], on_a_cloud("nz-por-1")[0]) == (status, status)

    def test_options_reach_the_drill(self, asked: dict[str, Any], in_the_lab: Invoke, on_a_cloud: Invoke) -> None:
        options = ["--event", "server paused", "--event", "port disabled", "--limit", "7", "--report", "mine"]
        for status, _ in (in_the_lab(*options), on_a_cloud("nz-por-1", *options)):
            assert status == 0
            told = (asked.pop("events"), asked.pop("limit"), asked.pop("report"))
            assert told == (["server paused", "port disabled"], 7, Path("mine"))
            asked.update(events=told[0], limit=told[1], report=told[2])


class TestTheLabsCommand:
    def test_by_default_it_performs_every_event_with_the_defaults_of_a_drill(
        self, asked: dict[str, Any], in_the_lab: Invoke
    ) -> None:
        assert in_the_lab()[0] == 0
        assert asked["events"] == [event.name for event in ALL_EVENTS]
        assert (asked["name"], asked["stack"], asked["limit"], asked["report"]) == ("nz", "nz-por-1", LIMIT, None)
        assert not {"poll_interval", "recovery_timeout"} & set(asked), "the defaults of run_drill"

    def test_a_pair_without_a_service_check_is_not_drained(self, asked: dict[str, Any], in_the_lab: Invoke) -> None:
        assert in_the_lab("--tutorial")[0] == 0
        assert asked["events"] == [event.name for event in ALL_EVENTS if event.name != "drained"]

    def test_an_unknown_event_is_refused_with_all_events(self, asked: dict[str, Any], in_the_lab: Invoke) -> None:
        status, said = in_the_lab("--event", "earthquake")
        assert (status, "events" in asked) == (2, False)
        assert all(repr(event.name) in said for event in ALL_EVENTS)

    def test_the_demonstration_has_its_four_events_and_its_short_limit(
        self, asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        place = SimpleNamespace(name="demo", exists=returning(False), namespaces=returning([]))
        cloud = SimpleNamespace(place=place, record=_Record())
        outcome = SimpleNamespace(outputs={"url": "http://198.51.100.11"})
        made_up: dict[str, object] = {
            "check_machine": None,
            "read_stack": SimpleNamespace(stack="nz-por-1"),
            "Place": place,
            "Cloud": cloud,
            "LabPair": PAIR,
            "bring_up": (cloud, outcome, 1.0),
            "_members_table": "",
            "_take_down": [],
        }
        for name, value in made_up.items():
            monkeypatch.setattr(lab.cli, name, returning(value))
        before = signal.getsignal(signal.SIGINT)
        try:
            result = CliRunner().invoke(lab.cli.app, ["demo"])
        finally:
            signal.signal(signal.SIGINT, before)
        assert result.exit_code == 0, result.output
        assert asked["events"] == [event.name for event in DEMONSTRATION]
        assert asked["limit"] == 15


class _Record(list[str]):
    about = {"stack": "nz-por-1"}  # noqa: RUF012 # a made-up record


class TestTheOperatorsCommand:
    """The events follow from the access to the members, and the client asks a cloud less often."""

    def test_by_default_it_performs_the_events_of_the_apis(self, asked: dict[str, Any], on_a_cloud: Invoke) -> None:
        assert on_a_cloud("org/proj/nz-por-1")[0] == 0
        assert asked["events"] == ["port disabled", "server paused", "server shut down"]
        assert (asked["name"], asked["stack"], asked["limit"]) == ("nz-por-1", "org/proj/nz-por-1", LIMIT)
        assert asked["report"] is None
        assert (asked["poll_interval"], asked["recovery_timeout"]) == (0.05, 900)

    def test_with_a_key_it_performs_the_events_on_a_member_as_well(
        self, asked: dict[str, Any], on_a_cloud: Invoke
    ) -> None:
        assert on_a_cloud("nz-por-1", "--key", "id_ed25519")[0] == 0
        assert len(asked["events"]) == 9
        assert "drained" in asked["events"]
        assert "server killed" not in asked["events"]

    def test_an_event_that_needs_a_key_is_refused_before_the_cloud_is_asked(
        self, asked: dict[str, Any], on_a_cloud: Invoke, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        status, said = on_a_cloud("nz-por-1", "--event", "drained")
        assert (status, "events" in asked) == (1, False)
        assert "choose from 'port disabled', 'server paused', 'server shut down'; with --key also" in said

    def test_it_has_no_option_lab(self, on_a_cloud: Invoke) -> None:
        status, said = on_a_cloud("nz-por-1", "--lab")
        assert (status, "No such option" in said) == (1, True)
