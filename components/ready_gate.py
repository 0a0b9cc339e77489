"""Waits until a server that was just made anew, or restarted, can do its work. Run by the gate between the members.

Run as ``python -m components.ready_gate`` with MEMBER, SERVER_ID and READY_TIMEOUT (seconds) in the environment, and
the credentials that openstacksdk finds. It reads the server's console, for which neither SSH nor a public address is
needed: the member says there that it is ready, in every boot (``userdata/announce_ready.py.j2``). A word of an
earlier boot does not count: a resize reboots the server, and a reboot may keep the console's text.

With ``unless-alone`` it waits only if there is a server named PEER: a pair that is being made has nothing to keep up.

Exits with 0 when the member is ready, and with 1 when it is not in time or has failed, with its last console lines.
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from .gate import UNLESS_ALONE

_BOOT = r"\(boot (?P<boot>\S+), booted at (?P<at>\d+)\)"
READY = re.compile(rf"vrrp-pair: (?P<member>\S+) is ready as (?P<what>\w+) {_BOOT}")
#: What ``userdata/install.sh.j2`` says when it can't do what it should.
FAILED = re.compile(rf"vrrp-pair: (?P<member>\S+) has failed: (?P<what>.*) {_BOOT}")

#: Nova's names of what begins a new boot (os-instance-actions).
RESTARTS = {"create", "rebuild", "reboot", "resize", "confirmResize", "revertResize", "start", "unshelve", "evacuate"}

#: Seconds that the server's clock and Nova's may differ. Between two boots of one server lies more.
CLOCKS_DIFFER = 20

#: Seconds.
PAUSE = 5.0
TELL_EVERY = 30.0
CONSOLE_LINES_SHOWN = 25


class Server(Protocol):
    """What the gate asks Nova about one server."""

    def status(self) -> str: ...

    def console(self) -> str: ...

    def last_restart(self) -> float:
        """When the newest boot was asked for, in seconds since 1970."""
        ...


@dataclass(frozen=True)
class Word:
    """What a member said on its console."""

    member: str
    #: The VRRP state of a member that is ready, or why it is not.
    what: str
    boot: str
    #: Seconds since 1970, by the server's clock.
    booted_at: int


def words_of(console: str, member: str, pattern: re.Pattern[str] = READY) -> list[Word]:
    """Each time that the member said it is ready (or has failed), the oldest first."""
    found = (Word(m["member"], m["what"], m["boot"], int(m["at"])) for m in pattern.finditer(console))
    return [word for word in found if word.member == member]


def wait(
    server: Server,
    member: str,
    timeout: float,
    say: Callable[[str], None],
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Word | None:
    """The member's word of its present boot, or None when it has failed or did not say it in time (seconds)."""
    began, following = clock(), 0.0
    while True:
        status, console = server.status(), server.console()
        earliest = server.last_restart() - CLOCKS_DIFFER
        ready, failed = (
            [word for word in words_of(console, member, pattern) if word.booted_at >= earliest]
            for pattern in (READY, FAILED)
        )
        if ready and status == "ACTIVE":
            return ready[-1]
        if failed:
            say(f"{member} has failed: {failed[-1].what}")
            return None
        if status == "ERROR":
            say(f"{member} is in Nova's state ERROR")
            return None
        waited = clock() - began
        if waited >= timeout:
            say(f"{member} was not ready within {timeout:.0f} s (Nova says {status})")
            return None
        if waited >= following:
            end = f"ends with: {_last_line(console)}" if console else "is empty"
            say(f"{waited:.0f} s: waiting for {member} to be ready; Nova says {status}; its console {end}")
            following += TELL_EVERY
        sleep(PAUSE)


def last_lines(console: str) -> str:
    lines = [line for line in console.splitlines() if line.strip()]
    return "\n".join(lines[-CONSOLE_LINES_SHOWN:])


def _last_line(console: str) -> str:
    return last_lines(console).rpartition("\n")[2][:120]


class NovaServer:
    """A server of the cloud that the environment's credentials lead to."""

    def __init__(self, compute: Any, server_id: str) -> None:
        """:param compute: openstacksdk's proxy of Nova, which has no types that would help."""
        self._compute = compute
        self._id = server_id

    def status(self) -> str:
        return str(self._compute.get_server(self._id).status)

    def console(self) -> str:
        answer: Any = self._compute.get_server_console_output(self._id)
        return str(answer["output"])

    def last_restart(self) -> float:
        actions: list[Any] = list(self._compute.server_actions(self._id))
        times = [str(action.start_time) for action in actions if action.action in RESTARTS]
        return max((datetime.fromisoformat(time).replace(tzinfo=UTC).timestamp() for time in times), default=0.0)


def is_alone(compute: Any, peer: str) -> bool:
    """Whether the project has no server of this name; Nova takes the name for a pattern."""
    return not any(server.name == peer for server in compute.servers(name=re.escape(peer)))


def main(arguments: list[str]) -> int:
    import openstack  # here, so that what waits can be tested and imported without a cloud

    member, timeout = os.environ["MEMBER"], float(os.environ["READY_TIMEOUT"])
    compute: Any = openstack.connect().compute

    def say(what: str) -> None:
        print(what, file=sys.stderr, flush=True)

    if arguments == [UNLESS_ALONE] and is_alone(compute, os.environ["PEER"]):
        print(f"there is no {os.environ['PEER']} yet: nothing has to wait for {member}")
        return 0
    server = NovaServer(compute, os.environ["SERVER_ID"])
    try:
        word = wait(server, member, timeout, say)
    except KeyboardInterrupt:
        say(f"interrupted; the other member was not touched, and the next `pulumi up` waits for {member} again")
        return 1
    if word is None:
        say(f"The other member was not touched. The end of {member}'s console:\n{last_lines(server.console())}")
        return 1
    print(f"{member} is ready as {word.what} (boot {word.boot})")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
