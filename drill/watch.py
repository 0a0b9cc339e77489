"""What is true from outside, over time: who answered each request, and who held the VIP when."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from .pair import Pair

#: Seconds. A request that takes longer is no answer; a SYN that was lost is repeated after 1 s.
PATIENCE = 1.0
POLL_INTERVAL = 0.01


@dataclass(frozen=True)
class Answer:
    """One request of the client; times in seconds of ``time.monotonic``."""

    sent: float
    over: float
    #: The name of the member that answered, None when none did.
    member: str | None


@dataclass(frozen=True)
class Change:
    """The VIP came to a member, or left it."""

    at: float
    member: str
    holds: bool


class Watch:
    """Polls the pair's URL as a client and follows the VIP on every member, from entry to exit."""

    def __init__(self, pair: Pair, poll_interval: float = POLL_INTERVAL) -> None:
        """:param poll_interval: seconds between two requests."""
        self._pair = pair
        self._poll_interval = poll_interval
        #: Seconds between two good answers that are still one uninterrupted service: five missed polls.
        self.unbroken = 5 * poll_interval
        self.members = [member.name for member in pair.members()]
        self._processes: list[subprocess.Popen[str]] = []
        self._threads: list[threading.Thread] = []
        self.answers: list[Answer] = []
        self.changes: list[Change] = []

    def __enter__(self) -> Self:
        for name, command in self._pair.address_monitors():
            self._read(self._start(command), lambda line, member=name: self._address_changed(member, line))
        holders = self._pair.holders()
        for name, _ in self._pair.address_monitors():
            self.note_holder(name, name in holders)
        script = str(Path(__file__).with_name("client.py"))
        asking = [sys.executable, script, self._pair.url, str(self._poll_interval), str(PATIENCE)]
        self._read(self._start(self._pair.as_client(asking)), self._answered)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.wait()
        for thread in self._threads:
            thread.join()

    def note_holder(self, member: str, holds: bool) -> None:
        """Tell what no address message tells: a server that is off holds nothing."""
        self.changes.append(Change(time.monotonic(), member, holds))

    # -- reading -----------------------------------------------------------------------------------------

    def good(self, since: float = 0, until: float = float("inf")) -> list[Answer]:
        """The requests of that time that were answered, by the time at which they were over."""
        answers = list(self.answers)
        return sorted((a for a in answers if a.member and since <= a.over <= until), key=lambda a: a.over)

    def holders(self, since: float, until: float) -> Iterator[tuple[float, frozenset[str]]]:
        """Who held the VIP: (from when on, the members' names), the first entry for ``since`` itself."""
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

    # -- listening ---------------------------------------------------------------------------------------

    def _start(self, command: Sequence[str]) -> subprocess.Popen[str]:
        # In a session of its own: a Ctrl-C is for the command that watches, which then ends this.
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True
        )
        self._processes.append(process)
        return process

    def _read(self, process: subprocess.Popen[str], listen: Callable[[str], None]) -> None:
        def follow(stream: IO[str]) -> None:
            for line in stream:
                listen(line)

        assert process.stdout is not None
        thread = threading.Thread(target=follow, args=(process.stdout,), daemon=True)
        thread.start()
        self._threads.append(thread)

    def _answered(self, line: str) -> None:
        seen = json.loads(line)
        self.answers.append(Answer(seen["sent"], seen["over"], seen["answer"]))

    def _address_changed(self, member: str, line: str) -> None:
        if re.search(rf"inet {re.escape(self._pair.vip)}/", line):
            self.changes.append(Change(time.monotonic(), member, not line.startswith("Deleted")))
