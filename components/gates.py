"""The gates of a change: before the backup, between the members, and after the master.

Nova calls a server ACTIVE long before keepalived runs. Without a gate the engine would replace the second server
seconds after the first was "created", and nobody would answer until one of them has booted.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

import pulumi
import pulumi_command as command
import pulumi_openstack as openstack

from gates.ready import UNLESS_ALONE

from .provider_credentials import credentials_of_the_stack

#: A command that does nothing: the first `up` is as fast as without gates.
NOTHING = ":"

PACKAGE_PARENT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Change:
    """What a gate is about: one member, and whatever has Nova make it anew or restart it."""

    #: The server's name.
    member: str
    #: The logical name of the server, for the commands that a message names.
    logical_name: str
    restarted_by: list[pulumi.Input[str]]
    ready_timeout: int


def declare_ready_gate(
    name: str, change: Change, server: openstack.compute.Instance, peer: str | None, parent: pulumi.Resource
) -> command.local.Command:
    """Declare the gate behind ``server``, which opens when that can do its work (``ready_gate``).

    It waits when it is updated, and it is updated when the server is another one, or when what restarts it in place
    has changed. When it is created it waits only if there is a ``peer`` already, which is to go next: a pair that was
    adopted.

    :param peer: the name of the server behind the gate; None where there is none.
    """
    wait = f"{_python()} -m gates.ready"
    return _declare(
        name,
        change,
        create=f"{wait} {UNLESS_ALONE}" if peer else NOTHING,
        update=wait,
        environment={"SERVER_ID": server.id, **({"PEER": peer} if peer else {})},
        opts=pulumi.ResourceOptions(parent=parent, depends_on=[server]),
    )


def declare_stand_in_gate(
    name: str, change: Change, stand_in: str, logical_name: str, parent: pulumi.Resource
) -> command.local.Command:
    """Declare the gate before a member, which opens when another one can stand in for it (``stand_in``).

    :param stand_in: the name of that server. It is behind this gate and can be no input of it: it is looked up.
    :param logical_name: its logical name.
    """
    return _declare(
        name,
        Change(change.member, logical_name, change.restarted_by, change.ready_timeout),
        create=NOTHING,
        update=f"{_python()} -m gates.peer",
        environment={"PEER": stand_in},
        opts=pulumi.ResourceOptions(parent=parent),
    )


def _declare(
    name: str,
    change: Change,
    create: str,
    update: str,
    environment: dict[str, pulumi.Input[str]],
    opts: pulumi.ResourceOptions,
) -> command.local.Command:
    fingerprint = pulumi.Output.all(*change.restarted_by).apply(
        lambda values: hashlib.sha256("\0".join(str(value) for value in values).encode()).hexdigest()[:16]
    )
    return command.local.Command(
        name,
        create=create,
        update=update,
        dir=os.path.relpath(PACKAGE_PARENT),
        environment={
            "MEMBER": change.member,
            "LOGICAL_NAME": change.logical_name,
            # A secret although it is a hash: everything that goes into it but eight characters may be known.
            "RESTARTED_BY": pulumi.Output.secret(fingerprint),
            "READY_TIMEOUT": str(change.ready_timeout),
            **environment,
            **{key: pulumi.Output.secret(value) for key, value in credentials_of_the_stack().items()},
        },
        add_previous_output_in_env=False,
        logging=command.local.Logging.STDERR,
        opts=opts,
    )


def _python() -> str:
    """The interpreter, relative where it is inside the project: the state must not tell one machine from another."""
    executable = Path(sys.executable)
    inside = executable.is_relative_to(PACKAGE_PARENT)
    return shlex.quote(str(executable.relative_to(PACKAGE_PARENT) if inside else executable))
