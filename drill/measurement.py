"""The figures of an event, computed from the recording alone."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

from .recording import Answer, Recording


@dataclass(frozen=True)
class Observation:
    """One row of the report: times in seconds of ``time.monotonic``, durations in seconds."""

    name: str
    #: When the event began.
    at: float
    #: When the observation ended.
    until: float
    before: str | None
    after: str | None
    #: The longest time between two good answers. It ends with the observation if no answer came any more.
    longest_gap: float
    #: When that gap began.
    gap_from: float
    #: The highest number of members that held the VIP at once, and the number at the end. 0 if the drill could not
    #: look at the members' interfaces.
    holders_most: int
    holders_at_end: int
    #: Whether one member answered without a break at the end.
    back: bool
    #: How often the member that answers changed.
    failovers: int = 0
    #: Seconds during which more than one member held the VIP.
    shared_for: float = 0
    #: Why the event did not end as expected although the service is back. Empty if it did.
    problem: str = ""

    @property
    def passed(self) -> bool:
        """Whether the service is back and the event ended as expected."""
        return self.back and not self.problem

    def as_json(self) -> dict[str, Any]:
        """Return the fields for the report's ``.json`` file."""
        return asdict(self)


@dataclass(frozen=True)
class Criterion:
    """When service counts as back after an event."""

    #: Service never counts as back before this time after the event, in seconds.
    shortest: float
    #: Seconds during which one member alone has to answer without a break.
    steady: float

    @classmethod
    def of(cls, advert_interval: float) -> Criterion:
        """Return the criterion for an advertisement interval in seconds.

        A backup takes over after at most four intervals (RFC 9568 section 6.1: three and the skew). The fifth leaves
        time for the first answers of the new master.
        """
        return cls(shortest=max(2.0, 5 * advert_interval), steady=max(1.0, 2 * advert_interval))

    def is_met(self, recording: Recording, performed: float, now: float) -> bool:
        """Return whether service is back at ``now`` after an event that was performed at ``performed``."""
        return now - performed >= self.shortest and recording.is_steady(now, self.steady)


def measure(
    name: str,
    recording: Recording,
    criterion: Criterion,
    *,
    last: Answer,
    begun: float,
    performed: float,
    until: float,
) -> Observation:
    """Compute the figures of one event. All times are in seconds of ``time.monotonic``.

    :param last: the last good answer before the event.
    :param begun: when the event's action began.
    :param performed: when the action was over.
    :param until: when the observation ended.
    """
    served = begun - last.over < 2 * recording.tolerance
    good = recording.good(begun, until)
    back = criterion.is_met(recording, performed, until)
    # If no member served before the event, the event is not charged with the time before it.
    moments = [last.over if served else begun, *(answer.over for answer in good), *([] if back else [until])]
    longest_gap, gap_from = max((later - earlier, earlier) for earlier, later in pairwise(moments))
    held = list(recording.holders(begun, until))
    ends = [*(since for since, _ in held[1:]), until]
    answered = [*([last.member] if served else []), *(answer.member for answer in good)]
    return Observation(
        name=name,
        at=begun,
        until=until,
        before=last.member if served else None,
        after=good[-1].member if back else None,
        longest_gap=longest_gap,
        gap_from=gap_from,
        holders_most=max(len(names) for _, names in held),
        holders_at_end=len(held[-1][1]),
        back=back,
        failovers=sum(earlier != later for earlier, later in pairwise(answered)),
        shared_for=sum(end - since for (since, names), end in zip(held, ends, strict=True) if len(names) > 1),
    )
