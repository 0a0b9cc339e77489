"""An interrupt does not stop the restoration of a pair, and it is not lost."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from drill.interrupts import INTERRUPTS, interrupts_postponed, interrupts_raised


def handlers() -> dict[signal.Signals, object]:
    return {number: signal.getsignal(number) for number in INTERRUPTS}


def test_the_interrupts_are_those_of_a_terminal_and_of_a_service_manager() -> None:
    assert set(INTERRUPTS) == {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}


class TestPostponedInterrupts:
    @pytest.mark.parametrize("number", INTERRUPTS)
    def test_an_interrupt_is_raised_after_the_block(self, number: signal.Signals) -> None:
        before = handlers()
        done: list[str] = []

        def restore() -> None:
            with interrupts_postponed():
                os.kill(os.getpid(), number)
                os.kill(os.getpid(), number)
                done.append("restored")
            done.append("went on")

        with pytest.raises(KeyboardInterrupt):
            restore()
        assert done == ["restored"]
        assert handlers() == before

    def test_a_block_without_an_interrupt_raises_nothing(self) -> None:
        before = handlers()
        with interrupts_postponed():
            pass
        assert handlers() == before

    def test_an_error_in_the_block_is_raised_instead_of_the_interrupt(self) -> None:
        def restore() -> None:
            with interrupts_postponed():
                os.kill(os.getpid(), signal.SIGINT)
                raise ValueError("the server stays off")

        with pytest.raises(ValueError, match="stays off"):
            restore()

    def test_another_thread_runs_the_block_as_well(self) -> None:
        done: list[str] = []

        def restore() -> None:
            with interrupts_postponed():
                done.append("restored")

        thread = threading.Thread(target=restore)
        thread.start()
        thread.join()
        assert done == ["restored"]


class TestRaisedInterrupts:
    @pytest.mark.parametrize("number", INTERRUPTS)
    def test_an_interrupt_ends_the_block_at_once_and_runs_its_finally(self, number: signal.Signals) -> None:
        before = handlers()
        done: list[str] = []

        def drill() -> None:
            with interrupts_raised():
                try:
                    os.kill(os.getpid(), number)
                    done.append("went on")
                finally:
                    done.append("restored")

        with pytest.raises(KeyboardInterrupt):
            drill()
        assert done == ["restored"]
        assert handlers() == before

    def test_a_second_interrupt_does_not_stop_the_restoration(self) -> None:
        """The second may come before the restoration postpones interrupts: sudo may repeat a Ctrl-C at once."""
        before = handlers()
        done: list[str] = []

        def drill() -> None:
            with interrupts_raised():
                try:
                    os.kill(os.getpid(), signal.SIGINT)
                finally:
                    os.kill(os.getpid(), signal.SIGTERM)
                    with interrupts_postponed():
                        done.append("restored")

        with pytest.raises(KeyboardInterrupt):
            drill()
        assert done == ["restored"]
        assert handlers() == before
