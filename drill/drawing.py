"""The two pictures of a timeline: an SVG for a change request, and an HTML page to zoom and pan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from .timeline import Timeline

#: Pixels: the width of the picture (more if the last label needs it), the distance of the lanes and of the labels, the
#: space above the labels, and the least distance of two marks of the axis.
WIDTH, LANE, ROW, TOP, TICK = 1100, 34, 16, 44, 70
#: Pixels of a character at the font size of the labels. The widest common sans-serif (DejaVu) takes 6.9 on average.
CHARACTER = 7.2
#: Seconds between two marks of the axis: the first one is taken that leaves enough room.
STEPS = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600)


@dataclass(frozen=True)
class Label:
    """A label of an event's mark, in pixels."""

    x: float
    y: float
    text: str
    passed: bool

    @property
    def width(self) -> float:
        """The width of the text, estimated generously."""
        return CHARACTER * len(self.text)


def label_rows(spans: Sequence[tuple[float, float]]) -> list[int]:
    """Return a row for each span (from, to; ordered by `from`), so that labels never overlap.

    The mark of a label goes down from its left end. A label therefore stands in a lower row (a higher number) than all
    labels that its mark would cross.
    """
    rows: list[int] = []
    for number, (begin, _) in enumerate(spans):
        crossed = [rows[earlier] for earlier in range(number) if spans[earlier][1] > begin]
        rows.append(max(crossed, default=-1) + 1)
    return rows


def as_svg(timeline: Timeline) -> str:
    """Return the picture as SVG: a lane for each member's answers and for each member's VIP, a mark for each event."""
    left = max(CHARACTER * len(lane) for lane in timeline.lanes) + 20
    plot = WIDTH - left - 20
    scale = plot / timeline.duration
    step = next((step for step in STEPS if step * scale >= TICK), STEPS[-1])

    def x(seconds: float) -> float:
        return round(left + min(max(seconds, 0), timeline.duration) * scale, 2)

    widths = [CHARACTER * len(mark.label) + 10 for mark in timeline.marks]
    rows = label_rows([(x(mark.at), x(mark.at) + width) for mark, width in zip(timeline.marks, widths, strict=True)])
    labels = [
        Label(x(mark.at), TOP + row * ROW, mark.label, mark.passed)
        for mark, row in zip(timeline.marks, rows, strict=True)
    ]
    lanes_top = TOP + (max(rows) + 1) * ROW
    return _TEMPLATES.get_template("timeline.svg.j2").render(
        title=timeline.title,
        width=round(max(WIDTH, *(label.x + width for label, width in zip(labels, widths, strict=True)))),
        height=lanes_top + len(timeline.lanes) * LANE + 54,
        left=left,
        plot=plot,
        lane_height=LANE - 8,
        lanes=[(lanes_top + number * LANE, name) for number, name in enumerate(timeline.lanes)],
        bars=[
            {
                "x": x(bar.since),
                "y": lanes_top + bar.lane * LANE,
                "width": max(round(x(bar.until) - x(bar.since), 2), 0.6),
                "kind": bar.kind,
                "title": bar.title,
            }
            for bar in timeline.bars
        ],
        labels=labels,
        seconds=[(x(second), second) for second in range(0, int(timeline.duration) + 1, step)],
        bottom=lanes_top + len(timeline.lanes) * LANE,
    )


def as_html(timeline: Timeline, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a self-contained page with the timeline, to zoom and pan, and the table.

    :param rows: of the table, one for each of the timeline's marks and in the same order.
    """
    return _TEMPLATES.get_template("timeline.html.j2").render(
        title=timeline.title,
        timeline=asdict(timeline),
        headings=headings,
        rows=list(zip(timeline.marks, rows, strict=True)),
    )


_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent), undefined=StrictUndefined, autoescape=True, trim_blocks=True
)
