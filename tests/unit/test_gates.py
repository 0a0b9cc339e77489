"""The decisions of the gates: which reports count, and what happens to a member that does not report.

That the engine waits for a gate is shown in test_order; that a change then costs no service, on a real cloud.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from keystoneauth1.exceptions import ConnectFailure
from openstack.exceptions import HttpException

from gates import peer, ready
from gates.member_console import CLOCKS_DIFFER, NovaServer, find_server, last_lines, wait
from gates.peer import may_be_taken_away
from gates.ready import JUST_MADE, SAME_UP, pair_is_new
from userdata.console_line import Condition, format_line

BOOTED = 1_795_391_838
#: Nova's time in the tests: a minute after the boot.
NOW = BOOTED + 60


def report(
    member: str = "vrrp-backup", booted_at: int = BOOTED, state: str = "BACKUP", said_at: int | None = None
) -> str:
    """Return the line of a member that is ready; by default it was written at NOW, or a minute after its boot."""
    said_at = booted_at + 60 if said_at is None else said_at
    line = format_line(member, Condition.READY, state, "97da21f5-2e3c", booted_at, said_at, again_in=60)
    return f"\r\n{line}\r\n"


def not_ready(member: str, why: str) -> str:
    return f"vrrp-pair: {member} is not ready: {why} (boot 97da21f5, booted at {BOOTED}, said at {BOOTED})\r\n"


def failure(member: str = "vrrp-backup", booted_at: int = BOOTED) -> str:
    return f"vrrp-pair: {member} has failed: install ended with 1 (boot 97da21f5, booted at {booted_at})\r\n"


@dataclass
class MadeUpServer:
    """Each question is answered by the next entry; the last one is the answer from then on."""

    consoles: list[str]
    statuses: list[str] = field(default_factory=lambda: ["ACTIVE"])
    restarted: float = BOOTED - 5
    time: float = NOW
    why: str = ""

    def status(self) -> str:
        return self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]

    def fault(self) -> str:
        return self.why

    def console(self) -> str:
        return self.consoles.pop(0) if len(self.consoles) > 1 else self.consoles[0]

    def last_restart(self) -> float:
        return self.restarted

    def now(self) -> float:
        return self.time


@dataclass
class Clock:
    """Time passes only while the gate sleeps."""

    now: float = 0

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def __call__(self) -> float:
        return self.now


def waited(server: MadeUpServer, timeout: float = 600) -> tuple[str | None, float, list[str]]:
    """Wait for a member; return its state (None when the gate gave up), the seconds and the lines of the gate."""
    clock, said = Clock(), list[str]()
    found = wait(server, "vrrp-backup", timeout, said.append, sleep=clock.sleep, clock=clock)
    return found.what if found else None, clock.now, said


class TestTheReportThatCounts:
    """Prevents a gate that opens for a member which has not come back, and one that never opens."""

    def test_the_gate_opens_when_the_member_reports_that_it_is_ready(self) -> None:
        state, seconds, _ = waited(MadeUpServer(["", "booting", f"booting{report()}"]))
        assert (state, seconds) == ("BACKUP", 10)

    def test_a_report_of_an_earlier_boot_does_not_count(self) -> None:
        """A resize or a reboot may keep the text that the console had."""
        old, new = report(booted_at=BOOTED - 3600), report(state="MASTER")
        state, seconds, _ = waited(MadeUpServer([old, old, old + new]))
        assert (state, seconds) == ("MASTER", 10)

    def test_clocks_may_differ_by_the_tolerance_and_no_more(self) -> None:
        assert waited(MadeUpServer([report()], restarted=BOOTED + CLOCKS_DIFFER - 1))[0] == "BACKUP"
        assert waited(MadeUpServer([report()], restarted=BOOTED + CLOCKS_DIFFER + 1))[0] is None

    def test_a_member_reports_with_the_name_that_it_had_when_it_was_made(self) -> None:
        """Prevents a gate that knows only the new name after `namePrefix` has changed."""
        assert waited(MadeUpServer([report("old-backup")]))[0] == "BACKUP"

    def test_a_server_that_is_not_active_is_not_ready_whatever_it_reported(self) -> None:
        state, seconds, _ = waited(MadeUpServer([report()], statuses=["RESIZE", "VERIFY_RESIZE", "ACTIVE"]))
        assert (state, seconds) == ("BACKUP", 10)


class TestAnOldReport:
    """Prevents an outage beside a member that was ready three days ago and has crashed since: it says nothing more.

    A member repeats its report every 60 s, a member of an older release every 600 s.
    """

    OLD_RELEASE = f"vrrp-pair: m is ready as BACKUP (boot b1, booted at {BOOTED}, said at {NOW})\n"
    OLDEST_RELEASE = f"vrrp-pair: m is ready as BACKUP (boot b1, booted at {BOOTED})\n"

    @pytest.mark.parametrize(
        ("line", "age", "counts"),
        [
            (report(), 0, True),
            (report(), 120 + CLOCKS_DIFFER, True),
            (report(), 121 + CLOCKS_DIFFER, False),
            (report(), 3 * 86400, False),
            (OLD_RELEASE, 1200 + CLOCKS_DIFFER, True),
            (OLD_RELEASE, 1201 + CLOCKS_DIFFER, False),
            (OLDEST_RELEASE, 0, False),
            (report(), -CLOCKS_DIFFER - 1, False),
        ],
    )
    def test_a_report_counts_for_two_intervals_of_its_repetition(self, line: str, age: float, counts: bool) -> None:
        state, seconds, _ = waited(MadeUpServer([line], time=NOW + age))
        assert (state, seconds == 0) == (("BACKUP", True) if counts else (None, False))

    def test_a_silent_member_is_waited_for_no_longer_than_two_intervals(self) -> None:
        state, seconds, said = waited(MadeUpServer([report()], time=NOW + 3 * 86400))
        assert (state, seconds) == (None, 145)
        assert said[0] == "0 s: waiting for vrrp-backup to be ready; its last report is 259200 s old, which is too old"
        assert said[-1] == ("vrrp-backup is silent: its last report is 259200 s old, and no report has come for 145 s")

    def test_a_report_that_appears_while_the_gate_looks_counts_whatever_the_clocks_say(self) -> None:
        wrong = MadeUpServer([report(), report(), report() + report(said_at=BOOTED + 120)], time=NOW + 86400)
        assert waited(wrong)[:2] == ("BACKUP", 10)

    def test_a_report_without_a_time_counts_when_it_is_repeated(self) -> None:
        """Prevents that a pair of the first release can never be upgraded: it repeats its report every 600 s."""
        consoles = [*[self.OLDEST_RELEASE] * 4, self.OLDEST_RELEASE * 2]
        assert waited(MadeUpServer(consoles))[:2] == ("BACKUP", 20)


class TestWhatBeginsABoot:
    """Prevents a report from before a resize that opens the gate while the resized server still boots."""

    @staticmethod
    def _last_restart(*actions: tuple[str, str]) -> float:
        listed = [SimpleNamespace(action=action, start_time=time) for action, time in actions]
        return NovaServer(SimpleNamespace(server_actions={"i-1": listed}.__getitem__), "i-1").last_restart()

    @pytest.mark.parametrize(
        "action",
        ["rebuild", "reboot", "resize", "migrate", "revertResize", "start", "unshelve", "evacuate"],
    )
    def test_an_action_that_reboots_the_server_does(self, action: str) -> None:
        assert self._last_restart((action, "1970-01-01T00:01:00.000000")) == 60

    @pytest.mark.parametrize("action", ["confirmResize", "stop", "pause", "unpause", "live-migration", "attach_volume"])
    def test_an_action_that_does_not_reboot_the_server_does_not(self, action: str) -> None:
        """The confirmation of a resize comes after the boot: the gate would never open."""
        assert self._last_restart((action, "1970-01-01T00:01:00.000000")) == 0

    def test_the_newest_boot_counts_in_whatever_order_nova_lists_them(self) -> None:
        actions = [("reboot", "1970-01-01T00:05:00.000000"), ("create", "1970-01-01T00:00:10.000000")]
        assert self._last_restart(*actions) == self._last_restart(*reversed(actions)) == 300

    def test_novas_times_are_utc_wherever_the_gate_runs(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TZ", "Pacific/Auckland")
        assert self._last_restart(("start", "1970-01-02T00:00:00.000000")) == 86400
        servers = {"i-1": SimpleNamespace(created_at="1970-01-02T00:00:00Z")}
        assert NovaServer(SimpleNamespace(get_server=servers.__getitem__), "i-1").created_at() == 86400

    def test_a_server_with_a_wrong_clock_counts_after_its_creation(self) -> None:
        """The clock of a first boot was 24 s behind on a busy cloud, and the gate stayed closed until its timeout."""
        assert self._last_restart(("create", "2026-11-24T11:15:02.000000")) == 0


class TestAMemberThatFails:
    """Prevents a roll that goes on to the other member, and one that never ends."""

    def test_the_gate_gives_up_after_the_timeout_and_says_so(self) -> None:
        state, seconds, said = waited(MadeUpServer(["cloud-init failed"]), timeout=60)
        assert (state, seconds) == (None, 60)
        assert said[-1] == "vrrp-backup was not ready within 60 s (Nova says ACTIVE)"

    def test_a_server_in_error_is_not_waited_for(self) -> None:
        state, seconds, said = waited(MadeUpServer([""], statuses=["BUILD", "ERROR"]))
        assert (state, seconds) == (None, 5)
        assert said[-1] == "vrrp-backup has Nova's status ERROR"

    def test_novas_text_about_a_server_in_error_is_told(self) -> None:
        full = MadeUpServer([""], statuses=["ERROR"], why="No valid host was found. There are not enough hosts.")
        assert waited(full)[2] == [
            "vrrp-backup has Nova's status ERROR (No valid host was found. There are not enough hosts)"
        ]

    @pytest.mark.parametrize(
        ("fault", "text"),
        [({"message": "No valid host was found.", "code": 500}, "No valid host was found."), (None, "")],
    )
    def test_nova_may_have_no_text_about_a_server(self, fault: dict[str, Any] | None, text: str) -> None:
        servers = {"i-1": SimpleNamespace(fault=fault)}
        assert NovaServer(SimpleNamespace(get_server=servers.__getitem__), "i-1").fault() == text

    def test_the_console_of_a_server_in_error_is_not_asked_for(self) -> None:
        """Nova may answer that question with an error of its own."""

        @dataclass
        class WithoutConsole(MadeUpServer):
            def console(self) -> str:
                raise HttpException("500 Internal Server Error")

        state, seconds, said = waited(WithoutConsole([""], statuses=["ERROR"]))
        assert (state, seconds, said) == (None, 0, ["vrrp-backup has Nova's status ERROR"])

    def test_a_member_that_reports_its_failure_is_not_waited_for(self) -> None:
        """Prevents a quarter of an hour's wait for an installation that ended after a minute."""
        state, seconds, said = waited(MadeUpServer(["", failure()]))
        assert (state, seconds, said[-1]) == (None, 5, "vrrp-backup has failed: install ended with 1")

    def test_a_failure_of_an_earlier_boot_does_not_count(self) -> None:
        old = failure(booted_at=BOOTED - 3600)
        assert waited(MadeUpServer([old, old + report()]))[:2] == ("BACKUP", 5)

    def test_a_failure_before_the_member_was_ready_does_not_count(self) -> None:
        assert waited(MadeUpServer([failure() + report()]))[0] == "BACKUP"

    def test_a_member_that_was_ready_and_is_no_longer_is_waited_for(self) -> None:
        """Its service has died, whatever it reported before."""
        sick = not_ready("vrrp-backup", "FAULT")
        assert waited(MadeUpServer([report() + sick, report() + sick, report() + sick + report()]))[:2] == (
            "BACKUP",
            10,
        )

    def test_a_drained_member_is_not_waited_for(self) -> None:
        state, seconds, said = waited(MadeUpServer(["", report() + not_ready("vrrp-backup", "drained")]))
        assert (state, seconds) == (None, 5)
        assert said[-1] == "vrrp-backup is drained: it stays away until `vrrp-health undrain` is run on it"

    def test_the_gate_tells_twice_a_minute_what_it_waits_for(self) -> None:
        _, _, said = waited(MadeUpServer([*[""] * 6, "booting", report()]))
        assert said == [
            "0 s: waiting for vrrp-backup to be ready; Nova says ACTIVE; its console is empty",
            "30 s: waiting for vrrp-backup to be ready; Nova says ACTIVE; its console ends with: booting",
        ]


class TestAGateThatIsNew:
    """Prevents an outage when a pair is adopted: its gates are made in the `up` that replaces its servers. Prevents a
    first `up` that waits for servers although no service waits for them yet.
    """

    @staticmethod
    def _nova(status: str = "ACTIVE", /, **created: int) -> Any:
        """Servers by name, with the second of their creation. Takes a name for a pattern, as Nova does."""
        every = {name.replace("_", "-"): second for name, second in created.items()}

        def at(second: int) -> str:
            return f"2026-11-24T00:{second // 60:02}:{second % 60:02}Z"

        def servers(name: str) -> list[SimpleNamespace]:
            return [SimpleNamespace(name=one, id=one) for one in every if re.search(name, one)]

        def get_server(name: str) -> SimpleNamespace:
            return SimpleNamespace(created_at=at(every[name]), status=status, fault={"message": "No valid host"})

        return SimpleNamespace(servers=servers, get_server=get_server)

    def _is_new(self, now: float = 0, **created: int) -> bool:
        """Whether a pair counts as new, ``now`` seconds after the creation of the backup."""
        nova = self._nova(**created)
        backup = NovaServer(nova, "vrrp-backup")
        return pair_is_new(find_server(nova, "vrrp-master"), backup, backup.created_at() + now)

    def test_a_first_member_has_no_peer(self) -> None:
        assert find_server(self._nova(), "vrrp-master") is None
        assert find_server(self._nova(vrrp_backup=0), "vrrp-master") is None
        assert self._is_new(vrrp_backup=0)

    def test_a_server_whose_name_only_contains_the_peers_is_not_the_peer(self) -> None:
        assert find_server(self._nova(vrrp_master_of_another=0, xvrrp_master=0), "vrrp-master") is None
        assert find_server(self._nova(ab=0), "a.") is None

    def test_a_server_with_the_peers_name_is_the_peer(self) -> None:
        assert find_server(self._nova(vrrp_backup=0, vrrp_master=0), "vrrp-master") is not None

    def test_two_servers_of_the_same_up_are_a_new_pair_whichever_came_first(self) -> None:
        assert self._is_new(vrrp_master=0, vrrp_backup=int(SAME_UP))
        assert self._is_new(now=JUST_MADE, vrrp_master=30, vrrp_backup=0)

    def test_two_servers_of_different_ages_are_not_a_new_pair(self) -> None:
        assert not self._is_new(vrrp_master=0, vrrp_backup=int(SAME_UP) + 1)
        assert not self._is_new(now=JUST_MADE, vrrp_master=int(SAME_UP) + 1, vrrp_backup=0)

    @pytest.mark.parametrize("master_made_at", [0, 30, 3000])
    def test_an_adopted_pair_whose_backup_was_not_replaced_is_not_new(self, master_made_at: int) -> None:
        """Prevents an outage: an `up` that resizes both servers, or replaces only the master, must wait for the backup.

        Both servers may have been made at the same time, and the master may be the younger one.
        """
        assert not self._is_new(now=JUST_MADE + 1, vrrp_master=master_made_at, vrrp_backup=0)

    def test_a_clock_that_is_far_off_makes_the_gate_wait(self) -> None:
        assert not self._is_new(now=-JUST_MADE - 1, vrrp_master=0, vrrp_backup=0)

    @staticmethod
    def _run_in(monkeypatch: pytest.MonkeyPatch, nova: Any) -> None:
        """Let the gate of the backup run 30 s after the backup's creation, in a cloud without ports."""
        environment = {
            "MEMBER": "vrrp-backup",
            "PEER": "vrrp-master",
            "SERVER_ID": "vrrp-backup",
            "READY_TIMEOUT": "60",
            "LOGICAL_NAME": "vrrp-backup",
            "ROLE": "backup",
            "PAIR_TAG": "vrrp-pair-1",
            "MASTER_PORT": "vrrp_master_server_port",
            "BACKUP_PORT": "vrrp_backup_server_port",
        }
        for variable, value in environment.items():
            monkeypatch.setenv(variable, value)

        def no_ports(**_: str) -> list[Any]:
            return []

        def last_lines(_: Any) -> str:
            return "the end"

        now = NovaServer(nova, "vrrp-backup").created_at() + 30
        cloud = SimpleNamespace(compute=nova, network=SimpleNamespace(ports=no_ports), current_project_id="p")
        monkeypatch.setattr(ready, "connect", lambda: cloud)
        monkeypatch.setattr(ready, "time", SimpleNamespace(time=lambda: now))
        monkeypatch.setattr(ready, "last_lines", last_lines)

    @pytest.mark.parametrize(("master_made_at", "waits"), [(0, True), (290, False)])
    def test_a_new_gate_waits_only_for_a_pair_that_existed_before(
        self,
        master_made_at: int,
        waits: bool,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        self._run_in(monkeypatch, self._nova(vrrp_master=master_made_at, vrrp_backup=300))
        asked: list[str] = []

        def no_report(*_: Any) -> None:
            asked.append("waited")

        monkeypatch.setattr(ready, "wait", no_report)
        assert ready.main(["unless-new-pair"]) == (1 if waits else 0)
        assert asked == (["waited"] if waits else [])
        seen = capsys.readouterr()
        assert ("The other member was not touched" in seen.err) is waits
        assert ("the pair is new" in seen.out) is not waits
        # A changed gate waits in any case.
        assert ready.main([]) == 1

    def test_a_new_pair_whose_server_is_in_error_fails(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Prevents a second `up` that exits with 0: Nova made no server in the first one, and nothing differs since."""
        self._run_in(monkeypatch, self._nova("ERROR", vrrp_master=290, vrrp_backup=300))
        assert ready.main(["unless-new-pair"]) == 1
        said = capsys.readouterr().err
        assert "vrrp-backup has Nova's status ERROR (No valid host)" in said
        assert "`pulumi up --replace '**::vrrp-backup'`" in said


class TestThePeerHasToServe:
    """Prevents an outage of a whole boot: after a change that failed at the master, or with a master that was stopped,
    only the backup serves, and the next change would begin with it. The same the other way round: a change of the
    master alone, while the backup is stopped.
    """

    NAMES = ("vrrp-backup", "vrrp-master")
    MASTER = report("vrrp-master", state="MASTER")

    def _may_change(self, backup: MadeUpServer | None, master: MadeUpServer | None) -> tuple[bool, float, list[str]]:
        clock, said = Clock(), list[str]()
        may = may_be_taken_away(backup, master, self.NAMES, 600, said.append, sleep=clock.sleep, clock=clock)
        return may, clock.now, said

    def test_the_backup_is_replaced_while_the_master_is_ready(self) -> None:
        assert self._may_change(MadeUpServer([report()]), MadeUpServer([self.MASTER]))[:2] == (True, 0)

    @pytest.mark.parametrize("age", [3 * 86400, 3600])
    def test_the_backup_is_not_replaced_beside_a_master_that_has_crashed_since_its_last_report(self, age: int) -> None:
        backup = MadeUpServer([report(said_at=NOW + age)], time=NOW + age)
        may, _, said = self._may_change(backup, MadeUpServer([self.MASTER], time=NOW + age))
        assert not may
        assert said[-1].startswith("vrrp-master is silent: ")

    def test_a_master_that_boots_is_waited_for(self) -> None:
        assert self._may_change(MadeUpServer([report()]), MadeUpServer(["", "", self.MASTER]))[:2] == (True, 10)

    @pytest.mark.parametrize(
        "status",
        [
            "ERROR",
            "SHUTOFF",
            "PAUSED",
            "SUSPENDED",
            "SHELVED",
            "SHELVED_OFFLOADED",
            "RESCUE",
            "DELETED",
            "SOFT_DELETED",
        ],
    )
    def test_the_backup_is_not_replaced_while_the_master_needs_an_operator(self, status: str) -> None:
        may, seconds, said = self._may_change(MadeUpServer([report()]), MadeUpServer([self.MASTER], statuses=[status]))
        assert (may, seconds, said) == (False, 0, [f"vrrp-master has Nova's status {status}"])

    def test_the_backup_is_not_replaced_after_the_master_has_failed(self) -> None:
        may, seconds, said = self._may_change(MadeUpServer([report()]), MadeUpServer([failure("vrrp-master")]))
        assert (may, seconds, said) == (False, 0, ["vrrp-master has failed: install ended with 1"])

    def test_the_backup_is_not_replaced_while_there_is_no_master(self) -> None:
        assert self._may_change(MadeUpServer([report()]), None) == (False, 0, ["there is no server vrrp-master"])

    def test_the_backup_is_not_replaced_while_the_master_is_drained(self) -> None:
        drained = MadeUpServer([self.MASTER + not_ready("vrrp-master", "drained")])
        assert self._may_change(MadeUpServer([report()]), drained)[:2] == (False, 0)

    def test_an_unhealthy_backup_may_be_the_only_member_that_serves(self) -> None:
        """An unhealthy member keeps the VIP until its peer reports that it is well."""
        sick = MadeUpServer([report() + not_ready("vrrp-backup", "its service does not answer")])
        assert self._may_change(sick, MadeUpServer([self.MASTER], statuses=["SHUTOFF"]))[:2] == (False, 0)
        assert self._may_change(sick, MadeUpServer([self.MASTER]))[:2] == (True, 0)

    @pytest.mark.parametrize(
        "backup",
        [
            MadeUpServer([report()], time=NOW + 86400),  # it may have crashed
            MadeUpServer(["the console keeps only its newest lines"], time=NOW + 86400),
            MadeUpServer([report() + not_ready("vrrp-backup", "drained")], time=NOW + 86400),
            MadeUpServer([report()], statuses=["MIGRATING"]),
            MadeUpServer([report()], statuses=["UNKNOWN"]),
            MadeUpServer([report()], statuses=["ERROR"]),  # a failed migration leaves the guest running
        ],
    )
    def test_a_backup_that_may_serve_is_not_replaced_without_the_master(self, backup: MadeUpServer) -> None:
        assert not self._may_change(backup, MadeUpServer([self.MASTER], statuses=["SHUTOFF"]))[0]

    @pytest.mark.parametrize(
        "backup",
        [
            None,
            MadeUpServer(["booting"]),
            MadeUpServer([failure()]),
            MadeUpServer([failure()], time=NOW + 86400),
            MadeUpServer([report() + not_ready("vrrp-backup", "drained")]),
            MadeUpServer([report()], statuses=["SHUTOFF"]),
            MadeUpServer([""], statuses=["BUILD"]),
            MadeUpServer([""], statuses=["ERROR"], time=NOW + 86400),
        ],
    )
    def test_a_backup_that_cannot_serve_is_replaced_in_every_case(self, backup: MadeUpServer | None) -> None:
        """Otherwise a broken backup could not be repaired beside a master made by hand, which never reports."""
        assert self._may_change(backup, MadeUpServer(["made by hand"]))[:2] == (True, 0)

    def test_a_server_in_error_whose_console_cannot_be_read_is_replaced(self) -> None:
        class WithoutConsole(MadeUpServer):
            def console(self) -> str:
                raise HttpException("500 Internal Server Error")

        assert self._may_change(WithoutConsole([""], statuses=["ERROR"]), None)[:2] == (True, 0)

    def test_a_server_on_a_dead_hypervisor_is_replaced_only_beside_a_master_that_is_ready(self) -> None:
        """Nova still says ACTIVE, and can't show the console. Nothing else could repair the backup."""

        class OnADeadHypervisor(MadeUpServer):
            def console(self) -> str:
                raise HttpException("500 Internal Server Error")

        assert self._may_change(OnADeadHypervisor([""]), MadeUpServer([self.MASTER]))[:2] == (True, 0)
        assert not self._may_change(OnADeadHypervisor([""]), MadeUpServer([self.MASTER], statuses=["SHUTOFF"]))[0]
        assert not self._may_change(OnADeadHypervisor([""]), None)[0]

    def test_without_novas_status_of_the_backup_the_gate_stays_closed(self) -> None:
        class Unknown(MadeUpServer):
            def status(self) -> str:
                raise HttpException("503 Service Unavailable")

        with pytest.raises(HttpException):
            self._may_change(Unknown([""]), MadeUpServer([self.MASTER]))


class TestACloudThatFailsForAMoment:
    """Prevents a roll that ends in a traceback because Nova refused one question."""

    def test_a_question_without_an_answer_is_asked_again(self) -> None:
        @dataclass
        class Flaky(MadeUpServer):
            failures: int = 3

            def status(self) -> str:
                self.failures -= 1
                if self.failures >= 0:
                    raise HttpException("502 Bad Gateway")
                return "ACTIVE"

        state, seconds, said = waited(Flaky([report()]))
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
        """Nova answers 409 for a server that is on no host yet, and 501 where the hypervisor has no consoles."""

        def refuse(_: str) -> None:
            raise refusals.pop()

        refusals = [HttpException("no console", http_status=status) for status in (404, 409, 501, 500)]
        server = NovaServer(SimpleNamespace(get_server_console_output=refuse), "i-1")
        assert last_lines(server).startswith("(can't be read: ")
        assert [server.console() for _ in range(3)] == ["", "", ""]

    def test_without_a_cloud_no_gate_opens_and_each_says_why(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def nowhere() -> None:
            raise ConnectFailure("no route")

        for variable, value in {"MEMBER": "vrrp-backup", "PEER": "vrrp-master", "READY_TIMEOUT": "60"}.items():
            monkeypatch.setenv(variable, value)
        for gate in (peer, ready):
            monkeypatch.setattr(gate, "connect", nowhere)
        assert peer.main() == 1
        said = capsys.readouterr().err
        assert "vrrp-backup is not touched" in said
        assert "(no route)" in said
        assert ready.main(["unless-new-pair"]) == 1
        assert "(no route)" in capsys.readouterr().err
