"""A stack's pair on a real cloud, as a drill takes it: the Neutron and Nova APIs, and SSH where there is a key."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gates.connection import NO_ANSWER
from gates.member_console import NovaServer, is_ready
from settings import pair as settings
from settings.pair import PairSettings, Role

#: Seconds that Nova may take for a change of a server's state.
STATE_PATIENCE = 180
PORT_PATIENCE = 20

#: For so many looks, a second apart, a server has to be ACTIVE before it counts as restored.
STABLE = 3

SSH_OPTIONS = ("-o", "BatchMode=yes", "-o", "ConnectTimeout=5", "-o", "StrictHostKeyChecking=accept-new")


@dataclass(frozen=True)
class WayIn:
    """How somebody logs in on the members' public addresses."""

    #: A private key.
    key: Path
    #: May use sudo.
    login: str
    #: For ssh's -F: a host in between, or a file of known hosts.
    config: Path | None = None

    def to(self, address: str) -> list[str]:
        """The command line that runs a command as root."""
        own = ("-F", str(self.config)) if self.config else ()
        return ["ssh", *own, *SSH_OPTIONS, "-i", str(self.key), f"{self.login}@{address}", "sudo"]


class NotRestored(Exception):
    """Nova has not done yet what was asked of it; it may be asked again."""


class CloudMember:
    """A server of the project."""

    def __init__(
        self, connection: Any, member: settings.MemberSettings, server_id: str, port_id: str, ssh: Sequence[str]
    ) -> None:
        """:param ssh: the command line that runs a command on it as root; empty where there is no way in."""
        self._compute = connection.compute
        self._network = connection.network
        self._server_id = server_id
        self._port_id = port_id
        self._ssh = ssh
        self.name = member.name
        self.role: Role = member.role

    def set_port(self, *, up: bool) -> None:
        self._network.update_port(self._port_id, is_admin_state_up=up)
        # Neutron says yes before its agent on the hypervisor has done it.
        end = time.monotonic() + PORT_PATIENCE
        while self._network.get_port(self._port_id).status != ("ACTIVE" if up else "DOWN") and time.monotonic() < end:
            time.sleep(0.2)

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        assert self._ssh, f"there is no way into {self.name}"
        return subprocess.run([*self._ssh, *command], capture_output=True, text=True, check=False, timeout=60)

    def lets_in(self) -> bool:
        return bool(self._ssh) and self.run("true").returncode == 0

    def switch_off(self) -> None:
        self._compute.stop_server(self._server_id)
        self._wait_for("SHUTOFF")

    def cut_power(self) -> None:
        """Nova has no plug to pull: a paused server says as little as one without power."""
        self.freeze()

    def switch_on(self) -> None:
        """Waits for what Nova is still about to do: a server that is going down can't be started."""
        self._settle()
        if self._server().status == "SHUTOFF":
            self._compute.start_server(self._server_id)
            self._wait_for("ACTIVE")
        self.thaw()

    def freeze(self) -> None:
        self._compute.pause_server(self._server_id)
        self._wait_for("PAUSED")

    def thaw(self) -> None:
        self._settle()
        if self._server().status == "PAUSED":
            self._compute.unpause_server(self._server_id)
            self._wait_for("ACTIVE")
        self._stays_active()

    def is_running(self) -> bool:
        return self._server().status == "ACTIVE"

    def is_ready(self) -> bool:
        try:
            return is_ready(NovaServer(self._compute, self._server_id), self.name)
        except NO_ANSWER:
            return False  # as far as anybody knows

    def _server(self) -> Any:
        return self._compute.get_server(self._server_id)

    def _settle(self) -> None:
        """Until Nova is about to do nothing: a server that is going down is still called ACTIVE."""
        end = time.monotonic() + STATE_PATIENCE
        while self._server().task_state and time.monotonic() < end:
            time.sleep(0.5)

    def _stays_active(self) -> None:
        """A request that was under way when somebody pressed Ctrl-C may take effect only now.

        :raises NotRestored: when it is not, or does not stay so.
        """
        for _ in range(STABLE):
            server = self._server()
            if server.status != "ACTIVE" or server.task_state:
                raise NotRestored(
                    f"{self.name} is {server.status} ({server.task_state or 'nothing under way'}): "
                    f"`openstack server show {self._server_id}`, and `openstack server start` or `unpause`"
                )
            time.sleep(1)

    def _wait_for(self, status: str) -> None:
        """:raises openstack.exceptions.SDKException: when that does not come in time."""
        self._compute.wait_for_server(self._server(), status=status, interval=0.5, wait=STATE_PATIENCE)


class CloudPair:
    """The pair that a stack has made, seen from wherever this runs."""

    def __init__(
        self, connection: Any, pair: PairSettings, outputs: dict[str, Any], way_in: WayIn | None = None
    ) -> None:
        """:param outputs: the stack's.

        :param way_in: None for what the APIs can do.
        """
        self.url = str(outputs["url"])
        self.vip = str(outputs["vip"])
        self.advert_interval = float(pair.advert_interval)
        self.preempt = pair.preempt
        self.service_unit = pair.service.main_unit
        self._members = [
            CloudMember(
                connection,
                member,
                made["serverId"],
                made["portId"],
                way_in.to(made["floatingIp"]) if way_in and made["floatingIp"] else [],
            )
            for member, made in zip(pair.members, outputs["members"], strict=True)
        ]

    def members(self) -> list[CloudMember]:
        return self._members

    def as_client(self, command: Sequence[str]) -> list[str]:
        return list(command)

    def holders(self) -> set[str]:
        return set()  # nobody looks inside

    def address_monitors(self) -> list[tuple[str, list[str]]]:
        return []
