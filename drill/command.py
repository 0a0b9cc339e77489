"""The parts of the `drill` command that the lab and a cloud share: options, events, run, report and summary."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import RenderableType

from .events import Event, choose
from .interrupts import interrupts_raised
from .measurement import Observation
from .observer import Observer
from .pair import Pair
from .procedure import Drill
from .report import SUFFIXES, table_of, write_report
from .timing import LIMIT, POLL_INTERVAL, RECOVERY_TIMEOUT

EventOption = Annotated[
    list[str] | None,
    typer.Option("--event", help="Perform only this event (repeat the option for several); default: every event."),
]
LimitOption = Annotated[float, typer.Option("--limit", help="Seconds after which an outage counts as endless.")]
ReportOption = Annotated[
    Path | None,
    typer.Option(
        "--report",
        help=f"The report's path without a suffix ({', '.join(SUFFIXES)} are added); default: build/drill-NAME.",
    ),
]


def chosen_events(names: Sequence[str] | None, possible: Sequence[Event], hint: str = "") -> list[Event]:
    """Return the events that `--event` names, or every possible event.

    :param hint: is added to the message.
    :raises typer.BadParameter: if a name is not the name of a possible event.
    """
    try:
        return choose(names, possible)
    except ValueError as error:
        raise typer.BadParameter(f"{error}{hint}", param_hint="--event") from error


def run_drill(
    pair: Pair,
    events: Sequence[Event],
    *,
    name: str,
    stack: str,
    say: Callable[[str], None],
    show: Callable[[RenderableType], object],
    limit: float = LIMIT,
    report: Path | None = None,
    poll_interval: float = POLL_INTERVAL,
    recovery_timeout: float = RECOVERY_TIMEOUT,
) -> list[Observation]:
    """Perform the events, show the table and a summary line, and write the report.

    After an interrupt the pair is restored, and the report has the observations until the interrupt.

    :param name: names the report if ``report`` is None.
    :param stack: is named in the report.
    :param say: is called with each step.
    :param show: prints the table and the summary.
    :param limit: seconds after which an outage counts as endless.
    :param report: the report's path without a suffix.
    :param poll_interval: seconds between two requests of the client.
    :param recovery_timeout: seconds within which the pair has to be healthy again.
    :raises NotHealthy: if the pair is not healthy within ``recovery_timeout``, before the first event or after any.
    """
    path = report or Path("build") / f"drill-{name}"
    # Do this first: if the folder cannot be made, the pair is not touched.
    path.parent.mkdir(parents=True, exist_ok=True)
    title = f"{stack}: advertisements every {pair.advert_interval:g} s"
    seen: list[Observation] = []
    with interrupts_raised(), Observer(pair, poll_interval) as observer:
        try:
            # Drill yields one observation at a time, so an interrupt loses no finished one.
            seen.extend(Drill(pair, observer, say, limit, recovery_timeout).run(events))
        finally:
            if seen:
                show(table_of(title, seen))
                write_report(path, title, {"stack": stack, "limit": limit}, observer.recording, seen)
                show(f"written: {path}{', '.join(SUFFIXES[:-1])} and {SUFFIXES[-1]}")
    if failed := [observation.name for observation in seen if not observation.passed]:
        show(f"these events did not pass: {', '.join(failed)}")
    else:
        show("service came back every time")
    return seen


def exit_status(seen: Sequence[Observation]) -> int:
    """Return the command's exit status: 0 if service came back every time as expected, else 1."""
    return 0 if all(observation.passed for observation in seen) else 1
