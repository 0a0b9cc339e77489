"""Asks whether a member may be taken away, just before the engine deletes its server for whatever reason.

The handover gate is a command that depends on its server and has the server's id as a trigger. Before the engine
replaces the server, it deletes everything that has to be replaced with it, and so runs this command, as the last `up`
has stored it. If the command fails, the server is not touched. Settings, drift, ``--replace`` and ``--target`` all pass
here.

A plain `destroy` also deletes the gate before the server. Then the gate opens, because ``gates.teardown`` has marked
the pair before. The mark on one port is enough: the other port may have been deleted by hand.

The gate also opens if the server has no port, or does not exist any more. If a server was deleted by hand, the engine
first makes a new server and then replaces the old gate. The old gate does not ask about the new server.

Run as ``python -m gates.handover`` with SERVER_ID and the environment of ``gates.peer``. Exits with 0 when the server
may be deleted, else with 1.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from .connection import NO_ANSWER, connect
from .member_console import NovaServer, say
from .pair_ports import TEARDOWN_TAG, PairPorts, UnclearPair, ports_of_server
from .peer import ask


def why_it_may_be_deleted(connection: Any, server_id: str) -> str | None:
    """Return why the server may be deleted whatever its peer does; None if the peer has to be asked.

    :raises UnclearPair: if it is unclear which ports are the pair's.
    :raises SDKException, ClientException: the cloud gave no answer.
    """
    if NovaServer(connection.compute, server_id).status() == "DELETED":
        return "its server does not exist any more"
    ports = ports_of_server(connection, server_id)
    # The ports of the server come first: they can be marked by hand if it is unclear which ports are the pair's.
    if any(port.is_torn_down for port in ports) or PairPorts.of(os.environ).are_torn_down(connection):
        return "the pair is being torn down"
    return None if ports else "its server has no port, so it serves no client"


def main() -> int:
    """Ask about the member that the environment names; return the exit status."""
    member, peer, server_id = os.environ["MEMBER"], os.environ["PEER"], os.environ["SERVER_ID"]
    try:
        connection = connect()
        try:
            if reason := why_it_may_be_deleted(connection, server_id):
                say(f"{member} may be deleted: {reason}")
                return 0
            if ask(connection, server_id):
                return 0
        except UnclearPair as error:
            say(f"{member} is not touched. {error}")
        port = next(iter(ports_of_server(connection, server_id)), None)
        say(
            f"To delete the whole pair without this question: `openstack port set --tag {TEARDOWN_TAG} "
            f"{port.id if port else 'PORT'}`, then `pulumi destroy`. `pulumi up` removes the tag from the pair's ports."
        )
    except NO_ANSWER as error:
        say(f"{member} is not touched: the cloud did not say whether {peer} can serve ({error}).")
        say(
            "The next `pulumi up` or `pulumi destroy` asks again. This gate uses the credentials of the last `up`. If "
            "they have changed since: `pulumi up --target '**-handover' --target '**-teardown'` stores the new ones."
        )
    return 1


if __name__ == "__main__":
    sys.exit(main())
