"""The things that go wrong with a pair, each with the way to do it and the way back."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .pair import Member, Pair

Deed = Callable[[Pair, Member], object]


@dataclass(frozen=True)
class Event:
    """Something that is done to the member that answers."""

    name: str
    act: Deed
    #: What brings everything back; done also after an interrupt, and where ``act`` did nothing yet.
    mend: Deed
    #: The name under which the mending is an event of its own, if it is one.
    mending: str | None = None
    #: Whether the member boots, and has to be waited for.
    boots: bool = False
    #: Whether it is over by itself, perhaps before anybody has missed the member. Else it has not happened until
    #: another member answers.
    passes: bool = False


def _run(member: Member, *command: str) -> None:
    member.run(*command).check_returncode()


def _freeze_for(seconds: float) -> Deed:
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
    act=lambda _, member: member.set_port(up=False),
    mend=lambda _, member: member.set_port(up=True),
    mending="port enabled again",
)
KEEPALIVED_STOPPED = Event(
    "keepalived stopped",
    act=lambda _, member: _run(member, "systemctl", "stop", "keepalived"),
    mend=lambda _, member: _run(member, "systemctl", "start", "keepalived"),
    mending="keepalived started",
)
KEEPALIVED_KILLED = Event(
    "keepalived killed",
    act=lambda _, member: _run(member, "systemctl", "kill", "--signal=KILL", "keepalived"),
    mend=lambda _, member: _run(member, "systemctl", "start", "keepalived"),
    passes=True,
)
KEEPALIVED_CHILD_KILLED = Event(
    "keepalived's child killed",
    act=lambda _, member: _run(member, "sh", "-c", "pkill -KILL -P $(systemctl show -p MainPID --value keepalived)"),
    mend=lambda _, member: _run(member, "systemctl", "start", "keepalived"),
    passes=True,
)
DRAINED = Event(
    "drained",
    act=lambda _, member: _run(member, "vrrp-health", "drain"),
    mend=lambda _, member: _run(member, "vrrp-health", "undrain"),
    mending="undrained",
)
SERVICE_STOPPED = Event(
    "web server stopped",
    act=lambda pair, member: _run(member, "systemctl", "stop", pair.service_unit),
    mend=lambda pair, member: _run(member, "systemctl", "start", pair.service_unit),
    mending="web server started",
)
SERVICE_HANGS = Event(
    "web server hangs",
    act=lambda pair, member: _run(member, "systemctl", "kill", "--signal=STOP", pair.service_unit),
    mend=lambda pair, member: _run(member, "systemctl", "kill", "--signal=CONT", pair.service_unit),
    mending="web server goes on",
)
SERVER_KILLED = Event(
    "server killed",
    act=lambda _, member: member.cut_power(),
    mend=_switch_on,
    mending="killed server booted",
    boots=True,
)
SERVER_STOPPED = Event(
    "server shut down", act=lambda _, member: member.switch_off(), mend=_switch_on, mending="server started", boots=True
)
SERVER_PAUSED = Event(
    "server paused",
    act=lambda _, member: member.freeze(),
    mend=lambda _, member: member.thaw(),
    mending="server goes on",
)
SERVER_FROZEN = Event("server frozen for 1 s", act=_freeze_for(1), mend=lambda _, member: member.thaw(), passes=True)
BOTH_KILLED = Event("both servers killed and started again", act=_cut_both, mend=_switch_on, boots=True, passes=True)

#: What needs no way into a member.
BY_THE_APIS = (PORT_DISABLED, SERVER_PAUSED, SERVER_STOPPED)
#: And what does.
FROM_INSIDE = (
    KEEPALIVED_STOPPED,
    KEEPALIVED_KILLED,
    KEEPALIVED_CHILD_KILLED,
    DRAINED,
    SERVICE_STOPPED,
    SERVICE_HANGS,
)
#: Nova has no plug to pull, and a pause that is over in a second: only where the hypervisor is at hand.
BY_THE_HYPERVISOR = (SERVER_KILLED, SERVER_FROZEN, BOTH_KILLED)
EVERYTHING = (*BY_THE_APIS, *FROM_INSIDE, *BY_THE_HYPERVISOR)

#: What a demonstration shows, each with its way back.
FOUR = (PORT_DISABLED, KEEPALIVED_STOPPED, SERVICE_STOPPED, SERVER_KILLED)


def choose(names: Sequence[str] | None, possible: Sequence[Event], default: Sequence[Event]) -> list[Event]:
    """The named events, in that order; ``default`` when none is named.

    :raises ValueError: for a name that is none of the possible ones.
    """
    by_name = {event.name: event for event in possible}
    if unknown := [name for name in names or () if name not in by_name]:
        raise ValueError(f"{', '.join(map(repr, unknown))}: there are {', '.join(map(repr, by_name))}")
    return [by_name[name] for name in names] if names else list(default)


def on_a_cloud(*, inside: bool, drains: bool) -> list[Event]:
    """What can be done to a real pair.

    :param inside: whether there is a way into the members.
    :param drains: whether they know what that is.
    """
    return [event for event in (*BY_THE_APIS, *(FROM_INSIDE if inside else ())) if drains or event is not DRAINED]
