"""Reads the reports of a member from its console, and separates those of its present boot from older ones.

The console needs neither SSH nor a public address: it can be read with the credentials that made the server. A member
reports in every boot that it is ready, or that it has failed (``userdata/console_protocol.py``). A report of an earlier
boot does not count: a resize reboots the server, and a reboot may keep the console's text. An old report does not count
either: a member that has crashed since says nothing more.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Set
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Protocol

from openstack.exceptions import HttpException, NotFoundException

from userdata.console_protocol import DRAINED, Condition, Report, reports_of

from .connection import NO_ANSWER

#: Nova's names of the actions that begin another boot of a server (os-instance-actions). ``create`` is not one of
#: them: a new server has no older reports, and its clock may be wrong until it is synchronized. ``confirmResize`` is
#: not one either: it comes after the boot that the resize caused.
RESTARTS = {"rebuild", "reboot", "resize", "migrate", "revertResize", "start", "unshelve", "evacuate"}

#: Seconds that the server's clock and Nova's may differ. Two boots of one server are further apart.
CLOCKS_DIFFER = 20

#: Seconds between two looks at a member.
PAUSE = 5.0
#: Seconds between two lines about a member for which a gate waits.
TELL_EVERY = 30.0
#: The number of console lines that a message shows.
CONSOLE_LINES_SHOWN = 25


class Server(Protocol):
    """The questions for Nova about one server. Each may raise SDKException or ClientException."""

    def status(self) -> str:
        """Return Nova's status of the server, such as ``ACTIVE``."""
        ...

    def fault(self) -> str:
        """Return Nova's text about a server in ERROR; empty without one."""
        ...

    def console(self) -> str:
        """Return the console's text; empty if there is no console, or no console yet."""
        ...

    def last_restart(self) -> float:
        """Return the time at which the newest boot but the first was requested, in seconds since 1970, or 0."""
        ...

    def now(self) -> float:
        """Return Nova's time, in seconds since 1970."""
        ...


class NovaServer:
    """A server of the cloud."""

    def __init__(self, compute: Any, server_id: str) -> None:
        """Store the server's id. Each method asks Nova.

        :param compute: openstacksdk's proxy of Nova, which has no types that would help.
        """
        self._compute = compute
        self._id = server_id

    @property
    def id(self) -> str:
        """Nova's id of the server."""
        return self._id

    def status(self) -> str:
        """Return Nova's status of the server; ``DELETED`` if there is no such server."""
        try:
            return str(self._compute.get_server(self._id).status)
        except NotFoundException:
            return "DELETED"

    def fault(self) -> str:
        """Return Nova's text about a server in ERROR, such as ``No valid host was found.``; empty without one."""
        try:
            fault: Any = self._compute.get_server(self._id).fault
        except NotFoundException:
            return ""
        return str(fault["message"]) if fault else ""

    def created_at(self) -> float:
        """Return the time at which the server was made, in seconds since 1970."""
        return _timestamp(str(self._compute.get_server(self._id).created_at).removesuffix("Z"))

    def console(self) -> str:
        """Return the console's text."""
        try:
            answer: Any = self._compute.get_server_console_output(self._id)
        except HttpException as error:
            # The server is on no host yet, or its hypervisor has no consoles.
            if error.status_code in {404, 409, 501}:
                return ""
            raise
        return str(answer["output"] or "")

    def last_restart(self) -> float:
        """Return the time of the newest action that began another boot; 0 where Nova knows of none."""
        actions: list[Any] = list(self._compute.server_actions(self._id))
        times = [_timestamp(str(action.start_time)) for action in actions if action.action in RESTARTS]
        return max(times, default=0.0)

    def now(self) -> float:
        """Return the time in the header of Nova's answer; this machine's time if there is none.

        The clock of the machine that runs the gates may be wrong. The cloud's clocks are synchronized.
        """
        headers: Any = self._compute.get(f"/servers/{self._id}").headers
        try:
            return parsedate_to_datetime(headers["Date"]).timestamp()
        except (KeyError, ValueError):
            return time.time()


def find_server(compute: Any, name: str) -> NovaServer | None:
    """Return the project's server of this name.

    :param compute: openstacksdk's proxy of Nova.
    """
    # Nova reads the name as a pattern.
    found = (server for server in compute.servers(name=f"^{re.escape(name)}$") if server.name == name)
    server: Any = next(found, None)
    return NovaServer(compute, server.id) if server is not None else None


def last_report(server: Server, console: str, member: str | None = None) -> Report | None:
    """Return the member's last report of its present boot; None when it has not reported yet.

    :param member: the member's name; None for any: its reports have another name after ``namePrefix`` has changed.
    """
    if not (reports := reports_of(console, member)):
        return None
    earliest = server.last_restart() - CLOCKS_DIFFER
    return next((report for report in reversed(reports) if report.booted_at >= earliest), None)


# -- one look ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Look:
    """What Nova and the console showed at one moment."""

    #: Nova's status of the server.
    status: str
    console: str = ""
    #: The last report of the present boot; None when there is none.
    report: Report | None = None
    #: Nova's time of the look, in seconds since 1970. Only known with a report.
    now: float = 0
    #: Nova's text about a server in ERROR; empty without one.
    fault: str = ""

    @property
    def is_ready(self) -> bool:
        """Whether the server runs and its last report, however old, says that it is ready."""
        return self.status == "ACTIVE" and self.report is not None and self.report.condition is Condition.READY

    @property
    def is_recent(self) -> bool:
        """Whether the last report is younger than two intervals of its repetition, by the clocks."""
        if self.report is None or self.report.said_at is None:
            return False
        # A time in the future proves nothing: the member's clock is wrong.
        return -CLOCKS_DIFFER <= self.now - self.report.said_at <= self.report.counts_for + CLOCKS_DIFFER

    @property
    def is_drained(self) -> bool:
        """Whether an operator has drained the member."""
        return self.report is not None and self.report.what == DRAINED

    @property
    def has_failed(self) -> bool:
        """Whether the installation of the member has failed. This report is not repeated."""
        return self.report is not None and self.report.condition is Condition.FAILED


def look_at(server: Server, reads_console: Callable[[str], bool] = lambda _: True) -> Look:
    """Ask Nova about a member once.

    :param reads_console: whether to read the console of a server with this status; Nova may be unable to show it.
    :raises SDKException, ClientException: Nova gave no answer.
    """
    status = server.status()
    fault = server.fault() if status == "ERROR" else ""
    if not reads_console(status):
        return Look(status, fault=fault)
    console = server.console()
    report = last_report(server, console)
    return Look(status, console, report, server.now() if report else 0, fault)


def is_ready(server: Server, member: str) -> bool:
    """Whether the server is ACTIVE, and the last report of its present boot is that it is ready."""
    if server.status() != "ACTIVE":
        return False
    report = last_report(server, server.console(), member)
    return report is not None and report.condition is Condition.READY


# -- waiting -----------------------------------------------------------------------------------------------


def why_hopeless(look: Look, member: str, hopeless: Set[str]) -> str | None:
    """Return why the member cannot become ready by itself; None while it can."""
    if look.status in hopeless:
        return f"{member} has Nova's status {look.status}" + (f" ({look.fault.rstrip('.')})" if look.fault else "")
    if look.report is not None and look.report.condition is Condition.FAILED:
        return f"{member} has failed: {look.report.what}"
    # Only an operator can undrain a member.
    if look.is_drained and look.status == "ACTIVE":
        return f"{member} is drained: it stays away until `vrrp-health undrain` is run on it"
    return None


def wait(
    server: Server,
    member: str,
    timeout: float,
    say: Callable[[str], None],
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
    hopeless: Set[str] = frozenset({"ERROR"}),
) -> Report | None:
    """Wait until the member reports that it is ready, and return that report.

    A report counts if it is recent, or if it appears while this function looks. So it counts too if the clocks differ,
    and if a release wrote it that did not write the time.

    :param timeout: seconds.
    :param hopeless: Nova's statuses from which the member can't become ready by itself.
    :return: None when the member has failed, is drained, has a hopeless status, is silent, or was not ready in time.
        The reason is the last line that ``say`` got.
    """
    began, next_line = clock(), 0.0
    first: Look | None = None
    while True:
        waited = clock() - began
        try:
            look = look_at(server, lambda status: status not in hopeless)
        except NO_ANSWER as error:
            # Ask again: one failed request is no reason to stop a roll.
            status, seen = "nothing", f"Nova gave no answer: {error}"
        else:
            first = first or look
            counts = look.is_recent or _has_new_report(first, look)
            if look.is_ready and counts:
                return look.report
            if reason := why_hopeless(look, member, hopeless):
                say(reason)
                return None
            silent = look.is_ready and look.report is not None
            if silent and look.report and waited > look.report.counts_for + CLOCKS_DIFFER:
                say(f"{member} is silent: {_age(look)}, and no report has come for {waited:.0f} s")
                return None
            status, seen = look.status, f"{_age(look)}, which is too old" if silent else _described(look)
        if waited >= timeout:
            say(f"{member} was not ready within {timeout:.0f} s (Nova says {status})")
            return None
        if waited >= next_line:
            say(f"{waited:.0f} s: waiting for {member} to be ready; {seen}")
            next_line += TELL_EVERY
        sleep(PAUSE)


def _has_new_report(first: Look, look: Look) -> bool:
    """Whether a report has appeared on the console since the first look."""
    if look.report != first.report:
        return look.report is not None
    # The reports of some older releases are all equal.
    return len(reports_of(look.console)) > len(reports_of(first.console))


def _age(look: Look) -> str:
    if look.report is None or look.report.said_at is None:
        return "its last report does not say when it was written"
    return f"its last report is {look.now - look.report.said_at:.0f} s old"


def _described(look: Look) -> str:
    end = f"ends with: {_tail(look.console, 1)[:120]}" if look.console else "is empty"
    return f"Nova says {look.status}; its console {end}"


# -- messages ----------------------------------------------------------------------------------------------


def last_lines(server: Server) -> str:
    """Return the last lines of a server's console, or why they cannot be read."""
    try:
        return _tail(server.console(), CONSOLE_LINES_SHOWN)
    except NO_ANSWER as error:
        return f"(can't be read: {error})"


def say(what: str) -> None:
    """Print a line to standard error, which the engine shows at once."""
    print(what, file=sys.stderr, flush=True)


def _tail(console: str, count: int) -> str:
    lines = [line for line in console.splitlines() if line.strip()]
    return "\n".join(lines[-count:])


def _timestamp(text: str) -> float:
    """Return the seconds since 1970 of one of Nova's times. They are UTC and name no time zone."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()
