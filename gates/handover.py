"""Asks whether a member may be taken away, just before the engine deletes its server for whatever reason.

The gate is a command *behind* the server, with the server's id as a trigger. Before the engine replaces the server, it
deletes everything that has to be replaced with it, and so runs this command, as the last `up` has stored it. If the
command fails, the server is not touched. Settings, drift, ``--replace`` and ``--target`` all pass here.

A plain `destroy` deletes the gate before the server too. It may pass: ``gates.teardown`` has marked the pair first.

Run as ``python -m gates.handover`` with SERVER_ID and the environment of ``gates.peer``. Exits with 0 when the server
may be deleted, else with 1.
"""

from __future__ import annotations

import os
import sys

from settings.identity import PortRole

from .connection import NO_ANSWER, connect
from .pair_ports import PairPorts, UnclearPair
from .peer import ask, say


def main() -> int:
    """Ask about the member that the environment names; return the exit status."""
    member, peer = os.environ["MEMBER"], os.environ["PEER"]
    try:
        connection = connect()
        port = PairPorts.of(os.environ).find(connection, PortRole(os.environ["ROLE"]))
        if port and port.is_torn_down:
            say(f"the pair is being torn down: {member} may be deleted")
            return 0
        return 0 if ask(connection, os.environ["SERVER_ID"]) else 1
    except UnclearPair as error:
        say(f"{member} is not touched. {error}")
    except NO_ANSWER as error:
        say(f"{member} is not touched: the cloud did not say whether {peer} can serve ({error}).")
        say(
            "The next `pulumi up` or `pulumi destroy` asks again. This gate uses the credentials of the last `up`. If "
            "they have changed since: `pulumi up --target '**-handover' --target '**-teardown'` stores the new ones."
        )
    return 1


if __name__ == "__main__":
    sys.exit(main())
