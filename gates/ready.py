"""Waits until a server that was replaced is ready. The engine runs it as the ready gate of a member.

Run as ``python -m gates.ready`` with MEMBER, SERVER_ID, LOGICAL_NAME (for a message) and READY_TIMEOUT (seconds) in
the environment, and the credentials that openstacksdk finds. With ``unless-new-pair`` it does not wait if this `up` has
just made both servers, or if there is no peer: a new pair has no service to keep up. Then ROLE, PEER (a name) and the
variables of ``gates.pair_ports`` are needed too. A server in Nova's status ERROR fails in any case: an `up` that could
not make it has told its error, and the engine does not tell it again in the next one.

Exits with 0 when the member is ready. Exits with 1 when it has failed, is drained, silent or late, and shows its last
console lines.
"""

from __future__ import annotations

import os
import sys
import time
from typing import Any

from settings.identity import PortRole

from .arguments import UNLESS_NEW_PAIR
from .connection import NO_ANSWER, connect
from .member_console import NovaServer, find_server, last_lines, say, wait
from .pair_ports import OTHER, PairPorts, UnclearPair, server_at

#: Two servers of the same `up` are created within this number of seconds.
SAME_UP = 60.0

#: Seconds after its creation in which a server counts as made by the `up` that runs. The provider reports a server to
#: the engine when it is ACTIVE. If that takes longer, the gate waits, and only the first `up` is slower.
JUST_MADE = 300.0


def made_together(servers: list[NovaServer], now: float) -> bool:
    """Whether this `up` has made all servers: they are young, and of about the same age.

    The same age alone is no proof: an `up` may resize an adopted pair, or replace only its master.

    :param now: seconds since 1970.
    :raises SDKException, ClientException: Nova gave no answer.
    """
    made = [server.created_at() for server in servers]
    # A clock that is far off, in either direction, makes the gate wait: only the first `up` is slower.
    return all(abs(now - one) <= JUST_MADE for one in made) and max(made) - min(made) <= SAME_UP


def find_peer(connection: Any) -> NovaServer | None:
    """Return the peer of the member that the environment names, by its port or by its name; None without one.

    A pair that was made by hand may have other ports, and a pair with a new ``namePrefix`` has other names.

    :raises UnclearPair: if it is unclear which ports are the pair's.
    :raises SDKException, ClientException: the cloud gave no answer.
    """
    port = PairPorts.of(os.environ).find(connection, OTHER[PortRole(os.environ["ROLE"])])
    return server_at(connection, port) or find_server(connection.compute, os.environ["PEER"])


def pair_is_new(peer: NovaServer | None, server: NovaServer, now: float) -> bool:
    """Whether this `up` has made both servers, or there is no peer.

    :param now: seconds since 1970.
    :raises SDKException, ClientException: Nova gave no answer.
    """
    return peer is None or made_together([server, peer], now)


def main(arguments: list[str]) -> int:
    """Wait for the member that the environment names; return the exit status."""
    member, timeout = os.environ["MEMBER"], float(os.environ["READY_TIMEOUT"])
    try:
        connection: Any = connect()
        server = NovaServer(connection.compute, os.environ["SERVER_ID"])
        is_new = arguments == [UNLESS_NEW_PAIR] and pair_is_new(find_peer(connection), server, time.time())
        if is_new and server.status() != "ERROR":
            print(f"the pair is new: the gate does not wait for {member}")
            return 0
    except UnclearPair as error:
        say(str(error))
        return 1
    except NO_ANSWER as error:
        say(f"the cloud gave no answer about {member} ({error}). The next `pulumi up` asks again.")
        return 1
    try:
        report = wait(server, member, timeout, say)
    except KeyboardInterrupt:
        say(f"interrupted; the other member was not touched, and the next `pulumi up` waits for {member} again")
        return 1
    if report is None:
        say(f"The other member was not touched. The end of {member}'s console:\n{last_lines(server)}")
        say(
            "A correction in the settings or in userdata/ replaces this member at the next `pulumi up`. "
            f"If nothing was wrong there: `pulumi up --replace '**::{os.environ['LOGICAL_NAME']}'`."
        )
        return 1
    print(f"{member} is ready as {report.what} (boot {report.boot})")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
