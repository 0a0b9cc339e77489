"""The health daemon of a member: what counts as an answer, and when keepalived is told.

Proves the verdicts, against a small web server on this machine and against answers made up. That keepalived follows the
file, and how long a failover takes, is shown and measured by tests/lab.
"""

from __future__ import annotations

import http.client
import importlib.util
import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from lab.stack_file import PROJECT_FOLDER

SOURCE = PROJECT_FOLDER / "userdata" / "service_check.py"


@pytest.fixture
def service_check() -> ModuleType:
    """The program as a module: on a server it is a file of its own, and part of no package."""
    spec = importlib.util.spec_from_file_location("service_check", SOURCE)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


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
    handler = type("Handler", (_Page,), {"status": status})
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


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """Sends the daemon's question to ``port`` in the place of 80, and keeps where it wanted to go."""
    told: dict[str, object] = {}
    real = http.client.HTTPConnection

    def connect(host: str, port: int, timeout: float) -> http.client.HTTPConnection:
        told.update(host=host, wanted=port, timeout=timeout)
        return real(host, int(str(told["port"])), timeout=timeout)

    monkeypatch.setattr(http.client, "HTTPConnection", connect)
    return told


class TestWhatCountsAsAnAnswer:
    """Prevents an outage without end, as the tutorial has it: apache is dead or hangs, keepalived is alive, and the VIP
    stays where nobody serves.
    """

    @pytest.mark.parametrize(
        ("status", "well"), [(200, True), (301, True), (404, True), (499, True), (500, False), (503, False)]
    )
    def test_everything_below_500_is_one(
        self, service_check: ModuleType, asked: dict[str, object], status: int, well: bool
    ) -> None:
        with _web_server(status) as asked["port"]:
            assert service_check.answers() is well

    def test_a_closed_port_is_none(self, service_check: ModuleType, asked: dict[str, object]) -> None:
        with socket.create_server(("127.0.0.1", 0)) as reserved:
            asked["port"] = reserved.getsockname()[1]
        assert service_check.answers() is False

    def test_a_server_that_takes_the_connection_and_hangs_gives_none(
        self, service_check: ModuleType, asked: dict[str, object], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(service_check, "PATIENCE", 0.05)
        with _listener(says=None) as asked["port"]:
            assert service_check.answers() is False

    @pytest.mark.parametrize("says", [b"", b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 huh\r\n\r\n"])
    def test_something_that_is_no_http_is_none(
        self, service_check: ModuleType, asked: dict[str, object], says: bytes
    ) -> None:
        with _listener(says) as asked["port"]:
            assert service_check.answers() is False

    def test_it_asks_port_80_of_this_server_and_waits_half_a_second(
        self, service_check: ModuleType, asked: dict[str, object]
    ) -> None:
        with _web_server(200) as asked["port"]:
            service_check.answers()
        assert (asked["host"], asked["wanted"], asked["timeout"]) == ("127.0.0.1", 80, 0.5)


class _EnoughError(Exception):
    """Ends the daemon, which has no end of its own."""


def _verdicts(module: ModuleType, monkeypatch: pytest.MonkeyPatch, file: Path, answers: str) -> list[str | None]:
    """What stands in the file after each of these answers (``+`` good, ``-`` bad); None as long as there is none."""
    found: list[str | None] = []
    coming = iter(answers)

    def sleep(seconds: float) -> None:
        assert seconds == module.INTERVAL
        found.append(file.read_text(encoding="ascii") if file.exists() else None)
        if len(found) == len(answers):
            raise _EnoughError

    monkeypatch.setattr(module, "time", SimpleNamespace(sleep=sleep))
    monkeypatch.setattr(module, "answers", lambda: next(coming) == "+")
    with pytest.raises(_EnoughError):
        module.main(str(file))
    return found


class TestOutQuicklyAndBackSlowly:
    """Prevents a VIP that flaps between two members because a web server answers every other time, and one that stays
    with a dead web server until three questions are over.
    """

    FAULT, WELL = "1\n", "0\n"

    @pytest.mark.parametrize(
        ("answers", "verdicts"),
        [
            ("-", "f"),  # one bad answer is a fault, at once
            ("++", "  "),  # nothing is known yet: keepalived's own first value stands
            ("+++", "  w"),
            ("++-", "  f"),
            ("+++-", "  wf"),
            ("-++", "fff"),  # two good ones do not end it
            ("-+++", "fffw"),
            ("-++-+++", "ffffffw"),  # and they have to be in a row
            ("+++++-+-+-+++", "  wwwfffffffw"),
        ],
    )
    def test_the_file_says(
        self, service_check: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, answers: str, verdicts: str
    ) -> None:
        file = tmp_path / "service"
        meaning = {"f": self.FAULT, "w": self.WELL, " ": None}
        found = _verdicts(service_check, monkeypatch, file, answers)
        assert found == [meaning[verdict] for verdict in verdicts]

    def test_it_is_written_when_the_verdict_changes_and_only_then(
        self,
        service_check: ModuleType,
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        _verdicts(service_check, monkeypatch, tmp_path / "service", "++++++---++++++")
        assert capsys.readouterr().out.splitlines() == [
            "the web server answers",
            "the web server does not answer",
            "the web server answers",
        ]

    def test_after_a_restart_of_the_daemon_the_old_verdict_stands_until_there_is_a_new_one(
        self, service_check: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        file = tmp_path / "service"
        file.write_text(self.FAULT, encoding="ascii")
        assert _verdicts(service_check, monkeypatch, file, "+++") == [self.FAULT, self.FAULT, self.WELL]


class TestTheVerdictIsTheFiles:
    """Prevents a member that stays at fault for ever: keepalived 2.2.8 writes into the file at its own start."""

    @pytest.mark.parametrize("meddled", ["1\n", None])
    def test_what_somebody_else_did_to_the_file_is_mended_at_the_next_question(
        self, service_check: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, meddled: str | None
    ) -> None:
        file = tmp_path / "service"
        seen: list[str] = []

        def sleep(_: float) -> None:
            seen.append(file.read_text(encoding="ascii") if file.exists() else "")
            if len(seen) == 4:
                if meddled is None:
                    file.unlink()
                else:
                    file.write_text(meddled, encoding="ascii")
            if len(seen) == 5:
                raise _EnoughError

        monkeypatch.setattr(service_check, "time", SimpleNamespace(sleep=sleep))
        monkeypatch.setattr(service_check, "answers", lambda: True)
        with pytest.raises(_EnoughError):
            service_check.main(str(file))
        assert seen[3:] == ["0\n", "0\n"]
