"""What a member says on its console, and whether that is about its present boot.

The console needs neither SSH nor a public address: it can be read with the credentials that made the server. A member
says there, in every boot, that it is ready (``userdata/announce_ready.py.j2``), or that it has failed
(``userdata/install.sh.j2``). A report of an earlier boot does not count: a resize reboots the server, and a reboot may
keep the console's text.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Set
from datetime import UTC, datetime
from typing import Any, Protocol

from openstack.exceptions import HttpException

from userdata.console_protocol import DRAINED, Condition, Report, reports_of

from .connection import NO_ANSWER

#: Nova's names of what begins a new boot (os-instance-actions). A resize is confirmed after the boot that it caused.
RESTARTS = {"create", "rebuild", "reboot", "resize", "migrate", "revertResize", "start", "unshelve", "evacuate"}

#: Seconds that the server's clock and Nova's may differ. Between two boots of one server lies more.
CLOCKS_DIFFER = 20

#: Seconds.
PAUSE = 5.0
TELL_EVERY = 30.0
CONSOLE_LINES_SHOWN = 25


class Server(Protocol):
    """What is asked of Nova about one server. Each may raise SDKException or ClientException."""

    def status(self) -> str: ...

    def console(self) -> str:
        """Empty where there is none, or none yet."""
        ...

    def last_restart(self) -> float:
        """When the newest boot was asked for, in seconds since 1970."""
        ...


def last_report(server: Server, console: str, member: str) -> Report | None:
    """What the member said last in its present boot; None when it has said nothing yet."""
    if not (reports := reports_of(console, member)):
        return None
    earliest = server.last_restart() - CLOCKS_DIFFER
    return next((report for report in reversed(reports) if report.booted_at >= earliest), None)


def is_ready(server: Server, member: str) -> bool:
    """Whether the member's last report in its present boot is that it is ready."""
    if server.status() != "ACTIVE":
        return False
    report = last_report(server, server.console(), member)
    return report is not None and report.condition is Condition.READY


def may_serve(server: Server, member: str) -> bool:
    """Whether the member has been ready in its present boot, and is there: ill, it may be the only one to serve."""
    if server.status() != "ACTIVE":
        return False
    report = last_report(server, server.console(), member)
    return report is not None and report.condition is not Condition.FAILED and report.what != DRAINED


def wait(
    server: Server,
    member: str,
    timeout: float,
    say: Callable[[str], None],
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
    hopeless: Set[str] = frozenset({"ERROR"}),
) -> Report | None:
    """Return the member's report of its present boot, or None when it failed, is drained or was late.

    :param timeout: seconds.
    :param hopeless: Nova's states in which it is not waited for. A question that Nova does not answer is asked again.
    """
    began, following = clock(), 0.0
    while True:
        try:
            status = server.status()
            if status in hopeless:
                say(f"{member} is in Nova's state {status}")
                return None
            console = server.console()
            report = last_report(server, console, member)
            if report and report.condition is Condition.READY and status == "ACTIVE":
                return report
            if report and report.condition is Condition.FAILED:
                say(f"{member} has failed: {report.what}")
                return None
            if report and report.what == DRAINED and status == "ACTIVE":
                say(f"{member} is drained: it stays away until `vrrp-health undrain` is run on it")
                return None
            end = f"ends with: {_tail(console, 1)[:120]}" if console else "is empty"
            seen = f"Nova says {status}; its console {end}"
        except NO_ANSWER as error:
            status, seen = "nothing", f"Nova gave no answer: {error}"
        waited = clock() - began
        if waited >= timeout:
            say(f"{member} was not ready within {timeout:.0f} s (Nova says {status})")
            return None
        if waited >= following:
            say(f"{waited:.0f} s: waiting for {member} to be ready; {seen}")
            following += TELL_EVERY
        sleep(PAUSE)


def last_lines(server: Server) -> str:
    try:
        return _tail(server.console(), CONSOLE_LINES_SHOWN)
    except NO_ANSWER as error:
        return f"(can't be read: {error})"


def _tail(console: str, count: int) -> str:
    lines = [line for line in console.splitlines() if line.strip()]
    return "\n".join(lines[-count:])


def say(what: str) -> None:
    """To standard error, which the engine shows line by line."""
    print(what, file=sys.stderr, flush=True)


class NovaServer:
    """A server of the cloud."""

    def __init__(self, compute: Any, server_id: str) -> None:
        """:param compute: openstacksdk's proxy of Nova, which has no types that would help."""
        self._compute = compute
        self._id = server_id

    @property
    def id(self) -> str:
        return self._id

    def status(self) -> str:
        return str(self._compute.get_server(self._id).status)

    def console(self) -> str:
        try:
            answer: Any = self._compute.get_server_console_output(self._id)
        except HttpException as error:
            # Of a server that is on no host yet; of a hypervisor without consoles.
            if error.status_code in {404, 409, 501}:
                return ""
            raise
        return str(answer["output"] or "")

    def last_restart(self) -> float:
        actions: list[Any] = list(self._compute.server_actions(self._id))
        times = [str(action.start_time) for action in actions if action.action in RESTARTS]
        return max((datetime.fromisoformat(time).replace(tzinfo=UTC).timestamp() for time in times), default=0.0)


def find_server(compute: Any, name: str) -> NovaServer | None:
    """The project's server of this name; Nova takes the name for a pattern."""
    found = (server for server in compute.servers(name=f"^{re.escape(name)}$") if server.name == name)
    server: Any = next(found, None)
    return NovaServer(compute, server.id) if server is not None else None
