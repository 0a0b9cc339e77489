"""Signals that end a drill: they must not leave the pair in a state that the drill has caused."""

from __future__ import annotations

import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager

INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def interrupts_raised() -> Generator[None]:
    """Raise KeyboardInterrupt at the first of INTERRUPTS in this block, so that every `finally` runs.

    Later ones are ignored. Some come right after the first (sudo may repeat a Ctrl-C, a closed terminal sends two), and
    one that is raised before a `finally` has postponed it would stop that `finally`: the pair would not be restored.
    """
    raised = False

    def raise_once(*_: object) -> None:
        nonlocal raised
        if not raised:
            raised = True
            raise KeyboardInterrupt

    before = {number: signal.signal(number, raise_once) for number in INTERRUPTS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def interrupts_postponed() -> Generator[None]:
    """Postpone each of INTERRUPTS until the block is over, however many arrive.

    Outside of the main thread it does nothing, because Python delivers signals only there.

    :raises KeyboardInterrupt: after the block, if one arrived.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    received: list[int] = []
    before = {number: signal.signal(number, lambda number, _: received.append(number)) for number in INTERRUPTS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if received:
        raise KeyboardInterrupt
