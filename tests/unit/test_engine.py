"""The Pulumi CLI as ``ops`` runs it. The CLI is a stand-in that prints a given text."""

from __future__ import annotations

import json
import os
import shlex
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ops.engine import Engine, EngineError

STAND_IN = """import json, os, signal, sys, time
from pathlib import Path
Path({log!r}).write_text(json.dumps(dict(arguments=sys.argv[1:], environment=dict(os.environ))))
print({printed!r})
print({problem!r}, file=sys.stderr)
sys.exit({status})
"""

ENDS_CLEANLY = """import signal, sys, time
from pathlib import Path
def end(*_):
    Path({log!r}).write_text("ended cleanly")
    sys.exit(130)
signal.signal(signal.SIGINT, end)
Path({log!r}).write_text("running")
time.sleep(60)
"""


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Give a function that makes the stand-in, and returns the file in which it records its call."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    def make(printed: str = "", status: int = 0, problem: str = "", program: str = STAND_IN) -> Path:
        log = tmp_path / "log"
        stand_in = tmp_path / "stand_in.py"
        stand_in.write_text(
            program.format(log=str(log), printed=printed, status=status, problem=problem), encoding="utf-8"
        )
        executable = folder / "pulumi"
        executable.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {shlex.quote(str(stand_in))} "$@"\n')
        executable.chmod(0o755)
        return log

    return make


def diagnostic(message: str, severity: str = "error") -> str:
    return json.dumps({"sequence": 1, "diagnosticEvent": {"severity": severity, "message": message}})


#: The engine's last event of a preview that succeeded.
SUMMARY = json.dumps({"sequence": 9, "summaryEvent": {"resourceChanges": {"same": 1}}})


class TestPreviewEvents:
    """Prevents a failed preview that looks like one without changes, and a text of the CLI that ends the reading."""

    def test_each_line_of_json_is_an_event_and_other_lines_are_left_out(
        self, cli: Callable[..., Path], tmp_path: Path
    ) -> None:
        log = cli(f'a warning\n{{"sequence": 0, "resourcePreEvent": {{}}}}\n{{}}\n{SUMMARY}')
        told = Engine(tmp_path, "test").preview_events("--refresh=false")
        assert [event["sequence"] for event in told.events] == [0, 9]
        assert told.errors == []
        call: dict[str, Any] = json.loads(log.read_text(encoding="utf-8"))
        assert call["arguments"][:5] == ["preview", "--json", "--refresh=false", "--stack", "test"]
        assert call["environment"]["PULUMI_ENABLE_STREAMING_JSON_PREVIEW"] == "true"

    def test_a_preview_whose_events_cannot_be_read_is_an_error(self, cli: Callable[..., Path], tmp_path: Path) -> None:
        """As with a CLI that does not know the variable: it prints one object over several lines."""
        cli(json.dumps({"steps": [{"op": "delete"}], "changeSummary": {"delete": 1}}, indent=2))
        with pytest.raises(EngineError, match="PULUMI_ENABLE_STREAMING_JSON_PREVIEW"):
            Engine(tmp_path, "test").preview_events()

    def test_a_preview_without_its_summary_is_an_error(self, cli: Callable[..., Path], tmp_path: Path) -> None:
        cli('{"sequence": 0, "resourcePreEvent": {}}')
        with pytest.raises(EngineError, match="cut off"):
            Engine(tmp_path, "test").preview_events()

    def test_an_unusual_line_separator_in_a_value_does_not_end_the_event(
        self, cli: Callable[..., Path], tmp_path: Path
    ) -> None:
        event = {"sequence": 0, "resourcePreEvent": {"text": "one\u0085two\u2028three"}}
        cli(f"{json.dumps(event, ensure_ascii=False)}\n{SUMMARY}")
        assert Engine(tmp_path, "test").preview_events().events[0] == event

    def test_a_failed_preview_has_each_message_once_and_not_the_engines_own_line(
        self, cli: Callable[..., Path], tmp_path: Path
    ) -> None:
        noise = diagnostic("an unhandled error occurred: program exited with non-zero exit code: 1")
        cli("\n".join([diagnostic("a warning", "warning"), diagnostic("wrong\n"), diagnostic("wrong"), noise]), 1)
        assert Engine(tmp_path, "test").preview_events().errors == ["wrong"]

    def test_a_program_that_ends_without_a_message_is_still_an_error(
        self, cli: Callable[..., Path], tmp_path: Path
    ) -> None:
        cli(diagnostic("an unhandled error occurred: program exited with non-zero exit code: 1"), 1)
        assert len(Engine(tmp_path, "test").preview_events().errors) == 1

    def test_a_cli_that_fails_before_the_preview_is_an_error_with_its_words(
        self, cli: Callable[..., Path], tmp_path: Path
    ) -> None:
        cli("", 1, "error: no stack named 'test' found")
        with pytest.raises(EngineError, match="no stack named 'test' found"):
            Engine(tmp_path, "test").preview_events()


class TestTheLastDeployedConfig:
    """Prevents a comparison with a change that never happened."""

    def test_it_is_that_of_the_newest_update_that_succeeded(self, cli: Callable[..., Path], tmp_path: Path) -> None:
        history = [
            {"kind": "update", "result": "failed", "config": {"p:vip": {"value": "3"}}},
            {"kind": "destroy", "result": "succeeded", "config": {"p:vip": {"value": "2"}}},
            {"kind": "update", "result": "succeeded", "config": {"p:vip": {"value": "1"}}},
            {"kind": "update", "result": "succeeded", "config": {"p:vip": {"value": "0"}}},
        ]
        cli(json.dumps(history))
        assert Engine(tmp_path, "test").last_deployed_config() == {"p:vip": {"value": "1"}}

    def test_a_stack_without_an_update_has_none(self, cli: Callable[..., Path], tmp_path: Path) -> None:
        cli("[]")
        assert Engine(tmp_path, "test").last_deployed_config() is None


class TestTheEnvironment:
    """Prevents a credential of the operator from reaching an engine that must not have it."""

    def test_hidden_variables_are_left_out_and_others_stay(
        self, cli: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("OS_PASSWORD", "a-password")
        monkeypatch.setenv("ANOTHER", "value")
        log = cli()
        Engine(tmp_path, "test", {"OS_CLOUD": "given"}, hidden=("OS_",)).run("stack", "ls")
        environment: dict[str, str] = json.loads(log.read_text(encoding="utf-8"))["environment"]
        assert "OS_PASSWORD" not in environment
        assert (environment["OS_CLOUD"], environment["ANOTHER"]) == ("given", "value")


class TestAnInterrupt:
    """Prevents plugins that outlive the command, and that write into a folder which is being removed."""

    def test_the_cli_may_end_its_plugins(
        self, cli: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        log = cli(program=ENDS_CLEANLY)

        def interrupt_when_it_runs() -> None:
            while not log.is_file() or log.read_text(encoding="utf-8") != "running":
                time.sleep(0.01)
            # Python delivers it to the main thread, as Ctrl-C does.
            os.kill(os.getpid(), 2)

        thread = threading.Thread(target=interrupt_when_it_runs)
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            Engine(tmp_path, "test").run("preview")
        thread.join()
        assert log.read_text(encoding="utf-8") == "ended cleanly"
