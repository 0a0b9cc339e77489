"""Asks whether a member may be taken away: it can't be serving, or its peer has said recently that it can serve.

The engine runs this module as the first gate, before a change takes the backup away. A change begins with the backup,
because the master serves meanwhile. If an earlier change has failed at the master, or an operator has stopped the
master, only the backup serves. A replacement of the backup would then be an outage for as long as its boot takes.
``gates.handover`` asks the same question before each server is deleted.

A member reports on its console and does not see its port from outside. A member behind a disabled port hears no master,
so it calls itself master. The report counts only with a port that lets the clients through.

Run as ``python -m gates.peer`` with the credentials that openstacksdk finds, and in the environment: ROLE (of the
member), MEMBER and PEER (names, for messages), PEER_LOGICAL_NAME (for the commands that a message names),
READY_TIMEOUT (seconds), ADDRESSES (of both members, separated by a blank), KEY_PAIR (of the new servers; left out
without one), and the variables of ``gates.pair_ports``.
Exits with 0 when the member may be taken away, else with 1.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import Any

from openstack.exceptions import NotFoundException

from settings.identity import PortRole

from .connection import NO_ANSWER, connect
from .member_console import NovaServer, Server, last_lines, look_at, say, wait
from .pair_ports import OTHER, MemberPort, PairPorts, UnclearPair, server_at

#: Nova's statuses in which no guest runs.
NOT_RUNNING = frozenset(
    {"BUILD", "SHUTOFF", "PAUSED", "SUSPENDED", "SHELVED", "SHELVED_OFFLOADED", "RESCUE", "DELETED", "SOFT_DELETED"}
)

#: Nova's statuses that a server leaves only when an operator acts.
HOPELESS = NOT_RUNNING - {"BUILD"} | {"ERROR"}


def may_serve(server: Server, boot_time: float) -> bool:
    """Whether the member may be the one that serves. In doubt it may: an old report proves nothing.

    :param boot_time: seconds after a boot in which a member without a report counts as booting.
    :raises SDKException, ClientException: Nova gave no answer about the status.
    """
    try:
        look = look_at(server, lambda status: status not in NOT_RUNNING)
    except NO_ANSWER:
        # Nova can't show the console of a server whose hypervisor is dead, and may be unable to show that of a server
        # in ERROR. The peer decides about the first one, so that it can be replaced.
        return server.status() != "ERROR"
    if look.status in NOT_RUNNING or look.has_failed:
        return False
    if look.status == "ERROR":
        # The guest may still run, for example after a migration that has failed. Then it reports.
        return look.is_recent and not look.is_drained
    if look.report is None:
        # Consoles keep only the newest lines, so a missing report proves nothing after the boot.
        return server.now() - server.last_restart() > boot_time
    return not (look.is_drained and look.is_recent)


def may_be_taken_away(
    member: Server | None,
    peer: Server | None,
    names: tuple[str, str],
    timeout: float,
    say: Callable[[str], None],
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
    *,
    obstacle: str | None = None,
) -> bool:
    """Whether a member may be taken away: it can't be serving, or its peer is ready to serve.

    An unhealthy member may be serving: it keeps the VIP until its peer reports that it is well.

    :param names: the names of the member and of its peer.
    :param timeout: seconds that a booting peer may take until it is ready.
    :param obstacle: why no client reaches the peer, whatever it reports; None if its port is in order.
    :raises SDKException, ClientException: Nova gave no answer about the member.
    """
    if member is None or not may_serve(member, timeout):
        return True
    if peer is None:
        say(f"there is no server {names[1]}")
        return False
    if obstacle:
        say(obstacle)
        return False
    return wait(peer, names[1], timeout, say, sleep, clock, hopeless=HOPELESS) is not None


def ask(connection: Any, server_id: str | None = None) -> bool:
    """Ask about the member that the environment names, and tell the operator why the gate stays closed.

    :param server_id: the member's server, if the member has no port.
    :raises UnclearPair: if it is unclear which ports are the pair's.
    :raises SDKException, ClientException: the cloud gave no answer.
    """
    role, ports = PortRole(os.environ["ROLE"]), PairPorts.of(os.environ)
    names, timeout = (os.environ["MEMBER"], os.environ["PEER"]), float(os.environ["READY_TIMEOUT"])
    port, peer_port = ports.find(connection, role), ports.find(connection, OTHER[role])
    if port is None and peer_port is None:
        _check_that_no_member_is_left(connection, ports)
    member, peer = server_at(connection, port), server_at(connection, peer_port)
    if port is None and server_id:
        member = NovaServer(connection.compute, server_id)
    obstacle = _why_no_client_reaches(names[1], peer_port, port)
    if may_be_taken_away(member, peer, names, timeout, say, obstacle=obstacle):
        return True
    if peer:
        say(f"The end of {names[1]}'s console:\n{last_lines(peer)}")
    say(_way_out(*names, os.environ["PEER_LOGICAL_NAME"]))
    return False


def _why_no_client_reaches(peer: str, peer_port: MemberPort | None, port: MemberPort | None) -> str | None:
    """Return why Neutron drops the packets between the clients and the peer, and the way out; None if it does not.

    :param port: the member's own port. A pair without allowed address pairs, made by hand, may serve in another way.
    """
    if peer_port is None:
        return None
    if not peer_port.is_enabled:
        return f"the port of {peer} is disabled: `openstack port set --enable {peer_port.id}`"
    if port and port.allowed_addresses and peer_port.has_port_security and not peer_port.allowed_addresses:
        pairs = " ".join(f"--allowed-address ip-address={address}" for address in port.allowed_addresses)
        return (
            f"the port of {peer} has no allowed address pairs, so no client reaches it: `openstack port set {pairs} "
            f"{peer_port.id}`"
        )
    return None


def _check_that_no_member_is_left(connection: Any, ports: PairPorts) -> None:
    """Check that there is no server with a member's address. Its port has neither the tags nor the name of the pair.

    :raises UnclearPair: if there is one.
    """
    for address in os.environ["ADDRESSES"].split():
        if server_id := ports.unknown_server_with(connection, address):
            raise UnclearPair(
                f"The server {server_id} has {address}, and its port has neither the tags nor the name of this pair "
                f"({', '.join(ports.names.values())}). A pair of an older release gets its tags with the next "
                "`pulumi up`: restore namePrefix, run `pulumi up`, and change namePrefix afterwards."
            )


def _way_out(member: str, peer: str, logical_name: str) -> str:
    targets = " ".join(f"--target '**::{logical_name}{gate}'" for gate in ("", "-handover", "-ready"))
    return (
        f"{member} is not touched: it may be the one that serves, and {peer} cannot take over. Either repair {peer} "
        f"(a stopped server: `openstack server start {peer}`), or change {peer} first: `pulumi up {targets}`. Then "
        f"`pulumi up` continues. To go on without {peer}, stop {member} (`openstack server stop {member}`): the "
        "service does not answer until one of them has booted."
    )


def _may_use_the_key_pair(connection: Any) -> bool:
    """Whether these credentials have the key pair of the new servers, if they need one.

    A key pair belongs to a user, and the stack to a team. Nova would refuse the new server after the old one is gone.

    :raises SDKException, ClientException: Nova gave no answer.
    """
    if not (name := os.environ.get("KEY_PAIR")):
        return True
    try:
        connection.compute.get_keypair(name)
    except NotFoundException:
        say(
            f"{os.environ['MEMBER']} is not touched: the user of these credentials has no key pair {name}, so Nova "
            "would refuse the new server. Let a user who has it run `pulumi up`, or upload a key of your own "
            f"(`openstack keypair create --public-key FILE {name}`), or set publicKey, which needs no key pair."
        )
        return False
    return True


def main() -> int:
    """Ask about the member that the environment names; return the exit status."""
    member, peer = os.environ["MEMBER"], os.environ["PEER"]
    try:
        connection = connect()
        return 0 if _may_use_the_key_pair(connection) and ask(connection) else 1
    except UnclearPair as error:
        say(f"{member} is not touched. {error}")
    except NO_ANSWER as error:
        say(f"{member} is not touched: the cloud did not say whether {peer} can serve ({error}).")
        say("The next `pulumi up` asks again.")
    return 1


if __name__ == "__main__":
    sys.exit(main())
