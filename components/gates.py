"""The gates of a change: the first gate, a handover gate and a ready gate for each member, and the final check.

Nova calls a server ACTIVE long before keepalived runs. Without a gate the engine replaces the second server seconds
after the first one was "created", and the service is down until one of them has booted.

The gates are commands, not resource hooks. A failed after-hook still commits its step, so the next `up` would go on to
the master. Delete hooks break a plain `destroy`, which does not run the program. A before-create hook runs after the
deletion of delete-before-replace. A command is a resource: the engine records whether it has passed.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pulumi
import pulumi_command as command
import pulumi_openstack as openstack

from gates.arguments import MARK, UNLESS_NEW_PAIR, WITHDRAW
from settings import PairSettings
from settings.identity import PortRole, pair_tag

from .preflight import ExistingResources
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

#: The shell prints this word after the final check has failed.
_INCOMPLETE = "INCOMPLETE"

PROJECT_FOLDER = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class GatedMember:
    """A member as its gates know it."""

    role: PortRole
    #: The server's name.
    name: str
    #: The name of its port.
    port_name: str
    #: Its IPv4 address.
    address: str
    #: The logical name of the server, for the commands that a message names.
    logical_name: str
    #: The key pair of the server; None without one.
    key_pair: str | None
    #: The values whose change replaces the server.
    restarted_by: Sequence[pulumi.Input[str]]
    #: Seconds that the member may take until it is ready.
    ready_timeout: int


@dataclass(frozen=True)
class GatedPair:
    """A pair as its gates know it."""

    #: The logical name of the pair.
    name: str
    master: GatedMember
    backup: GatedMember
    parent: pulumi.Resource

    def environment(self) -> dict[str, str]:
        """Return the variables by which ``gates.pair_ports`` finds the members."""
        return _environment_of(self.name, self.master.port_name, self.backup.port_name)

    @property
    def tag(self) -> str:
        """The tag of the pair's ports."""
        return _tag_of(self.name)

    def peer_of(self, member: GatedMember) -> GatedMember:
        """Return the other member."""
        return self.backup if member.role is PortRole.MASTER else self.master

    def question_about(self, member: GatedMember) -> dict[str, str]:
        """Return the environment of ``gates.peer``: the question whether a member may be taken away."""
        peer = self.peer_of(member)
        return {
            "ROLE": member.role.value,
            "MEMBER": member.name,
            "PEER": peer.name,
            "PEER_LOGICAL_NAME": peer.logical_name,
            "ADDRESSES": f"{self.master.address} {self.backup.address}",
            "READY_TIMEOUT": str(member.ready_timeout),
            **self.environment(),
        }


def declare_peer_gate(pair: GatedPair, existing: ExistingResources) -> command.local.Command:
    """Declare the first gate, before the backup. It opens when the master can serve meanwhile (``gates.peer``).

    The master depends on this gate and cannot be an input of it: the gate looks it up by its port.

    If the pair is new, the gate prints the time of its creation. If it was made by hand, the gate checks the master as
    far as this is possible (``gates.adoption``). Servers that may belong to another pair prove nothing.
    """
    if not existing.has_servers:
        create = TELL_THE_TIME
    else:
        create = NOTHING if existing.has_only_strangers else f"{_python()} -m gates.adoption"
    return _declare(
        f"{pair.name}-master-stands-in",
        create=create,
        update=f"{_python()} -m gates.peer",
        environment={
            **pair.question_about(pair.backup),
            "RESTARTED_BY": _fingerprint(pair.backup),
            # Only this gate runs with the credentials and the key pair of the present run, before anything is deleted.
            **({"KEY_PAIR": pair.backup.key_pair} if pair.backup.key_pair else {}),
        },
        # The command depends on whether servers exist. In the next run they do, and that must not change the gate.
        opts=pulumi.ResourceOptions(parent=pair.parent, ignore_changes=["create"]),
    )


def declare_ready_gate(
    pair: GatedPair,
    member: GatedMember,
    server: openstack.compute.Instance,
    first_gate: command.local.Command,
    existing: ExistingResources,
) -> command.local.Command:
    """Declare the ready gate, which depends on ``server``. It opens when the member is ready (``gates.ready``).

    A new server updates the gate, and each update waits. On creation only the backup's gate waits, because the master
    depends on it, and only if the pair is not new: the pair may have been adopted. If a master may exist under another
    name, the gate can't know whether the pair is new, and waits.

    :param first_gate: the gate that prints the time at which a new pair was made.
    """
    wait = f"{_python()} -m gates.ready"
    wait_at_first = wait if existing.has_only_strangers else f"{wait} {UNLESS_NEW_PAIR}"
    is_first = member.role is PortRole.BACKUP
    return _declare(
        f"{member.logical_name}-ready",
        create=_unless_no_service_yet(wait_at_first, has_servers=existing.has_servers) if is_first else NOTHING,
        update=wait,
        environment={
            "MEMBER": member.name,
            "LOGICAL_NAME": member.logical_name,
            "SERVER_ID": server.id,
            "READY_TIMEOUT": str(member.ready_timeout),
            "RESTARTED_BY": _fingerprint(member),
            **(
                {
                    "ROLE": member.role.value,
                    "PEER": pair.peer_of(member).name,
                    "PAIR_MADE_AT": first_gate.stdout.apply(_time_in),
                    **pair.environment(),
                }
                if is_first
                else {}
            ),
        },
        opts=pulumi.ResourceOptions(parent=pair.parent, depends_on=[server], ignore_changes=["create"]),
    )


def declare_handover_gate(
    pair: GatedPair,
    member: GatedMember,
    server: openstack.compute.Instance,
    peers_server: openstack.compute.Instance,
) -> command.local.Command:
    """Declare the gate that the engine deletes before it deletes ``server`` (``gates.handover``).

    The trigger makes the gate a dependent that is replaced with the server. Before a delete-before-replace the engine
    deletes such dependents, whatever the reason is: a setting, drift, or ``--replace``. If the command of the gate
    fails, the server is not touched. The command and its environment are those of the last `up`.

    The gate also depends on the peer's server, without using a value of it. So there is no gate until the pair is
    complete, and a `destroy` after a failed first `up` is not stopped. While a failed roll is unfinished, the engine
    keeps the old gate in the state as "pending replacement", and runs its command again before it deletes the server.
    """
    return _declare(
        f"{member.logical_name}-handover",
        create=NOTHING,
        delete=_needs_python("gates.handover"),
        environment={**pair.question_about(member), "SERVER_ID": server.id},
        triggers=[server.id],
        # Otherwise a gate that stays closed would be left in the state, beside its successor.
        opts=pulumi.ResourceOptions(parent=pair.parent, depends_on=[server, peers_server], delete_before_replace=True),
    )


def declare_teardown(
    pair: GatedPair,
    handovers: Sequence[command.local.Command],
    first_gate: command.local.Command,
    *,
    has_servers: bool,
    protect: bool,
) -> command.local.Command:
    """Declare the resource that a `destroy` deletes before the gates, which then open (``gates.teardown``).

    It depends on the gates without using a value of them. So the engine does not delete it when it replaces a server.

    :param has_servers: whether the preflight found a member's server.
    :param protect: whether a `destroy` must stop here. Without a preview (``--skip-preview``) the engine would notice
        a protected floating IP only after it has deleted the servers.
    """
    withdraw = f"{_python()} -m gates.teardown {WITHDRAW}"
    return _declare(
        f"{pair.name}-teardown",
        create=_unless_no_service_yet(withdraw, has_servers=has_servers),
        update=withdraw,
        delete=_needs_python(f"gates.teardown {MARK}"),
        environment={**pair.environment(), "PAIR_MADE_AT": first_gate.stdout.apply(_time_in)},
        # Otherwise a replacement would withdraw the mark first, and set it afterwards.
        opts=pulumi.ResourceOptions(
            parent=pair.parent,
            depends_on=list(handovers),
            delete_before_replace=True,
            # Only `create` reads PAIR_MADE_AT. The first roll empties it, and that is no reason for an update.
            ignore_changes=["create", "environment.PAIR_MADE_AT"],
            protect=protect,
        ),
    )


def withdraw_teardown(name: str, settings: PairSettings, parent: pulumi.Resource) -> None:
    """Withdraw the mark of a `destroy` that has not ended. Returns when the mark is gone.

    :param name: the logical name of the pair.
    :raises pulumi.RunError: if Neutron gave no answer.
    """
    master, backup = settings.members
    environment = _environment_of(name, master.port_name, backup.port_name)
    try:
        command.local.run(
            command=f"{shlex.quote(sys.executable)} -m gates.teardown {WITHDRAW}",
            dir=str(PROJECT_FOLDER),
            environment={**environment, **credentials_of(provider_of(parent))},
            logging=command.local.Logging.NONE,
        )
    except Exception as error:  # the SDK raises a plain Exception for every failed invoke
        raise pulumi.RunError(
            f"nothing of {name} was changed: the mark of a destroy could not be withdrawn ({error})"
        ) from None


def declare_final_check(
    name: str,
    expected: Mapping[str, Any],
    ready_timeout: int,
    first_gate: command.local.Command,
    depends_on: Sequence[pulumi.Resource],
    parent: pulumi.Resource,
    existing: ExistingResources,
) -> command.local.Command:
    """Declare the final check, which depends on everything else (``gates.complete``).

    It runs when a value of ``expected``, ``ready_timeout`` or the provider's configuration has changed. It also runs at
    the end of a run that began with a stopped member. The engine starts a server in place, which changes no value that
    a gate knows.

    :param expected: what the check compares with Neutron, with outputs as values.
    :param ready_timeout: seconds that a member may take until it is ready.
    :param depends_on: everything that a change of the pair touches.
    """
    check = f"{_python()} -m gates.complete"
    environment = {
        "EXPECTED": pulumi.Output.from_input(expected).apply(json.dumps),
        "READY_TIMEOUT": str(ready_timeout),
        "PAIR_MADE_AT": first_gate.stdout.apply(_time_in),
    }
    declared = _declare(
        name,
        create=_unless_no_service_yet(f"{check} {UNLESS_NEW_PAIR}", has_servers=existing.has_servers),
        update=check,
        environment=environment,
        opts=pulumi.ResourceOptions(parent=parent, depends_on=list(depends_on), ignore_changes=["create"]),
    )
    if existing.has_stopped_member and not pulumi.runtime.is_dry_run():
        _check_at_the_end({**environment, **credentials_of(provider_of(parent))}, [declared, *depends_on])
    return declared


def _check_at_the_end(environment: Mapping[str, pulumi.Input[str]], depends_on: Sequence[pulumi.Resource]) -> None:
    """Run the final check in this run, and fail the run if the pair is not complete. No resource records it."""

    def fail_unless_complete(printed: str) -> None:
        if printed.strip().endswith(_INCOMPLETE):
            raise pulumi.RunError(
                "A member did not run when this `pulumi up` began, and the pair is not complete at its end: the lines "
                "above say why. The next `pulumi up` does not check this again, unless it changes the pair or finds a "
                "member that does not run."
            )

    command.local.run_output(
        # With status 1 the engine would show a traceback.
        command=f"{shlex.quote(sys.executable)} -m gates.complete || echo {_INCOMPLETE}",
        dir=str(PROJECT_FOLDER),
        environment=pulumi.Output.all(**environment),
        logging=command.local.Logging.STDERR,
        opts=pulumi.InvokeOutputOptions(depends_on=list(depends_on)),
    ).apply(lambda done: fail_unless_complete(done.stdout))


def unless_new(
    first_gate: command.local.Command,
    gate: command.local.Command,
    others: Sequence[pulumi.Resource],
    *,
    began: float,
    has_servers: bool,
) -> pulumi.Input[Sequence[pulumi.Input[pulumi.Resource]]]:
    """Return the dependencies of the member that waits for ``gate``: ``others`` and the gate.

    While the pair is being made the gate is left out, so that Nova makes both servers at the same time. The pair is
    being made if the preflight found no server of a member *and* this run has created the first gate. Both facts are
    needed. An adopted pair has servers and no gates. A pair whose servers were deleted by hand has gates and no
    servers.

    :param began: when this run began to declare the pair, in seconds since 1970.
    :param has_servers: whether the preflight found a member's server, by its name, port or address.
    """
    if has_servers:
        return [*others, gate]

    def dependencies(printed: str | None) -> list[pulumi.Resource]:
        return list(others) if _made_since(printed, began) else [*others, gate]

    return first_gate.stdout.apply(dependencies)


def _unless_no_service_yet(what: str, *, has_servers: bool) -> str:
    """Return the command that runs when a gate is created. The gate ignores later changes of it.

    If servers exist, a run before this one may have failed: the shell can't know whether they are in ERROR.

    :param what: the command that asks the cloud.
    :param has_servers: whether the preflight found a member's server.
    """
    return what if has_servers else f"{NO_SERVICE_YET} || {what}"


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


def _tag_of(name: str) -> str:
    return pair_tag(pulumi.get_project(), pulumi.get_stack(), name)


def _environment_of(name: str, master_port: str, backup_port: str) -> dict[str, str]:
    return {"PAIR_TAG": _tag_of(name), "MASTER_PORT": master_port, "BACKUP_PORT": backup_port}


def _fingerprint(member: GatedMember) -> pulumi.Output[str]:
    """Return a hash of everything that replaces the server.

    It is a secret: a reader may know all of its input except a password of at most eight characters.
    """
    return pulumi.Output.secret(
        pulumi.Output.all(*member.restarted_by).apply(
            lambda values: hashlib.sha256("\0".join(str(value) for value in values).encode()).hexdigest()[:16]
        )
    )


def _declare(
    name: str,
    *,
    create: str,
    environment: Mapping[str, pulumi.Input[str]],
    opts: pulumi.ResourceOptions,
    update: str | None = None,
    delete: str | None = None,
    triggers: list[Any] | None = None,
) -> command.local.Command:
    return command.local.Command(
        name,
        create=create,
        update=update,
        delete=delete,
        triggers=triggers,
        dir=os.path.relpath(PROJECT_FOLDER),
        environment={
            **environment,
            **{key: pulumi.Output.secret(value) for key, value in credentials_of(provider_of(opts.parent)).items()},
        },
        add_previous_output_in_env=False,
        logging=command.local.Logging.STDERR,
        opts=opts,
    )


def _needs_python(module: str) -> str:
    """Return the command that runs a module of the gates. A `destroy` may run on a machine without the interpreter."""
    python = _python()
    return (
        f"command -v {python} > /dev/null || {{ echo 'This needs the interpreter of the project: run make set-up, or "
        f"pulumi install.' >&2; exit 1; }}; {python} -m {module}"
    )


def _python() -> str:
    """Return the interpreter, as a relative path if it is in the project: a state must not depend on one machine."""
    executable = Path(sys.executable)
    inside = executable.is_relative_to(PROJECT_FOLDER)
    return shlex.quote(str(executable.relative_to(PROJECT_FOLDER) if inside else executable))
