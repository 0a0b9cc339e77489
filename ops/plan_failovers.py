"""Follow the members of each pair through the engine's steps: who serves, who returns, and which gate stays closed."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, StrEnum

from settings.pair import Role

from .plan_interrupts import LABELS
from .plan_members import Place, place_of
from .plan_steps import PlannedStep, ResourceChange, Steps
from .type_tokens import NETWORK, PORT, SERVER

OTHER = {Role.MASTER: Role.BACKUP, Role.BACKUP: Role.MASTER}


class Absence(StrEnum):
    """Why a member can't serve before the change. A gate sees each of these (``gates.peer``)."""

    MISSING = "is missing"
    STOPPED = "is stopped"
    DISABLED = "has a disabled port"
    CLOSED = "has a port without allowed address pairs"


class _Event(Enum):
    """The effect of a step on a member."""

    LEAVES = 1
    RETURNS = 2
    RESTARTS = 3


@dataclass(frozen=True)
class Course:
    """The effect of a change on the members of one pair."""

    #: The logical name of the pair.
    pair: str
    #: The members that the change takes away and brings back, in the engine's order.
    restarted: tuple[Role, ...]
    #: The members that can't serve before the change, and why.
    absent: Mapping[Role, Absence]
    #: The numbers of planned failovers that are possible: either member may hold the VIP.
    failovers: frozenset[int]
    #: Whether it is known if a returning master takes the VIP back.
    preempt_is_known: bool
    #: The member that would be taken away while its peer can't serve: a gate stops the change. None if there is none.
    alone: Role | None

    @property
    def serves(self) -> bool:
        """Whether a member serves before the change."""
        return len(self.absent) < len(Role)


#: Whether a returning master takes the VIP back: before the change, and after it.
Preempt = tuple[bool, bool]

#: The two possibilities if the settings of a pair are not known. No such change is one of this setting.
_UNKNOWN: tuple[Preempt, ...] = ((True, True), (False, False))


def courses(steps: Steps, preempt: Preempt, own: Collection[str] | None) -> list[Course]:
    """Return the course of each pair whose members change. A pair that the change makes is left out.

    :param own: the pairs that ``preempt`` is about; None for all.
    """
    found = list[Course]()
    for pair in dict.fromkeys(place.pair for change in steps.changes if (place := _place(change)).role):
        if any(one.type == NETWORK and one.operation == "create" and _is_of(one, pair) for one in steps.changes):
            continue
        found.append(_course(pair, steps, (preempt,) if own is None or pair in own else _UNKNOWN))
    return found


def _is_of(change: ResourceChange, pair: str) -> bool:
    return change.pair == pair if change.pair else change.name.startswith(f"{pair}-")


def _place(one: ResourceChange | PlannedStep) -> Place:
    return place_of(one.name, one.pair)


def _course(pair: str, steps: Steps, preempt: Sequence[Preempt]) -> Course:
    changes = {
        (change.type, Role(place.role)): change
        for change in steps.changes
        if (place := _place(change)).pair == pair and place.role and change.type in {SERVER, PORT}
    }
    absent = {role: reason for role in Role if (reason := _absence(changes, role))}
    events = list(_events(changes, pair, steps.order))
    there = [role for role in Role if role not in absent]
    numbers, alone = set[int](), None
    for before, after in preempt:
        # A master that takes the VIP back holds it while it is healthy. Otherwise either member may hold it.
        for holder in [Role.MASTER] if before and len(there) > 1 else there or [None]:
            number, alone = _followed(events, holder, absent, preempt=after)
            numbers.add(number)
    restarted = dict.fromkeys(role for role, event in events if event is not _Event.RETURNS)
    return Course(pair, tuple(restarted), absent, frozenset(numbers), len(preempt) == 1, alone)


def _absence(changes: Mapping[tuple[str, Role], ResourceChange], role: Role) -> Absence | None:
    server, port = changes.get((SERVER, role)), changes.get((PORT, role))
    if server and server.operation == "create":
        return Absence.MISSING
    # The program wants every server active and every port enabled, so that a difference was made by hand.
    if server and "powerState" in server.touched:
        return Absence.STOPPED
    return _absence_by(port) if port else None


def _absence_by(port: ResourceChange) -> Absence | None:
    """Return why no client reaches a member, by the repair of its port; None if the port is in order."""
    if port.operation != "update":
        return None
    if "adminStateUp" in port.touched:
        return Absence.DISABLED
    by_hand = "allowedAddressPairs" in port.touched - port.own
    # Neutron had no pair if the first one is new.
    none_left = any(one.path.startswith("allowedAddressPairs[0]") and one.old is None for one in port.properties)
    return Absence.CLOSED if by_hand and none_left else None


def _events(
    changes: Mapping[tuple[str, Role], ResourceChange], pair: str, order: Sequence[PlannedStep]
) -> Iterator[tuple[Role, _Event]]:
    """Yield what happens to the members, in the engine's order."""
    for step in order:
        place = _place(step)
        if place.pair != pair or not place.role or step.type not in {SERVER, PORT}:
            continue
        role = Role(place.role)
        change = changes.get((step.type, role))
        if step.type == PORT:
            if change and _absence_by(change):
                yield role, _Event.RETURNS
        elif step.operation == "delete":
            yield role, _Event.LEAVES
        elif step.operation == "create":
            yield role, _Event.RETURNS
        elif change and change.touched - LABELS - {"powerState"}:
            yield role, _Event.RESTARTS
        elif change and "powerState" in change.touched:
            yield role, _Event.RETURNS


def _followed(
    events: Sequence[tuple[Role, _Event]], holder: Role | None, absent: Collection[Role], *, preempt: bool
) -> tuple[int, Role | None]:
    """Return the number of planned failovers, and the member that would leave while its peer can't serve.

    :param holder: the member that holds the VIP before the change.
    """
    away, failovers = set(absent), 0
    for role, event in events:
        if event is not _Event.RETURNS:
            # A member that can't serve may be taken away at any time.
            if role not in away and OTHER[role] in away & set(absent):
                return failovers, role
            if holder is role:
                holder, failovers = OTHER[role], failovers + 1
            away.add(role)
        if event is not _Event.LEAVES:
            away.discard(role)
            if holder is None:
                holder = role
            elif role is Role.MASTER and preempt and holder is Role.BACKUP:
                holder, failovers = role, failovers + 1
    return failovers, None


# -- in words --------------------------------------------------------------------------------------------

_NUMBERS = ("no", "one", "two", "three")


def in_words(course: Course) -> str | None:
    """Return what happens to the members of a pair, as a clause; None if the clients do not notice it."""
    if not course.serves:
        return "neither member serves now, and the service answers when one of them is ready"
    if course.alone is not None:
        peer = OTHER[course.alone]
        return f"the {peer} {course.absent[peer]}, so `up` stops at the gate and does not touch the {course.alone}"
    failovers = _failovers(course.failovers, preempt_is_known=course.preempt_is_known)
    match course.restarted:
        case (Role.BACKUP,):
            return f"only the backup; {failovers}, and no standby meanwhile"
        case (Role.MASTER,):
            return f"only the master; {failovers}"
        case (first, second):
            return f"the {first}, then the {second}; {failovers}"
        case _:
            returns = Role.MASTER in course.absent and max(course.failovers) > 0
            return f"the master returns; {failovers}" if returns else None


def _failovers(possible: Collection[int], *, preempt_is_known: bool) -> str:
    fewest, most = min(possible), max(possible)
    planned = "planned failover" if most == 1 else "planned failovers"
    if fewest == most:
        return f"{_NUMBERS[most]} {planned}" if most else "no failover"
    if fewest == 0:
        return f"at most {_NUMBERS[most]} {planned}"
    either = " or ".join(_NUMBERS[number] for number in sorted(possible))
    return f"{either} {planned}" + (", depending on which member holds the VIP" if preempt_is_known else "")
