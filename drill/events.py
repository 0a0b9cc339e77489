"""The events of a drill: failures and stops of a member, each with the way to restore the pair."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .pair import Member, Pair

#: An action on a pair. The member is the one that answered before.
Action = Callable[[Pair, Member], object]


@dataclass(frozen=True)
class Event:
    """Something that happens to the member that answers."""

    name: str
    perform: Action
    #: Restores the pair. It also runs after an interrupt, when ``perform`` may have done nothing yet.
    restore: Action
    #: The name of the recovery in the report. None if the recovery is not observed as an event of its own.
    recovery: str | None = None
    #: Whether the member boots, so that the drill has to wait until it is ready again.
    reboots: bool = False
    #: Whether the event ends by itself, perhaps without a failover. Any other event is over when the other member
    #: answers.
    self_healing: bool = False


def _run(member: Member, *command: str) -> None:
    member.run(*command).check_returncode()


def _freeze_for(seconds: float) -> Action:
    def freeze(_: Pair, member: Member) -> None:
        member.freeze()
        time.sleep(seconds)
        member.thaw()

    return freeze


def _cut_both(pair: Pair, member: Member) -> None:
    for each in pair.members():
        each.cut_power()
    _switch_on(pair, member)


def _switch_on(pair: Pair, _: Member) -> None:
    for each in pair.members():
        each.switch_on()


PORT_DISABLED = Event(
    "port disabled",
    perform=lambda _, member: member.set_port(up=False),
    restore=lambda _, member: member.set_port(up=True),
    recovery="port enabled again",
)
KEEPALIVED_STOPPED = Event(
    "keepalived stopped",
    perform=lambda _, member: _run(member, "systemctl", "stop", "keepalived"),
    restore=lambda _, member: _run(member, "systemctl", "start", "keepalived"),
    recovery="keepalived started",
)
KEEPALIVED_KILLED = Event(
    "keepalived killed",
    perform=lambda _, member: _run(member, "systemctl", "kill", "--signal=KILL", "keepalived"),
    restore=lambda _, member: _run(member, "systemctl", "start", "keepalived"),
    self_healing=True,
)
KEEPALIVED_CHILD_KILLED = Event(
    "keepalived's child killed",
    perform=lambda _, member: _run(
        member, "sh", "-c", "pkill -KILL -P $(systemctl show -p MainPID --value keepalived)"
    ),
    restore=lambda _, member: _run(member, "systemctl", "start", "keepalived"),
    self_healing=True,
)
DRAINED = Event(
    "drained",
    perform=lambda _, member: _run(member, "vrrp-health", "drain"),
    restore=lambda _, member: _run(member, "vrrp-health", "undrain"),
    recovery="undrained",
)
SERVICE_STOPPED = Event(
    "web server stopped",
    perform=lambda pair, member: _run(member, "systemctl", "stop", pair.service_unit),
    restore=lambda pair, member: _run(member, "systemctl", "start", pair.service_unit),
    recovery="web server started",
)
SERVICE_HANGS = Event(
    "web server hangs",
    perform=lambda pair, member: _run(member, "systemctl", "kill", "--signal=STOP", pair.service_unit),
    restore=lambda pair, member: _run(member, "systemctl", "kill", "--signal=CONT", pair.service_unit),
    recovery="web server goes on",
)
SERVER_KILLED = Event(
    "server killed",
    perform=lambda _, member: member.cut_power(),
    restore=_switch_on,
    recovery="killed server booted",
    reboots=True,
)
SERVER_STOPPED = Event(
    "server shut down",
    perform=lambda _, member: member.switch_off(),
    restore=_switch_on,
    recovery="server started",
    reboots=True,
)
SERVER_PAUSED = Event(
    "server paused",
    perform=lambda _, member: member.freeze(),
    restore=lambda _, member: member.thaw(),
    recovery="server goes on",
)
SERVER_FROZEN = Event(
    "server frozen for 1 s",
    perform=_freeze_for(1),
    restore=lambda _, member: member.thaw(),
    self_healing=True,
)
BOTH_KILLED = Event(
    "both servers killed and started again", perform=_cut_both, restore=_switch_on, reboots=True, self_healing=True
)

#: Events that need only the Neutron and Nova APIs.
API_EVENTS = (PORT_DISABLED, SERVER_PAUSED, SERVER_STOPPED)
#: Events that need a login on the member.
MEMBER_EVENTS = (
    KEEPALIVED_STOPPED,
    KEEPALIVED_KILLED,
    KEEPALIVED_CHILD_KILLED,
    DRAINED,
    SERVICE_STOPPED,
    SERVICE_HANGS,
)
#: Events that need the hypervisor: Nova cannot cut a server's power, and its pause takes longer than a second.
HYPERVISOR_EVENTS = (SERVER_KILLED, SERVER_FROZEN, BOTH_KILLED)
ALL_EVENTS = (*API_EVENTS, *MEMBER_EVENTS, *HYPERVISOR_EVENTS)

#: The events of a demonstration. Each has a recovery.
DEMONSTRATION = (PORT_DISABLED, KEEPALIVED_STOPPED, SERVICE_STOPPED, SERVER_KILLED)


def possible_events(*, login: bool, hypervisor: bool, drain: bool) -> list[Event]:
    """Return every event that a pair allows.

    :param login: whether there is a login on the members.
    :param hypervisor: whether the drill controls the hypervisor.
    :param drain: whether the members have the `vrrp-health drain` command.
    """
    allowed = (*API_EVENTS, *(MEMBER_EVENTS if login else ()), *(HYPERVISOR_EVENTS if hypervisor else ()))
    return [event for event in allowed if drain or event is not DRAINED]


def choose(names: Sequence[str] | None, possible: Sequence[Event]) -> list[Event]:
    """Return the named events in the given order, or every possible event if none is named.

    :raises ValueError: if a name is not the name of a possible event.
    """
    by_name = {event.name: event for event in possible}
    if unknown := [name for name in names or () if name not in by_name]:
        raise ValueError(
            f"{', '.join(map(repr, unknown))}: not an event of this pair; choose from {', '.join(map(repr, by_name))}"
        )
    return [by_name[name] for name in names] if names else list(possible)
