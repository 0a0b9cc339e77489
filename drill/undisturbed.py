"""What must not be interrupted: bringing back what was taken away."""

from __future__ import annotations

import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager

INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def undisturbed() -> Generator[None]:
    """Put off every interrupt until this is over, however often somebody presses Ctrl-C.

    :raises KeyboardInterrupt: afterwards, when there was one.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    put_off: list[int] = []
    before = {number: signal.signal(number, lambda number, _: put_off.append(number)) for number in INTERRUPTS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if put_off:
        raise KeyboardInterrupt
