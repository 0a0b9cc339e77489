"""The observer of a drill: a client that polls the service, and a monitor of the VIP on each member."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from .pair import Pair
from .recording import Answer, HolderChange, Recording
from .timing import POLL_INTERVAL, REQUEST_TIMEOUT


class Observer:
    """Records the answers of a pair's URL and the VIP's holders, from entry to exit of the ``with`` block."""

    def __init__(self, pair: Pair, poll_interval: float = POLL_INTERVAL) -> None:
        """:param poll_interval: seconds between two requests."""
        self._pair = pair
        self._poll_interval = poll_interval
        # The service is interrupted if ten requests get no answer; fewer may be late because the machine is busy.
        self.recording = Recording([member.name for member in pair.members()], tolerance=5 * poll_interval)
        self._processes: list[subprocess.Popen[str]] = []
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        """Start the monitors first, so that no change after the first look at the holders is lost."""
        try:
            self._start_everything()
        except BaseException:
            # An interrupt, for example. Python calls `__exit__` only after a complete entry.
            self._end_everything()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the client and the monitors, and wait until all that they printed is recorded."""
        self._end_everything()

    def record_holder(self, member: str, *, holds: bool) -> None:
        """Record that a member has the VIP or lacks it now, if no monitor reports that."""
        self.recording.changes.append(HolderChange(time.monotonic(), member, holds))

    def _start_everything(self) -> None:
        monitors = self._pair.address_monitors()
        for name, command in monitors:
            self._follow(self._start(command), lambda line, member=name: self._record_address(member, line))
        holders = self._pair.holders()
        for name, _ in monitors:
            self.record_holder(name, holds=name in holders)
        script = str(Path(__file__).with_name("client.py"))
        client = [sys.executable, script, self._pair.url, str(self._poll_interval), str(REQUEST_TIMEOUT)]
        self._follow(self._start(self._pair.as_client(client)), self._record_answer)

    def _end_everything(self) -> None:
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.wait()
        for thread in self._threads:
            thread.join()

    def _start(self, command: Sequence[str]) -> subprocess.Popen[str]:
        # In its own session: Ctrl-C interrupts the drill, and the drill ends this process.
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True
        )
        self._processes.append(process)
        return process

    def _follow(self, process: subprocess.Popen[str], record: Callable[[str], None]) -> None:
        def read(stream: IO[str]) -> None:
            for line in stream:
                record(line)

        assert process.stdout is not None
        thread = threading.Thread(target=read, args=(process.stdout,), daemon=True)
        thread.start()
        self._threads.append(thread)

    def _record_answer(self, line: str) -> None:
        told = json.loads(line)
        self.recording.answers.append(Answer(told["sent"], told["over"], told["answer"]))

    def _record_address(self, member: str, line: str) -> None:
        if re.search(rf"inet {re.escape(self._pair.vip)}/", line):
            self.record_holder(member, holds=not line.startswith("Deleted"))
