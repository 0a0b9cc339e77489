"""The observer and its client, with real processes on the loopback interface in place of a pair."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from drill import client, observer
from drill.observer import Observer
from drill.pair import Pair
from drill.recording import HolderChange

MASTER, BACKUP = "vrrp-master", "vrrp-backup"
VIP = "10.0.0.10"

#: As `ip -4 -oneline monitor address` prints them.
ADDED = f"2: ens3    inet {VIP}/24 scope global secondary ens3"
REMOVED = f"Deleted {ADDED}"
OTHERS = ("2: ens3    inet 10.0.0.100/24 scope global ens3", f"2: ens3    inet 1{VIP}/24 scope global ens3")


@contextmanager
def serving(
    status: int = 200, page: str = f"{MASTER}\nmore\n", wait: Callable[[], object] = lambda: None
) -> Generator[str]:
    """Serve a page on the loopback interface, and yield its URL.

    :param wait: is called before each answer.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # http.server names it so
            wait()
            # A client that was killed closes the connection.
            with suppress(OSError):
                self.send_response(status)
                self.end_headers()
                self.wfile.write(page.encode())

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 # http.server names it so
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def answers(url: str, timeout: float = 1, count: int = 1) -> list[dict[str, object]]:
    """Run the client as the observer does, and return its first lines."""
    command = [sys.executable, str(Path(client.__file__)), url, "0.01", str(timeout)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        lines = [json.loads(process.stdout.readline()) for _ in range(count)]
        process.kill()
    return lines


class TestTheClient:
    def test_it_prints_the_answering_member_and_the_times(self) -> None:
        before = time.monotonic()
        with serving() as url:
            first, second = answers(url, count=2)
        assert first["answer"] == second["answer"] == MASTER
        assert before <= cast(float, first["sent"]) <= cast(float, first["over"]) <= time.monotonic()

    @pytest.mark.parametrize(("status", "page"), [(500, MASTER), (404, MASTER), (200, " \n")])
    def test_an_error_or_an_empty_page_is_no_answer(self, status: int, page: str) -> None:
        with serving(status, page) as url:
            assert answers(url)[0]["answer"] is None

    def test_a_closed_port_is_no_answer(self) -> None:
        with serving() as url:
            pass
        assert answers(url)[0]["answer"] is None

    def test_a_service_that_hangs_is_no_answer(self) -> None:
        end = threading.Event()
        with serving(wait=end.wait) as url:
            assert answers(url, timeout=0.1)[0]["answer"] is None
            end.set()

    def test_a_request_does_not_wait_for_the_one_before(self) -> None:
        """The service answers the first three requests only when all three have arrived."""
        with serving(wait=threading.Barrier(3).wait) as url:
            assert [one["answer"] for one in answers(url, timeout=60, count=3)] == [MASTER] * 3

    def test_it_ends_when_its_reader_has_gone(self) -> None:
        """Prevents a client that sends requests for ever after the drill was killed."""
        command = [sys.executable, str(Path(client.__file__)), "http://127.0.0.1:9/", "0.01", "1"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            assert process.stdout
            process.stdout.readline()
            process.stdout.close()
            try:
                assert process.wait(10) == 0
            finally:
                process.kill()


class TestTheRateOfTheClient:
    """Prevents a gap in the requests that looks like a gap in the service. The clock is made up, in milliseconds."""

    @pytest.mark.parametrize(
        ("late", "sent"),
        [
            # It takes 2 ms to send a request. The next request begins 10 ms after the beginning of this one.
            ([0, 0, 0, 0], [0, 10, 20, 30]),
            ([0, 3, 0, 0], [0, 10, 23, 30]),
            # After a long delay the client sends one request at once, and does not repeat the missed ones.
            ([0, 50, 0, 0], [0, 10, 70, 72]),
        ],
        ids=["in time", "a little late", "long delayed"],
    )
    def test_requests_come_at_a_steady_rate(
        self, late: list[int], sent: list[int], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        now, seen = [0.0], list[int]()

        class Enough(Exception):
            pass

        async def sleep(seconds: float) -> None:
            end = now[0] + seconds
            await asyncio.sleep(0)
            now[0] = max(now[0], end) + late[len(seen) - 1] / 1000
            if len(seen) == len(sent):
                raise Enough

        async def send(*_: object) -> None:
            seen.append(round(now[0] * 1000))
            now[0] += 0.002

        monkeypatch.setattr(client, "time", SimpleNamespace(monotonic=lambda: now[0]))
        monkeypatch.setattr(client, "asyncio", SimpleNamespace(create_task=asyncio.create_task, sleep=sleep))
        monkeypatch.setattr(client, "request_and_print", send)
        with pytest.raises(Enough):
            asyncio.run(client.main("http://127.0.0.1/", 0.01, 1))
        assert seen == sent


def pair(url: str = "http://127.0.0.1:9/", monitors: Sequence[str] = (), holders: set[str] | None = None) -> Pair:
    """A pair on the loopback interface; each monitor is a shell command of the master."""
    members = [SimpleNamespace(name=MASTER), SimpleNamespace(name=BACKUP)]
    made = SimpleNamespace(
        url=url,
        vip=VIP,
        members=lambda: members,
        as_client=list,
        holders=lambda: holders or set(),
        address_monitors=lambda: [(MASTER, ["sh", "-c", command]) for command in monitors],
    )
    return cast(Pair, made)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen[str]]:
    """The processes that the observer has started."""
    processes: list[subprocess.Popen[str]] = []
    really_start = subprocess.Popen[str]

    def start(*arguments: Any, **own: Any) -> subprocess.Popen[str]:
        processes.append(really_start(*arguments, **own))
        return processes[-1]

    monkeypatch.setattr(observer.subprocess, "Popen", start)
    return processes


class TestTheObserver:
    def test_it_records_the_answers_of_the_client(self) -> None:
        with serving() as url, Observer(pair(url)) as watching:
            while len(watching.recording.good()) < 3:
                time.sleep(0.01)
        assert {answer.member for answer in watching.recording.good()} == {MASTER}
        assert watching.recording.members == [MASTER, BACKUP]

    def test_a_service_counts_as_interrupted_after_five_requests(self) -> None:
        assert Observer(pair(), 0.02).recording.tolerance == pytest.approx(0.1)

    def test_it_records_the_holders_at_the_beginning_and_each_change(self) -> None:
        lines = "\\n".join([ADDED, *OTHERS, REMOVED])
        with Observer(pair(monitors=[f"printf '{lines}\\n'; exec sleep 60"], holders={BACKUP})) as watching:
            while len(watching.recording.changes) < 3:
                time.sleep(0.01)
        holds = sorted((change.member, change.holds) for change in watching.recording.changes)
        assert holds == [(MASTER, False), (MASTER, False), (MASTER, True)], "not held at the beginning; removed; added"

    def test_a_member_that_holds_the_vip_at_the_beginning_is_recorded(self) -> None:
        with Observer(pair(monitors=["exec sleep 60"], holders={MASTER})) as watching:
            pass
        assert [(change.member, change.holds) for change in watching.recording.changes] == [(MASTER, True)]

    def test_without_a_monitor_it_records_no_holder(self) -> None:
        with Observer(pair(holders={MASTER})) as watching:
            pass
        assert watching.recording.changes == []

    def test_the_monitors_run_before_it_looks_at_the_holders(
        self, started: list[subprocess.Popen[str]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Prevents the loss of a change that comes between the two."""
        made = pair(monitors=["exec sleep 60"])
        running: list[int] = []

        def holders() -> set[str]:
            running.append(len(started))
            return set()

        monkeypatch.setattr(made, "holders", holders)
        with Observer(made):
            pass
        assert (running, len(started)) == ([1], 2), "the monitor before, the client afterwards"

    def test_its_client_asks_the_pairs_url_in_the_clients_network(
        self, started: list[subprocess.Popen[str]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def as_client(command: Sequence[str]) -> list[str]:
            return ["env", *command]

        made = pair()
        monkeypatch.setattr(made, "as_client", as_client)
        with Observer(made, 0.02):
            pass
        (process,) = started
        assert process.args == ["env", sys.executable, client.__file__, "http://127.0.0.1:9/", "0.02", "1.0"]

    def test_its_processes_have_their_own_session_and_end_with_the_observer(
        self, started: list[subprocess.Popen[str]]
    ) -> None:
        """Prevents Ctrl-C from ending the client before the drill is over, and a client that is left running."""
        with Observer(pair(monitors=["exec sleep 60"])):
            assert [os.getsid(process.pid) for process in started] == [process.pid for process in started]
            assert len(started) == 2
        assert [process.returncode for process in started] == [-signal.SIGKILL] * 2

    def test_an_interrupt_during_the_entry_leaves_no_process(
        self, started: list[subprocess.Popen[str]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made = pair(monitors=["exec sleep 60"])

        def holders() -> set[str]:
            raise KeyboardInterrupt

        monkeypatch.setattr(made, "holders", holders)
        try:
            with pytest.raises(KeyboardInterrupt), Observer(made):
                pass
            assert [process.returncode for process in started] == [-signal.SIGKILL]
        finally:
            for process in started:
                process.kill()

    def test_it_ends_only_after_it_has_recorded_every_line_that_it_read(self) -> None:
        """Prevents a measurement that misses the last change."""
        reading = threading.Event()

        class SlowList(list[HolderChange]):
            def append(self, change: HolderChange, /) -> None:
                if change.holds:
                    reading.set()
                    time.sleep(0.2)
                super().append(change)

        watching = Observer(pair(monitors=[f"echo '{ADDED}'; exec sleep 60"]))
        watching.recording.changes = SlowList()
        with watching:
            reading.wait()
        assert [change.holds for change in watching.recording.changes if change.holds] == [True]
