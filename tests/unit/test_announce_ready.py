"""The reports of a member on its console: what must be true before it reports that it is ready, and what it reports.

Proves when the program reports, with an invented server around it. tests/lab shows that a real member's report reaches
the console, and tests/cloud that Nova hands the console out.
"""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from userdata import announce_ready
from userdata.console_line import Condition, Note, format_line
from userdata.console_protocol import Report, notes_of, reports_of
from userdata.renderer import render_keepalived_conf, render_member_config, render_user_data

from .conftest import settings_of

BOTH = "(vrrp_group_1) Entering BACKUP STATE (init)\n(vrrp_group_1) Entering MASTER STATE\n"


class _Asleep(Exception):
    """The program has slept as often as the test wants it to."""


@dataclass
class Server:
    """A server around the master's program: its state, its console, and its sleeps."""

    config: dict[str, Any]
    console: Path
    #: keepalived's state at each look, and the result of each check of the service. The last one stays.
    states: list[str] = field(default_factory=lambda: ["MASTER"])
    answers: list[bool] = field(default_factory=lambda: [True])
    ran: list[list[str]] = field(default_factory=list[list[str]])
    slept: list[float] = field(default_factory=list[float])
    now: float = 0
    #: How often the shared settings were reported.
    notes: int = 0
    #: What happens while the program sleeps.
    between: Callable[[], object] = lambda: None

    def state(self) -> str:
        return self.states.pop(0) if len(self.states) > 1 else self.states[0]

    def answer(self, config: dict[str, Any]) -> bool:
        assert config is self.config
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    def sleep(self, seconds: float, until: int) -> None:
        self.between()
        self.slept.append(seconds)
        self.now += seconds
        if len(self.slept) == until:
            raise _Asleep

    def reports(self, times: int) -> list[str]:
        """Return its lines, without the boot and the shared settings, until it has slept so many times."""
        lines: list[str] = []

        def sleep(seconds: float) -> None:
            self.sleep(seconds, times)

        def run(command: list[str], **_: object) -> None:
            self.ran.append(command)

        def announce(member: str, kind: Condition | Note, what: str, again_in: int | None = None) -> None:
            assert again_in == (60 if isinstance(kind, Condition) else None)
            lines.append(f"{member} {kind.value}: {what}")

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(announce_ready, "time", SimpleNamespace(sleep=sleep, monotonic=lambda: self.now))
            patch.setattr(announce_ready, "Journal", lambda: self)
            patch.setattr(announce_ready, "answers", self.answer)
            patch.setattr(announce_ready.subprocess, "run", run)
            patch.setattr(announce_ready, "announce", announce)
            with pytest.raises(_Asleep):
                announce_ready.watch(self.config)
        prefix = "vrrp-master "
        assert all(line.startswith(prefix) for line in lines)
        self.notes = sum(" speaks: " in line for line in lines)
        return [line.removeprefix(prefix) for line in lines if " speaks: " not in line]

    def health_status(self, text: str) -> None:
        Path(self.config["statusFile"]).write_text(text, encoding="ascii")


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Server]:
    """The master, with its console and its files below ``tmp_path``, and a health daemon that runs."""
    settings = settings_of("nz-por-1")
    config = json.loads(render_member_config(settings, settings.members[0]))
    for name in ("keepalivedConf", "keepalivedPidFile", "statusFile", "lockFile"):
        config[name] = str(tmp_path / name)
    conf = render_keepalived_conf(settings, settings.members[0])
    Path(config["keepalivedConf"]).write_text(conf, encoding="utf-8")
    Path(config["keepalivedPidFile"]).write_text(f"{os.getpid()}\n", encoding="ascii")
    monkeypatch.setattr(announce_ready, "CONSOLE", str(tmp_path / "console"))
    with Path(config["lockFile"]).open("w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield Server(config, tmp_path / "console")


class TestAMemberReportsReadyWhenItIs:
    """Prevents the gate between the two servers from opening for a member that can't serve: Nova says ACTIVE long
    before keepalived runs, and a report from an earlier boot says nothing about this one.
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
    def test_the_state_is_keepaliveds_last_one_of_this_boot(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, journal: str, state: str
    ) -> None:
        folder = tmp_path / "bin"
        folder.mkdir()
        said, asked = tmp_path / "said", tmp_path / "asked"
        said.write_text(journal, encoding="utf-8")
        fake = folder / "journalctl"
        fake.write_text(f'#!/bin/sh\necho "$@" > "{asked}"\ncat "{said}"\nexec sleep 60\n', encoding="utf-8")
        fake.chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
        following = announce_ready.Journal()
        try:
            end = time.monotonic() + 10
            while (
                not (asked.exists() and asked.stat().st_size and following.state() == state) and time.monotonic() < end
            ):
                time.sleep(0.01)
            assert following.state() == state
            assert "--boot" in asked.read_text(encoding="utf-8").split()
        finally:
            following.process.kill()
            following.process.wait()

    def test_a_state_that_arrives_in_two_pieces_counts_when_its_line_is_complete(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        fake = tmp_path / "journalctl"
        fake.write_text("#!/bin/sh\nexec cat\n", encoding="utf-8")
        fake.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        following = announce_ready.Journal()
        pieces = iter([b"(vrrp_group_1) Entering BAC", b"KUP STATE\n(vrrp_group_1) Ent"])

        def read(*_: object) -> bytes:
            if (piece := next(pieces, None)) is None:
                raise BlockingIOError
            return piece

        try:
            monkeypatch.setattr(announce_ready.os, "read", read)
            assert following.state() == "BACKUP"
        finally:
            following.process.kill()
            following.process.wait()

    def test_a_member_waits_for_cloud_init_keepalived_and_the_service(self, server: Server) -> None:
        server.states = ["", "FAULT", "BACKUP", "BACKUP", "BACKUP"]
        server.answers = [False, False, True]
        assert server.reports(times=5) == ["ready: BACKUP"]
        assert server.ran[0] == ["cloud-init", "status", "--wait"]

    def test_a_member_that_boots_drained_reports_it_at_once(self, server: Server) -> None:
        """A gate reads it, and does not wait for a member that will not become ready."""
        server.health_status('{"drained": true}')
        assert server.reports(times=3) == ["not ready: drained"]

    @pytest.mark.parametrize("pid", ["", "4194305\n"])
    def test_a_member_without_keepalived_is_not_ready_whatever_the_journal_says(self, server: Server, pid: str) -> None:
        Path(server.config["keepalivedPidFile"]).write_text(pid, encoding="ascii")
        assert server.reports(times=3) == []

    def test_every_change_of_the_state_is_reported(self, server: Server) -> None:
        server.states = ["BACKUP", "BACKUP", "MASTER", "FAULT", "FAULT", "BACKUP"]
        assert server.reports(times=7) == ["ready: BACKUP", "ready: MASTER", "not ready: FAULT", "ready: BACKUP"]

    def test_the_status_of_the_health_daemon_and_the_end_of_keepalived_are_reported(self, server: Server) -> None:
        changes: list[Callable[[], object]] = [
            lambda: server.health_status('{"service": "ill", "drained": false}'),
            lambda: server.health_status('{"service": "well", "drained": true}'),
            lambda: server.health_status('{"service": "well", "drained": false}'),
            lambda: Path(server.config["keepalivedPidFile"]).unlink(),
        ]
        server.between = lambda: changes.pop(0)() if changes else None
        assert server.reports(times=6) == [
            "ready: MASTER",
            "not ready: its service does not answer",
            "not ready: drained",
            "ready: MASTER",
            "not ready: keepalived does not run",
        ]

    def test_a_change_of_the_peers_report_is_reported(self, server: Server) -> None:
        """Prevents a pair that looks healthy while a dead service would keep the VIP."""
        peer = iter(("well", "well", "silent", "silent"))
        server.health_status('{"service": "well"}')
        server.between = lambda: server.health_status(f'{{"service": "well", "peer": "{next(peer)}"}}')
        assert server.reports(times=4) == ["ready: MASTER", "hears: well", "hears: silent"]

    def test_the_status_of_a_health_daemon_that_has_ended_does_not_count(self, server: Server, tmp_path: Path) -> None:
        server.health_status('{"service": "well"}')
        free = tmp_path / "free"
        free.touch()
        server.between = lambda: server.config.update(lockFile=str(free))
        assert server.reports(times=3) == ["ready: MASTER", "not ready: its health check does not run"]

    def test_a_pair_without_a_service_check_needs_no_health_daemon(self, server: Server, tmp_path: Path) -> None:
        server.config.update(serviceCheck=False, lockFile=str(tmp_path / "none"))
        assert server.reports(times=3) == ["ready: MASTER"]

    @pytest.mark.parametrize("checked", [True, False])
    def test_the_settings_decide_whether_a_health_daemon_is_expected(self, checked: bool) -> None:
        settings = settings_of("nz-por-1", serviceCheck=str(checked).lower())
        assert json.loads(render_member_config(settings, settings.members[0]))["serviceCheck"] is checked

    def test_a_service_that_was_slow_is_asked_again(self, server: Server) -> None:
        server.states = ["BACKUP", "MASTER"]
        server.answers = [True, False, True]
        assert server.reports(times=4) == [
            "ready: BACKUP",
            "not ready: its service does not answer",
            "ready: MASTER",
        ]
        assert server.slept[1] == announce_ready.PAUSE_AFTER_A_BAD_ANSWER

    def test_without_the_journal_the_program_ends_so_that_systemd_restarts_it(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        fake = tmp_path / "journalctl"
        fake.write_text("#!/bin/sh\nexit 0\n", encoding="utf-8")
        fake.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        following = announce_ready.Journal()
        following.process.wait()
        with pytest.raises(SystemExit):
            following.state()

    def test_a_condition_is_repeated_every_60_s_while_it_is_true(self, server: Server) -> None:
        """A gate trusts only a recent report, and may ask after a year."""
        assert server.reports(times=2401) == ["ready: MASTER"] * 21

    def test_a_drained_member_repeats_its_condition_too(self, server: Server) -> None:
        server.health_status('{"drained": true}')
        assert server.reports(times=241) == ["not ready: drained"] * 3

    def test_the_notes_are_repeated_every_600_s_so_that_the_console_stays_short(self, server: Server) -> None:
        server.health_status('{"service": "well", "peer": "well"}')
        reports = server.reports(times=2401)
        assert (reports.count("hears: well"), server.notes) == (3, 3)

    def test_changed_shared_settings_are_reported(self, server: Server) -> None:
        conf = Path(server.config["keepalivedConf"])
        text = conf.read_text(encoding="utf-8")
        server.between = lambda: conf.write_text(text.replace("virtual_router_id 1", "virtual_router_id 2"), "utf-8")
        assert server.reports(times=5) == ["ready: MASTER"]
        assert server.notes == 2

    def test_a_service_that_has_become_unhealthy_is_reported_at_the_next_repetition(self, server: Server) -> None:
        server.answers = [True, False]
        assert server.reports(times=125) == ["ready: MASTER", "not ready: its service does not answer"]

    @pytest.mark.parametrize(
        ("stack", "spoken"),
        [
            ("nz-por-1", "virtual_router_id 1, version 3, advert_int 0.25, unicast, no auth"),
            ("tutorial", "virtual_router_id 1, version 2, advert_int 1, multicast, auth"),
        ],
    )
    def test_the_shared_settings_are_reported_without_the_password(
        self, tmp_path: Path, stack: str, spoken: str
    ) -> None:
        settings = settings_of(stack)
        conf = tmp_path / "keepalived.conf"
        conf.write_text(render_keepalived_conf(settings, settings.members[0]), encoding="utf-8")
        assert announce_ready.shared_settings(str(conf)) == spoken


BOOT = Path("/proc/sys/kernel/random/boot_id")


class TestTheLinesOnTheConsole:
    """Prevents a member that reports what no gate understands."""

    def test_a_line_names_the_member_its_state_and_this_boot(self, server: Server) -> None:
        announce_ready.announce("vrrp-master", Condition.READY, "MASTER")
        assert server.console.read_text(encoding="ascii").startswith("\nvrrp-pair: ")
        (report,) = reports_of(server.console.read_text(encoding="ascii"), "vrrp-master")
        assert (report.condition, report.what) == (Condition.READY, "MASTER")
        assert report.boot == BOOT.read_text(encoding="ascii").strip()
        assert report.said_at is not None
        assert 0 < report.booted_at <= report.said_at <= time.time() + 1

    def test_a_condition_comes_with_the_shared_settings_and_the_peers_report_of_the_same_boot(
        self, server: Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def one_look(_: float) -> None:
            raise _Asleep

        def run(command: list[str], **_: object) -> None:
            assert command[0] == "cloud-init"

        server.health_status('{"service": "well", "peer": "well"}')
        console: list[str] = []
        announce = announce_ready.announce

        def collect(member: str, kind: Condition | Note, what: str, again_in: int | None = None) -> None:
            announce(member, kind, what, again_in)
            console.append(server.console.read_text(encoding="ascii"))

        monkeypatch.setattr(announce_ready, "announce", collect)
        monkeypatch.setattr(announce_ready, "Journal", lambda: server)
        monkeypatch.setattr(announce_ready, "answers", server.answer)
        monkeypatch.setattr(announce_ready.subprocess, "run", run)
        monkeypatch.setattr(announce_ready.time, "sleep", one_look)
        with pytest.raises(_Asleep):
            announce_ready.watch(server.config)
        (report,) = reports_of("".join(console), "vrrp-master")
        assert notes_of("".join(console), "vrrp-master", report.boot) == {
            "speaks": "virtual_router_id 1, version 3, advert_int 0.25, unicast, no auth",
            "hears": "well",
        }

    def test_the_installation_reports_a_failure_with_its_exit_status(self, tmp_path: Path) -> None:
        """Runs the files that a member gets, in the folders that they have there."""
        settings = settings_of("nz-por-1")
        for file in yaml.safe_load(render_user_data(settings, settings.members[0]))["write_files"]:
            path = tmp_path / file["path"].lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(file["content"].replace("/usr/local", f"{tmp_path}/usr/local"), encoding="utf-8")
            path.chmod(int(file["permissions"], 8))
        program = tmp_path / "usr/local/lib/vrrp-pair/announce-ready"
        text = program.read_text(encoding="utf-8")
        text = text.replace("/dev/console", f"{tmp_path}/console").replace(
            "/etc/vrrp-pair", f"{tmp_path}/etc/vrrp-pair"
        )
        program.write_text(text, encoding="utf-8")
        install = tmp_path / "install"
        source = (tmp_path / "usr/local/lib/vrrp-pair/install").read_text(encoding="utf-8")
        before, start, _ = source.partition("export DEBIAN_FRONTEND")
        assert start
        install.write_text(before + "exit 7\n", encoding="utf-8")
        done = subprocess.run(["sh", str(install)], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (7, "")
        (report,) = reports_of((tmp_path / "console").read_text(encoding="ascii"), "vrrp-master")
        assert (report.condition, report.what) == (Condition.FAILED, f"{install} ended with 7")

    @given(
        member=st.from_regex(r"[a-z][a-z0-9-]{0,40}", fullmatch=True),
        kind=st.sampled_from([*Condition, *Note]),
        what=st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=80),
        boot=st.uuids(),
        booted_at=st.integers(0, 2**33),
        said_at=st.integers(0, 2**33),
        around=st.sampled_from(["", "\n", "\r\n", "[    1.0] kernel: vrrp-pair: \n", "login: "]),
    )
    def test_a_formatted_line_is_parsed_back(
        self, member: str, kind: Condition | Note, what: str, boot: object, booted_at: int, said_at: int, around: str
    ) -> None:
        line = format_line(member, kind, what, str(boot), booted_at, said_at)
        console = f"{around}{line}\r\n"
        if isinstance(kind, Condition):
            assert reports_of(console, member) == [Report(kind, what, str(boot), booted_at, said_at)]
            assert notes_of(console, member, str(boot)) == {}
        else:
            assert notes_of(console, member, str(boot)) == {kind.value: what}
            assert reports_of(console, member) == []

    @given(what=st.text(max_size=80), kind=st.sampled_from(list(Condition)))
    def test_any_text_makes_exactly_one_ascii_line_and_one_report(self, what: str, kind: Condition) -> None:
        line = format_line("vrrp-master", kind, what, "b1", 1, 2)
        assert line.isascii()
        assert line.isprintable()
        (report,) = reports_of(line, "vrrp-master")
        assert (report.condition, len(report.what)) == (kind, len(what))

    def test_a_repeated_line_names_the_interval(self) -> None:
        """A gate distrusts a report that is older than two intervals."""
        line = format_line("m", Condition.READY, "MASTER", "b1", 1700000000, 1700000060, again_in=60)
        assert line == (
            "vrrp-pair: m is ready as MASTER (boot b1, booted at 1700000000, said at 1700000060, again in 60 s)"
        )
        assert reports_of(line, "m") == [Report(Condition.READY, "MASTER", "b1", 1700000000, 1700000060, 60)]

    @pytest.mark.parametrize(
        ("line", "report"),
        [
            (
                "vrrp-pair: m is ready as BACKUP (boot 97da21f5, booted at 1700000000)",
                Report(Condition.READY, "BACKUP", "97da21f5", 1700000000, None),
            ),
            (
                "vrrp-pair: m is ready as MASTER (boot 97da21f5, booted at 1700000000, said at 1700000060)",
                Report(Condition.READY, "MASTER", "97da21f5", 1700000000, 1700000060),
            ),
            (
                "vrrp-pair: m is not ready: drained (boot 97da21f5, booted at 1700000000, said at 1700000060)",
                Report(Condition.NOT_READY, "drained", "97da21f5", 1700000000, 1700000060),
            ),
            (
                "vrrp-pair: m has failed: /usr/local/lib/vrrp-pair/install ended with 100 (boot 97da, booted at 17)",
                Report(Condition.FAILED, "/usr/local/lib/vrrp-pair/install ended with 100", "97da", 17, None),
            ),
        ],
    )
    def test_a_line_of_an_older_release_is_still_a_report(self, line: str, report: Report) -> None:
        """Prevents a release whose first roll waits for members that have reported long ago."""
        assert reports_of(f"\n{line}\r\n", "m") == [report]

    def test_a_note_of_an_older_release_is_still_a_note(self) -> None:
        console = (
            "\nvrrp-pair: m speaks virtual_router_id 1, version 3 (boot b1, booted at 17, said at 18)\r\n"
            "\nvrrp-pair: m hears silent (boot b1, booted at 17, said at 18)\r\n"
            "\nvrrp-pair: m hears well (boot b1, booted at 17, said at 19)\r\n"
            "\nvrrp-pair: m hears ill (boot b0, booted at 16, said at 16)\r\n"
        )
        assert notes_of(console, "m", "b1") == {"speaks": "virtual_router_id 1, version 3", "hears": "well"}
