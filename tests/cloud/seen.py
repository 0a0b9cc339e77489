"""What a client saw while something was done to the pair, and the table of it."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

from lab.stack_file import PROJECT_FOLDER

#: Seconds between two requests, and how long the client waits for an answer.
POLL_INTERVAL, PATIENCE = 0.1, 2.0

#: Seconds. At an interval of one second a planned failover takes the skew, 0.43 s (RFC 9568 section 6.1), and a new
#: connection; without a gate the gap is a server's boot, near a minute. Machines are shared: the table tells more.
LONGEST_PLANNED_GAP = 2.0

TABLE = PROJECT_FOLDER / "build" / "acceptance.md"


@dataclass
class Seen:
    """Filled in when the client has ended."""

    requests: int = 0
    unanswered: int = 0
    #: Seconds without a good answer, those before the first and after the last one included.
    longest_gap: float = 0
    #: Seconds from the beginning to the longest gap's.
    gap_after: float = 0
    #: Who answered, each time that it was another one than before.
    by: list[str] = field(default_factory=list[str])
    #: Seconds from the beginning to each of these.
    by_after: list[float] = field(default_factory=list[float])
    #: Seconds that it took.
    took: float = 0

    @property
    def lost(self) -> float:
        """The share of the requests that nobody answered."""
        return self.unanswered / self.requests


@contextmanager
def watched(url: str) -> Generator[Seen]:
    """Asks ``url`` all the while, from a little before until a little after."""
    command = [sys.executable, str(PROJECT_FOLDER / "drill" / "client.py"), url, str(POLL_INTERVAL), str(PATIENCE)]
    seen, began = Seen(), time.monotonic()
    # A file, and no pipe: nobody reads while the client writes.
    with tempfile.TemporaryFile("w+", encoding="utf-8") as said:
        client = subprocess.Popen(command, stdout=said, start_new_session=True)
        try:
            time.sleep(3)
            yield seen
            time.sleep(5)
        finally:
            seen.took = time.monotonic() - began
            client.terminate()
            client.wait()
        said.seek(0)
        # The last line may be half a line.
        answers = [json.loads(line) for line in said if line.endswith("\n")]
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


@dataclass
class Table:
    """The longest gaps of one run of the suite, for the docs."""

    rows: list[tuple[str, Seen]] = field(default_factory=list[tuple[str, Seen]])

    def add(self, what: str, seen: Seen) -> None:
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
