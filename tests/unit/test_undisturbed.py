"""What brings everything back is not interrupted, and the interrupt is not lost either."""

from __future__ import annotations

import os
import signal

import pytest

from drill.undisturbed import INTERRUPTS, undisturbed


@pytest.mark.parametrize("number", INTERRUPTS)
def test_an_interrupt_waits_for_the_end_and_then_comes(number: signal.Signals) -> None:
    before = {each: signal.getsignal(each) for each in INTERRUPTS}
    done: list[str] = []

    def bring_back() -> None:
        with undisturbed():
            os.kill(os.getpid(), number)
            os.kill(os.getpid(), number)
            done.append("all of it")
        done.append("and goes on")

    with pytest.raises(KeyboardInterrupt):
        bring_back()
    assert done == ["all of it"]
    assert {each: signal.getsignal(each) for each in INTERRUPTS} == before


def test_without_an_interrupt_nothing_happens() -> None:
    with undisturbed():
        pass


def test_what_goes_wrong_in_it_is_told_and_not_the_interrupt() -> None:
    def bring_back() -> None:
        with undisturbed():
            os.kill(os.getpid(), signal.SIGINT)
            raise ValueError("the server stays off")

    with pytest.raises(ValueError, match="stays off"):
        bring_back()
