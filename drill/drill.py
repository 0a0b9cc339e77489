"""Things that go wrong with a pair, done to it while a client keeps asking: what did the client see?"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

from settings.pair import Role

from .events import FOUR, Event
from .pair import Member, Pair
from .undisturbed import undisturbed
from .watch import Answer, Watch

#: Seconds without an answer after which an outage is called endless. The longest that heals by itself is the
#: router's neighbour entry timing out (49 s measured); the default is below it so that a drill has an end.
LIMIT = 15.0

#: Seconds that the pair may take to serve again once everything is mended: a black hole (above), and a boot.
SETTLING = 90.0


#: Seconds that something which passes by itself is watched at least: both its beginning and its end.
PASSING = 5.0

#: How often the way back is tried, with 5 s in between.
MENDING_ATTEMPTS = 12


class NotHealthy(Exception):
    """The pair does not serve before anything was done to it; the message says what is amiss."""


@dataclass(frozen=True)
class Observation:
    """One row of the drill: times in seconds of ``time.monotonic``, durations in seconds."""

    name: str
    at: float
    #: When the observation ended.
    until: float
    before: str | None
    after: str | None
    #: The longest time between two good answers; to the end of the observation if none came any more.
    longest_gap: float
    #: When that gap began.
    gap_from: float
    #: How many members held the VIP at the same time: at most, and at the end. 0 where nobody could look.
    holders_most: int
    holders_at_end: int
    back: bool
    #: How often another member answered than before.
    failovers: int = 0
    #: Seconds in which more than one member held the VIP.
    shared_for: float = 0
    #: Why this is not what was to be seen, although the service is there: the other member never answered, or the
    #: pair did not become what it was by itself. Empty when all is as it should be.
    amiss: str = ""

    @property
    def passed(self) -> bool:
        return self.back and not self.amiss

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


class Drill:
    """Events, done to one pair. Whatever a drill takes away it gives back, also when it is interrupted."""

    def __init__(
        self,
        pair: Pair,
        watch: Watch,
        say: Callable[[str], None],
        limit: float = LIMIT,
        patience: float = SETTLING,
    ) -> None:
        self._pair = pair
        self._watch = watch
        self._say = say
        self._limit = limit
        self._patience = patience
        interval = pair.advert_interval
        # A lost master is replaced after at most four intervals (RFC 9568: three and the skew); a fifth for the
        # second look, and never less than a person would wait.
        self._least = max(2.0, 5 * interval)
        self._quiet = max(1.0, 2 * interval)

    def run(self, events: Sequence[Event] = FOUR) -> Iterator[Observation]:
        """Do one event after another; each is yielded when its observation is over.

        :raises NotHealthy: when the pair does not serve before an event, or after the last one.
        """
        self.settle("before the drill")
        for event in events:
            yield from self._do(event)

    def once(self, event: Event) -> list[Observation]:
        """One event (and its mending, where that is an event too) by itself.

        :raises NotHealthy: when the pair does not serve before or after it.
        """
        self.settle(f'before "{event.name}"')
        return list(self._do(event))

    def _do(self, event: Event) -> Iterator[Observation]:
        """One event on a healthy pair, and the wait until it is healthy again."""
        pair, member = self._pair, self._answering()
        with self._mended(event, member):
            if event.passes:
                longest = max(self._limit, self._patience) if event.boots else self._limit
                yield self._observe(
                    event.name,
                    lambda: event.act(pair, member),
                    self._restored,
                    longest,
                    PASSING,
                    otherwise="not as before by itself",
                )
            else:
                yield self._observe(
                    event.name,
                    lambda: event.act(pair, member),
                    lambda: self._answering().name != member.name,
                    self._limit,
                    otherwise="the other member never answered",
                )
            if event.mending is not None:
                # The way back is seen to its end: a master that has booted takes the VIP back.
                longest = self._patience if event.boots else self._limit
                yield self._observe(event.mending, lambda: event.mend(pair, member), self._restored, longest)
        if event.boots:
            self._until(
                lambda: not self._not_ready(), "both members to be ready again", lambda: ", ".join(self._not_ready())
            )
        self.settle(f'after "{event.name}"')

    # -- one event ---------------------------------------------------------------------------------------

    def _observe(
        self,
        name: str,
        act: Callable[[], object],
        over: Callable[[], bool],
        longest: float,
        least: float = 0,
        *,
        otherwise: str = "",
    ) -> Observation:
        """:param over: what has to be true, besides an unbroken service, before the event is over.

        :param longest: seconds after which it is over all the same.
        :param least: seconds before which it is not.
        :param otherwise: what is amiss when ``over`` is not true in the end.
        """
        self._say(name)
        last = self._watch.good()[-1]
        at = time.monotonic()
        served = at - last.over < 2 * self._watch.unbroken
        act()
        acted = time.monotonic()
        if self._pair.address_monitors():
            # What lost its power lost the VIP, and nothing inside was left to tell.
            for member in self._pair.members():
                if not member.is_running():
                    self._watch.note_holder(member.name, False)
        while (
            time.monotonic() - acted < least or not (self._quiet_since(acted) and over())
        ) and time.monotonic() - acted < longest:
            time.sleep(0.05)
        until = time.monotonic()
        good = self._watch.good(at, until)
        back = self._quiet_since(acted)
        # Where nobody served before, only what was lost from now on is this event's.
        moments = [last.over if served else at, *(answer.over for answer in good), *([] if back else [until])]
        gap, gap_from = max((later - earlier, earlier) for earlier, later in pairwise(moments))
        held = list(self._watch.holders(at, until))
        holders = [len(names) for _, names in held]
        ends = [*(began for began, _ in held[1:]), until]
        who = [*([last.member] if served else []), *(answer.member for answer in good)]
        return Observation(
            name=name,
            at=at,
            until=until,
            before=last.member if served else None,
            after=good[-1].member if back else None,
            longest_gap=gap,
            gap_from=gap_from,
            holders_most=max(holders),
            holders_at_end=holders[-1],
            back=back,
            failovers=sum(earlier != later for earlier, later in pairwise(who)),
            shared_for=sum(end - began for (began, names), end in zip(held, ends, strict=True) if len(names) > 1),
            amiss=otherwise if back and not over() else "",
        )

    def _quiet_since(self, at: float) -> bool:
        """Whether one member alone has answered without a break for a while, long enough after ``at``."""
        now = time.monotonic()
        if now - at < self._least:
            return False
        recent = self._watch.good(since=now - self._quiet)
        return (
            len({answer.member for answer in recent}) == 1
            and recent[0].over - (now - self._quiet) < self._watch.unbroken
            and now - recent[-1].over < 2 * self._watch.unbroken
            and not _breaks(recent, 2 * self._watch.unbroken)
        )

    # -- between two events ------------------------------------------------------------------------------

    def settle(self, when: str) -> None:
        """Wait until the pair serves as at the beginning: one answers, one holds the VIP, both could.

        :raises NotHealthy: when it does not.
        """
        since = time.monotonic()
        self._until(lambda: not self._amiss(since), f"a healthy pair {when}", lambda: self._amiss(since))

    def _amiss(self, since: float) -> str:
        """What a healthy pair lacks, or an empty text."""
        now = time.monotonic()
        if not self._quiet_since(since):
            return "no single member answers without a break"
        holders = next(iter(self._watch.holders(now, now)))[1]
        if len(holders) != 1 and self._pair.address_monitors():
            return f"the VIP is held by {' and '.join(sorted(holders)) or 'nobody'}"
        if self._pair.preempt and self._answering().role is not Role.MASTER:
            return f"{self._answering().name} answers, and is not the master"
        # Last, as a cloud is asked for it.
        return " and ".join(f"{name} is not ready" for name in self._not_ready())

    def _not_ready(self) -> list[str]:
        return [member.name for member in self._pair.members() if not member.is_ready()]

    def _restored(self) -> bool:
        return not self._not_ready() and (not self._pair.preempt or self._answering().role is Role.MASTER)

    def _answering(self) -> Member:
        return self._member(str(self._watch.good()[-1].member))

    def _member(self, name: str) -> Member:
        for member in self._pair.members():
            if member.name == name:
                return member
        raise NotHealthy(f"{name!r} answers, which is no member's name: a drill needs a page that says whose it is")

    def _until(self, true: Callable[[], bool], what: str, why_not: Callable[[], str]) -> None:
        end = time.monotonic() + self._patience
        while not true():
            if time.monotonic() > end:
                raise NotHealthy(f"waited {self._patience:.0f} s for {what}, in vain: {why_not()}")
            time.sleep(0.05)

    def _mend(self, event: Event, member: Member) -> None:
        """Again and again: an API has its bad moments, and refuses while it is still busy with the deed."""
        for attempt in range(MENDING_ATTEMPTS, 0, -1):
            try:
                event.mend(self._pair, member)
            except Exception as error:
                if attempt == 1:
                    raise
                # Nobody may be there to hear it any more.
                with suppress(OSError):
                    self._say(f"to undo {event.name!r} has failed, and is tried again: {error}")
                time.sleep(5)
            else:
                return

    @contextmanager
    def _mended(self, event: Event, member: Member) -> Generator[None]:
        try:
            yield
        finally:
            with undisturbed():
                self._mend(event, member)


def _breaks(answers: list[Answer], longest: float) -> bool:
    return any(later.over - earlier.over > longest for earlier, later in pairwise(answers))
