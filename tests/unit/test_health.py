"""The health daemon of a member: what counts as an answer, when a member is ill, and when it gives the VIP away.

Proves the verdicts, against small servers on this machine and against answers made up. That keepalived follows the
file, and how long a failover takes, is shown and measured by tests/lab.
"""

from __future__ import annotations

import fcntl
import importlib.util
import json
import os
import socket
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.user_data import render_health_config
from lab.stack_file import PROJECT_FOLDER

from .conftest import settings_of

SOURCE = PROJECT_FOLDER / "userdata" / "health.py"


def _load() -> ModuleType:
    """The program as a module: on a server it is a file of its own, and part of no package."""
    spec = importlib.util.spec_from_file_location("health", SOURCE)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


HEALTH = _load()


class _Page(BaseHTTPRequestHandler):
    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 # the name of the method that it replaces
        """Say nothing."""


@contextmanager
def _web_server(status: int) -> Generator[int]:
    """A web server whose every page has this status; yields its port."""
    with _serving(type("Handler", (_Page,), {"status": status})) as port:
        yield port


@contextmanager
def _serving(handler: type[BaseHTTPRequestHandler]) -> Generator[int]:
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def _listener(says: bytes | None) -> Generator[int]:
    """Takes connections, and says this to each one or (None) nothing at all; yields its port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        over = threading.Event()
        listening.settimeout(0.01)

        def serve() -> None:
            taken: list[socket.socket] = []
            while not over.is_set():
                try:
                    connection, _ = listening.accept()
                except TimeoutError:
                    continue
                taken.append(connection)
                if says is not None:
                    with suppress(OSError):  # who only connects is gone by now
                        connection.sendall(says)
                        connection.shutdown(socket.SHUT_WR)
            for connection in taken:
                connection.close()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            over.set()
            thread.join()


def _check(**own: object) -> dict[str, Any]:
    """A check as the settings render it, with a short patience."""
    settings = settings_of("nz-por-1")
    return {**json.loads(render_health_config(settings, settings.members[0])), "timeout": 0.2, **own}


class TestWhatCountsAsAnAnswer:
    """Prevents an outage without end, as the tutorial has it: apache is dead or hangs, keepalived is alive, and the VIP
    stays where nobody serves.
    """

    @pytest.mark.parametrize(
        ("codes", "status", "well"),
        [
            ("200-399", 200, True),
            ("200-399", 301, True),
            ("200-399", 404, False),
            ("200-399", 503, False),
            ("200", 204, False),
            ("200,204", 204, True),
            ("200-299,404", 404, True),
        ],
    )
    def test_a_page_with_an_expected_code_is_one(self, codes: str, status: int, well: bool) -> None:
        settings = settings_of("nz-por-1", service=json.dumps({"expectedCodes": codes}))
        check = json.loads(render_health_config(settings, settings.members[0]))
        with _web_server(status) as port:
            assert HEALTH.answers({**check, "port": port}) is well

    def test_the_path_of_the_settings_is_asked_for(self) -> None:
        asked: list[str] = []

        class Handler(_Page):
            def do_GET(self) -> None:
                asked.append(self.path)
                super().do_GET()

        with _serving(Handler) as port:
            assert HEALTH.answers(_check(port=port, urlPath="/healthz?deep=1"))
        assert asked == ["/healthz?deep=1"]

    @pytest.mark.parametrize("check", ["http", "tcp"])
    def test_a_closed_port_is_none(self, check: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as reserved:
            port = reserved.getsockname()[1]
        assert HEALTH.answers(_check(check=check, port=port)) is False

    def test_a_server_that_takes_the_connection_and_hangs_gives_none(self) -> None:
        with _listener(says=None) as port:
            assert HEALTH.answers(_check(port=port)) is False

    @pytest.mark.parametrize("says", [b"", b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 huh\r\n\r\n"])
    def test_something_that_is_no_http_is_none_but_does_for_tcp(self, says: bytes) -> None:
        with _listener(says) as port:
            assert HEALTH.answers(_check(port=port)) is False
            assert HEALTH.answers(_check(check="tcp", port=port)) is True

    @pytest.mark.parametrize(("command", "well"), [("true", True), ("exit 3", False), ("sleep 5", False)])
    def test_a_command_has_to_end_with_0_in_time(self, command: str, well: bool) -> None:
        assert HEALTH.answers(_check(check="command", command=command)) is well


class TestOutQuicklyAndBackSlowly:
    """Prevents a VIP that flaps between two members because a web server answers every other time, and one that stays
    with a dead web server until three questions are over.
    """

    @pytest.mark.parametrize(
        ("good", "bad", "answers", "verdicts"),
        [
            (3, 1, "-", "i"),  # one bad answer is enough, at once
            (3, 1, "++", "  "),  # nothing is known yet
            (3, 1, "+++", "  w"),
            (3, 1, "++-", "  i"),
            (3, 1, "-++", "iii"),  # two good ones do not end it
            (3, 1, "-+++", "iiiw"),
            (3, 1, "-++-+++", "iiiiiiw"),  # and they have to be in a row
            (3, 1, "+++++-+-+-+++", "  wwwiiiiiiiw"),
            (1, 3, "+--+---+", "wwwwwwiw"),
        ],
    )
    def test_so_many_in_a_row(self, good: int, bad: int, answers: str, verdicts: str) -> None:
        judgement = HEALTH.Judgement(good, bad)
        found: list[str] = []
        for answer in answers:
            judgement.hear(answer == "+", 0)
            found.append({None: " ", True: "i", False: "w"}[judgement.ill])
        assert "".join(found) == verdicts

    def test_who_falls_ill_again_and_again_has_to_be_well_for_longer(self) -> None:
        """Prevents a VIP that goes to and fro for ever: overloaded with it, idle and well without it."""
        judgement = HEALTH.Judgement(3, 1)
        now, needed = 0.0, list[int]()
        for _ in range(3):
            judgement.hear(True, now)
        for _ in range(8):
            judgement.ill = False
            judgement.hear(False, now)
            count = 0
            while judgement.ill:
                judgement.hear(True, now)
                count += 1
            needed.append(count)
            now += 5
        assert needed == [3, 6, 12, 24, 48, 96, 96, 96]
        judgement.hear(False, now + HEALTH.RELAPSE + 5)
        judgement.hear(True, now)
        judgement.hear(True, now)
        judgement.hear(True, now)
        assert judgement.ill is False

    def test_a_service_that_is_not_up_yet_has_not_fallen_ill(self) -> None:
        judgement = HEALTH.Judgement(3, 1)
        for answer in "----+++-+++":
            judgement.hear(answer == "+", 0)
        assert judgement.ill is False


class TestTheVipIsGivenAwayOnlyToSomebody:
    """Prevents a VIP that nobody holds: two slow members, or one that is slow while the other is being replaced; and an
    ill member that takes it from a healthy one.
    """

    def test_an_ill_member_gives_it_to_one_that_is_well(self) -> None:
        assert HEALTH.at_fault(False, True, False, "well", 0.1, False)

    @pytest.mark.parametrize(("peer", "age"), [("ill", 0.1), ("silent", 9), ("well", 1.5)])
    def test_and_keeps_it_when_nobody_says_so_right_now(self, peer: str, age: float) -> None:
        assert not HEALTH.at_fault(False, True, False, peer, age, False)

    @pytest.mark.parametrize("ill", [True, None])
    @pytest.mark.parametrize("peer", ["well", "ill", "silent"])
    def test_having_given_it_away_it_takes_it_again_when_nobody_advertises_it(
        self, ill: bool | None, peer: str
    ) -> None:
        assert not HEALTH.at_fault(True, ill, False, peer, 0.1, False)

    @pytest.mark.parametrize("ill", [True, None])
    @pytest.mark.parametrize(("peer", "age"), [("well", 0.1), ("ill", 0.1), ("silent", 99)])
    def test_and_never_from_somebody_who_does(self, ill: bool | None, peer: str, age: float) -> None:
        """The peer may be ill as well, or its words lost, or be of a version that says none."""
        assert HEALTH.at_fault(True, ill, False, peer, age, True)

    def test_a_member_that_is_well_may_always_hold_it(self) -> None:
        for was in (True, False):
            assert not HEALTH.at_fault(was, False, False, "well", 0.1, True)

    def test_a_drained_one_never(self) -> None:
        for was in (True, False):
            for ill in (True, False, None):
                assert HEALTH.at_fault(was, ill, True, "silent", 9, False)

    @given(
        past=st.lists(
            st.tuples(
                st.booleans(),  # the master's service is ill
                st.booleans(),  # the backup's is
                st.sampled_from(["", "m", "b", "mb"]),  # whose keepalived does not run
                st.booleans(),  # the words between them are lost
            ),
            min_size=1,
            max_size=12,
        )
    )
    def test_left_alone_one_holds_it_and_one_that_is_well_if_there_is_one(
        self, past: list[tuple[bool, bool, str, bool]]
    ) -> None:
        pair = Simulated()
        for master_ill, backup_ill, dead, lost in past:
            pair.run([master_ill, backup_ill], ["m" in dead, "b" in dead], lost=lost, seconds=1.0)
        master_ill, backup_ill, dead, _ = past[-1]
        pair.run([master_ill, backup_ill], ["m" in dead, "b" in dead], lost=False, seconds=12.0)
        before = pair.holder
        pair.run([master_ill, backup_ill], ["m" in dead, "b" in dead], lost=False, seconds=12.0)
        assert pair.moves == 0, "it goes to and fro"
        fit = [not ill and who not in dead for ill, who in ((master_ill, "m"), (backup_ill, "b"))]
        if dead == "mb":
            assert before is None
        elif any(fit):
            assert before == (0 if fit[0] else 1)
        else:
            assert before is not None, "nobody holds the VIP"


class Simulated:
    """Two members and VRRP between them: whoever is not at fault and has the higher priority, the master, holds it."""

    INTERVAL = 0.25

    def __init__(self) -> None:
        self.now = 100.0
        self.fault = [True, True]
        self.word = ["silent", "silent"]
        self.heard = [0.0, 0.0]
        self.advertised = [self.now, self.now]
        self.holder: int | None = None
        self.moves = 0

    def run(self, ill: list[bool], dead: list[bool], *, lost: bool, seconds: float) -> None:
        self.moves = 0
        for _ in range(round(seconds / HEALTH.TICK)):
            self.now += HEALTH.TICK
            for own in (0, 1):
                age, quiet = self.now - self.heard[own], self.now - self.advertised[own]
                down = HEALTH.INTERVALS * self.INTERVAL + HEALTH.MARGIN
                self.fault[own] = HEALTH.at_fault(self.fault[own], ill[own], False, self.word[own], age, quiet < down)
            for own, other in ((0, 1), (1, 0)):
                if not lost:
                    well = not self.fault[other] and not ill[other] and not dead[other]
                    self.word[own], self.heard[own] = "well" if well else "ill", self.now
            can = [not self.fault[own] and not dead[own] for own in (0, 1)]
            holder = 0 if can[0] else 1 if can[1] else None
            self.moves += holder != self.holder
            self.holder = holder
            if holder is not None:
                self.advertised[1 - holder] = self.now


def _packet(source: str = "10.0.0.5", first: int = 0x31, virtual_router_id: int = 1, priority: int = 149) -> bytes:
    header = bytes([0x45, *[0] * 8, 112, 0, 0]) + socket.inet_aton(source) + socket.inet_aton("10.0.0.4")
    return header + bytes([first, virtual_router_id, priority, 1, 0, 25, 0, 0]) + socket.inet_aton("10.0.0.201")


class TestWhoAdvertises:
    """RFC 9568 section 5.2: version and type, virtual router id, priority."""

    @pytest.mark.parametrize(
        ("packet", "says"),
        [
            (_packet(), True),
            (_packet(first=0x21), True),  # version 2
            (_packet(priority=0), False),
            (_packet(source="10.0.0.4"), None),
            (_packet(virtual_router_id=2), None),
            (_packet(first=0x32), None),
            (b"", None),
            (_packet()[:24], None),
        ],
    )
    def test_only_the_peers_own_word_counts(self, packet: bytes, says: bool | None) -> None:
        assert HEALTH.advertises(packet, "10.0.0.5", 1) is says


class TestWhatAKilledKeepalivedHasLeft:
    """Prevents two members with one address: after kill -9 the VIP stays on the interface and answers there."""

    @pytest.fixture
    def removed(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        removed: list[str] = []
        monkeypatch.setattr(HEALTH, "let_go_of", lambda vips, _: removed.extend(vips))
        return removed

    def _keepalived(self, watch: Any, *, runs: bool) -> None:
        pid = os.getpid() if runs else 2**22 + 1
        Path(watch.config["keepalivedPidFile"]).write_text(f"{pid}\n", encoding="ascii")

    def test_it_stays_until_the_peer_advertises_it_and_is_taken_away_once(self, watch: Any, removed: list[str]) -> None:
        self._keepalived(watch, runs=False)
        watch.hear_peer(False)
        assert removed == []
        for _ in range(5):
            watch.hear_peer(True)
        assert removed == ["10.0.0.201/24"]

    def test_a_keepalived_that_runs_is_left_alone_and_killed_again_it_is_seen_to_again(
        self, watch: Any, removed: list[str]
    ) -> None:
        for runs in (False, True, True, False):
            self._keepalived(watch, runs=runs)
            watch.hear_peer(True)
        assert len(removed) == 2

    def test_the_command_names_the_interface_that_was_found(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        fake = tmp_path / "ip"
        fake.write_text(f'#!/bin/sh\necho "$*" > {tmp_path}/asked\n', encoding="utf-8")
        fake.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        (tmp_path / "interface").write_text("$MEMBER_INTERFACE=enp1s0\n", encoding="ascii")
        HEALTH.let_go_of(["10.0.0.201/24"], str(tmp_path / "interface"))
        assert (tmp_path / "asked").read_text(encoding="ascii") == "address del 10.0.0.201/24 dev enp1s0\n"


@pytest.fixture
def watch(tmp_path: Path) -> Generator[Any]:
    """A daemon whose files are here, and that hears what a test makes it hear."""
    files = {
        name: str(tmp_path / name)
        for name in ("trackFile", "statusFile", "drainedFile", "keepalivedPidFile", "lockFile")
    }
    made = HEALTH.Watch(_check(**files))
    with Path(files["lockFile"]).open("w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield made


def _hear(watch: Any, answers: str) -> None:
    for answer in answers:
        watch.judgement.hear(answer == "+", 0)
        watch.decide()


def _file(watch: Any) -> str | None:
    return HEALTH.read(watch.config["trackFile"])


class TestTheFileThatKeepalivedFollows:
    """Prevents a member that stays at fault for ever: keepalived 2.2.8 writes into the file at its own start."""

    def test_after_a_restart_of_the_daemon_the_old_verdict_stands_until_there_is_a_new_one(self, watch: Any) -> None:
        _hear(watch, "++")
        assert _file(watch) == "1\n"
        _hear(watch, "+")
        assert _file(watch) == "0\n"

    @pytest.mark.parametrize("meddled", ["1\n", None])
    def test_what_somebody_else_did_to_it_is_mended_at_the_next_decision(self, watch: Any, meddled: str | None) -> None:
        _hear(watch, "+++")
        if meddled is None:
            Path(watch.config["trackFile"]).unlink()
        else:
            HEALTH.write(watch.config["trackFile"], meddled)
        _hear(watch, "+")
        assert _file(watch) == "0\n"

    def test_it_tells_the_journal_of_every_change_and_of_nothing_else(
        self, watch: Any, capsys: pytest.CaptureFixture[str]
    ) -> None:
        _hear(watch, "++++++")
        watch.peer, watch.heard_at = "well", time.monotonic()
        _hear(watch, "---++++++")
        said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert [(line["service"], line["mayHoldTheVip"]) for line in said] == [
            ("not known", False),
            ("well", True),
            ("ill", False),
            ("well", True),
        ]


class TestDraining:
    """Prevents a member under repair that takes the VIP back by itself, and a drain that is an outage."""

    def test_it_is_refused_where_nobody_says_that_it_can_take_over(
        self, watch: Any, capsys: pytest.CaptureFixture[str]
    ) -> None:
        _hear(watch, "+++")
        assert HEALTH.drain(watch.config, anyway=False) == 1
        assert "vrrp-backup does not say that it can take over (silent)" in capsys.readouterr().err
        _hear(watch, "+")
        assert _file(watch) == "0\n"

    def test_a_drained_member_is_at_fault_until_it_is_told_otherwise(self, watch: Any) -> None:
        watch.peer, watch.heard_at = "well", time.monotonic()
        _hear(watch, "+++")
        assert HEALTH.drain(watch.config, anyway=False) == 0
        _hear(watch, "+++")
        assert _file(watch) == "1\n"
        assert HEALTH.show(watch.config) == 1
        assert HEALTH.undrain(watch.config) == 0
        _hear(watch, "+")
        assert _file(watch) == "0\n"
        assert HEALTH.show(watch.config) == 0

    def test_who_insists_gets_it(self, watch: Any) -> None:
        _hear(watch, "+++")
        assert HEALTH.drain(watch.config, anyway=True) == 0
        _hear(watch, "+")
        assert _file(watch) == "1\n"

    def test_a_daemon_that_does_not_run_drains_nothing(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """What it wrote down before it ended is true no more."""
        status = tmp_path / "status"
        status.write_text('{"peer": "well", "mayHoldTheVip": true}', encoding="ascii")
        lock = tmp_path / "lock"
        lock.touch()
        config = _check(statusFile=str(status), lockFile=str(lock), drainedFile=str(tmp_path / "drained"))
        assert HEALTH.drain(config, anyway=True) == 1
        assert "does not run" in capsys.readouterr().err
        assert not (tmp_path / "drained").exists()
        assert HEALTH.show(config) == 1


class TestTheMembersTellEachOther:
    def test_a_word_of_the_peer_is_heard_and_one_of_a_stranger_is_not(self, watch: Any) -> None:
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer,
        ):
            own.bind(("127.0.0.1", 0))
            peer.sendto(b"well", own.getsockname())
            watch.listen(own, time.monotonic() + 0.2)
            assert watch.peer == "silent"
            watch.config["peerAddress"] = "127.0.0.1"
            peer.sendto(b"well", own.getsockname())
            peer.sendto(b"nonsense", own.getsockname())
            watch.listen(own, time.monotonic() + 0.2)
            assert watch.peer == "well"

    @pytest.mark.parametrize(
        ("answers", "keepalived", "word"), [("+++", True, b"well"), ("+++-", True, b"ill"), ("+++", False, b"ill")]
    )
    def test_it_says_that_it_is_well_only_when_it_could_take_over(
        self, watch: Any, answers: str, keepalived: bool, word: bytes
    ) -> None:
        if keepalived:
            Path(watch.config["keepalivedPidFile"]).write_text(f"{os.getpid()}\n", encoding="ascii")
        _hear(watch, answers)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
            peer.bind(("127.0.0.1", 0))
            peer.settimeout(5)
            watch.config.update(peerAddress="127.0.0.1", healthPort=peer.getsockname()[1])
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
                watch.talk(own)
            assert peer.recv(64) == word

    def test_a_question_that_hangs_in_the_kernel_is_no_good_answer(self, watch: Any) -> None:
        _hear(watch, "+++")
        watch.asked_at = time.monotonic() - 60
        watch.config.update(peerAddress="127.0.0.1", healthPort=9)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
            watch.talk(own)
        assert watch.judgement.ill is True
