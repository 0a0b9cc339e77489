"""Asks whether the master can serve, before a change takes the backup away. The engine runs it as the first gate.

A change begins with the backup, because the master serves meanwhile. If an earlier change has failed at the master, or
an operator has stopped the master, only the backup serves. A replacement of the backup would then be an outage for as
long as its boot takes.

Run as ``python -m gates.peer`` with MEMBER (the backup), PEER (the master), LOGICAL_NAME (of the master, for a message)
and READY_TIMEOUT (seconds) in the environment, and the credentials that openstacksdk finds. Exits with 0 when the
backup may be changed, else with 1.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable

from .connection import NO_ANSWER, connect
from .member_console import Server, find_server, last_lines, may_serve, say, wait

#: Nova's statuses that a server leaves only when an operator acts.
HOPELESS = frozenset(
    {"ERROR", "SHUTOFF", "PAUSED", "SUSPENDED", "SHELVED", "SHELVED_OFFLOADED", "RESCUE", "DELETED", "SOFT_DELETED"}
)


def may_change_backup(
    backup: Server | None,
    master: Server | None,
    names: tuple[str, str],
    timeout: float,
    say: Callable[[str], None],
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> bool:
    """Whether the backup may be changed: it can't be serving, or the master is ready to serve.

    :param names: the names of the backup and of the master.
    :param timeout: seconds that a booting master may take until it is ready.
    :raises SDKException, ClientException: Nova gave no answer about the backup.
    """
    backup_name, master_name = names
    if backup is None or not may_serve(backup, backup_name):
        return True
    if master is None:
        say(f"there is no server {master_name}")
        return False
    return wait(master, master_name, timeout, say, sleep, clock, hopeless=HOPELESS) is not None


def main() -> int:
    """Ask about the members that the environment names; return the exit status."""
    backup, master = os.environ["MEMBER"], os.environ["PEER"]
    try:
        compute = connect().compute
        found = find_server(compute, master)
        timeout = float(os.environ["READY_TIMEOUT"])
        if may_change_backup(find_server(compute, backup), found, (backup, master), timeout, say):
            return 0
    except NO_ANSWER as error:
        say(f"{backup} is not touched: Nova did not say whether {master} can serve ({error}).")
        say("The next `pulumi up` asks again.")
        return 1
    if found:
        say(f"The end of {master}'s console:\n{last_lines(found)}")
    target = os.environ["LOGICAL_NAME"]
    say(
        f"{backup} is not touched: it may be the one that serves, and {master} cannot take over. Either start "
        f"{master} again (`openstack server start {master}`), or change {master} first: "
        f"`pulumi up --target '**::{target}' --target '**::{target}-ready'`. Then `pulumi up` continues."
    )
    return 1


if __name__ == "__main__":
    sys.exit(main())
