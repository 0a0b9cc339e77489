"""The health daemon of a member: what counts as an answer, when a member is ill, and when it gives the VIP away.

Proves the verdicts, against small servers on this machine and against answers made up. That keepalived follows the
file, and how long a failover takes, is shown and measured by tests/lab.
"""

from __future__ import annotations

import ast
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
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.stack_file import PROJECT_FOLDER
from userdata.renderer import render_health_config

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


NOW, LONG_AGO, PATIENCE = 1000.0, 0.0, 1.3


def verdict(*, fault: bool, since: float = NOW - 60) -> Any:
    return HEALTH.Verdict(fault, PATIENCE, since)


def decide(
    of: Any,
    ill: bool | None,
    peer: str,
    age: float = 0.1,
    *,
    drained: bool = False,
    advert_at: float = LONG_AGO,
    ill_since: float = NOW - 1,
    now: float = NOW,
) -> bool:
    return of.decide(now, ill, ill_since, drained, peer, now - age, advert_at)


class TestTheVipIsGivenAwayOnlyToSomebody:
    """Prevents a VIP that nobody holds: two slow members, or one that is slow while the other is being replaced; and an
    ill member that takes it from a healthy one.
    """

    def test_an_ill_member_gives_it_to_one_that_is_well(self) -> None:
        assert decide(verdict(fault=False), True, "well")

    @pytest.mark.parametrize(("peer", "age"), [("ill", 0.1), ("silent", 9), ("well", 1.5)])
    def test_and_keeps_it_when_nobody_says_so_right_now(self, peer: str, age: float) -> None:
        assert not decide(verdict(fault=False), True, peer, age, ill_since=NOW - 5)

    def test_a_word_from_before_it_fell_ill_does_not_count(self) -> None:
        """What ails this service, a database perhaps, may ail the other one too, which has not noticed yet."""
        keeps = verdict(fault=False)
        assert not decide(keeps, True, "well", 0.1, ill_since=NOW - 0.05)
        assert decide(keeps, True, "well", 0.0, ill_since=NOW - 0.05, now=NOW + 0.1)

    @pytest.mark.parametrize("ill", [True, None])
    @pytest.mark.parametrize("peer", ["well", "silent"])
    def test_having_given_it_away_it_takes_it_again_when_nobody_advertises_it(
        self, ill: bool | None, peer: str
    ) -> None:
        assert not decide(verdict(fault=True), ill, peer)

    def test_but_the_peer_has_a_moment_to_take_it(self) -> None:
        """Prevents a fault that comes and goes ten times a second, and starts keepalived's clock anew each time."""
        gave = verdict(fault=False)
        assert decide(gave, True, "well")
        assert decide(gave, True, "well", now=NOW + PATIENCE - 0.1)
        assert not decide(gave, True, "well", now=NOW + PATIENCE + 0.1)

    def test_it_takes_it_at_once_from_a_peer_that_says_no(self) -> None:
        gave = verdict(fault=False)
        assert decide(gave, True, "well")
        assert not decide(gave, True, "ill", now=NOW + 0.1)

    def test_who_did_not_take_it_is_given_it_again_when_he_can_or_after_a_while(self) -> None:
        """A keepalived that hangs says that it is well; and one that is repaired has no way to prove it."""
        for later, advert_at in ((1, NOW + 1), (60.1, LONG_AGO)):
            burnt = verdict(fault=True)
            assert not decide(burnt, True, "well")
            assert not decide(burnt, True, "well", now=NOW + later - 0.5)
            assert decide(burnt, True, "well", advert_at=advert_at, now=NOW + later)

    @pytest.mark.parametrize("ill", [True, None])
    @pytest.mark.parametrize(("peer", "age"), [("well", 0.1), ("ill", 0.1), ("silent", 99)])
    def test_and_never_from_somebody_who_does(self, ill: bool | None, peer: str, age: float) -> None:
        """The peer may be ill as well, or its words lost, or be of a version that says none."""
        assert decide(verdict(fault=True), ill, peer, age, advert_at=NOW - 0.3)

    def test_one_that_took_it_before_its_service_has_answered_gives_it_to_the_first_that_is_well(self) -> None:
        """Prevents an outage at a boot: a member that has no network yet hears nobody, and believes to be alone."""
        alone = verdict(fault=True)
        assert not decide(alone, None, "silent", 9)
        assert decide(alone, None, "well", 0.0, now=NOW + 1)

    def test_a_restart_of_the_daemon_gives_nothing_away(self) -> None:
        assert not decide(verdict(fault=False), None, "well")

    def test_a_member_that_is_well_may_always_hold_it(self) -> None:
        for was in (True, False):
            assert not decide(verdict(fault=was), False, "well", advert_at=NOW)

    def test_a_drained_one_never(self) -> None:
        for was in (True, False):
            for ill in (True, False, None):
                assert decide(verdict(fault=was), ill, "silent", 9, drained=True)

    @given(
        past=st.lists(
            st.tuples(
                st.booleans(),  # the master's service is ill
                st.booleans(),  # the backup's is
                st.sampled_from(["", "m", "b", "mb"]),  # whose keepalived does not run
                st.sampled_from(["", "m", "b", "mb"]),  # whose keepalived hangs
                st.booleans(),  # the words between them are lost
            ),
            min_size=1,
            max_size=12,
        )
    )
    def test_left_alone_one_holds_it_and_one_that_is_well_if_there_is_one(
        self, past: list[tuple[bool, bool, str, str, bool]]
    ) -> None:
        pair = Simulated()
        for master_ill, backup_ill, dead, hung, lost in past:
            pair.run([master_ill, backup_ill], dead, hung, lost=lost, seconds=1.0)
        master_ill, backup_ill, dead, hung, _ = past[-1]
        pair.run([master_ill, backup_ill], dead, hung, lost=False, seconds=HEALTH.DISTRUST + 15)
        before = pair.holder
        pair.run([master_ill, backup_ill], dead, hung, lost=False, seconds=12.0)
        assert pair.moves == 0, "it goes to and fro"
        can = [who not in dead + hung for who in "mb"]
        fit = [able and not ill for able, ill in zip(can, (master_ill, backup_ill), strict=True)]
        if not any(can):
            assert before is None
        elif any(fit):
            assert before == (0 if fit[0] else 1)
        else:
            assert before is not None, "nobody holds the VIP"


class Simulated:
    """Two members and VRRP between them, at 0.25 s (RFC 9568 section 6.4): who advertises, who gives up with priority
    0, and who takes over when. The first has the higher priority, and pre-empts.
    """

    MASTER_DOWN, SKEW = 0.85, 0.1

    def __init__(self) -> None:
        self.now = 100.0
        self.verdicts = [HEALTH.Verdict(True, PATIENCE, self.now) for _ in "mb"]
        self.ill = [False, False]
        self.ill_since = [0.0, 0.0]
        self.word = ["silent", "silent"]
        self.heard = [0.0, 0.0]
        self.advertised = [self.now, self.now]
        #: When a member that may takes over; None for one that may not.
        self.due: list[float | None] = [None, None]
        self.holder: int | None = None
        self.moves = 0

    def run(self, ill: list[bool], dead: str, hung: str, *, lost: bool, seconds: float) -> None:
        self.moves = 0
        for own in (0, 1):
            if ill[own] and not self.ill[own]:
                self.ill_since[own] = self.now
        self.ill = ill
        for _ in range(round(seconds / HEALTH.TICK)):
            self.now += HEALTH.TICK
            self._decide(dead, lost=lost)
            before = self.holder
            self._advertise([who not in dead + hung for who in "mb"])
            self.moves += before != self.holder

    def _decide(self, dead: str, *, lost: bool) -> None:
        for own, verdict_ in enumerate(self.verdicts):
            verdict_.decide(
                self.now,
                self.ill[own],
                self.ill_since[own],
                False,
                self.word[own],
                self.heard[own],
                self.advertised[own],
            )
        for own, other in ((0, 1), (1, 0)):
            if not lost:
                well = not self.verdicts[other].fault and not self.ill[other] and "mb"[other] not in dead
                self.word[own], self.heard[own] = "well" if well else "ill", self.now

    def _advertise(self, works: list[bool]) -> None:
        for own, other in ((0, 1), (1, 0)):
            if not works[own] or self.verdicts[own].fault:
                if self.holder == own:
                    self.holder = None
                    if works[own]:  # it says good-bye
                        self.advertised[other] = float("-inf")
                        if self.due[other] is not None:
                            self.due[other] = self.now + self.SKEW
                self.due[own] = None
            elif self.due[own] is None:
                self.due[own] = self.now + self.MASTER_DOWN
        for own in (1, 0):
            due = self.due[own]
            if due is not None and self.now >= due and self.holder != own:
                self.holder = own
        if self.holder is not None:
            self.advertised[1 - self.holder] = self.now
            if self.holder == 0 and self.due[1] is not None:
                self.due[1] = self.now + self.MASTER_DOWN


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

        def has_address(address: str) -> bool:
            return address == "10.0.0.201" and not removed

        def let_go_of(vips: list[str], _: str) -> None:
            removed.extend(vips)

        monkeypatch.setattr(HEALTH, "has_address", has_address)
        monkeypatch.setattr(HEALTH, "let_go_of", let_go_of)
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

    @pytest.mark.parametrize("order", [1, -1])
    def test_one_of_two_that_is_still_there_is_taken_away(self, watch: Any, removed: list[str], order: int) -> None:
        """Its main process dies first, and the child begins to clean up before it is killed, too."""
        there, gone = "10.0.0.201/24", "2001:db8::201/128"
        watch.config["vips"] = [there, gone][::order]
        self._keepalived(watch, runs=False)
        watch.hear_peer(True)
        assert sorted(removed) == [there, gone]

    def test_a_keepalived_that_runs_is_left_alone(self, watch: Any, removed: list[str]) -> None:
        self._keepalived(watch, runs=True)
        watch.hear_peer(True)
        assert removed == []

    def test_an_address_is_there_or_not(self) -> None:
        assert HEALTH.has_address("127.0.0.1")
        assert not HEALTH.has_address("192.0.2.77")
        assert not HEALTH.has_address("2001:db8::77")

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

    @pytest.fixture(autouse=True)
    def no_time_passes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(HEALTH, "SECOND_LOOK", 0)

    def test_both_at_once_is_neither(
        self, watch: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Prevents an outage without an end: each saw the other one well."""
        _hear(watch, "+++")
        watch.peer, watch.heard_at = "well", time.monotonic()
        _hear(watch, "+")

        def the_other_one_too(_: float) -> None:
            watch.peer = "ill"
            watch.decide()

        monkeypatch.setattr(HEALTH.time, "sleep", the_other_one_too)
        assert HEALTH.drain(watch.config, anyway=False) == 1
        assert "perhaps both were drained at once" in capsys.readouterr().err
        assert not Path(watch.config["drainedFile"]).exists()

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


class TestATimeoutIsForTheWholeAnswer:
    """Prevents a server that drips, or a check that hangs in the kernel, from counting as slow for ever."""

    def test_a_question_that_hangs_is_a_bad_answer_for_each_that_might_have_been_asked(self, watch: Any) -> None:
        watch.judgement = HEALTH.Judgement(3, 2)
        _hear(watch, "+++")
        watch.asked_at = 100.0
        verdicts: list[bool | None] = []
        for now in (100.2, 100.4, 100.6, 100.8):
            watch.look_at_the_question(now, late=False)
            verdicts.append(watch.judgement.ill)
        assert verdicts == [False, False, False, True]

    def test_where_the_daemon_itself_was_stopped_nobody_knows(self, watch: Any) -> None:
        """Prevents a failover because a hypervisor has paused the member for two seconds."""
        _hear(watch, "+++")
        watch.asked_at = 100.0
        watch.look_at_the_question(102.0, late=True)
        watch.look_at_the_question(102.2, late=False)
        assert watch.judgement.ill is False
        watch.look_at_the_question(102.4, late=False)
        assert watch.judgement.ill is True

    @pytest.mark.parametrize(("took", "ill"), [(0.05, True), (1.0, False)])
    def test_a_bad_answer_after_a_pause_of_the_whole_member_is_none(
        self, watch: Any, monkeypatch: pytest.MonkeyPatch, took: float, ill: bool
    ) -> None:
        """Prevents a second failover after a live migration: the question's own timeout has passed meanwhile."""
        _hear(watch, "+++")
        times = iter((0.0, 0.0, took))

        def nothing(_: object) -> bool:
            return False

        monkeypatch.setattr(HEALTH, "time", SimpleNamespace(monotonic=lambda: next(times, took), sleep=nothing))
        monkeypatch.setattr(HEALTH, "answers", nothing)
        watch.config["delay"] = 0
        watch.ask(None)
        assert watch.judgement.ill is ill

    @pytest.mark.parametrize("answer", [True, False])
    def test_the_answer_that_comes_too_late_counts_no_second_time(
        self, watch: Any, monkeypatch: pytest.MonkeyPatch, answer: bool
    ) -> None:
        watch.judgement = HEALTH.Judgement(1, 2)
        _hear(watch, "+")

        def slowly(_: Any) -> bool:
            watch.look_at_the_question(time.monotonic() + 1, late=False)
            return answer

        monkeypatch.setattr(HEALTH, "answers", slowly)
        watch.config["delay"] = 0
        watch.ask(None)
        assert watch.judgement.ill is False

        def badly(_: Any) -> bool:
            return False

        monkeypatch.setattr(HEALTH, "answers", badly)
        watch.ask(None)
        assert watch.judgement.ill is True


def test_it_never_asks_for_the_time_of_day() -> None:
    """Prevents a clock that is set from being a failover, or from hiding one."""
    tree = ast.parse(SOURCE.read_text(encoding="utf-8"))
    asked = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "time"
    }
    assert asked == {"monotonic", "sleep"}
    assert "datetime" not in {
        name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names
    }
