"""A lab's drill: the same events as a cloud's, and the same report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import RenderableType

from drill.drill import Drill, Observation
from drill.events import Event
from drill.report import run_and_report
from drill.watch import Watch

from .cloud import Cloud
from .pair import LabPair


def drill_lab(
    cloud: Cloud,
    events: Sequence[Event],
    limit: float,
    report: Path | None,
    say: Callable[[str], None],
    show: Callable[[RenderableType], object],
) -> list[Observation]:
    """Do the drill, show its table and write its report, as far as it came.

    :param limit: seconds after which an outage is called endless.
    :param report: the path of the three files without a suffix; one in ``build/`` with the lab's name when left out.
    :raises NoSuchLab: for a lab that was never complete.
    :raises NotHealthy: for a pair that lacks something; nothing is done to it then.
    """
    pair = LabPair(cloud)
    about = cloud.record.about
    title = f"{about['stack']}: advertisements every {about['advertInterval']} s"
    path = report or Path("build") / f"drill-{cloud.place.name}"
    with Watch(pair) as watch:
        told = {"stack": about["stack"], "limit": limit}
        return run_and_report(Drill(pair, watch, say, limit), watch, events, path, title, told, show)
