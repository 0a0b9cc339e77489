"""The word «ready» of a member: what must be true before it is said, and what it says.

Proves when the program speaks, with a server made up around it. That a real member's word reaches the console is
shown by tests/lab, and that Nova hands the console out by tests/cloud.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from userdata.console_protocol import reports_of
from userdata.renderer import render_keepalived_conf, render_user_data

from .conftest import settings_of

BOTH = "(vrrp_group_1) Entering BACKUP STATE (init)\n(vrrp_group_1) Entering MASTER STATE\n"


class _Asleep(Exception):
    """The program has slept as often as the test wants it to."""


@dataclass
class Server:
    """A server around the master's program: what it says, and when it sleeps."""

    program: dict[str, Any]
    console: Path
    #: keepalived's state at each look, whether the service answers at each question, the last one for ever.
    states: list[str] = field(default_factory=lambda: ["MASTER"])
    answers: list[bool] = field(default_factory=lambda: [True])
    ran: list[tuple[str, ...]] = field(default_factory=list[tuple[str, ...]])
    slept: list[float] = field(default_factory=list[float])
    now: float = 0
    #: Done while it sleeps.
    between: Callable[[], object] = lambda: None

    def output_of(self, *command: str) -> str:
        self.ran.append(command)
        return "status: done\n"

    def state(self) -> str:
        return self.states.pop(0) if len(self.states) > 1 else self.states[0]

    def run(self, command: list[str], **_: object) -> SimpleNamespace:
        assert command == ["/usr/local/sbin/vrrp-health", "ask"]
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return SimpleNamespace(returncode=0 if answer else 1)

    def said(self, times: int) -> list[str]:
        """What it says, without the boot, until it has slept so often."""

        def sleep(seconds: float) -> None:
            self.between()
            self.slept.append(seconds)
            self.now += seconds
            if len(self.slept) == times:
                raise _Asleep

        self.program["time"] = SimpleNamespace(sleep=sleep, monotonic=lambda: self.now)
        self.program["Journal"] = lambda: self
        self.program["output_of"] = self.output_of
        self.program["subprocess"] = SimpleNamespace(run=self.run)
        said: list[str] = []
        self.program["say"] = said.append
        with pytest.raises(_Asleep):
            self.program["main"]()
        return [what for what in said if not what.startswith("speaks ")]

    def health_knows(self, text: str) -> None:
        Path(self.program["HEALTH_STATUS_FILE"]).write_text(text, encoding="ascii")


@pytest.fixture
def server(tmp_path: Path) -> Generator[Server]:
    """The names of the master's program, with the console and keepalived.conf in files."""
    settings = settings_of("nz-por-1")
    files = yaml.safe_load(render_user_data(settings, settings.members[0]))["write_files"]
    written = {file["path"]: file["content"] for file in files}
    names: dict[str, Any] = {"__name__": "announce_ready"}
    exec(compile(written["/usr/local/lib/vrrp-pair/announce-ready"], "announce-ready", "exec"), names)  # noqa: S102 # our own text
    conf = tmp_path / "keepalived.conf"
    conf.write_text(written["/etc/keepalived/keepalived.conf"], encoding="utf-8")
    pid = tmp_path / "keepalived.pid"
    pid.write_text(f"{os.getpid()}\n", encoding="ascii")
    names.update(
        CONSOLE=str(tmp_path / "console"),
        KEEPALIVED_CONF=str(conf),
        KEEPALIVED_PID_FILE=str(pid),
        HEALTH_STATUS_FILE=str(tmp_path / "health.json"),
        HEALTH_LOCK_FILE=str(tmp_path / "lock"),
    )
    with (tmp_path / "lock").open("w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # as a health check does that runs
        yield Server(names, tmp_path / "console")


class TestReadyIsSaidWhenItIsTrue:
    """Prevents the gate between the two servers from opening for a member that can't do its work: Nova says ACTIVE long
    before keepalived runs, and a word from an earlier boot says nothing about this one.
    """

    @pytest.mark.parametrize(
        ("journal", "state"),
        [
            (BOTH, "MASTER"),  # the last one counts
            ("(vrrp_group_1) Entering BACKUP STATE\n", "BACKUP"),
            (BOTH + "(vrrp_group_1) Entering FAULT STATE\n", "FAULT"),
            (BOTH + "(vrrp_group_1) entering FAULT state\n", "FAULT"),
            (BOTH + "(vrrp_group_1) Entering BACKUP STA", "MASTER"),  # half a line
            ("", ""),
        ],
    )
    def test_the_state_is_the_last_one_that_keepalived_told_in_this_boot(
        self, server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, journal: str, state: str
    ) -> None:
        folder = tmp_path / "bin"
        folder.mkdir()
        said = tmp_path / "said"
        said.write_text(journal, encoding="utf-8")
        fake = folder / "journalctl"
        fake.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/asked\ncat {said}\nexec sleep 60\n', encoding="utf-8")
        fake.chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
        following = server.program["Journal"]()
        try:
            end = time.monotonic() + 10
            asked = tmp_path / "asked"
            while (
                not (asked.exists() and asked.stat().st_size and following.state() == state) and time.monotonic() < end
            ):
                time.sleep(0.01)
            assert following.state() == state
            assert "--boot" in asked.read_text(encoding="utf-8").split()
        finally:
            following.process.kill()
            following.process.wait()

    def test_it_waits_for_cloud_init_for_keepalived_and_for_the_service(self, server: Server) -> None:
        server.states = ["", "FAULT", "BACKUP", "BACKUP", "BACKUP"]
        server.answers = [False, False, True]
        assert server.said(times=5) == ["is ready as BACKUP"]
        assert server.ran[0] == ("cloud-init", "status", "--wait")

    def test_one_that_boots_drained_says_so_at_once(self, server: Server) -> None:
        """Nobody has to wait for what will not be ready: the gate reads it."""
        server.health_knows('{"drained": true}')
        assert server.said(times=3) == ["is not ready: drained"]

    @pytest.mark.parametrize("pid", ["", "4194305\n"])
    def test_a_keepalived_that_does_not_run_is_not_ready_whatever_it_said(self, server: Server, pid: str) -> None:
        Path(server.program["KEEPALIVED_PID_FILE"]).write_text(pid, encoding="ascii")
        assert server.said(times=3) == []

    def test_the_word_names_the_member_its_state_and_this_boot(self, server: Server) -> None:
        server.program["say"]("is ready as MASTER")
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        (word,) = reports_of(server.console.read_text(encoding="ascii"), "vrrp-master")
        assert (word.what, word.boot) == ("MASTER", boot)

    def test_every_change_of_the_state_is_said(self, server: Server) -> None:
        server.states = ["BACKUP", "BACKUP", "MASTER", "FAULT", "FAULT", "BACKUP"]
        assert server.said(times=7) == [
            "is ready as BACKUP",
            "is ready as MASTER",
            "is not ready: FAULT",
            "is ready as BACKUP",
        ]

    def test_what_the_health_daemon_and_the_process_table_know_is_said_too(self, server: Server) -> None:
        deeds: list[Callable[[], object]] = [
            lambda: server.health_knows('{"service": "ill", "drained": false}'),
            lambda: server.health_knows('{"service": "well", "drained": true}'),
            lambda: server.health_knows('{"service": "well", "drained": false}'),
            lambda: Path(server.program["KEEPALIVED_PID_FILE"]).unlink(),
        ]
        server.between = lambda: deeds.pop(0)() if deeds else None
        assert server.said(times=6) == [
            "is ready as MASTER",
            "is not ready: its service does not answer",
            "is not ready: drained",
            "is ready as MASTER",
            "is not ready: keepalived does not run",
        ]

    def test_and_whether_it_hears_the_other_one(self, server: Server) -> None:
        """Prevents a pair that looks healthy, and whose dead service nobody would relieve."""
        words = iter(("well", "well", "silent", "silent"))
        server.health_knows('{"service": "well"}')
        server.between = lambda: server.health_knows(f'{{"service": "well", "peer": "{next(words)}"}}')
        ready = "is ready as MASTER"
        assert server.said(times=4) == [ready, "hears well", ready, "hears silent", ready]

    def test_a_health_check_that_ended_knows_nothing_any_more(self, server: Server, tmp_path: Path) -> None:
        server.health_knows('{"service": "well"}')
        free = tmp_path / "free"
        free.touch()
        server.between = lambda: server.program.update(HEALTH_LOCK_FILE=str(free))
        assert server.said(times=3) == ["is ready as MASTER", "is not ready: its health check does not run"]

    def test_where_there_is_none_nobody_misses_it(self, server: Server, tmp_path: Path) -> None:
        server.program.update(CHECKED=False, HEALTH_LOCK_FILE=str(tmp_path / "none"))
        assert server.said(times=3) == ["is ready as MASTER"]

    def test_a_service_that_is_slow_at_the_wrong_moment_is_asked_again(self, server: Server) -> None:
        server.states = ["BACKUP", "MASTER"]
        server.answers = [True, False, True]
        assert server.said(times=4) == [
            "is ready as BACKUP",
            "is not ready: its service does not answer",
            "is ready as MASTER",
        ]
        assert server.slept[1] == server.program["PAUSE_AFTER_A_BAD_ANSWER"]

    def test_without_the_journal_it_ends_and_is_started_anew(
        self, server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        fake = tmp_path / "journalctl"
        fake.write_text("#!/bin/sh\nexit 0\n", encoding="utf-8")
        fake.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        following = server.program["Journal"]()
        following.process.wait()
        with pytest.raises(SystemExit):
            following.state()

    def test_the_word_is_repeated_while_it_is_true(self, server: Server) -> None:
        """A console keeps only its end, and a gate may ask after a year."""
        assert server.said(times=2401) == ["is ready as MASTER"] * 3

    def test_a_member_that_has_become_ill_says_so_instead(self, server: Server) -> None:
        server.answers = [True, False]
        assert server.said(times=1300) == ["is ready as MASTER", "is not ready: its service does not answer"]

    @pytest.mark.parametrize(
        ("stack", "spoken"),
        [
            ("nz-por-1", "virtual_router_id 1, version 3, advert_int 0.25, unicast, no auth"),
            ("tutorial", "virtual_router_id 1, version 2, advert_int 1, multicast, auth"),
        ],
    )
    def test_what_both_have_to_agree_on_is_told_and_no_password(self, server: Server, stack: str, spoken: str) -> None:
        settings = settings_of(stack)
        text = render_keepalived_conf(settings, settings.members[0])
        Path(server.program["KEEPALIVED_CONF"]).write_text(text, encoding="utf-8")
        assert server.program["agreed"]() == spoken
