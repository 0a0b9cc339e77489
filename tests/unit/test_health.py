"""The health daemon of a member: what counts as an answer, when a member is unhealthy, when it gives the VIP away.

Proves the verdicts, against small servers on this machine and against invented answers. tests/lab shows that keepalived
follows the file, and measures how long a failover takes.
"""

from __future__ import annotations

import ast
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.stack_file import PROJECT_FOLDER
from settings.pair import MemberSettings, PairSettings
from userdata import health
from userdata.health import Announcer, Peer, ServiceStatus, Verdict, Watch
from userdata.renderer import render_member_config

from .conftest import settings_of

SOURCE = Path(health.__file__)


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
    """Start a web server whose every page has this status; yield its port."""
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
    """Accept connections, and send this or (None) nothing on each; yield the port."""
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
                    with suppress(OSError):  # a client that only connects has gone
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


def _master_of(stack: str, **changed: str) -> tuple[PairSettings, MemberSettings]:
    settings = settings_of(stack, **changed)
    return settings, settings.members[0]


def _check(**own: object) -> dict[str, Any]:
    """The configuration of a member, with a short timeout."""
    return {**json.loads(render_member_config(*_master_of("nz-por-1"))), "timeout": 0.2, **own}


class TestACheckOfTheService:
    """Prevents an endless outage, as the tutorial has it: apache is dead or hangs, keepalived is alive, and the VIP
    stays with a member that does not serve.
    """

    @pytest.mark.parametrize(
        ("codes", "status", "well"),
        [
            ("200-399", 200, True),
            ("200-399", 301, True),
            ("200-399", 399, True),
            ("200-399", 404, False),
            ("200-399", 503, False),
            ("200", 204, False),
            ("200,204", 204, True),
            ("200-299,404", 404, True),
        ],
    )
    def test_a_page_with_an_expected_code_is_a_good_answer(self, codes: str, status: int, well: bool) -> None:
        config = render_member_config(*_master_of("nz-por-1", service=json.dumps({"expectedCodes": codes})))
        with _web_server(status) as port:
            assert health.answers({**json.loads(config), "port": port}) is well

    def test_the_request_has_the_path_of_the_settings_and_the_name_that_apache2_does_not_log(self) -> None:
        asked: list[tuple[str, str | None]] = []

        class Handler(_Page):
            def do_GET(self) -> None:
                asked.append((self.path, self.headers["User-Agent"]))
                super().do_GET()

        with _serving(Handler) as port:
            assert health.answers(_check(port=port, urlPath="/healthz?deep=1"))
        assert asked == [("/healthz?deep=1", "vrrp-health")]

    @pytest.mark.parametrize("check", ["http", "tcp"])
    def test_a_closed_port_is_a_bad_answer(self, check: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as reserved:
            port = reserved.getsockname()[1]
        assert health.answers(_check(check=check, port=port)) is False

    def test_a_server_that_accepts_the_connection_and_hangs_is_a_bad_answer(self) -> None:
        with _listener(says=None) as port:
            assert health.answers(_check(port=port)) is False

    @pytest.mark.parametrize("says", [b"", b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 huh\r\n\r\n"])
    def test_another_protocol_is_a_bad_answer_for_http_and_a_good_one_for_tcp(self, says: bytes) -> None:
        with _listener(says) as port:
            assert health.answers(_check(port=port)) is False
            assert health.answers(_check(check="tcp", port=port)) is True

    @pytest.mark.parametrize(("command", "well"), [("true", True), ("exit 3", False), ("sleep 5", False)])
    def test_a_command_has_to_exit_with_0_before_the_timeout(self, command: str, well: bool) -> None:
        assert health.answers(_check(check="command", command=command)) is well

    def test_the_children_of_a_hanging_command_end_with_it(self, tmp_path: Path) -> None:
        """Prevents a member on which hanging commands pile up."""
        child = tmp_path / "child"
        command = f"sleep 300 & echo $! > '{child}'; wait"
        assert health.answers(_check(check="command", command=command, timeout=1.0)) is False
        pid = int(child.read_text(encoding="ascii"))
        try:
            end = time.monotonic() + 10
            while _is_alive(pid) and time.monotonic() < end:
                time.sleep(0.01)
            assert not _is_alive(pid)
        finally:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _is_alive(pid: int) -> bool:
    """Whether a process runs; one that only waits to be collected does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


class TestTheThresholds:
    """Prevents a VIP that alternates between two members because a web server answers every other time, and one that
    stays with a dead web server until three checks have failed.
    """

    @pytest.mark.parametrize(
        ("good", "bad", "answers", "statuses"),
        [
            (3, 1, "-", "u"),  # one bad answer is enough
            (3, 1, "++", "  "),  # the status is unknown
            (3, 1, "+++", "  h"),
            (3, 1, "++-", "  u"),
            (3, 1, "-++", "uuu"),  # two good answers are too few
            (3, 1, "-+++", "uuuh"),
            (3, 1, "-++-+++", "uuuuuuh"),  # they have to be in a row
            (3, 1, "+++++-+-+-+++", "  hhhuuuuuuuh"),
            (1, 3, "+--+---+", "hhhhhhuh"),
        ],
    )
    def test_a_status_needs_so_many_answers_in_a_row(self, good: int, bad: int, answers: str, statuses: str) -> None:
        service = ServiceStatus(good, bad)
        found: list[str] = []
        for answer in answers:
            service.record(answer == "+", 0)
            found.append({None: " ", True: "h", False: "u"}[service.healthy])
        assert "".join(found) == statuses

    def test_each_relapse_doubles_the_number_of_good_answers_up_to_a_limit(self) -> None:
        """Prevents a VIP that moves back and forth: the service is overloaded with it, and healthy without it."""
        service = ServiceStatus(3, 1)
        now, needed = 0.0, list[int]()
        for _ in range(3):
            service.record(True, now)
        for _ in range(8):
            service.record(False, now)
            count = 0
            while not service.healthy:
                service.record(True, now)
                count += 1
            needed.append(count)
            now += 5
        assert needed == [3, 6, 12, 24, 48, 96, 96, 96]
        service.record(False, now + health.RELAPSE + 5)
        for _ in range(3):
            service.record(True, now)
        assert service.healthy is True

    def test_a_failure_before_the_first_start_of_the_service_is_not_a_relapse(self) -> None:
        service = ServiceStatus(3, 1)
        for answer in "----+++-+++":
            service.record(answer == "+", 0)
        assert service.healthy is True

    def test_the_time_of_a_fault_is_that_of_the_answer_that_reached_the_threshold(self) -> None:
        service = ServiceStatus(1, 2)
        for now, answer in enumerate("+-----"):
            service.record(answer == "+", now)
        assert (service.healthy, service.unhealthy_since) == (False, 2)


NOW, LONG_AGO, TAKEOVER = 1000.0, 0.0, 1.3


def a_verdict(*, fault: bool, since: float = NOW - 60) -> Verdict:
    return Verdict(fault, TAKEOVER, since)


def decide(
    verdict: Verdict,
    healthy: bool | None,
    report: str,
    age: float = 0.1,
    *,
    drained: bool = False,
    advertised_at: float = LONG_AGO,
    unhealthy_since: float = NOW - 1,
    now: float = NOW,
) -> bool:
    """Decide with a service of this status and a peer whose last report is ``age`` seconds old."""
    service = ServiceStatus(3, 1)
    service.healthy, service.unhealthy_since = healthy, unhealthy_since
    return verdict.decide(now, service, Peer(now - age, advertised_at, report), drained)


class TestTheVipIsGivenOnlyToAPeerThatTakesIt:
    """Prevents a VIP that no member holds, because both are slow or one is slow while the other is replaced. And
    prevents an unhealthy member from taking the VIP from a healthy one.
    """

    def test_an_unhealthy_member_gives_it_to_a_healthy_peer(self) -> None:
        assert decide(a_verdict(fault=False), False, "well")

    @pytest.mark.parametrize(("report", "age"), [("ill", 0.1), ("silent", 9), ("well", 1.5)])
    def test_an_unhealthy_member_keeps_it_without_a_fresh_report_of_a_healthy_peer(
        self, report: str, age: float
    ) -> None:
        assert not decide(a_verdict(fault=False), False, report, age, unhealthy_since=NOW - 5)

    def test_a_report_from_before_the_fault_does_not_count(self) -> None:
        """The cause, such as a dead database, may affect the peer too, which has not noticed yet."""
        keeps = a_verdict(fault=False)
        assert not decide(keeps, False, "well", 0.1, unhealthy_since=NOW - 0.05)
        assert decide(keeps, False, "well", 0.0, unhealthy_since=NOW - 0.05, now=NOW + 0.1)

    @pytest.mark.parametrize("healthy", [False, None])
    @pytest.mark.parametrize("report", ["well", "silent"])
    def test_a_member_takes_it_back_when_no_member_advertises_it(self, healthy: bool | None, report: str) -> None:
        assert not decide(a_verdict(fault=True), healthy, report)

    def test_the_peer_has_the_time_of_a_takeover(self) -> None:
        """Prevents a fault that changes ten times a second, and restarts keepalived's timer each time."""
        gave = a_verdict(fault=False)
        assert decide(gave, False, "well")
        assert decide(gave, False, "well", now=NOW + TAKEOVER - 0.1)
        assert not decide(gave, False, "well", now=NOW + TAKEOVER + 0.1)

    def test_a_member_takes_it_back_at_once_from_a_peer_that_refuses(self) -> None:
        gave = a_verdict(fault=False)
        assert decide(gave, False, "well")
        assert not decide(gave, False, "ill", now=NOW + 0.1)

    def test_a_stale_refusal_does_not_shorten_the_takeover(self) -> None:
        gave = a_verdict(fault=False)
        assert decide(gave, False, "well")
        assert decide(gave, False, "ill", 1.1, now=NOW + 0.1)

    def test_a_drained_member_whose_check_has_no_result_waits_for_the_takeover(self) -> None:
        undrained = a_verdict(fault=False)
        assert decide(undrained, None, "ill", drained=True)
        assert decide(undrained, None, "ill", now=NOW + 0.1)

    @pytest.mark.parametrize(("later", "advertised_at"), [(1, NOW + 1), (health.DISTRUST + 0.1, LONG_AGO)])
    def test_a_peer_that_did_not_take_it_is_trusted_again_when_it_advertises_or_after_a_while(
        self, later: float, advertised_at: float
    ) -> None:
        """A hanging keepalived reports `well`, and a repaired one has no way to prove that it is repaired."""
        distrusts = a_verdict(fault=True)
        assert not decide(distrusts, False, "well")
        assert not decide(distrusts, False, "well", now=NOW + later - 0.5)
        assert decide(distrusts, False, "well", advertised_at=advertised_at, now=NOW + later)

    def test_a_peer_that_reports_ill_in_between_is_trusted_again(self) -> None:
        distrusts = a_verdict(fault=True)
        assert not decide(distrusts, False, "well")
        assert not decide(distrusts, False, "ill", now=NOW + 1)
        assert decide(distrusts, False, "well", now=NOW + 2)

    @pytest.mark.parametrize("healthy", [False, None])
    @pytest.mark.parametrize(("report", "age"), [("well", 0.1), ("ill", 0.1), ("silent", 99)])
    def test_it_stays_with_a_peer_that_advertises_it(self, healthy: bool | None, report: str, age: float) -> None:
        """The peer may be unhealthy too, its reports may be lost, or its release may send none."""
        assert decide(a_verdict(fault=True), healthy, report, age, advertised_at=NOW - 0.3)

    def test_a_member_that_took_it_before_its_first_result_gives_it_to_the_first_healthy_peer(self) -> None:
        """Prevents an outage at a boot: a member that has no network yet receives no report, and takes the VIP."""
        alone = a_verdict(fault=True)
        assert not decide(alone, None, "silent", 9)
        assert decide(alone, None, "well", 0.0, now=NOW + 1)

    def test_a_restart_of_the_daemon_does_not_give_it_away(self) -> None:
        assert not decide(a_verdict(fault=False), None, "well")

    @pytest.mark.parametrize("fault", [True, False])
    def test_a_healthy_member_may_always_hold_it(self, fault: bool) -> None:
        assert not decide(a_verdict(fault=fault), True, "well", advertised_at=NOW)

    @pytest.mark.parametrize("fault", [True, False])
    @pytest.mark.parametrize("healthy", [True, False, None])
    def test_a_drained_member_may_never_hold_it(self, fault: bool, healthy: bool | None) -> None:
        assert decide(a_verdict(fault=fault), healthy, "silent", 9, drained=True)

    @given(
        past=st.lists(
            st.tuples(
                st.booleans(),  # the master's service is unhealthy
                st.booleans(),  # the backup's service is unhealthy
                st.sampled_from(["", "m", "b", "mb"]),  # members whose keepalived does not run
                st.sampled_from(["", "m", "b", "mb"]),  # members whose keepalived hangs
                st.booleans(),  # the reports between them are lost
            ),
            min_size=1,
            max_size=12,
        )
    )
    def test_one_member_holds_it_in_the_end_and_a_healthy_one_if_possible(
        self, past: list[tuple[bool, bool, str, str, bool]]
    ) -> None:
        pair = Simulated()
        for master_ill, backup_ill, dead, hung, lost in past:
            pair.run([master_ill, backup_ill], dead, hung, lost=lost, seconds=1.0)
        master_ill, backup_ill, dead, hung, _ = past[-1]
        pair.run([master_ill, backup_ill], dead, hung, lost=False, seconds=health.DISTRUST + 15)
        before = pair.holder
        pair.run([master_ill, backup_ill], dead, hung, lost=False, seconds=12.0)
        assert pair.moves == 0, "the VIP moves back and forth"
        can = [member not in dead + hung for member in "mb"]
        fit = [able and not ill for able, ill in zip(can, (master_ill, backup_ill), strict=True)]
        if not any(can):
            assert before is None
        elif any(fit):
            assert before == (0 if fit[0] else 1)
        else:
            assert before is not None, "no member holds the VIP"


class Simulated:
    """Two members and VRRP between them, at 0.25 s (RFC 9568 section 6.4): which one advertises, which one resigns with
    priority 0, and which one takes over when. The first has the higher priority, and pre-empts.
    """

    MASTER_DOWN, SKEW = 0.85, 0.1

    def __init__(self) -> None:
        self.now = 100.0
        self.verdicts = [Verdict(True, TAKEOVER, self.now) for _ in "mb"]
        self.services = [ServiceStatus(3, 1) for _ in "mb"]
        for service in self.services:
            service.healthy = True
        #: What each member knows of the other.
        self.peers = [Peer(0.0, self.now) for _ in "mb"]
        #: The time at which a member that may takes over; None for one that may not.
        self.due: list[float | None] = [None, None]
        self.holder: int | None = None
        self.moves = 0

    def run(self, ill: list[bool], dead: str, hung: str, *, lost: bool, seconds: float) -> None:
        self.moves = 0
        for service, now_ill in zip(self.services, ill, strict=True):
            if now_ill and service.healthy:
                service.unhealthy_since = self.now
            service.healthy = not now_ill
        for _ in range(round(seconds / health.TICK)):
            self.now += health.TICK
            self._decide(dead, lost=lost)
            before = self.holder
            self._advertise([member not in dead + hung for member in "mb"])
            self.moves += before != self.holder

    def _decide(self, dead: str, *, lost: bool) -> None:
        for verdict, service, peer in zip(self.verdicts, self.services, self.peers, strict=True):
            verdict.decide(self.now, service, peer, drained=False)
        for own, other in ((0, 1), (1, 0)):
            if not lost:
                well = not self.verdicts[other].fault and self.services[other].healthy and "mb"[other] not in dead
                self.peers[own].report, self.peers[own].reported_at = "well" if well else "ill", self.now

    def _advertise(self, works: list[bool]) -> None:
        for own, other in ((0, 1), (1, 0)):
            if not works[own] or self.verdicts[own].fault:
                if self.holder == own:
                    self.holder = None
                    if works[own]:  # it resigns
                        self.peers[other].advertised_at = float("-inf")
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
            self.peers[1 - self.holder].advertised_at = self.now
            if self.holder == 0 and self.due[1] is not None:
                self.due[1] = self.now + self.MASTER_DOWN


def _packet(source: str = "10.0.0.5", first: int = 0x31, virtual_router_id: int = 1, priority: int = 149) -> bytes:
    header = bytes([0x45, *[0] * 8, 112, 0, 0]) + socket.inet_aton(source) + socket.inet_aton("10.0.0.4")
    return header + bytes([first, virtual_router_id, priority, 1, 0, 25, 0, 0]) + socket.inet_aton("10.0.0.201")


class _VrrpSocket:
    """A raw socket that receives these packets, and then no more."""

    def __init__(self, *packets: bytes) -> None:
        self._packets = list(packets)
        self.options: list[tuple[int, int, bytes]] = []

    def settimeout(self, _: float) -> None:
        """Take no time."""

    def setsockopt(self, level: int, option: int, value: bytes) -> None:
        self.options.append((level, option, value))
        if len(self.options) > 1:
            raise OSError("Address already in use")  # the kernel's answer of a member of the group

    def recv(self, _: int) -> bytes:
        if not self._packets:
            raise TimeoutError
        return self._packets.pop(0)


class TestAdvertisementsOfThePeer:
    """RFC 9568 section 5.2: version and type, virtual router id, priority."""

    @pytest.mark.parametrize(
        ("packet", "found"),
        [
            (_packet(), (1, 149)),
            (_packet(first=0x21), (1, 149)),  # version 2
            (_packet(priority=0), (1, 0)),
            (_packet(virtual_router_id=2), (2, 149)),
            (_packet(source="10.0.0.4"), None),
            (_packet(first=0x32), None),
            (b"", None),
            (_packet()[:24], None),
        ],
    )
    def test_only_an_advertisement_of_the_peer_counts(self, packet: bytes, found: tuple[int, int] | None) -> None:
        assert health.advertisement(packet, "10.0.0.5") == found

    def test_a_received_advertisement_is_recorded_and_priority_0_ends_it(self, watch: Watch) -> None:
        watch.peer.advertised_at = 0.0
        vrrp: Any = _VrrpSocket(_packet(virtual_router_id=2), _packet(), _packet(priority=0))
        watch.hear_vrrp(vrrp)
        assert watch.peer.advertised_at == 0.0
        watch.hear_vrrp(vrrp)
        assert watch.peer.advertised_at > 0.0
        watch.hear_vrrp(vrrp)
        assert watch.peer.advertised_at == float("-inf")
        watch.hear_vrrp(vrrp)

    def test_another_virtual_router_of_the_peer_says_nothing_about_this_one(self, watch: Watch) -> None:
        before = watch.peer.advertised_at
        vrrp: Any = _VrrpSocket(_packet(virtual_router_id=2, priority=0))
        watch.hear_vrrp(vrrp)
        assert watch.peer.advertised_at == before

    def test_the_daemon_joins_the_multicast_group_on_the_interface_of_its_own_address(self, watch: Watch) -> None:
        """Prevents a deaf daemon: keepalived leaves the group when it stops, may start after the daemon, and does not
        join it with unicast, while an older peer may still use it.
        """
        vrrp: Any = _VrrpSocket()
        for _ in range(2):
            watch.hear_vrrp(vrrp)
        join = socket.inet_aton("224.0.0.18") + socket.inet_aton("10.0.0.4")
        assert vrrp.options == [(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, join)] * 2


class TestTheVipOfAKilledKeepalived:
    """Prevents two members with one address: after kill -9 the VIP stays on the interface and answers there."""

    @pytest.fixture
    def removed(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        removed: list[str] = []

        def has_address(address: str) -> bool:
            return address == "10.0.0.201" and not removed

        def remove_addresses(vips: list[str], _: str) -> None:
            removed.extend(vips)

        monkeypatch.setattr(health, "has_address", has_address)
        monkeypatch.setattr(health, "remove_addresses", remove_addresses)
        return removed

    def _keepalived(self, watch: Watch, *, runs: bool) -> None:
        pid = os.getpid() if runs else 2**22 + 1
        Path(watch.config["keepalivedPidFile"]).write_text(f"{pid}\n", encoding="ascii")

    def test_it_stays_until_the_peer_advertises_and_is_removed_once(self, watch: Watch, removed: list[str]) -> None:
        self._keepalived(watch, runs=False)
        watch.hear_peer(False)
        assert removed == []
        for _ in range(5):
            watch.hear_peer(True)
        assert removed == ["10.0.0.201/24"]

    @pytest.mark.parametrize("order", [1, -1])
    def test_one_of_two_addresses_that_is_left_is_removed(self, watch: Watch, removed: list[str], order: int) -> None:
        """Its main process dies first, and its child starts to clean up before it is killed too."""
        there, gone = "10.0.0.201/24", "2001:db8::201/128"
        watch.config["vips"] = [there, gone][::order]
        self._keepalived(watch, runs=False)
        watch.hear_peer(True)
        assert sorted(removed) == [there, gone]

    def test_the_vip_of_a_running_keepalived_stays(self, watch: Watch, removed: list[str]) -> None:
        self._keepalived(watch, runs=True)
        watch.hear_peer(True)
        assert removed == []

    def test_an_address_of_this_server_is_distinguished_from_a_foreign_one(self) -> None:
        assert health.has_address("127.0.0.1")
        assert not health.has_address("192.0.2.77")
        assert not health.has_address("2001:db8::77")

    def test_the_command_names_the_interface_that_was_found(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        fake = tmp_path / "ip"
        fake.write_text(f'#!/bin/sh\necho "$*" >> "{tmp_path}/asked"\n', encoding="utf-8")
        fake.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        (tmp_path / "interface").write_text("$MEMBER_INTERFACE=enp1s0\n", encoding="ascii")
        health.remove_addresses(["10.0.0.201/24", "2001:db8::201/128"], str(tmp_path / "interface"))
        assert (tmp_path / "asked").read_text(encoding="ascii").splitlines() == [
            "address del 10.0.0.201/24 dev enp1s0",
            "address del 2001:db8::201/128 dev enp1s0",
        ]


@pytest.fixture
def watch(tmp_path: Path) -> Generator[Watch]:
    """A daemon whose files are below ``tmp_path``. A test gives it its results and reports."""
    with _locked(_with_files_in(tmp_path)) as config:
        yield Watch(config)


def _with_files_in(folder: Path) -> dict[str, Any]:
    names = ("trackFile", "statusFile", "drainedFile", "keepalivedPidFile", "lockFile", "interfaceFile")
    return _check(**{name: str(folder / name) for name in names})


@contextmanager
def _locked(config: dict[str, Any]) -> Generator[dict[str, Any]]:
    """Hold the lock as a running daemon does."""
    with Path(config["lockFile"]).open("w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield config


def _record(watch: Watch, answers: str) -> None:
    for answer in answers:
        watch.service.record(answer == "+", 0)
        watch.decide()


def _report(watch: Watch, report: str) -> None:
    watch.peer.report, watch.peer.reported_at = report, time.monotonic()


def _file(watch: Watch) -> str | None:
    return health.read(watch.config["trackFile"])


class TestTheTrackFile:
    """Prevents a member that stays in FAULT: keepalived 2.2.8 writes into the file when it starts."""

    def test_after_a_restart_of_the_daemon_the_old_verdict_stays_until_there_is_a_new_one(self, watch: Watch) -> None:
        _record(watch, "++")
        assert _file(watch) == "1\n"
        _record(watch, "+")
        assert _file(watch) == "0\n"

    @pytest.mark.parametrize(("before", "fault"), [("0\n", False), ("1\n", True), ("", True), (None, True)])
    def test_the_daemon_starts_with_the_verdict_of_the_file_and_with_a_fault_without_one(
        self, tmp_path: Path, before: str | None, fault: bool
    ) -> None:
        config = _with_files_in(tmp_path)
        if before is not None:
            Path(config["trackFile"]).write_text(before, encoding="ascii")
        assert Watch(config).verdict.fault is fault

    @pytest.mark.parametrize("changed", ["1\n", None])
    def test_a_foreign_change_is_corrected_at_the_next_decision(self, watch: Watch, changed: str | None) -> None:
        _record(watch, "+++")
        if changed is None:
            Path(watch.config["trackFile"]).unlink()
        else:
            health.write(watch.config["trackFile"], changed)
        _record(watch, "+")
        assert _file(watch) == "0\n"

    def test_an_unchanged_verdict_is_written_again_after_some_seconds(
        self, watch: Watch, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Between its first look at the file and the moment when it follows it, keepalived misses a change."""
        written: list[float] = []
        clock = _Clock(NOW)
        monkeypatch.setattr(health, "time", clock)

        def write(path: str, text: str) -> None:
            written.append(clock.now)
            Path(path).write_text(text, encoding="ascii")

        monkeypatch.setattr(health, "write", write)
        for _ in range(100):
            watch.decide()
            clock.now += 0.2
        assert len(written) == 4

    @pytest.mark.parametrize(("before", "after"), [("0\n", "1\n"), ("a longer text\n", "0\n")])
    def test_a_reader_never_sees_an_empty_file_and_it_stays_the_same_file(
        self, tmp_path: Path, before: str, after: str
    ) -> None:
        """The file is read after each call of a built-in function, so after each system call that changes it."""
        path = tmp_path / "file"
        path.write_text(before, encoding="ascii")
        same = path.stat().st_ino
        seen: list[str] = []

        def look(_: FrameType, event: str, __: object) -> None:
            if event == "c_return":
                sys.setprofile(None)
                seen.append(path.read_text(encoding="ascii"))
                sys.setprofile(look)

        sys.setprofile(look)
        try:
            health.write(str(path), after)
        finally:
            sys.setprofile(None)
        assert len(seen) >= 3, "the profiler saw no system call"
        assert "" not in seen
        assert (path.read_text(encoding="ascii"), path.stat().st_ino) == (after, same)

    def test_the_journal_gets_every_change_of_the_status_and_nothing_else(
        self, watch: Watch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        _record(watch, "++++++")
        _report(watch, "well")
        _record(watch, "---++++++")
        lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert [(line["service"], line["mayHoldTheVip"]) for line in lines] == [
            ("not known", False),
            ("well", True),
            ("ill", False),
            ("well", True),
        ]

    def test_a_stale_report_is_no_report_in_the_status(self, watch: Watch) -> None:
        _report(watch, "well")
        watch.decide()
        assert (health.last_status(watch.config) or {})["peer"] == "well"
        watch.peer.reported_at -= 1.1
        watch.decide()
        assert (health.last_status(watch.config) or {})["peer"] == "silent"


class TestATakeoverGetsItsTime:
    """Prevents a member that takes the VIP back while its peer is about to take it: the two would alternate."""

    @pytest.mark.parametrize("interval", [0.1, 0.25, 1, 40])
    def test_it_is_longer_than_the_slowest_takeover_of_the_standard(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, interval: float
    ) -> None:
        """RFC 9568 section 6.1: Master_Down_Interval is three intervals and the skew, (256 - priority) / 256 of one."""
        clock = _Clock(NOW)
        monkeypatch.setattr(health, "time", clock)
        with _locked({**_with_files_in(tmp_path), "advertInterval": interval}) as config:
            watch = Watch(config)
            watch.service.healthy = False
            # Two TICKs more, until keepalived here has resigned and the peer's first advertisement has arrived.
            clock.now += 3 * interval + 255 / 256 * interval + 2 * health.TICK
            watch.decide()
            assert _file(watch) == "1\n"
            clock.now += 2 * interval + 1
            watch.decide()
            assert _file(watch) == "0\n"


class TestDraining:
    """Prevents a member under repair that takes the VIP back by itself, and a drain that is an outage."""

    def test_it_is_refused_unless_the_peer_reports_that_it_can_take_over(
        self, watch: Watch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        _record(watch, "+++")
        assert health.drain(watch.config, anyway=False) == 1
        assert "vrrp-backup does not say that it can take over (silent)" in capsys.readouterr().err
        _record(watch, "+")
        assert _file(watch) == "0\n"

    @pytest.fixture(autouse=True)
    def no_time_passes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(health, "SECOND_LOOK", 0)

    def test_of_two_drains_at_once_neither_succeeds(
        self, watch: Watch, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Prevents an endless outage: each member saw a healthy peer."""
        _record(watch, "+++")
        _report(watch, "well")
        _record(watch, "+")

        def drain_the_peer_too(_: float) -> None:
            watch.peer.report = "ill"
            watch.decide()

        monkeypatch.setattr(health.time, "sleep", drain_the_peer_too)
        assert health.drain(watch.config, anyway=False) == 1
        assert "perhaps both were drained at once" in capsys.readouterr().err
        assert not Path(watch.config["drainedFile"]).exists()

    def test_a_drained_member_is_in_fault_until_it_is_undrained(self, watch: Watch) -> None:
        _report(watch, "well")
        _record(watch, "+++")
        assert health.drain(watch.config, anyway=False) == 0
        _record(watch, "+++")
        assert _file(watch) == "1\n"
        assert health.show(watch.config) == 1
        assert health.undrain(watch.config) == 0
        _record(watch, "+")
        assert _file(watch) == "0\n"
        assert health.show(watch.config) == 0

    def test_anyway_drains_without_a_peer(self, watch: Watch) -> None:
        _record(watch, "+++")
        assert health.drain(watch.config, anyway=True) == 0
        _record(watch, "+")
        assert _file(watch) == "1\n"

    def test_the_drain_survives_a_reboot(self, watch: Watch) -> None:
        """/run is empty after a boot."""
        drained = json.loads(render_member_config(*_master_of("nz-por-1")))["drainedFile"]
        assert not drained.startswith(("/run/", "/tmp/"))  # noqa: S108 # no temporary file is made

    def test_a_daemon_that_does_not_run_drains_nothing(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """The status that it wrote before it ended is out of date."""
        config = _with_files_in(tmp_path)
        Path(config["statusFile"]).write_text('{"peer": "well", "mayHoldTheVip": true}', encoding="ascii")
        Path(config["lockFile"]).touch()
        assert health.drain(config, anyway=True) == 1
        assert "does not run" in capsys.readouterr().err
        assert not Path(config["drainedFile"]).exists()
        assert health.show(config) == 1


class TestReportsBetweenTheMembers:
    """Prevents a member that relies on a stranger's report, and one that promises a takeover that it can't do."""

    def test_a_report_of_the_peer_counts_and_one_of_a_stranger_does_not(self, watch: Watch) -> None:
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer,
        ):
            own.bind(("127.0.0.1", 0))
            peer.sendto(b"well", own.getsockname())
            watch.listen(own, time.monotonic() + 0.2)
            assert watch.peer.report == "silent"
            watch.config["peerAddress"] = "127.0.0.1"
            peer.sendto(b"well", own.getsockname())
            peer.sendto(b"nonsense", own.getsockname())
            watch.listen(own, time.monotonic() + 0.2)
            assert watch.peer.report == "well"

    def test_an_unchanged_report_is_fresh_again_and_a_changed_one_decides_at_once(self, watch: Watch) -> None:
        _record(watch, "+++")
        watch.config["peerAddress"] = "127.0.0.1"
        watch.peer = Peer(reported_at=-9.0, advertised_at=0.0, report="ill")
        watch.service.healthy, watch.service.unhealthy_since = False, 0.0
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer,
        ):
            own.bind(("127.0.0.1", 0))
            peer.sendto(b"ill", own.getsockname())
            watch.listen(own, time.monotonic() + 0.2)
            assert watch.peer.reported_at > 0
            assert _file(watch) == "0\n"
            peer.sendto(b"well", own.getsockname())
            watch.listen(own, time.monotonic() + 0.2)
            assert _file(watch) == "1\n"

    @pytest.mark.parametrize(
        ("answers", "keepalived", "drained", "report"),
        [
            ("+++", True, False, b"well"),
            ("++", True, False, b"ill"),
            ("+++-", True, False, b"ill"),
            ("+++", False, False, b"ill"),
            ("+++", True, True, b"ill"),
        ],
    )
    def test_a_member_reports_well_only_when_it_could_take_over(
        self, watch: Watch, answers: str, keepalived: bool, drained: bool, report: bytes
    ) -> None:
        if keepalived:
            Path(watch.config["keepalivedPidFile"]).write_text(f"{os.getpid()}\n", encoding="ascii")
        if drained:
            Path(watch.config["drainedFile"]).touch()
        _record(watch, answers)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
            peer.bind(("127.0.0.1", 0))
            peer.settimeout(5)
            watch.config.update(peerAddress="127.0.0.1", healthPort=peer.getsockname()[1])
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
                watch.exchange_reports(own)
            assert peer.recv(64) == report

    def test_a_peer_that_can_not_be_reached_ends_nothing(self, watch: Watch) -> None:
        class Unreachable:
            def settimeout(self, _: float) -> None:
                """Take no time."""

            def recvfrom(self, _: int) -> None:
                raise ConnectionRefusedError

            def sendto(self, _: bytes, __: object) -> None:
                raise OSError("Network is unreachable")

        unreachable: Any = Unreachable()
        watch.exchange_reports(unreachable)


class _Clock:
    """The module ``time`` with a clock that a test sets."""

    def __init__(self, now: float) -> None:
        self.now = now

    def monotonic(self) -> float:
        return self.now

    def sleep(self, _: float) -> None:
        """Take no time."""


MAC = bytes.fromhex("fa163e000004")


class TestTheAnnouncementOfTheVip:
    """The bytes on the wire, as the standards define them."""

    def test_an_ipv4_address_is_announced_by_a_request_and_by_a_reply(self) -> None:
        """RFC 5227 section 3: some hosts heed only one. Linux heeds a reply only if its target is its sender."""
        vip = "0a0000c9"
        start = "ffffffffffff" + "fa163e000004" + "0806" + "0001" + "0800" + "06" + "04"
        assert [frame.hex() for frame in health.gratuitous_arps(MAC, "10.0.0.201")] == [
            start + "0001" + "fa163e000004" + vip + "000000000000" + vip,
            start + "0002" + "fa163e000004" + vip + "fa163e000004" + vip,
        ]

    def test_an_ipv6_address_is_announced_by_an_unsolicited_advertisement_that_overrides(self) -> None:
        """RFC 4861 section 4.4: type, code, checksum (by the kernel), flags, target, target's link-layer address."""
        assert health.neighbour_advertisement(MAC, "2001:db8::201").hex() == (
            "88" + "00" + "0000" + "20000000" + "20010db8000000000000000000000201" + "0201" + "fa163e000004"
        )


class TestWhenTheVipIsAnnounced:
    """Prevents an outage of ten seconds: of two masters that cannot hear each other one stops, and the router has sent
    to that one. And prevents a router that alternates between two members.
    """

    @staticmethod
    def _announcements(announcer: Announcer, peer: Peer, since: float, seconds: float = 2.0) -> list[float]:
        """Return when the VIP is announced, in tenths of a second from ``since``; the peer reports all the time."""
        found: list[float] = []
        for tick in range(round(seconds * 10) + 1):
            now = since + tick / 10
            if peer.report != "silent":
                peer.reported_at = now
            if announcer.is_due(now, peer):
                found.append(tick)
        return found

    @pytest.mark.parametrize(
        ("before", "after", "ticks"),
        [
            ("well", "ill", [0, 2, 5, 10]),  # its keepalived has stopped
            ("well", "silent", [0, 2, 5, 10]),
            ("ill", "silent", [0, 2, 5, 10]),  # it was shut down
            ("silent", "ill", []),  # it boots
            ("silent", "well", []),
            ("ill", "well", []),
            ("well", "well", []),
            ("silent", "silent", []),
        ],
    )
    def test_it_is_announced_several_times_after_the_peer_may_have_stopped(
        self, before: str, after: str, ticks: list[float]
    ) -> None:
        announcer = Announcer()
        assert self._announcements(announcer, Peer(NOW, LONG_AGO, before), NOW) == []
        assert self._announcements(announcer, Peer(LONG_AGO, LONG_AGO, after), NOW + 3) == ticks

    def test_a_peer_is_silent_after_three_missing_reports(self) -> None:
        announcer = Announcer()
        peer = Peer(NOW, LONG_AGO, "well")
        assert [announcer.is_due(NOW + after, peer) for after in (0.0, 0.1, 0.29, 0.31)] == [False, False, False, True]

    def test_a_peer_that_is_well_again_ends_the_announcements(self) -> None:
        """Its keepalived announces the VIP when it takes it, and must be the last to do so."""
        announcer = Announcer()
        self._announcements(announcer, Peer(NOW, LONG_AGO, "well"), NOW)
        assert self._announcements(announcer, Peer(NOW, LONG_AGO, "ill"), NOW + 3, seconds=0.3) == [0, 2]
        assert self._announcements(announcer, Peer(NOW, LONG_AGO, "well"), NOW + 3.4) == []

    def test_it_is_announced_when_the_peer_ends_although_it_still_reports_well(self) -> None:
        """Keepalived removes the VIP at once when it is stopped, and runs for a second more."""
        announcer = Announcer()
        self._announcements(announcer, Peer(NOW, LONG_AGO, "well"), NOW)
        announcer.plan(NOW + 3)
        assert self._announcements(announcer, Peer(NOW + 3, LONG_AGO, "well"), NOW + 3) == [0, 2, 5, 10]

    @pytest.mark.parametrize("which", [0, 1])
    def test_the_configuration_of_a_member_names_its_role(self, which: int) -> None:
        settings = settings_of("nz-por-1")
        config = json.loads(render_member_config(settings, settings.members[which]))
        assert config["role"] == ("master", "backup")[which]


class TestTheDaemonAnnouncesTheVip:
    """Prevents an announcement by a member without the VIP, and one that a stranger causes."""

    @pytest.fixture
    def announced(self, watch: Watch, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
        """The announcements of a member that has only the first of two VIPs. Its peer is on this machine."""
        announced: list[tuple[str, str]] = []
        monkeypatch.setattr(health, "has_address", "10.0.0.201".__eq__)

        def announce(vip: str, interface: str) -> None:
            announced.append((vip, interface))

        monkeypatch.setattr(health, "announce", announce)
        Path(watch.config["interfaceFile"]).write_text("$MEMBER_INTERFACE=ens3\n", encoding="ascii")
        watch.config.update(peerAddress="127.0.0.1", vips=["10.0.0.201/24", "2001:db8::201/128"])
        return announced

    def _hear(self, watch: Watch, *reports: str) -> None:
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer,
        ):
            own.bind(("127.0.0.1", 0))
            for report in reports:
                peer.sendto(report.encode(), own.getsockname())
            watch.listen(own, time.monotonic() + 0.2)

    def test_it_announces_each_vip_that_it_holds_when_the_peer_reports_ill(
        self, watch: Watch, announced: list[tuple[str, str]]
    ) -> None:
        self._hear(watch, "well")
        assert announced == []
        self._hear(watch, "ill")
        assert announced == [("10.0.0.201", "ens3")]

    @pytest.mark.parametrize("virtual_router_id", [1, 2])
    def test_it_announces_them_at_once_when_the_peer_gives_its_virtual_router_away(
        self, watch: Watch, announced: list[tuple[str, str]], virtual_router_id: int
    ) -> None:
        """Two masters that cannot hear each other may differ in the virtual router id."""
        watch.config["peerAddress"] = "10.0.0.5"
        vrrp: Any = _VrrpSocket(
            _packet(virtual_router_id=virtual_router_id), _packet(virtual_router_id=virtual_router_id, priority=0)
        )
        watch.hear_vrrp(vrrp)
        assert announced == []
        watch.hear_vrrp(vrrp)
        assert announced == [("10.0.0.201", "ens3")]

    def test_a_member_without_the_vip_announces_nothing(
        self, watch: Watch, announced: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def has_none(_: str) -> bool:
            return False

        monkeypatch.setattr(health, "has_address", has_none)
        self._hear(watch, "well", "ill")
        assert announced == []

    def test_a_strangers_report_causes_no_announcement(self, watch: Watch, announced: list[tuple[str, str]]) -> None:
        self._hear(watch, "well")
        watch.config["peerAddress"] = "10.0.0.5"
        self._hear(watch, "ill")
        assert announced == []

    @pytest.mark.parametrize(("slept", "times"), [(0.0, 1), (2.0, 0)])
    def test_a_silence_counts_only_if_this_process_was_not_suspended(
        self,
        watch: Watch,
        announced: list[tuple[str, str]],
        monkeypatch: pytest.MonkeyPatch,
        slept: float,
        times: int,
    ) -> None:
        """Prevents a member that was frozen from announcing a VIP that its peer has taken meanwhile."""
        clock = _Clock(NOW)
        monkeypatch.setattr(health, "time", clock)
        watch.peer = Peer(NOW, LONG_AGO, "well")
        watch.announce_vips()

        def suspended(_: object, end: float) -> None:
            clock.now = end + slept

        monkeypatch.setattr(watch, "listen", suspended)
        clock.now += 0.25
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as reports:
            watch.exchange_reports(reports)
        assert len(announced) == times

    def test_a_vip_that_has_just_gone_ends_nothing(
        self, watch: Watch, announced: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*_: object) -> None:
            raise OSError("Network is down")

        monkeypatch.setattr(health, "announce", fail)
        self._hear(watch, "well", "ill")
        assert announced == []

    @staticmethod
    def _hear_arp(watch: Watch, address: str) -> None:
        arp: Any = _VrrpSocket(health.gratuitous_arps(MAC, address)[0][14:])
        watch.hear_arp(arp)

    @pytest.mark.parametrize(("interval", "after"), [(0.1, 0.11), (0.25, 0.275), (1, 1.1), (40, 1.1)])
    def test_the_backup_announces_it_after_the_last_announcement_of_a_silent_peer(
        self,
        watch: Watch,
        announced: list[tuple[str, str]],
        monkeypatch: pytest.MonkeyPatch,
        interval: float,
        after: float,
    ) -> None:
        """The peer may still have older settings: it reports to an address that this member had before."""
        clock = _Clock(NOW)
        monkeypatch.setattr(health, "time", clock)
        watch.config.update(role="backup", advertInterval=interval)
        for _ in range(20):
            self._hear_arp(watch, "10.0.0.201")
            clock.now += after - 0.01
            watch.announce_vips()
        assert announced == []
        clock.now += 0.02
        watch.announce_vips()
        assert announced == [("10.0.0.201", "ens3")]

    @pytest.mark.parametrize(
        ("role", "report", "address"),
        [
            ("master", "silent", "10.0.0.201"),  # otherwise two members would alternate
            ("backup", "well", "10.0.0.201"),
            ("backup", "ill", "10.0.0.201"),
            ("backup", "silent", "10.0.0.4"),
        ],
    )
    def test_no_other_announcement_is_answered(
        self,
        watch: Watch,
        announced: list[tuple[str, str]],
        monkeypatch: pytest.MonkeyPatch,
        role: str,
        report: str,
        address: str,
    ) -> None:
        clock = _Clock(NOW)
        monkeypatch.setattr(health, "time", clock)
        watch.config["role"] = role
        watch.peer = Peer(NOW + 9, LONG_AGO, report)
        watch.announce_vips()
        self._hear_arp(watch, address)
        clock.now += 1.2
        watch.announce_vips()
        assert announced == []


class TestATimeoutIsForTheWholeAnswer:
    """Prevents a server that sends a byte at a time, or a check that hangs in the kernel, from being healthy."""

    def test_each_timeout_of_a_hanging_check_is_a_bad_answer(self, watch: Watch) -> None:
        watch.service = ServiceStatus(3, 2)
        _record(watch, "+++")
        watch.checking_since = 100.0
        healthy: list[bool | None] = []
        for now in (100.2, 100.4, 100.6, 100.8):
            watch.record_timeout(now, late=False)
            healthy.append(watch.service.healthy)
        assert healthy == [True, True, True, False]

    def test_a_suspension_of_the_daemon_is_not_a_timeout(self, watch: Watch) -> None:
        """Prevents a failover because a hypervisor has paused the member for two seconds."""
        _record(watch, "+++")
        watch.checking_since = 100.0
        watch.record_timeout(102.0, late=True)
        watch.record_timeout(102.2, late=False)
        assert watch.service.healthy is True
        watch.record_timeout(102.4, late=False)
        assert watch.service.healthy is False

    @pytest.mark.parametrize(
        ("slept", "healthy"),
        [
            (0.0, False),  # the check has hung for two seconds, and this thread has not
            (2.0, True),  # this thread was suspended too
        ],
    )
    def test_the_thread_that_looks_for_a_timeout_notices_its_own_suspension(
        self, watch: Watch, monkeypatch: pytest.MonkeyPatch, slept: float, healthy: bool
    ) -> None:
        clock = _Clock(102.0 - slept)
        monkeypatch.setattr(health, "time", clock)

        def suspended(_: object, end: float) -> None:
            clock.now = end + slept

        monkeypatch.setattr(watch, "listen", suspended)
        _record(watch, "+++")
        watch.checking_since = 100.0
        watch.config["peerAddress"] = "127.0.0.1"
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as reports:
            watch.exchange_reports(reports)
        assert watch.service.healthy is healthy

    @pytest.mark.parametrize(("took", "healthy"), [(0.05, False), (1.0, True)])
    def test_a_bad_answer_after_a_suspension_of_the_member_does_not_count(
        self, watch: Watch, monkeypatch: pytest.MonkeyPatch, took: float, healthy: bool
    ) -> None:
        """Prevents a second failover after a live migration: the timeout of the check has passed meanwhile."""
        _record(watch, "+++")
        clock = _Clock(NOW)
        monkeypatch.setattr(health, "time", clock)

        def fail(_: object) -> bool:
            clock.now += took
            return False

        monkeypatch.setattr(health, "answers", fail)
        watch.check(None)
        assert watch.service.healthy is healthy

    @pytest.mark.parametrize("answer", [True, False])
    def test_a_late_answer_does_not_count_a_second_time(
        self, watch: Watch, monkeypatch: pytest.MonkeyPatch, answer: bool
    ) -> None:
        watch.service = ServiceStatus(1, 2)
        _record(watch, "+")

        def slowly(_: object) -> bool:
            watch.record_timeout(time.monotonic() + 1, late=False)
            return answer

        monkeypatch.setattr(health, "answers", slowly)
        watch.config["delay"] = 0
        watch.check(None)
        assert watch.service.healthy is True

        def badly(_: object) -> bool:
            return False

        monkeypatch.setattr(health, "answers", badly)
        watch.check(None)
        assert watch.service.healthy is False

    def test_no_check_runs_between_two_checks(self, watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
        """Prevents a delay that counts as a hanging check."""
        during: list[bool] = []

        def well(_: object) -> bool:
            during.append(watch.checking_since is not None)
            return True

        monkeypatch.setattr(health, "answers", well)
        watch.config["delay"] = 0
        watch.check(None)
        assert (during, watch.checking_since) == ([True], None)


class TestTheDaemonRunsAsAWhole:
    """Prevents a daemon that is alive and deaf: systemd restarts only a process that has ended."""

    #: Runs the daemon without root: a UDP socket is in the place of each raw one, and one thread fails.
    PROGRAM = """
        import json, socket, sys, time
        from userdata import health

        class Socket(socket.socket):
            def __init__(self, family, kind, protocol=0):
                super().__init__(socket.AF_INET, socket.SOCK_DGRAM)

        def fail(self, tool):
            raise RuntimeError("this thread fails")

        def wait(self, tool):
            time.sleep(60)

        health.socket.socket = Socket
        for thread in ("check", "hear_vrrp", "hear_arp", "exchange_reports"):
            setattr(health.Watch, thread, fail if thread == sys.argv[2] else wait)
        health.Watch(json.loads(sys.argv[1])).run()
    """

    @pytest.mark.parametrize("thread", ["check", "hear_vrrp", "hear_arp", "exchange_reports"])
    def test_a_thread_that_fails_ends_the_process(self, tmp_path: Path, thread: str) -> None:
        config = json.dumps({**_with_files_in(tmp_path), "healthPort": 0})
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(self.PROGRAM), config, thread],
            cwd=PROJECT_FOLDER,
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
        assert done.returncode == 1
        assert "RuntimeError: this thread fails" in done.stderr

    def test_the_lock_is_held_while_it_runs_and_free_afterwards(self, tmp_path: Path) -> None:
        config: dict[str, Any] = {**_with_files_in(tmp_path), "healthPort": 0}
        Path(config["statusFile"]).write_text('{"peer": "well"}', encoding="ascii")
        command = [sys.executable, "-c", textwrap.dedent(self.PROGRAM), json.dumps(config), "none"]
        with subprocess.Popen(command, cwd=PROJECT_FOLDER) as running:
            try:
                end = time.monotonic() + 30
                while health.last_status(config) is None and time.monotonic() < end:
                    time.sleep(0.01)
                assert health.last_status(config) == {"peer": "well"}
            finally:
                running.kill()
        assert health.last_status(config) is None


def test_the_daemon_never_asks_for_the_time_of_day() -> None:
    """Prevents a failover because a clock is set, and one that does not happen because of it."""
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
