"""The word «ready» of a member: what must be true before it is said, and what it says.

Proves when the program speaks, with a server made up around it. That a real member's word reaches the console is
shown by tests/lab, and that Nova hands the console out by tests/cloud.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from components.user_data import render_user_data

from .conftest import settings_of

ACTIVE = "active\n"
STATES = "(vrrp_group_1) Entering BACKUP STATE (init)\n(vrrp_group_1) Entering MASTER STATE\n"


@pytest.fixture
def program(tmp_path: Path) -> dict[str, Any]:
    """The names of the master's program, with the console in a file."""
    settings = settings_of("nz-por-1")
    files = yaml.safe_load(render_user_data(settings, settings.members[0]))["write_files"]
    (source,) = [file["content"] for file in files if file["path"].endswith("/announce-ready")]
    names: dict[str, Any] = {"__name__": "announce_ready"}
    exec(compile(source, "announce-ready", "exec"), names)  # noqa: S102 # our own text
    names["CONSOLE"] = str(tmp_path / "console")
    return names


def _server(program: dict[str, Any], *, unit: str = ACTIVE, journal: str = STATES) -> list[tuple[str, ...]]:
    """Answers the program's commands; returns the list of those that it runs."""
    run: list[tuple[str, ...]] = []
    answers = {"systemctl": unit, "journalctl": journal, "cloud-init": "status: done\n"}

    def output_of(*command: str) -> str:
        run.append(command)
        return answers[command[0]]

    program["output_of"] = output_of
    return run


class TestReadyIsSaidWhenItIsTrue:
    """Prevents the gate between the two servers from opening for a member that can't do its work: Nova says ACTIVE long
    before keepalived runs, and a word from an earlier boot says nothing about this one.
    """

    @pytest.mark.parametrize(
        ("unit", "journal", "state"),
        [
            (ACTIVE, STATES, "MASTER"),  # the last one counts
            (ACTIVE, "(vrrp_group_1) Entering BACKUP STATE\n", "BACKUP"),
            (ACTIVE, STATES + "(vrrp_group_1) Entering FAULT STATE\n", "FAULT"),
            (ACTIVE, STATES + "(vrrp_group_1) entering FAULT state\n", "FAULT"),
            (ACTIVE, "", ""),
            ("activating\n", STATES, ""),
            ("failed\n", STATES, ""),
        ],
    )
    def test_the_state_is_the_last_one_of_a_keepalived_that_runs(
        self, program: dict[str, Any], unit: str, journal: str, state: str
    ) -> None:
        _server(program, unit=unit, journal=journal)
        assert program["keepalived_state"]() == state

    def test_the_journal_of_this_boot_is_read(self, program: dict[str, Any]) -> None:
        run = _server(program)
        program["keepalived_state"]()
        (journal,) = [command for command in run if command[0] == "journalctl"]
        assert "--boot" in journal

    def test_it_waits_for_cloud_init_for_keepalived_and_for_the_web_server(self, program: dict[str, Any]) -> None:
        run = _server(program)
        states = iter(["", "FAULT", "BACKUP", "BACKUP", "MASTER"])
        answers = iter([False, False, True])
        program["keepalived_state"] = lambda: next(states)
        program["web_server_answers"] = lambda: next(answers)
        waited = _until_it_sleeps(program, times=5)
        assert run == [("cloud-init", "status", "--wait")]
        assert waited == [0.5, 0.5, 0.5, 0.5, program["REPEATED_EVERY"]]
        assert list(answers) == []

    def test_the_word_names_the_member_its_state_and_this_boot(self, program: dict[str, Any]) -> None:
        program["say_ready"]("MASTER")
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        said = Path(program["CONSOLE"]).read_text(encoding="ascii")
        assert said.startswith(f"\nvrrp-pair: vrrp-master is ready as MASTER (boot {boot}, booted at ")
        assert said.rstrip(")\n").rpartition(" ")[2].isdecimal()

    def test_the_word_is_repeated_while_it_is_true(self, program: dict[str, Any]) -> None:
        """A console keeps only its end, and a gate may ask after a year."""
        _server(program)
        answers = iter([True, False, True])
        said: list[str] = []
        program["web_server_answers"] = lambda: next(answers)
        program["say_ready"] = said.append
        _until_it_sleeps(program, times=3)
        assert said == ["MASTER", "MASTER"]


class _Asleep(Exception):
    """The program has slept as often as the test wants it to."""


def _until_it_sleeps(program: dict[str, Any], times: int) -> list[float]:
    """Runs the program, which would not end, until it has slept so often; for how many seconds each."""
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == times:
            raise _Asleep

    program["time"] = type("Time", (), {"sleep": staticmethod(sleep)})
    with pytest.raises(_Asleep):
        program["main"]()
    return slept
