"""The recording of a drill: which member answered each request, and which members held the VIP at each time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise


@dataclass(frozen=True)
class Answer:
    """One request of the client: when it was sent, and when it was over, in seconds of ``time.monotonic``."""

    sent: float
    over: float
    #: The name of the member that answered; None if no member did.
    member: str | None


@dataclass(frozen=True)
class HolderChange:
    """A member got the VIP or lost it, at a time in seconds of ``time.monotonic``."""

    at: float
    member: str
    holds: bool


@dataclass
class Recording:
    """Everything that an observer has recorded. The lists grow while the observer runs."""

    #: The members' names.
    members: Sequence[str]
    #: Seconds. Service counts as uninterrupted if each good answer comes within twice this time after the one before.
    tolerance: float
    answers: list[Answer] = field(default_factory=list[Answer])
    changes: list[HolderChange] = field(default_factory=list[HolderChange])

    def good(self, since: float = 0, until: float = float("inf")) -> list[Answer]:
        """Return the answered requests that were over between ``since`` and ``until``, in the order of ``over``."""
        # A copy: another thread appends to the list.
        answers = list(self.answers)
        return sorted((a for a in answers if a.member and since <= a.over <= until), key=lambda a: a.over)

    def holders(self, since: float, until: float) -> Iterator[tuple[float, frozenset[str]]]:
        """Yield the VIP's holders after each change, as (time of the change, names of the holders).

        The first entry has the holders at ``since``.
        """
        held: set[str] = set()
        began = False
        for change in sorted(self.changes, key=lambda change: change.at):
            if change.at > until:
                break
            if change.at > since and not began:
                began = True
                yield since, frozenset(held)
            (held.add if change.holds else held.discard)(change.member)
            if change.at > since:
                yield change.at, frozenset(held)
        if not began:
            yield since, frozenset(held)

    def is_steady(self, now: float, seconds: float) -> bool:
        """Return whether one member alone answered without a break during the last ``seconds`` before ``now``."""
        begin = now - seconds
        recent = self.good(since=begin, until=now)
        return (
            len({answer.member for answer in recent}) == 1
            and recent[0].over - begin < self.tolerance
            and now - recent[-1].over < 2 * self.tolerance
            and all(later.over - earlier.over <= 2 * self.tolerance for earlier, later in pairwise(recent))
        )
