"""Waits until a server that was just made anew, or restarted, can do its work. Run by the gate between the members.

Run as ``python -m gates.ready`` with MEMBER, SERVER_ID and READY_TIMEOUT (seconds) in the environment, and
the credentials that openstacksdk finds. With ``unless-alone`` it waits only if there is a server named PEER: a pair
that is being made has nothing to keep up.

Exits with 0 when the member is ready, and with 1 when it is not in time or has failed, with its last console lines.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from .connection import NO_ANSWER, connect
from .member_console import NovaServer, find_server, last_lines, say, wait

#: On creation, wait only if the peer exists.
UNLESS_ALONE = "unless-alone"


def main(arguments: list[str]) -> int:
    member, timeout = os.environ["MEMBER"], float(os.environ["READY_TIMEOUT"])
    try:
        compute: Any = connect().compute
        if arguments == [UNLESS_ALONE] and find_server(compute, os.environ["PEER"]) is None:
            print(f"there is no {os.environ['PEER']} yet: nothing has to wait for {member}")
            return 0
    except NO_ANSWER as error:
        say(f"Nova did not tell what {member} does ({error}). The next `pulumi up` asks again.")
        return 1
    server = NovaServer(compute, os.environ["SERVER_ID"])
    try:
        report = wait(server, member, timeout, say)
    except KeyboardInterrupt:
        say(f"interrupted; the other member was not touched, and the next `pulumi up` waits for {member} again")
        return 1
    if report is None:
        say(f"The other member was not touched. The end of {member}'s console:\n{last_lines(server)}")
        say(
            "What is put right in the settings or in userdata/ makes this member anew at the next `pulumi up`. "
            f"If nothing was wrong there: `pulumi up --replace '**::{os.environ['LOGICAL_NAME']}'`."
        )
        return 1
    print(f"{member} is ready as {report.what} (boot {report.boot})")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
