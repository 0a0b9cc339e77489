"""A stack's pair on a cloud, as a drill needs it: by the Neutron and Nova APIs, and by SSH if there is a key."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gates.connection import NO_ANSWER
from gates.member_console import NovaServer, is_ready
from settings.pair import MemberSettings, PairSettings, Role

#: Seconds that Nova may take to change a server's status, and Neutron to change a port's.
SERVER_TIMEOUT = 180
PORT_TIMEOUT = 20

#: A server counts as restored when it is ACTIVE in so many queries, a second apart.
STABLE_QUERIES = 3

SSH_OPTIONS = ("-o", "BatchMode=yes", "-o", "ConnectTimeout=5", "-o", "StrictHostKeyChecking=accept-new")


@dataclass(frozen=True)
class WayIn:
    """The SSH login on the members' public addresses."""

    #: The private key.
    key: Path
    #: A user who may use sudo.
    login: str
    #: ssh's configuration file (``-F``), for example with a jump host.
    config: Path | None = None

    def to(self, address: str) -> list[str]:
        """Return the command line that runs a command as root on an address."""
        own = ("-F", str(self.config)) if self.config else ()
        return ["ssh", *own, *SSH_OPTIONS, "-i", str(self.key), f"{self.login}@{address}", "sudo"]


class NotRestored(Exception):
    """A server is not back in its status before the event; restoring it may be tried again."""


class CloudMember:
    """A member on a cloud (``drill.pair.Member``)."""

    def __init__(
        self, connection: Any, member: MemberSettings, server_id: str, port_id: str, ssh: Sequence[str]
    ) -> None:
        """:param connection: an ``openstack.connection.Connection``.

        :param ssh: the command line that runs a command on the server as root; empty without an SSH login.
        """
        self._compute = connection.compute
        self._network = connection.network
        self._server_id = server_id
        self._port_id = port_id
        self._ssh = ssh
        self.name = member.name
        self.role: Role = member.role

    def set_port(self, *, up: bool) -> None:
        """Enable or disable the port, and wait up to PORT_TIMEOUT until that has taken effect."""
        self._network.update_port(self._port_id, is_admin_state_up=up)
        # Neutron's API answers before its agent on the hypervisor has acted.
        end = time.monotonic() + PORT_TIMEOUT
        while self._network.get_port(self._port_id).status != ("ACTIVE" if up else "DOWN") and time.monotonic() < end:
            time.sleep(0.2)

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command on the server as root, for at most a minute.

        :raises subprocess.TimeoutExpired: after that minute.
        """
        assert self._ssh, f"there is no SSH login for {self.name}"
        return subprocess.run([*self._ssh, *command], capture_output=True, text=True, check=False, timeout=60)

    def lets_in(self) -> bool:
        """Return whether the SSH login works."""
        return bool(self._ssh) and self.run("true").returncode == 0

    def switch_off(self) -> None:
        """Shut the server down cleanly, and wait until it is off."""
        self._compute.stop_server(self._server_id)
        self._wait_for("SHUTOFF")

    def cut_power(self) -> None:
        """Pause the server: Nova has no action that cuts the power, and a paused server is just as silent."""
        self.freeze()

    def switch_on(self) -> None:
        """Start the server if it is off, after a shutdown that is under way: Nova can't start it before.

        :raises NotRestored: when it is not ACTIVE afterwards, or does not stay so.
        """
        self._settle()
        if self._server().status == "SHUTOFF":
            self._compute.start_server(self._server_id)
            self._wait_for("ACTIVE")
        self.thaw()

    def freeze(self) -> None:
        """Pause the server, and wait until it is paused."""
        self._compute.pause_server(self._server_id)
        self._wait_for("PAUSED")

    def thaw(self) -> None:
        """Unpause the server if it is paused.

        :raises NotRestored: when it is not ACTIVE afterwards, or does not stay so.
        """
        self._settle()
        if self._server().status == "PAUSED":
            self._compute.unpause_server(self._server_id)
            self._wait_for("ACTIVE")
        self._stays_active()

    def is_running(self) -> bool:
        """Return whether Nova calls the server ACTIVE."""
        return self._server().status == "ACTIVE"

    def is_ready(self) -> bool:
        """Return whether the server reported on its console, in its present boot, that it is ready."""
        try:
            return is_ready(NovaServer(self._compute, self._server_id), self.name)
        except NO_ANSWER:
            return False  # It is unknown now, and the drill asks again.

    def _server(self) -> Any:
        return self._compute.get_server(self._server_id)

    def _settle(self) -> None:
        """Wait until Nova has no task for the server: a server that is shutting down still has the status ACTIVE."""
        end = time.monotonic() + SERVER_TIMEOUT
        while self._server().task_state and time.monotonic() < end:
            time.sleep(0.5)

    def _stays_active(self) -> None:
        """Check that the server stays ACTIVE: a request that was under way at Ctrl-C may take effect only now.

        :raises NotRestored: when it is not ACTIVE, or does not stay so.
        """
        for _ in range(STABLE_QUERIES):
            server = self._server()
            if server.status != "ACTIVE" or server.task_state:
                raise NotRestored(
                    f"{self.name} is {server.status} ({server.task_state or 'no task'}): "
                    f"`openstack server show {self._server_id}`, then `openstack server start` or `unpause`"
                )
            time.sleep(1)

    def _wait_for(self, status: str) -> None:
        """:raises openstack.exceptions.SDKException: when the server has another status after SERVER_TIMEOUT."""
        self._compute.wait_for_server(self._server(), status=status, interval=0.5, wait=SERVER_TIMEOUT)


class CloudPair:
    """The pair of a stack (``drill.pair.Pair``), with this machine as the client."""

    def __init__(
        self, connection: Any, pair: PairSettings, outputs: dict[str, Any], way_in: WayIn | None = None
    ) -> None:
        """:param connection: an ``openstack.connection.Connection``.

        :param outputs: the outputs of the stack.
        :param way_in: the SSH login; None if only the APIs are to be used.
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
        """Return the master and the backup, in this order."""
        return self._members

    def as_client(self, command: Sequence[str]) -> list[str]:
        """Return the command itself: the client runs on this machine."""
        return list(command)

    def holders(self) -> set[str]:
        """Return nothing: the interfaces of the members can't be seen from here."""
        return set()

    def address_monitors(self) -> list[tuple[str, list[str]]]:
        """Return nothing: the interfaces of the members can't be seen from here."""
        return []
