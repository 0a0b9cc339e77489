"""The members of a drill on a cloud: how they wait for Nova and Neutron, and what counts as restored.

Nova and Neutron are made up here; tests/cloud drills a pair on the real ones.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from openstack.exceptions import SDKException

from ops import cloud_pair
from ops.cloud_pair import CloudMember, CloudPair, NotRestored, WayIn
from settings.pair import Role

from .conftest import settings_of

SETTINGS = settings_of("nz-por-1")
MASTER = SETTINGS.members[0]


class MadeUpNova:
    """One server. Nova refuses an action while it has a task for the server, or in the wrong status."""

    def __init__(self, status: str, task_state: str | None = None) -> None:
        self.status = status
        self.task_state = task_state
        #: The status after the task, and the number of queries that the task still takes.
        self.after_the_task: str | None = None
        self.queries_left = 0
        self.actions: list[str] = []

    def shutting_down(self, queries: int = 3) -> MadeUpNova:
        self.status, self.task_state, self.after_the_task, self.queries_left = (
            "ACTIVE",
            "powering-off",
            "SHUTOFF",
            queries,
        )
        return self

    def get_server(self, _: str) -> SimpleNamespace:
        if self.task_state and self.after_the_task:
            self.queries_left -= 1
            if self.queries_left <= 0:
                self.status, self.task_state, self.after_the_task = self.after_the_task, None, None
        return SimpleNamespace(status=self.status, task_state=self.task_state)

    def _act(self, action: str, needed: str, result: str) -> None:
        if self.task_state or self.status != needed:
            raise SDKException(f"Cannot '{action}' instance while it is in vm_state {self.status}, {self.task_state}")
        self.actions.append(action)
        self.status = result

    def start_server(self, _: str) -> None:
        self._act("start", "SHUTOFF", "ACTIVE")

    def stop_server(self, _: str) -> None:
        self._act("stop", "ACTIVE", "SHUTOFF")

    def pause_server(self, _: str) -> None:
        self._act("pause", "ACTIVE", "PAUSED")

    def unpause_server(self, _: str) -> None:
        self._act("unpause", "PAUSED", "ACTIVE")

    def wait_for_server(self, server: SimpleNamespace, status: str, **_: float) -> None:
        assert server.status == status


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds of every pause; no test waits for them."""
    slept: list[float] = []
    monkeypatch.setattr(cloud_pair.time, "sleep", slept.append)
    return slept


def member(nova: MadeUpNova, network: object = None, ssh: tuple[str, ...] = ()) -> CloudMember:
    return CloudMember(SimpleNamespace(compute=nova, network=network), MASTER, "s-1", "p-1", ssh)


class TestAServerIsRestored:
    """Prevents a member that stays off after a drill: an interrupt may come while Nova still shuts it down."""

    def test_a_server_that_is_shutting_down_is_started_when_it_is_off(self) -> None:
        nova = MadeUpNova("ACTIVE").shutting_down()
        member(nova).switch_on()
        assert (nova.status, nova.actions) == ("ACTIVE", ["start"])

    def test_a_server_that_is_being_paused_is_unpaused_afterwards(self) -> None:
        nova = MadeUpNova("ACTIVE", "pausing")
        nova.after_the_task, nova.queries_left = "PAUSED", 3
        member(nova).thaw()
        assert (nova.status, nova.actions) == ("ACTIVE", ["unpause"])

    @pytest.mark.parametrize(("status", "actions"), [("SHUTOFF", ["start"]), ("PAUSED", ["unpause"]), ("ACTIVE", [])])
    def test_switching_on_starts_or_unpauses_and_leaves_a_running_server_alone(
        self, status: str, actions: list[str]
    ) -> None:
        nova = MadeUpNova(status)
        member(nova).switch_on()
        assert (nova.status, nova.actions) == ("ACTIVE", actions)

    def test_a_server_that_goes_down_after_all_is_not_restored(self, pauses: list[float]) -> None:
        """Nova accepted the request to stop it just before Ctrl-C, and acts on it only now."""
        nova = MadeUpNova("ACTIVE")
        queries = 0

        def goes_down_later(_: str) -> SimpleNamespace:
            nonlocal queries
            queries += 1
            return SimpleNamespace(status="ACTIVE", task_state="powering-off" if queries > 3 else None)

        nova.get_server = goes_down_later
        with pytest.raises(NotRestored, match=r"vrrp-master is ACTIVE \(powering-off\)"):
            member(nova).thaw()
        assert pauses == [1]

    def test_a_server_in_another_status_is_not_restored_and_the_message_names_the_way_out(self) -> None:
        with pytest.raises(NotRestored, match=r"is ERROR \(no task\).*`openstack server show s-1`"):
            member(MadeUpNova("ERROR")).switch_on()

    def test_the_wait_for_a_task_has_an_end(self, monkeypatch: pytest.MonkeyPatch) -> None:
        now = 0.0

        def clock() -> float:
            nonlocal now
            now += 10
            return now

        monkeypatch.setattr(cloud_pair.time, "monotonic", clock)
        with pytest.raises(NotRestored):
            member(MadeUpNova("ACTIVE", "migrating")).thaw()
        assert 180 <= now <= 200


class TestTheEventsOfADrill:
    """Prevents a drill that goes on before its event has happened."""

    @pytest.mark.parametrize(
        ("action", "status"), [("switch_off", "SHUTOFF"), ("freeze", "PAUSED"), ("cut_power", "PAUSED")]
    )
    def test_a_shutdown_and_a_pause_are_awaited(self, action: str, status: str) -> None:
        nova, awaited = MadeUpNova("ACTIVE"), list[str]()

        def wait(server: SimpleNamespace, status: str, **_: float) -> None:
            awaited.append(status)

        nova.wait_for_server = wait
        getattr(member(nova), action)()
        assert awaited == [nova.status] == [status]

    @pytest.mark.parametrize(("up", "statuses"), [(True, ["DOWN", "ACTIVE"]), (False, ["ACTIVE", "ACTIVE", "DOWN"])])
    def test_a_port_is_awaited_until_the_hypervisor_has_changed_it(
        self, up: bool, statuses: list[str], pauses: list[float]
    ) -> None:
        answers, updates = list(statuses), list[tuple[str, bool]]()

        def update_port(port: str, is_admin_state_up: bool) -> None:
            updates.append((port, is_admin_state_up))

        def get_port(_: str) -> SimpleNamespace:
            return SimpleNamespace(status=answers.pop(0))

        network = SimpleNamespace(update_port=update_port, get_port=get_port)
        member(MadeUpNova("ACTIVE"), network).set_port(up=up)
        assert updates == [("p-1", up)]
        assert answers == []
        assert len(pauses) == len(statuses) - 1

    def test_a_server_that_is_off_or_paused_is_not_running(self) -> None:
        assert [member(MadeUpNova(status)).is_running() for status in ("ACTIVE", "SHUTOFF", "PAUSED")] == [
            True,
            False,
            False,
        ]

    def test_a_cloud_that_does_not_answer_makes_a_member_not_ready(self) -> None:
        nova = MadeUpNova("ACTIVE")

        def no_answer(_: str) -> SimpleNamespace:
            raise SDKException("503")

        nova.get_server = no_answer
        assert not member(nova).is_ready()


class TestTheSshLogin:
    """Prevents a drill that ends half-way because a command can't reach a member, and one that asks for a password."""

    def test_the_command_line_names_key_login_and_configuration_and_never_asks(self) -> None:
        command = WayIn(Path("key"), "debian", Path("config")).to("198.51.100.4")
        assert command[:3] == ["ssh", "-F", "config"]
        assert command[-4:] == ["-i", "key", "debian@198.51.100.4", "sudo"]
        assert "BatchMode=yes" in command
        assert "-F" not in WayIn(Path("key"), "debian").to("198.51.100.4")

    def test_a_member_lets_in_only_if_the_login_works(self) -> None:
        def with_exit_status(status: int) -> CloudMember:
            return member(MadeUpNova("ACTIVE"), ssh=(sys.executable, "-c", f"raise SystemExit({status})"))

        assert with_exit_status(0).lets_in()
        assert not with_exit_status(255).lets_in()
        assert not member(MadeUpNova("ACTIVE")).lets_in()

    def test_a_command_gets_its_arguments_and_gives_its_output(self) -> None:
        ssh = (sys.executable, "-c", "import sys; print(sys.argv[1:])")
        done = member(MadeUpNova("ACTIVE"), ssh=ssh).run("systemctl", "stop", "keepalived")
        assert isinstance(done, subprocess.CompletedProcess)
        assert done.stdout == "['systemctl', 'stop', 'keepalived']\n"


class TestAPairOfAStack:
    """Prevents a drill of the wrong server: the outputs of the stack say which is which."""

    @staticmethod
    def _outputs(floating_ip: str | None) -> dict[str, Any]:
        members = [
            {"serverId": f"s-{role}", "portId": f"p-{role}", "floatingIp": floating_ip} for role in ("master", "backup")
        ]
        return {"url": "http://198.51.100.7", "vip": "10.0.0.201", "members": members}

    def test_each_member_has_its_own_server_and_the_master_comes_first(self) -> None:
        asked: list[str] = []

        def get_server(server: str) -> SimpleNamespace:
            asked.append(server)
            return SimpleNamespace(status="ACTIVE", task_state=None)

        connection = SimpleNamespace(compute=SimpleNamespace(get_server=get_server), network=None)
        pair = CloudPair(connection, SETTINGS, self._outputs(None))
        assert [one.role for one in pair.members()] == [Role.MASTER, Role.BACKUP]
        assert all(one.is_running() for one in pair.members())
        assert asked == ["s-master", "s-backup"]
        assert (pair.advert_interval, pair.preempt, pair.service_unit) == (0.25, True, "apache2.service")

    @pytest.mark.parametrize(("key", "floating_ip"), [(None, "198.51.100.4"), (Path("key"), None)])
    def test_there_is_no_login_without_a_key_or_without_a_public_address(
        self, key: Path | None, floating_ip: str | None
    ) -> None:
        connection = SimpleNamespace(compute=None, network=None)
        way_in = WayIn(key, "debian") if key else None
        pair = CloudPair(connection, SETTINGS, self._outputs(floating_ip), way_in)
        assert not any(one.lets_in() for one in pair.members())
