"""The gates of a change: before the backup, between the members, and behind the master.

Nova calls a server ACTIVE long before keepalived runs. Without a gate the engine replaces the second server seconds
after the first one was "created", and the service is down until one of them has booted.

The gates are commands, not resource hooks. A failed after-hook still commits its step, so the next `up` would go on to
the master. Delete hooks break a plain `destroy`. A before-create hook runs after the deletion of delete-before-replace.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pulumi
import pulumi_command as command
import pulumi_openstack as openstack

from gates.ready import UNLESS_NEW_PAIR

from .provider_credentials import credentials_of, provider_of

#: A command that does nothing, so that the first `up` is as fast as without gates.
NOTHING = ":"

#: Prints the seconds since 1970. The first gate of a new pair runs this command once, when the gate is created.
TELL_THE_TIME = "date +%s"

#: Seconds after the creation of the first gate in which no member of a new pair can serve yet. A boot takes longer.
FIRST_BOOT = 60

#: Succeeds while no member can serve yet. The shell looks, because a process of Python would cost seconds of each first
#: `up`. PAIR_MADE_AT is empty if the pair was adopted, or if the first gate has asked about the master since.
NO_SERVICE_YET = f'age=$(($(date +%s) - ${{PAIR_MADE_AT:-0}})); [ "$age" -ge 0 ] && [ "$age" -lt {FIRST_BOOT} ]'

PROJECT_FOLDER = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class GatedMember:
    """A member as its gates know it."""

    #: The server's name.
    name: str
    #: The logical name of the server, for the commands that a message names.
    logical_name: str
    #: The values whose change replaces or restarts the server.
    restarted_by: Sequence[pulumi.Input[str]]
    #: Seconds that the member may take until it is ready.
    ready_timeout: int


def declare_peer_gate(
    name: str, member: GatedMember, peer: GatedMember, *, has_servers: bool, parent: pulumi.Resource
) -> command.local.Command:
    """Declare the gate before ``member``. It opens when ``peer`` can serve meanwhile (``gates.peer``).

    The peer is behind this gate and cannot be an input of it: the gate looks it up by its name.

    :param has_servers: whether a server has a member's name. If not, the gate prints the time of its creation.
    """
    return _declare(
        name,
        member,
        create=NOTHING if has_servers else TELL_THE_TIME,
        update=f"{_python()} -m gates.peer",
        environment={"PEER": peer.name, "LOGICAL_NAME": peer.logical_name},
        # The next run finds servers, which must not be a difference.
        opts=pulumi.ResourceOptions(parent=parent, ignore_changes=["create"]),
    )


def declare_ready_gate(
    name: str,
    member: GatedMember,
    server: openstack.compute.Instance,
    next_member: str | None,
    first_gate: command.local.Command,
    parent: pulumi.Resource,
) -> command.local.Command:
    """Declare the gate behind ``server``. It opens when the member is ready (``gates.ready``).

    A new server, or a change that restarts the server in place, updates the gate, and each update waits. On creation
    the gate waits only if another member is behind it and the pair is not new: the pair may have been adopted.

    :param next_member: the name of the server behind the gate; None if there is none.
    :param first_gate: the gate that prints the time at which a new pair was made.
    """
    wait = f"{_python()} -m gates.ready"
    return _declare(
        name,
        member,
        create=f"{NO_SERVICE_YET} || {wait} {UNLESS_NEW_PAIR}" if next_member else NOTHING,
        update=wait,
        environment={
            "SERVER_ID": server.id,
            "LOGICAL_NAME": member.logical_name,
            **({"PEER": next_member, "PAIR_MADE_AT": first_gate.stdout.apply(_time_in)} if next_member else {}),
        },
        opts=pulumi.ResourceOptions(parent=parent, depends_on=[server]),
    )


def unless_new(
    first_gate: command.local.Command,
    gate: command.local.Command,
    others: Sequence[pulumi.Resource],
    *,
    began: float,
    has_servers: bool,
) -> pulumi.Input[Sequence[pulumi.Input[pulumi.Resource]]]:
    """Return the dependencies of the member behind ``gate``: ``others`` and the gate.

    While the pair is being made the gate is left out, so that Nova makes both servers at the same time. The pair is
    being made if no server has a member's name *and* the first gate was created in this very run. Both facts
    are needed. An adopted pair has servers and no gates; a pair with a new ``namePrefix`` has gates, and no server has
    the new name.

    :param began: when this run began to declare the pair, in seconds since 1970.
    :param has_servers: whether a server has a member's name.
    """
    if has_servers:
        return [*others, gate]

    def dependencies(printed: str | None) -> list[pulumi.Resource]:
        return list(others) if _made_since(printed, began) else [*others, gate]

    return first_gate.stdout.apply(dependencies)


def _made_since(printed: str | None, moment: float) -> bool:
    """Whether the first gate's output is a time (``TELL_THE_TIME``) that is not before ``moment``.

    Both times are of one machine: the engine runs the program and the commands on it. The command cuts fractions off.
    """
    made_at = _time_in(printed)
    return bool(made_at) and int(made_at) >= int(moment)


def _time_in(printed: str | None) -> str:
    """Return the time that ``TELL_THE_TIME`` printed, as decimal digits; empty if the first gate printed none."""
    text = (printed or "").strip()
    return text if text.isdecimal() else ""


def _declare(
    name: str,
    member: GatedMember,
    create: str,
    update: str,
    environment: dict[str, pulumi.Input[str]],
    opts: pulumi.ResourceOptions,
) -> command.local.Command:
    fingerprint = pulumi.Output.all(*member.restarted_by).apply(
        lambda values: hashlib.sha256("\0".join(str(value) for value in values).encode()).hexdigest()[:16]
    )
    return command.local.Command(
        name,
        create=create,
        update=update,
        dir=os.path.relpath(PROJECT_FOLDER),
        environment={
            "MEMBER": member.name,
            # The hash is a secret: a reader may know all of its input except a password of at most eight characters.
            "RESTARTED_BY": pulumi.Output.secret(fingerprint),
            "READY_TIMEOUT": str(member.ready_timeout),
            **environment,
            **{key: pulumi.Output.secret(value) for key, value in credentials_of(provider_of(opts.parent)).items()},
        },
        add_previous_output_in_env=False,
        logging=command.local.Logging.STDERR,
        opts=opts,
    )


def _python() -> str:
    """Return the interpreter, as a relative path if it is in the project: a state must not depend on one machine."""
    executable = Path(sys.executable)
    inside = executable.is_relative_to(PROJECT_FOLDER)
    return shlex.quote(str(executable.relative_to(PROJECT_FOLDER) if inside else executable))
