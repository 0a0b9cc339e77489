"""Checks the master of a pair that was made by hand, before the pair's first `up` takes the backup away.

Such a pair has no gates yet, and its members report nothing on their consoles. So this check asks for less than
``gates.peer``: the master's server runs, and its ports are enabled.

Run as ``python -m gates.adoption`` with the environment of ``gates.peer``. The engine runs it when it creates the first
gate of a pair that has servers. Exits with 0 when the backup may be taken away, else with 1.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from settings.identity import PortRole

from .connection import NO_ANSWER, connect
from .member_console import NovaServer, say
from .pair_ports import OTHER, PairPorts, UnclearPair, ports_of_server, server_at
from .peer import NOT_RUNNING


def check(connection: Any) -> bool:
    """Whether the member that the environment names may be taken away. If not, tell the operator why.

    :raises UnclearPair: if it is unclear which ports are the pair's.
    :raises SDKException, ClientException: the cloud gave no answer.
    """
    role, (member_name, peer_name) = PortRole(os.environ["ROLE"]), (os.environ["MEMBER"], os.environ["PEER"])
    member, peer = _server_of(connection, role), _server_of(connection, OTHER[role])
    if member is None or member.status() in NOT_RUNNING:
        return True
    if peer is None:
        problem = f"there is no server {peer_name}."
    elif (status := peer.status()) != "ACTIVE":
        problem = f"{peer_name} has Nova's status {status}. `openstack server start {peer.id}` starts a stopped server."
    elif disabled := _disabled_port(connection, peer):
        problem = f"a port of {peer_name} is disabled: `openstack port set --enable {disabled}`."
    else:
        return True
    say(
        f"{member_name} is not touched: it may be the one that serves, and {problem} To go on without {peer_name}, "
        f"stop {member_name} (`openstack server stop {member.id}`): the service does not answer until one of them has "
        "booted."
    )
    return False


def _server_of(connection: Any, role: PortRole) -> NovaServer | None:
    """Return a member's server, by its port or by its address: a port that was made by hand has any name."""
    ports = PairPorts.of(os.environ)
    if port := ports.find(connection, role):
        return server_at(connection, port)
    master, backup = os.environ["ADDRESSES"].split()
    address = master if role is PortRole.MASTER else backup
    server_id = ports.unknown_server_with(connection, address)
    return NovaServer(connection.compute, server_id) if server_id else None


def _disabled_port(connection: Any, server: NovaServer) -> str | None:
    return next((port.id for port in ports_of_server(connection, server.id) if not port.is_enabled), None)


def main() -> int:
    """Check the master of the pair that the environment names; return the exit status."""
    member = os.environ["MEMBER"]
    try:
        return 0 if check(connect()) else 1
    except UnclearPair as error:
        say(f"{member} is not touched. {error}")
    except NO_ANSWER as error:
        say(f"{member} is not touched: the cloud did not say whether its peer runs ({error}).")
        say("The next `pulumi up` asks again.")
    return 1


if __name__ == "__main__":
    sys.exit(main())
