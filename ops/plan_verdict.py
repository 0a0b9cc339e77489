"""The verdict about a planned change: one sentence about the traffic, and the exit status that follows from it."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from settings.change_classes import KEYS, ChangeClass

from .engine_json import logical_name
from .plan_effects import CLIENTS, effects
from .plan_failovers import Course, courses, in_words
from .plan_interrupts import interruptions
from .plan_settings import KeyDifference
from .plan_steps import Steps
from .type_tokens import COMMAND, SERVER

#: The exit statuses of `ops plan`.
NO_CHANGES, FAILED, CHANGES, WOULD_INTERRUPT = 0, 1, 2, 3

#: A line of the preflight's message.
_NUMBERED = re.compile(r"^\s*\d+\. (.*)$", re.MULTILINE)

#: The engine's message about a protected resource that a change would delete or replace.
_PROTECTED = re.compile(
    r"(?:resource \"(?P<deleted>[^\"]+)\" cannot be deleted\s+because it is protected"
    r"|unable to (?:replace|delete) resource \"(?P<replaced>[^\"]+)\"(?: as part of replacing \"[^\"]+\")?\s+"
    r"as it is currently marked for protection)"
)

#: The engine's last message about a preview that has failed.
_PREVIEW_FAILED = "preview failed"

#: Key → the key of the network that it is in. With another network the address is another one, too.
_FOLLOWS = {"vip": "cidr", "gateway": "cidr", "vip6": "cidr6"}

#: From harmless to impossible.
_SEVERITY = (ChangeClass.NOTHING, ChangeClass.ROLL, ChangeClass.INTERRUPTION, ChangeClass.REFUSED)


@dataclass(frozen=True)
class Verdict:
    """The effect of a change on the traffic."""

    change_class: ChangeClass
    #: One sentence, with its full stop.
    sentence: str
    exit_status: int
    #: Whether `pulumi up` refuses the change.
    refused: bool = False
    #: What interrupts the service, as clauses, or why `up` refuses the change, with the way out. Else empty.
    reasons: tuple[str, ...] = field(default=())


def judge_plan(
    steps: Steps,
    keys: Sequence[KeyDifference],
    *,
    preempt: bool = True,
    allowed: Collection[str] | None = None,
    own: Collection[str] | None = None,
) -> Verdict:
    """Return the verdict about a preview that succeeded.

    :param keys: the keys of the stack file that differ.
    :param preempt: whether a returning master takes the VIP back.
    :param allowed: the entries of ``allowInterruption`` in the stack file, if the preflight could not be asked. None if
        it has seen the change and has let it pass.
    :param own: the logical names of the pairs that the stack's settings describe; None for all pairs.
    """
    if not steps.changes:
        return Verdict(ChangeClass.NOTHING, "No changes.", NO_CHANGES)
    if steps.new:
        return Verdict(ChangeClass.NOTHING, "A new pair: nothing serves yet.", CHANGES)
    if all(change.operation == "delete" for change in steps.changes) and _servers(steps):
        return _interruption(["the pair is deleted"], (), allowed)
    causes = sorted(_causes(keys), key=_severity, reverse=True)
    followed = courses(steps, (_preempted(keys, preempt), preempt), own)
    found = list(interruptions(steps))
    # If the preflight was asked (``allowed`` is None), it has compared the keys with the cloud. A key then proves
    # nothing: a run that stopped half-way may have made its change already. Only a resource that still changes
    # interrupts.
    by_key = allowed is not None and causes and any(change.type != COMMAND for change in steps.changes)
    if found or by_key:
        return _interruption(found, causes, allowed)
    return _harmless(followed, effects(steps, keys))


def refused_verdict(message: str, mask: Callable[[str], str] = str) -> Verdict:
    """Return the verdict about a change that the preflight refused.

    :param message: the preflight's, with one numbered line for each change, which ends with the way out.
    :param mask: returns a text without the secrets that ``message`` may contain.
    """
    reasons = [found[1].strip() for found in _NUMBERED.finditer(message)] or [" ".join(message.split())]
    # The first sentence of each names the change and its effect.
    said = "; ".join(mask(re.split(r"\. (?=[A-Z])", reason)[0].rstrip(".")) for reason in reasons)
    # A reason about a change begins with its key, as in "vip: 10.0.0.201 -> 10.0.0.202: …". Others can't be allowed.
    keys = [KEYS.get(reason.partition(":")[0]) for reason in reasons]
    can_be_allowed = all(key and key.change_class is ChangeClass.INTERRUPTION for key in keys)
    return Verdict(
        ChangeClass.INTERRUPTION if can_be_allowed else ChangeClass.REFUSED,
        f"An interruption; refused: {said}.",
        WOULD_INTERRUPT,
        refused=True,
        reasons=tuple(mask(reason) for reason in reasons),
    )


def protected_verdict(errors: Sequence[str], mask: Callable[[str], str] = str) -> Verdict | None:
    """Return the verdict about a change that would lose a protected resource; None if the errors say something else.

    :param errors: the engine's, of a preview that has failed.
    :param mask: returns a text without the secrets that ``errors`` may contain.
    """
    reasons = [" ".join(error.split()) for error in errors if error.strip() != _PREVIEW_FAILED]
    found = [_PROTECTED.search(reason) for reason in reasons]
    names = [logical_name(one["deleted"] or one["replaced"]) for one in found if one]
    if not names or len(names) < len(reasons):
        return None
    which = " and ".join(dict.fromkeys(names))
    are, them = ("is", "it") if len(set(names)) == 1 else ("are", "them")
    return Verdict(
        ChangeClass.REFUSED,
        f"An interruption; refused: {which} {are} protected, and the change would delete or replace {them}.",
        WOULD_INTERRUPT,
        refused=True,
        reasons=tuple(
            f"{mask(reason).rstrip('.')}. If protectFloatingIp protects it, set protectFloatingIp to false and run "
            "`pulumi up` first: this gives the protection up."
            for reason in reasons
        ),
    )


def _interruption(found: list[str], causes: Sequence[KeyDifference], allowed: Collection[str] | None) -> Verdict:
    reasons = [*(_explained(key) for key in causes), *found]
    worst = (
        ChangeClass.REFUSED
        if any(_severity(key) == _SEVERITY.index(ChangeClass.REFUSED) for key in causes)
        else ChangeClass.INTERRUPTION
    )
    not_allowed = [key for key in causes if allowed is not None and key.as_allowed not in allowed]
    if not_allowed:
        said = "; ".join(_explained(key, with_way_out=True) for key in not_allowed)
        return Verdict(worst, f"An interruption; refused: {said}.", WOULD_INTERRUPT, True, tuple(reasons))
    said = "; ".join([_explained(key) for key in causes] or found)
    return Verdict(worst, f"An interruption: {said}.", WOULD_INTERRUPT, False, tuple(reasons))


def _servers(steps: Steps) -> bool:
    return any(change.type == SERVER for change in steps.changes)


def _causes(keys: Sequence[KeyDifference]) -> Iterator[KeyDifference]:
    """Yield each key that interrupts the service by itself, as the preflight sees it (``gates.present_pair``)."""
    changed = {key.key for key in keys}
    for key in keys:
        if _interrupts(key) and _FOLLOWS.get(key.key) not in changed:
            yield key


def _interrupts(key: KeyDifference) -> bool:
    return _severity(key) >= _SEVERITY.index(ChangeClass.INTERRUPTION)


def _severity(key: KeyDifference) -> int:
    return _SEVERITY.index(key.change_class) if key.change_class else 0


def _explained(key: KeyDifference, *, with_way_out: bool = False) -> str:
    about = key.about
    assert about is not None
    text = f"{key.as_allowed}: this {about.effect}" if about.effect else key.as_allowed
    if not with_way_out:
        return text
    if about.way_out:
        way_out = about.way_out[0].lower() + about.way_out[1:].rstrip(".")
        return f"{text}; instead, {way_out}"
    return f'{text}; allowInterruption: ["{key.as_allowed}"] allows it once'


def _harmless(followed: Sequence[Course], effects_of_keys: Mapping[str, str]) -> Verdict:
    """Return the verdict about a change that does not interrupt the service."""
    noticed = {one.pair: clause for one in followed if (clause := in_words(one))}
    also = "".join(f"; {key} {effect}" for key, effect in effects_of_keys.items())
    if any(one.pair in noticed and one.serves for one in followed):
        return Verdict(ChangeClass.ROLL, f"A roll: {_said_of(noticed)}{also}.", CHANGES)
    if noticed:
        said = _said_of(noticed)
        return Verdict(ChangeClass.NOTHING, f"{said[0].upper()}{said[1:]}{also}.", CHANGES)
    said = "No failover" if CLIENTS in effects_of_keys else "No effect on traffic"
    return Verdict(ChangeClass.NOTHING, f"{said}{also}.", CHANGES)


def _preempted(keys: Sequence[KeyDifference], preempt: bool) -> bool:
    """Whether a returning master took the VIP back before the change."""
    old = next((key.old for key in keys if key.key == "preempt"), None)
    return preempt if old is None else old.lower() != "false"


def _said_of(noticed: Mapping[str, str]) -> str:
    """Return what happens to the members of each pair. With several pairs, each clause begins with its logical name."""
    if len(noticed) == 1:
        return next(iter(noticed.values()))
    return "; ".join(f"{pair}: {clause}" for pair, clause in noticed.items())
