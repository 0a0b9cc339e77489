"""The gate's judgement: which word on a console counts, and what becomes of a member that does not say it.

That the engine waits for the gate is shown in test_order; that a change then costs no service, on a real cloud.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest
from keystoneauth1.exceptions import ConnectFailure
from openstack.exceptions import HttpException

from gates import peer as stand_in
from gates import ready as ready_gate
from gates.member_console import CLOCKS_DIFFER, NovaServer, find_server, last_lines, reports_of, wait
from gates.peer import may_go

BOOTED = 1_795_391_838


def word(member: str = "vrrp-backup", booted_at: int = BOOTED, state: str = "BACKUP") -> str:
    return f"\r\nvrrp-pair: {member} is ready as {state} (boot 97da21f5-2e3c, booted at {booted_at})\r\n"


def not_ready(member: str, why: str) -> str:
    return f"vrrp-pair: {member} is not ready: {why} (boot 97da21f5, booted at {BOOTED}, said at {BOOTED})\r\n"


@dataclass
class MadeUpServer:
    """Each question is answered by the next entry, the last one for ever."""

    consoles: list[str]
    statuses: list[str] = field(default_factory=lambda: ["ACTIVE"])
    restarted: float = BOOTED - 5

    def status(self) -> str:
        return self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]

    def console(self) -> str:
        return self.consoles.pop(0) if len(self.consoles) > 1 else self.consoles[0]

    def last_restart(self) -> float:
        return self.restarted


@dataclass
class Clock:
    """Time passes only while the gate sleeps."""

    now: float = 0

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def __call__(self) -> float:
        return self.now


def waited(server: MadeUpServer, timeout: float = 600) -> tuple[str | None, float, list[str]]:
    clock, said = Clock(), list[str]()
    found = wait(server, "vrrp-backup", timeout, said.append, sleep=clock.sleep, clock=clock)
    return found.what if found else None, clock.now, said


class TestTheWordThatCounts:
    """Prevents a gate that opens for a member which has not come back, and one that never opens."""

    def test_it_opens_when_the_member_says_it_is_ready(self) -> None:
        state, seconds, _ = waited(MadeUpServer(["", "booting", f"booting{word()}"]))
        assert (state, seconds) == ("BACKUP", 10)

    def test_a_word_of_an_earlier_boot_does_not_count(self) -> None:
        """A resize or a reboot may keep the text that the console had."""
        old, new = word(booted_at=BOOTED - 3600), word(state="MASTER")
        state, seconds, _ = waited(MadeUpServer([old, old, old + new]))
        assert (state, seconds) == ("MASTER", 10)

    def test_clocks_that_differ_a_little_do_no_harm(self) -> None:
        assert waited(MadeUpServer([word()], restarted=BOOTED + CLOCKS_DIFFER - 1))[0] == "BACKUP"
        assert waited(MadeUpServer([word()], restarted=BOOTED + CLOCKS_DIFFER + 1))[0] is None

    def test_another_members_word_does_not_count(self) -> None:
        assert waited(MadeUpServer([word("vrrp-master")]))[0] is None

    def test_a_server_that_is_not_active_is_not_ready_whatever_it_said(self) -> None:
        state, seconds, _ = waited(MadeUpServer([word()], statuses=["RESIZE", "VERIFY_RESIZE", "ACTIVE"]))
        assert (state, seconds) == ("BACKUP", 10)

    def test_the_word_is_found_among_everything_else_on_a_console(self) -> None:
        console = f"[  136.2] cloud-init[399]: done{word()}Debian GNU/Linux 12 vrrp-backup ttyS0\n"
        assert [(w.what, w.booted_at) for w in reports_of(console, "vrrp-backup")] == [("BACKUP", BOOTED)]


class TestAMemberThatFails:
    """Prevents a roll that goes on to the other member, and one that hangs for ever."""

    def test_it_gives_up_after_the_timeout_and_says_so(self) -> None:
        state, seconds, said = waited(MadeUpServer(["cloud-init failed"]), timeout=60)
        assert (state, seconds) == (None, 60)
        assert said[-1] == "vrrp-backup was not ready within 60 s (Nova says ACTIVE)"

    def test_a_server_in_error_is_not_waited_for(self) -> None:
        state, seconds, said = waited(MadeUpServer([""], statuses=["BUILD", "ERROR"]))
        assert (state, seconds) == (None, 5)
        assert said[-1] == "vrrp-backup is in Nova's state ERROR"

    def test_a_member_that_says_it_has_failed_is_not_waited_for(self) -> None:
        """Prevents a quarter of an hour's wait for an installation that ended after a minute."""
        failure = f"vrrp-pair: vrrp-backup has failed: install ended with 1 (boot 97da21f5, booted at {BOOTED})\r\n"
        state, seconds, said = waited(MadeUpServer(["", failure]))
        assert (state, seconds, said[-1]) == (None, 5, "vrrp-backup has failed: install ended with 1")

    def test_a_failure_of_an_earlier_boot_or_before_the_member_was_ready_is_none(self) -> None:
        failure = "vrrp-pair: vrrp-backup has failed: install ended with 1 (boot 97da21f5, booted at {})\r\n"
        assert waited(MadeUpServer([failure.format(BOOTED - 3600), failure.format(BOOTED - 3600) + word()]))[1] == 5
        assert waited(MadeUpServer([failure.format(BOOTED) + word()]))[0] == "BACKUP"

    def test_a_member_that_was_ready_and_is_not_any_more_is_waited_for(self) -> None:
        """Its service has died: what it said before that is no comfort."""
        ill = not_ready("vrrp-backup", "FAULT")
        assert waited(MadeUpServer([word() + ill, word() + ill, word() + ill + word()]))[:2] == ("BACKUP", 10)

    def test_one_that_is_drained_is_not_waited_for(self) -> None:
        state, seconds, said = waited(MadeUpServer(["", word() + not_ready("vrrp-backup", "drained")]))
        assert (state, seconds) == (None, 5)
        assert said[-1] == "vrrp-backup is drained: it stays away until `vrrp-health undrain` is run on it"

    def test_it_tells_twice_a_minute_what_it_waits_for(self) -> None:
        _, _, said = waited(MadeUpServer([*[""] * 6, "booting", word()]))
        assert said == [
            "0 s: waiting for vrrp-backup to be ready; Nova says ACTIVE; its console is empty",
            "30 s: waiting for vrrp-backup to be ready; Nova says ACTIVE; its console ends with: booting",
        ]


class TestAGateThatIsNew:
    """Prevents an outage when a pair is adopted, whose gates are made in the `up` that replaces it, and a first
    `up` that waits for servers which nobody needs yet.
    """

    @staticmethod
    def _nova(*names: str) -> SimpleNamespace:
        """Takes a name for a pattern, as Nova does."""

        def servers(name: str) -> list[SimpleNamespace]:
            return [SimpleNamespace(name=one, id=one) for one in names if re.search(name, one)]

        return SimpleNamespace(servers=servers)

    def test_a_first_member_has_no_peer(self) -> None:
        assert find_server(self._nova(), "vrrp-master") is None
        assert find_server(self._nova("vrrp-backup"), "vrrp-master") is None

    def test_a_server_whose_name_only_contains_the_peers_is_none(self) -> None:
        assert find_server(self._nova("vrrp-master-of-another", "xvrrp-master"), "vrrp-master") is None
        assert find_server(self._nova("ab"), "a.") is None

    def test_a_peer_is_one(self) -> None:
        assert find_server(self._nova("vrrp-backup", "vrrp-master"), "vrrp-master") is not None


class TestTheMasterHasToStandIn:
    """Prevents an outage of a whole boot: after a change that failed at the master, or with a master that was stopped,
    the backup serves, alone, and the next change would begin with it.
    """

    NAMES = ("vrrp-backup", "vrrp-master")
    MASTER = word("vrrp-master", state="MASTER")

    def _may_go(self, backup: MadeUpServer | None, master: MadeUpServer | None) -> tuple[bool, float, list[str]]:
        clock, said = Clock(), list[str]()
        may = may_go(backup, master, self.NAMES, 600, said.append, sleep=clock.sleep, clock=clock)
        return may, clock.now, said

    def test_with_a_master_that_is_ready_the_backup_may_go(self) -> None:
        assert self._may_go(MadeUpServer([word()]), MadeUpServer([self.MASTER]))[:2] == (True, 0)

    def test_a_master_that_boots_is_waited_for(self) -> None:
        assert self._may_go(MadeUpServer([word()]), MadeUpServer(["", "", self.MASTER]))[:2] == (True, 10)

    def test_a_master_that_failed_stopped_or_is_not_there_keeps_the_backup(self) -> None:
        failure = f"vrrp-pair: vrrp-master has failed: install ended with 1 (boot 97da21f5, booted at {BOOTED})\r\n"
        for master in (
            MadeUpServer([failure]),
            MadeUpServer([self.MASTER], statuses=["SHUTOFF"]),
            MadeUpServer([""], statuses=["ERROR"]),
            None,
        ):
            may, seconds, said = self._may_go(MadeUpServer([word()]), master)
            assert (may, seconds, len(said)) == (False, 0, 1)

    def test_a_master_that_is_drained_keeps_the_backup(self) -> None:
        drained = MadeUpServer([self.MASTER + not_ready("vrrp-master", "drained")])
        assert self._may_go(MadeUpServer([word()]), drained)[:2] == (False, 0)

    def test_a_backup_that_is_ill_may_be_the_only_one_to_serve(self) -> None:
        """An ill member keeps the VIP as long as nobody says that he is well."""
        ill = MadeUpServer([word() + not_ready("vrrp-backup", "its service does not answer")])
        assert self._may_go(ill, MadeUpServer([self.MASTER], statuses=["SHUTOFF"]))[:2] == (False, 0)
        assert self._may_go(ill, MadeUpServer([self.MASTER]))[:2] == (True, 0)

    def test_a_backup_that_serves_nobody_may_go_whatever_the_master_is(self) -> None:
        """Else a broken backup beside a master that was made by hand, and never says a word, could not be repaired."""
        failure = f"vrrp-pair: vrrp-backup has failed: install ended with 1 (boot 97da21f5, booted at {BOOTED})\r\n"
        for backup in (
            None,
            MadeUpServer(["booting"]),
            MadeUpServer([failure]),
            MadeUpServer([word() + not_ready("vrrp-backup", "drained")]),
            MadeUpServer([word()], statuses=["SHUTOFF"]),
        ):
            assert self._may_go(backup, MadeUpServer(["made by hand"]))[:2] == (True, 0)


class TestACloudThatHiccups:
    """Prevents a roll that ends in a traceback because Nova's load balancer had a bad second."""

    def test_a_question_without_an_answer_is_asked_again(self) -> None:
        @dataclass
        class Flaky(MadeUpServer):
            failures: int = 3

            def status(self) -> str:
                self.failures -= 1
                if self.failures >= 0:
                    raise HttpException("502 Bad Gateway")
                return "ACTIVE"

        state, seconds, said = waited(Flaky([word()]))
        assert (state, seconds) == ("BACKUP", 15)
        assert said[0].startswith("0 s: waiting for vrrp-backup to be ready; Nova gave no answer: ")
        assert "502 Bad Gateway" in said[0]

    def test_a_cloud_that_never_answers_ends_the_wait(self) -> None:
        class Dead(MadeUpServer):
            def status(self) -> str:
                raise ConnectFailure("no route")

        state, seconds, said = waited(Dead([""]), timeout=60)
        assert (state, seconds) == (None, 60)
        assert said[-1] == "vrrp-backup was not ready within 60 s (Nova says nothing)"

    def test_a_server_without_a_console_has_an_empty_one(self) -> None:
        """Nova's 409 for a server on no host yet, 501 where the hypervisor has none."""

        def refuse(_: str) -> None:
            raise refusals.pop()

        refusals = [HttpException("no console", http_status=status) for status in (404, 409, 501, 500)]
        server = NovaServer(SimpleNamespace(get_server_console_output=refuse), "i-1")
        assert last_lines(server).startswith("(can't be read: ")
        assert [server.console() for _ in range(3)] == ["", "", ""]

    def test_no_cloud_at_all_lets_no_member_go_and_says_so(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def nowhere() -> None:
            raise ConnectFailure("no route")

        for variable, value in {"MEMBER": "vrrp-backup", "PEER": "vrrp-master", "READY_TIMEOUT": "60"}.items():
            monkeypatch.setenv(variable, value)
        for gate in (stand_in, ready_gate):
            monkeypatch.setattr(gate, "connect", nowhere)
        assert stand_in.main() == 1
        said = capsys.readouterr().err
        assert "vrrp-backup is not touched" in said
        assert "(no route)" in said
        assert ready_gate.main(["unless-alone"]) == 1
        assert "(no route)" in capsys.readouterr().err
