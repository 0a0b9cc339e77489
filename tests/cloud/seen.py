"""The observations of a client during a change of the pair, and the table of them for docs/acceptance.md."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, TextIO

from lab.stack_file import PROJECT_FOLDER

#: Seconds between two requests, and seconds that an answer may take.
POLL_INTERVAL, PATIENCE = 0.1, 2.0

#: Seconds. At an interval of one second a planned failover takes the skew, 0.43 s (RFC 9568 section 6.1), and a new
#: connection. Without a gate the gap is the boot of a server, nearly a minute. The bound allows for a shared machine.
LONGEST_PLANNED_GAP = 2.0

TABLE = PROJECT_FOLDER / "build" / "acceptance.md"


@dataclass
class Seen:
    """The observations of one client. They are complete when the client has ended."""

    requests: int = 0
    unanswered: int = 0
    #: The longest time without a good answer in seconds, including the beginning and the end.
    longest_gap: float = 0
    #: Seconds from the beginning to the longest gap.
    gap_after: float = 0
    #: The member that answered, once for each change of the member.
    by: list[str] = field(default_factory=list[str])
    #: Seconds from the beginning to each of these changes.
    by_after: list[float] = field(default_factory=list[float])
    #: The duration in seconds.
    took: float = 0

    @property
    def lost(self) -> float:
        """The share of the requests without an answer."""
        return self.unanswered / self.requests


@contextmanager
def watched(*urls: str) -> Generator[Seen]:
    """Send requests to the URLs during the context, and for some seconds before and after it.

    With several URLs, one client each, a request counts as answered if any of the clients got an answer.
    """
    program = [sys.executable, str(PROJECT_FOLDER / "drill" / "client.py")]
    seen, began = Seen(), time.monotonic()
    with ExitStack() as stack:
        # Files instead of pipes, because the output is read only after the clients have ended.
        files = [stack.enter_context(tempfile.TemporaryFile("w+", encoding="utf-8")) for _ in urls]
        clients = [
            subprocess.Popen([*program, url, str(POLL_INTERVAL), str(PATIENCE)], stdout=said, start_new_session=True)
            for url, said in zip(urls, files, strict=True)
        ]
        try:
            time.sleep(3)
            yield seen
            time.sleep(5)
        finally:
            seen.took = time.monotonic() - began
            for client in clients:
                client.terminate()
                client.wait()
        each = [_answers_in(said) for said in files]
    answers = each[0] if len(each) == 1 else merged(each)
    assert len(answers) > 0.8 * seen.took / POLL_INTERVAL, "the client itself was held up"
    good = sorted((answer["over"], answer["answer"]) for answer in answers if answer["answer"])
    moments = [answers[0]["sent"], *(over for over, _ in good), answers[-1]["over"]]
    members = [member for _, member in good]
    seen.requests, seen.unanswered = len(answers), len(answers) - len(good)
    seen.longest_gap, seen.gap_after = max(
        (later - earlier, earlier - moments[0]) for earlier, later in pairwise(moments)
    )
    changes = [(over, member) for (over, member), before in zip(good, ["", *members], strict=False) if member != before]
    seen.by = [member for _, member in changes]
    seen.by_after = [round(over - moments[0], 1) for over, _ in changes]
    print(seen)


def _answers_in(said: TextIO) -> list[dict[str, Any]]:
    said.seek(0)
    # The last line may be incomplete.
    return [json.loads(line) for line in said if line.endswith("\n")]


def merged(clients: Sequence[Sequence[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Return one request for each POLL_INTERVAL, with an answer if one of the clients got one.

    :param clients: the requests of each client, as drill/client.py prints them.
    """
    slots: dict[int, list[dict[str, Any]]] = {}
    for request in (request for requests in clients for request in requests):
        slots.setdefault(int(request["sent"] / POLL_INTERVAL), []).append(request)
    return [
        min(requests, key=lambda request: (request["answer"] is None, request["over"]))
        for _, requests in sorted(slots.items())
    ]


@dataclass
class Table:
    """The observations of one run of the suite, for docs/acceptance.md."""

    rows: list[tuple[str, Seen]] = field(default_factory=list[tuple[str, Seen]])

    def add(self, what: str, seen: Seen) -> None:
        """Add a row, and write the table to build/acceptance.md."""
        self.rows.append((what, seen))
        self._write(TABLE)

    def _write(self, path: Path) -> None:
        machine = f"{platform.machine()}, Linux {platform.release()}"
        lines = [
            f"Measured {datetime.now(UTC):%Y-%m-%d} on {machine}; a request every {POLL_INTERVAL:g} s.",
            "",
            "| what was done | took | requests | unanswered | longest gap | who answered |",
            "|---|---:|---:|---:|---:|---|",
            *(
                f"| {what} | {seen.took:.0f} s | {seen.requests:,} | {seen.unanswered} | {seen.longest_gap:.2f} s "
                f"| {' → '.join(member.rpartition('-')[2] for member in seen.by)} |"
                for what, seen in self.rows
            ),
        ]
        path.parent.mkdir(exist_ok=True)
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
