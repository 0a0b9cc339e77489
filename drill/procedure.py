"""The procedure of a drill: perform an event on a healthy pair, observe it, and restore the pair."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace

from settings.pair import Role

from .events import Event
from .interrupts import interrupts_postponed
from .measurement import Criterion, Observation, measure
from .observer import Observer
from .pair import Member, Pair
from .timing import LIMIT, RECOVERY_TIMEOUT, RESTORE_ATTEMPTS, RESTORE_RETRY_INTERVAL, SELF_HEALING_OBSERVATION

#: Seconds between two looks at a condition that the drill waits for.
LOOK_INTERVAL = 0.05


class NotHealthy(Exception):
    """The pair does not serve before an event or after its recovery; the message says what is missing."""


@dataclass(frozen=True)
class _Step:
    """An event or its recovery, as one observation."""

    name: str
    perform: Callable[[], object]
    #: Whether the step has ended. The drill asks this only when the service is back.
    is_over: Callable[[], bool]
    #: The observation ends at the latest after this time, in seconds.
    longest: float
    #: The observation ends at the earliest after this time, in seconds.
    shortest: float = 0
    #: The problem in the report if the step has not ended although the service is back.
    problem: str = ""


class Drill:
    """Performs events on one pair, and always restores the pair, also after an interrupt."""

    def __init__(
        self,
        pair: Pair,
        observer: Observer,
        say: Callable[[str], None],
        limit: float = LIMIT,
        recovery_timeout: float = RECOVERY_TIMEOUT,
    ) -> None:
        """:param observer: an observer that is running already.

        :param say: is called with the name of each step and with each failed attempt to restore the pair.
        :param limit: seconds after which an outage counts as endless.
        :param recovery_timeout: seconds within which the pair has to be healthy again.
        """
        self._pair = pair
        self._observer = observer
        self._recording = observer.recording
        self._say = say
        self._limit = limit
        self._recovery_timeout = recovery_timeout
        self._criterion = Criterion.of(pair.advert_interval)

    def run(self, events: Sequence[Event]) -> Iterator[Observation]:
        """Perform one event after another, and yield each observation when it is over.

        :raises NotHealthy: if the pair does not serve before an event or after the last one.
        """
        self.wait_until_healthy("before the drill")
        for event in events:
            yield from self._perform(event)

    def once(self, event: Event) -> list[Observation]:
        """Return the observations of one event, and of its recovery if that is an event of its own.

        :raises NotHealthy: if the pair does not serve before or after it.
        """
        self.wait_until_healthy(f'before "{event.name}"')
        return list(self._perform(event))

    def wait_until_healthy(self, when: str) -> None:
        """Wait until one member answers (the master, if it preempts), one holds the VIP, and both are ready.

        :param when: completes the message, such as "before the drill".
        :raises NotHealthy: if that takes longer than the recovery timeout.
        """
        since = time.monotonic()
        self._wait_for(f"a healthy pair {when}", lambda: self._health_problem(since))

    def _perform(self, event: Event) -> Iterator[Observation]:
        """Perform an event on a healthy pair, and wait until the pair is healthy again."""
        member = self._answering()
        with self._restored(event, member):
            yield self._observe(self._event_step(event, member))
            if event.recovery is not None:
                yield self._observe(self._recovery_step(event.recovery, event, member))
        if event.reboots:
            self._wait_for("both members to be ready again", self._readiness_problem)
        self.wait_until_healthy(f'after "{event.name}"')

    def _event_step(self, event: Event, member: Member) -> _Step:
        def perform() -> object:
            return event.perform(self._pair, member)

        if event.self_healing:
            longest = max(self._limit, self._recovery_timeout) if event.reboots else self._limit
            problem = "did not recover by itself"
            return _Step(event.name, perform, self._is_as_before, longest, SELF_HEALING_OBSERVATION, problem)

        def other_member_answers() -> bool:
            return self._answering().name != member.name

        return _Step(event.name, perform, other_member_answers, self._limit, problem="the other member never answered")

    def _recovery_step(self, name: str, event: Event, member: Member) -> _Step:
        # A recovery with a boot takes longer: the member has to boot, and then take the VIP back.
        longest = self._recovery_timeout if event.reboots else self._limit
        return _Step(name, lambda: event.restore(self._pair, member), self._is_as_before, longest)

    # -- one step ----------------------------------------------------------------------------------------

    def _observe(self, step: _Step) -> Observation:
        self._say(step.name)
        last = self._recording.good()[-1]
        begun = time.monotonic()
        step.perform()
        performed = time.monotonic()
        self._record_stopped_members()
        self._wait_until_over(step, performed)
        observation = measure(
            step.name,
            self._recording,
            self._criterion,
            last=last,
            begun=begun,
            performed=performed,
            until=time.monotonic(),
        )
        if observation.back and not step.is_over():
            return replace(observation, problem=step.problem)
        return observation

    def _record_stopped_members(self) -> None:
        """Record that a powered-off member holds no VIP, because it emits no address event."""
        if self._pair.address_monitors():
            for member in self._pair.members():
                if not member.is_running():
                    self._observer.record_holder(member.name, holds=False)

    def _wait_until_over(self, step: _Step, performed: float) -> None:
        while (now := time.monotonic()) - performed < step.longest:
            back = self._criterion.is_met(self._recording, performed, now)
            if now - performed >= step.shortest and back and step.is_over():
                return
            time.sleep(LOOK_INTERVAL)

    # -- the pair's state --------------------------------------------------------------------------------

    def _health_problem(self, since: float) -> str:
        """Return why the pair is not healthy; empty if it is."""
        now = time.monotonic()
        if not self._criterion.is_met(self._recording, since, now):
            return "no single member answers without a break"
        holders = next(iter(self._recording.holders(now, now)))[1]
        if len(holders) != 1 and self._pair.address_monitors():
            return f"the VIP is on {' and '.join(sorted(holders)) or 'no member'}"
        if self._pair.preempt and self._answering().role is not Role.MASTER:
            return f"{self._answering().name} answers, and is not the master"
        # The last check, because it asks the cloud.
        return self._readiness_problem()

    def _readiness_problem(self) -> str:
        return " and ".join(f"{member.name} is not ready" for member in self._pair.members() if not member.is_ready())

    def _is_as_before(self) -> bool:
        return not self._readiness_problem() and (not self._pair.preempt or self._answering().role is Role.MASTER)

    def _answering(self) -> Member:
        name = str(self._recording.good()[-1].member)
        for member in self._pair.members():
            if member.name == name:
                return member
        raise NotHealthy(
            f"{name!r} answers, which is no member's name: let each member's page begin with its host name"
        )

    def _wait_for(self, what: str, problem: Callable[[], str]) -> None:
        """Wait until ``problem`` returns an empty text.

        :raises NotHealthy: with the last problem, if that takes longer than the recovery timeout.
        """
        end = time.monotonic() + self._recovery_timeout
        while why := problem():
            if time.monotonic() > end:
                raise NotHealthy(f"waited {self._recovery_timeout:.0f} s for {what}, but {why}")
            time.sleep(LOOK_INTERVAL)

    # -- restoring ---------------------------------------------------------------------------------------

    @contextmanager
    def _restored(self, event: Event, member: Member) -> Generator[None]:
        try:
            yield
        finally:
            with interrupts_postponed():
                self._restore(event, member)

    def _restore(self, event: Event, member: Member) -> None:
        """Restore the pair. Retry: the API may fail transiently, or still be busy with the event."""
        for attempt in range(RESTORE_ATTEMPTS, 0, -1):
            try:
                event.restore(self._pair, member)
            except Exception as error:
                if attempt == 1:
                    raise
                # The terminal may be gone.
                with suppress(OSError):
                    self._say(f"the pair is not restored yet after {event.name!r}, and the drill tries again: {error}")
                time.sleep(RESTORE_RETRY_INTERVAL)
            else:
                return
