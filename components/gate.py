"""The gate behind each member: a change goes on to the next only when this one can do its work.

Nova calls a server ACTIVE long before keepalived runs. Without a gate the engine would replace the second server
seconds after the first was "created", and nobody would answer until one of them has booted.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import sys
from pathlib import Path

import pulumi
import pulumi_command as command
import pulumi_openstack as openstack

from .provider_credentials import credentials_of_the_stack

#: What tells a gate that is made, and not changed, to look first whether there is anything to wait for.
UNLESS_ALONE = "unless-alone"

PACKAGE_PARENT = Path(__file__).resolve().parent.parent


def declare_gate(
    name: str,
    member: str,
    peer: str | None,
    server: openstack.compute.Instance,
    restarts: list[pulumi.Input[str]],
    ready_timeout: int,
    parent: pulumi.Resource,
) -> command.local.Command:
    """Declare the gate behind ``server``.

    It waits when it is updated, and it is updated when the server is another one, or when one of ``restarts`` has
    changed: the values that make Nova restart the server in place. When it is created it waits only if there is a
    ``peer`` already, which is to go next: a pair that was adopted. So a first `up` is as fast as without gates.

    :param peer: the name of the server behind the gate; None where there is none.
    """
    fingerprint = pulumi.Output.all(*restarts).apply(
        lambda values: hashlib.sha256("\0".join(str(value) for value in values).encode()).hexdigest()[:16]
    )
    wait = f"{_python()} -m {__package__}.ready_gate"
    return command.local.Command(
        name,
        create=f"{wait} {UNLESS_ALONE}" if peer else ":",
        update=wait,
        dir=_from_here(PACKAGE_PARENT),
        environment={
            "MEMBER": member,
            **({"PEER": peer} if peer else {}),
            "SERVER_ID": server.id,
            # A secret although it is a hash: everything that goes into it but eight characters may be known.
            "RESTARTED_BY": pulumi.Output.secret(fingerprint),
            "READY_TIMEOUT": str(ready_timeout),
            **{key: pulumi.Output.secret(value) for key, value in credentials_of_the_stack().items()},
        },
        add_previous_output_in_env=False,
        logging=command.local.Logging.STDERR,
        opts=pulumi.ResourceOptions(parent=parent, depends_on=[server]),
    )


def _python() -> str:
    """The interpreter, relative where it is inside the project: the state must not tell one machine from another."""
    executable = Path(sys.executable)
    inside = executable.is_relative_to(PACKAGE_PARENT)
    return shlex.quote(str(executable.relative_to(PACKAGE_PARENT) if inside else executable))


def _from_here(folder: Path) -> str:
    return os.path.relpath(folder)
