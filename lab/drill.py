"""Five things that go wrong with a pair, done to it while a client keeps asking: what did the client see?"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

from components.settings import Role

from .cloud import Cloud
from .nova import Member
from .up import is_ready
from .watch import Answer, Watch

#: Seconds without an answer after which an outage is called endless. The longest that heals by itself is the
#: router's neighbour entry timing out (49 s measured); the default is below it so that a drill has an end.
LIMIT = 15.0

#: Seconds that the pair may take to serve again once everything is mended: a black hole (above), and a boot.
SETTLING = 90.0

#: Seconds between two good answers that are still one uninterrupted service: five missed polls.
UNBROKEN = 0.05


class NotHealthy(Exception):
    """The pair does not serve before anything was done to it; the message says what is amiss."""


@dataclass(frozen=True)
class Event:
    """One row of the drill: times in seconds of ``time.monotonic``, durations in seconds."""

    name: str
    at: float
    #: When the observation ended.
    until: float
    before: str | None
    after: str | None
    #: The longest time between two good answers; to the end of the observation if none came any more.
    longest_gap: float
    #: How many members held the VIP at the same time: at most, and at the end.
    holders_most: int
    holders_at_end: int
    back: bool

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


class Drill:
    """The five events, done to one lab. Whatever it takes away it gives back, also when it is interrupted."""

    def __init__(
        self,
        cloud: Cloud,
        watch: Watch,
        say: Callable[[str], None],
        limit: float = LIMIT,
        patience: float = SETTLING,
    ) -> None:
        self._cloud = cloud
        self._watch = watch
        self._say = say
        self._limit = limit
        self._patience = patience
        interval = float(cloud.record.about["advertInterval"])
        # A lost master is replaced after at most four intervals (RFC 9568: three and the skew); a fifth for the
        # second look, and never less than a person would wait.
        self._least = max(2.0, 5 * interval)
        self._quiet = max(1.0, 2 * interval)
        self._preempt = cloud.record.about["preempt"] == "true"

    def run(self) -> Iterator[Event]:
        """Do one event after another; each is yielded when its observation is over and things are mended."""
        self._settle("before the drill")
        neutron, nova = self._cloud.neutron, self._cloud.nova

        master = self._answering()
        with self._mended(lambda: neutron.set_admin_state(master.port_id, up=True)):
            yield self._observe("port disabled", lambda: neutron.set_admin_state(master.port_id, up=False))
            yield self._observe("port enabled again", lambda: neutron.set_admin_state(master.port_id, up=True))

        self._settle("after the port was enabled again")
        with self._service_back(stopped := self._answering(), "keepalived"):
            yield self._observe("keepalived stopped", lambda: _systemctl(stopped, "stop", "keepalived"))

        self._settle("after keepalived was started again")
        with self._service_back(served := self._answering(), "apache2"):
            yield self._observe("web server stopped", lambda: _systemctl(served, "stop", "apache2"))

        self._settle("after the web server was started again")
        killed = self._answering()

        def pull_the_plug() -> None:
            nova.kill(killed)
            self._watch.note_holder(killed.name, False)

        with self._mended(lambda: nova.start(killed) if not killed.is_running() else None):
            yield self._observe("server killed", pull_the_plug)
        self._until(lambda: is_ready(self._member(killed.name)), f"{killed.name} to be ready again")
        self._settle("after the server was started again")

    # -- one event ---------------------------------------------------------------------------------------

    def _observe(self, name: str, act: Callable[[], None]) -> Event:
        self._say(name)
        last = self._watch.good()[-1]
        at = time.monotonic()
        act()
        while not self._quiet_since(at) and time.monotonic() - at < self._limit:
            time.sleep(0.05)
        until = time.monotonic()
        good = [last, *self._watch.good(at, until)]
        back = self._quiet_since(at)
        over = [answer.over for answer in good] + ([] if back else [until])
        holders = [len(held) for _, held in self._watch.holders(at, until)]
        return Event(
            name=name,
            at=at,
            until=until,
            before=last.member,
            after=good[-1].member if back else None,
            longest_gap=max(later - earlier for earlier, later in pairwise(over)),
            holders_most=max(holders),
            holders_at_end=holders[-1],
            back=back,
        )

    def _quiet_since(self, at: float) -> bool:
        """Whether one member alone has answered without a break for a while, long enough after ``at``."""
        now = time.monotonic()
        if now - at < self._least:
            return False
        recent = self._watch.good(since=now - self._quiet)
        return (
            len({answer.member for answer in recent}) == 1
            and recent[0].over - (now - self._quiet) < UNBROKEN
            and now - recent[-1].over < 2 * UNBROKEN
            and not _breaks(recent)
        )

    # -- between two events ------------------------------------------------------------------------------

    def _settle(self, when: str) -> None:
        """Wait until the pair serves as at the beginning: one answers, one holds the VIP.

        :raises NotHealthy: when it does not.
        """
        since = time.monotonic()

        def settled() -> bool:
            now = time.monotonic()
            if not self._quiet_since(since) or len(list(self._watch.holders(now, now))[-1][1]) != 1:
                return False
            return not self._preempt or self._answering().role is Role.MASTER

        self._until(settled, f"a healthy pair {when}")

    def _answering(self) -> Member:
        return self._member(str(self._watch.good()[-1].member))

    def _member(self, name: str) -> Member:
        return next(member for member in self._cloud.nova.members() if member.name == name)

    def _until(self, true: Callable[[], bool], what: str) -> None:
        end = time.monotonic() + self._patience
        while not true():
            if time.monotonic() > end:
                raise NotHealthy(
                    f"waited {self._patience:.0f} s for {what}, in vain; `python -m lab status` tells more"
                )
            time.sleep(0.05)

    @contextmanager
    def _mended(self, mend: Callable[[], None]) -> Generator[None]:
        try:
            yield
        finally:
            mend()

    def _service_back(self, member: Member, unit: str) -> AbstractContextManager[None]:
        return self._mended(lambda: _systemctl(member, "start", unit))


def _systemctl(member: Member, *words: str) -> None:
    member.run("systemctl", *words).check_returncode()


def _breaks(answers: list[Answer]) -> bool:
    return any(later.over - earlier.over > UNBROKEN * 2 for earlier, later in pairwise(answers))
