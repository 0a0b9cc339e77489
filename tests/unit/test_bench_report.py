"""The report of the benchmark: its limits, its figures and its picture.

The figures are made up here; `make bench` measures them.
"""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from drill.measurement import Observation
from lab.bench import Contestant, ceiling, contestants, new_results
from lab.bench_report import (
    CHARACTER,
    REPORT,
    Results,
    Starvation,
    figures_of,
    picture_of,
    redraw,
    results_of,
    text_of,
    write_report,
)

from .conftest import settings_of


class TestTheLimitOfTheProtocol:
    """Prevents a limit in the report that is impossible to keep, or impossible to miss."""

    @pytest.mark.parametrize(
        ("stack", "interval", "event", "seconds"),
        [
            # RFC 9568: 3 x 0.25 + (256 - 253) / 256 x 0.25
            ("nz-por-1", "0.25", "port disabled", 0.7529),
            ("nz-por-1", "0.1", "server killed", 0.3012),
            ("nz-por-1", "0.1", "keepalived stopped", 0.0012),
            ("nz-por-1", "0.25", "server shut down", 0.0029),
            # RFC 3768: the skew is (256 - 50) / 256 of a second.
            ("tutorial", "1", "port disabled", 3.8047),
            ("tutorial", "1", "keepalived stopped", 0.8047),
            ("tutorial", "2", "port disabled", 6.8047),
            ("nz-por-1", "0.1", "server frozen for 1 s", 0.3012),
        ],
    )
    def test_it_follows_from_the_interval_and_the_skew(
        self, stack: str, interval: str, event: str, seconds: float
    ) -> None:
        assert ceiling(event, settings_of(stack, advertInterval=interval)) == pytest.approx(seconds, abs=1e-4)

    def test_low_priorities_make_the_skew_large(self) -> None:
        (low,) = [one for one in contestants() if "150/149" in one.title]
        # RFC 9568: (256 - 149) / 256 x 0.25
        assert ceiling("keepalived stopped", low.settings) == pytest.approx(0.1045, abs=1e-4)

    def test_there_is_none_at_an_event_of_the_service(self) -> None:
        assert ceiling("web server stopped", settings_of("nz-por-1")) is None


def observation(name: str, gap: float, *, back: bool = True, **own: Any) -> Observation:
    return Observation(name, 0, 9, "vrrp-master", "vrrp-backup" if back else None, gap, 1.0, 1, 1, back, **own)


def results() -> tuple[Results, list[Contestant]]:
    asked = contestants()
    return new_results(asked), asked


def add(made: Results, one: Contestant, seen: Observation) -> None:
    """Add an observation as a run of the benchmark does."""
    made.add(one.title, seen, ceiling(seen.name, one.settings))


def test_every_figure_is_in_the_report(tmp_path: Path) -> None:
    made, (tutorial, ours, faster, _) = results()
    for gap in (3.1, 3.3, 3.9):
        add(made, tutorial, observation("port disabled", gap))
    for gap in (0.7, 0.8, 0.9):
        add(made, ours, observation("port disabled", gap))
    for gap in (0.3, 0.33, 0.34):
        add(made, faster, observation("port disabled", gap))
    add(made, tutorial, observation("web server stopped", 8, back=False))
    add(made, faster, observation("web server stopped", 0.14))
    made.after_boot = {tutorial.title: [1.5, 2.5], ours.title: [0.4]}
    made.starved[ours.title] = Starvation(0.123, 0)
    report = tmp_path / "failover.md"
    write_report(made, report)

    text = report.read_text(encoding="utf-8")
    (lost,) = [line for line in text.splitlines() if line.startswith("| port disabled |")]
    assert "**3,300** (3,100 – 3,900, 3); limit 3,805" in lost
    assert "**330** (300 – 340, 3); limit 301" in lost
    assert lost.endswith("| 4.1, 10.0, – |")
    (dead,) = [line for line in text.splitlines() if line.startswith("| web server")]
    assert "**8,000** (8,000 – 8,000, 1); no end in 1" in dead
    assert "| – |" in dead
    assert "| ours, 0.25 s | 0 | 123 ms |" in text

    assert "first answer: 2,000 ms (1,500 – 2,500; tutorial), 400 ms (400 – 400; ours, 0.25 s)." in text

    figures = json.loads(report.with_suffix(".json").read_text(encoding="utf-8"))["figures"]
    assert [figure["gaps"] for figure in figures] == [
        [3.1, 3.3, 3.9],
        [0.7, 0.8, 0.9],
        [0.3, 0.33, 0.34],
        [8],
        [0.14],
        [1.5, 2.5],
        [0.4],
        [0.123],
    ]
    dots = ElementTree.fromstring(report.with_suffix(".svg").read_text(encoding="utf-8")).iter()  # noqa: S314 # ours
    titles = [element.text for element in dots if element.tag.endswith("title")]
    assert len(titles) == 11
    assert f"{faster.title}: 140 ms" in titles


def test_an_event_without_an_effect_is_no_figure(tmp_path: Path) -> None:
    """Prevents such an event from being the best figure of its row."""
    made, (tutorial, ours, *_) = results()
    for one in (tutorial, ours):
        add(made, one, observation("port disabled", 3.0))
    add(made, ours, observation("port disabled", 0.01, problem="the other member never answered"))
    add(made, ours, observation("keepalived killed", 0.01, problem="did not recover by itself"))
    report = tmp_path / "failover.md"
    write_report(made, report)
    text = report.read_text(encoding="utf-8")
    assert "| **3,000** (3,000 – 3,000, 1); the other member never answered in 1; limit 753 |" in text
    assert "| did not recover by itself in 1; limit 753 |" in text


def test_the_time_with_two_holders_is_in_the_report(tmp_path: Path) -> None:
    made, (tutorial, ours, *_) = results()
    add(made, tutorial, observation("port enabled again", 20.0, failovers=1, shared_for=0.912))
    add(made, ours, observation("port enabled again", 0.01, failovers=1, shared_for=0.003))
    report = tmp_path / "failover.md"
    write_report(made, report)
    text = report.read_text(encoding="utf-8")
    assert "| port enabled again | 912 (912); 1–1; 0 of 1 | 3 (3); 1–1; 0 of 1 | – | " in text


def test_the_results_say_what_was_measured_where() -> None:
    made, asked = results()
    assert made.pairs == [one.title for one in asked]
    assert len(made.measured) == len("2026-11-23")
    assert made.kernel.startswith("Linux ")
    assert " × " in made.machine
    assert (made.busy_loops % 4, made.busy_seconds) == (0, 60)


def test_the_figures_in_the_file_are_all_that_the_report_needs() -> None:
    made, (tutorial, ours, *_) = results()
    made.versions = {"keepalived": "2.2.7"}
    add(made, tutorial, observation("web server stopped", 8.04, back=False))
    add(made, ours, observation("drained", 0.01234, problem="the other member never answered", failovers=1))
    made.after_boot = {tutorial.title: [1.5]}
    made.starved[ours.title] = Starvation(0.123, 2)
    read = results_of(json.loads(json.dumps(figures_of(made))))
    assert read == made
    row = read.rows["drained", ours.title]
    assert (row.gaps, row.ended, row.problems, row.failovers) == (
        [0.0123],
        [True],
        ["the other member never answered"],
        [1],
    )


class TestThePublishedReport:
    """`python -m lab bench --redraw` writes text and picture again."""

    def test_text_and_picture_are_current_with_the_figures(self) -> None:
        published = results_of(json.loads(REPORT.with_suffix(".json").read_text(encoding="utf-8")))
        assert REPORT.read_text(encoding="utf-8") == text_of(published, REPORT.stem)
        assert REPORT.with_suffix(".svg").read_text(encoding="utf-8") == picture_of(published)

    def test_they_can_be_drawn_again_beside_a_copy_of_the_figures(self, tmp_path: Path) -> None:
        copy = tmp_path / REPORT.name
        copy.with_suffix(".json").write_bytes(REPORT.with_suffix(".json").read_bytes())
        redraw(copy)
        assert copy.read_bytes() == REPORT.read_bytes()
        assert copy.with_suffix(".svg").read_bytes() == REPORT.with_suffix(".svg").read_bytes()


class TestThePicture:
    """Prevents an endless outage that looks like one of 8 s, and labels that overlap or are cut off."""

    @pytest.fixture
    def picture(self) -> ElementTree.Element:
        made, (tutorial, ours, faster, close) = results()
        for one in (ours, faster, close):
            add(made, one, observation("drained", 0.1))
        add(made, tutorial, observation("both servers killed and started again", 5.6))
        for gap, back in ((8.02, False), (8.07, False), (0.2, True)):
            add(made, tutorial, observation("web server stopped", gap, back=back))
        add(made, ours, observation("web server stopped", 0.2))
        return ElementTree.fromstring(picture_of(made))  # noqa: S314 # our own text

    @staticmethod
    def texts(picture: ElementTree.Element) -> list[ElementTree.Element]:
        return [element for element in picture.iter() if element.tag.endswith("}text")]

    @staticmethod
    def dots(picture: ElementTree.Element) -> list[str]:
        circles = [element for element in picture.iter() if element.tag.endswith("}circle")]
        return [str(circle[0].text) for circle in circles if len(circle)]

    def test_an_endless_outage_is_an_arrow_into_a_column_of_its_own_and_no_dot(
        self, picture: ElementTree.Element
    ) -> None:
        assert "tutorial: 8,020 ms" not in self.dots(picture)
        assert "tutorial: 200 ms" in self.dots(picture)
        (arrow,) = [element for element in picture.iter() if "endless" in element.get("class", "")]
        assert arrow[0].text == "tutorial: no end in 2 of 3, watched for 8 s"
        said = [text.text for text in self.texts(picture)]
        assert said.count("2 of 3") == said.count("no end") == 1
        last_mark = next(float(text.get("x", 0)) for text in self.texts(picture) if text.text == "100 s")
        assert float(arrow[1].get("x2", 0)) > last_mark

    def test_a_median_that_is_endless_has_no_mark(self, picture: ElementTree.Element) -> None:
        medians = [element for element in picture.iter() if element.get("class") == "median"]
        # The key, three times "drained", "both servers …", and "web server stopped" of the second pair.
        assert len(medians) == 6

    def test_each_event_is_named_once(self, picture: ElementTree.Element) -> None:
        said = [text.text for text in self.texts(picture)]
        for event in ("drained", "both servers killed and started again", "web server stopped"):
            assert said.count(event) == 1

    def test_the_axis_has_a_title_and_the_arrow_and_the_median_are_explained(
        self, picture: ElementTree.Element
    ) -> None:
        said = [text.text for text in self.texts(picture)]
        for one in (
            "longest time between two answers (logarithmic)",
            "median",
            "an outage without an end, from the time for which it was watched",
        ):
            assert said.count(one) == 1

    def test_no_label_overlaps_another_or_is_cut_off(self, picture: ElementTree.Element) -> None:
        width, height = float(picture.get("width", 0)), float(picture.get("height", 0))
        boxes: list[tuple[float, float, float]] = []
        for text in self.texts(picture):
            long, x, y = CHARACTER * len(text.text or ""), float(text.get("x", 0)), float(text.get("y", 0))
            begin = {"end": x - long, "middle": x - long / 2}.get(text.get("text-anchor", ""), x)
            assert 0 <= begin <= begin + long <= width, text.text
            assert 0 < y < height
            boxes.append((begin, begin + long, y))
        for (begin, end, y), (other_begin, other_end, other_y) in combinations(boxes, 2):
            assert abs(y - other_y) >= 14 or end <= other_begin or other_end <= begin
