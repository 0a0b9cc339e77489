"""The report of the benchmark: the limits that stand in it, and that nothing of what was measured is lost.

The figures are made up here; `make bench` measures them.
"""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from drill.drill import Observation
from lab.bench import Results, Starvation, ceiling, contestants, write_report

from .conftest import settings_of


class TestWhatTheProtocolMayTake:
    """Prevents a limit in the report that nobody could keep, or that everybody keeps."""

    @pytest.mark.parametrize(
        ("stack", "interval", "event", "seconds"),
        [
            # RFC 9568: 3 x 0.25 + (256 - 149) / 256 x 0.25
            ("nz-por-1", "0.25", "port disabled", 0.8545),
            ("nz-por-1", "0.1", "server killed", 0.3418),
            ("nz-por-1", "0.1", "keepalived stopped", 0.0418),
            # RFC 3768: the skew is (256 - 50) / 256 of a second.
            ("tutorial", "1", "port disabled", 3.8047),
            ("tutorial", "1", "keepalived stopped", 0.8047),
            ("nz-por-1", "0.1", "server frozen for 1 s", 0.3418),
        ],
    )
    def test_it_follows_from_the_settings(self, stack: str, interval: str, event: str, seconds: float) -> None:
        assert ceiling(event, settings_of(stack, advertInterval=interval)) == pytest.approx(seconds, abs=1e-4)

    def test_the_priorities_make_the_skew_small(self) -> None:
        (close,) = [one for one in contestants() if "254/253" in one.title]
        # RFC 9568: (256 - 253) / 256 x 0.25
        assert ceiling("keepalived stopped", close.settings) == pytest.approx(0.0029, abs=1e-4)

    def test_it_has_no_say_where_a_service_dies(self) -> None:
        assert ceiling("web server stopped", settings_of("nz-por-1")) is None


def observation(name: str, gap: float, *, back: bool = True, **own: Any) -> Observation:
    return Observation(name, 0, 9, "vrrp-master", "vrrp-backup" if back else None, gap, 1.0, 1, 1, back, **own)


def test_every_figure_is_in_the_report(tmp_path: Path) -> None:
    tutorial, ours, faster, _ = contestants()
    results = Results()
    for gap in (3.1, 3.3, 3.9):
        results.add(tutorial, observation("port disabled", gap))
    for gap in (0.7, 0.8, 0.9):
        results.add(ours, observation("port disabled", gap))
    for gap in (0.3, 0.33, 0.34):
        results.add(faster, observation("port disabled", gap))
    results.add(tutorial, observation("web server stopped", 8, back=False))
    results.add(faster, observation("web server stopped", 0.14))
    results.after_boot = {tutorial.title: [1.5, 2.5], ours.title: [0.4]}
    results.starved[ours.title] = Starvation(0.123, 0)
    report = tmp_path / "failover.md"
    write_report(results, datetime(2026, 11, 23, tzinfo=UTC), report)

    text = report.read_text(encoding="utf-8")
    (lost,) = [line for line in text.splitlines() if line.startswith("| port disabled |")]
    assert "**3,300** (3,100 – 3,900, 3); limit 3,805" in lost
    assert "**330** (300 – 340, 3); limit 342" in lost
    assert lost.endswith("| 4.1, 10.0, – |")
    (dead,) = [line for line in text.splitlines() if line.startswith("| web server")]
    assert "**8,000** (8,000 – 8,000, 1); no end in 1" in dead
    assert "| – |" in dead
    assert "| ours, 0.25 s | 0 | 123 ms |" in text

    assert "took 2,000 ms (1,500 – 2,500; tutorial), 400 ms (400 – 400; ours, 0.25 s)." in text

    figures = json.loads(report.with_suffix(".json").read_text(encoding="utf-8"))
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


def test_what_did_not_happen_is_no_figure(tmp_path: Path) -> None:
    """Prevents the best figure of a row from being an event that had no effect."""
    tutorial, ours, *_ = contestants()
    results = Results()
    for one in (tutorial, ours):
        results.add(one, observation("port disabled", 3.0))
    results.add(ours, observation("port disabled", 0.01, amiss="the other member never answered"))
    results.add(ours, observation("keepalived killed", 0.01, amiss="not as before by itself"))
    report = tmp_path / "failover.md"
    write_report(results, datetime(2026, 11, 23, tzinfo=UTC), report)
    text = report.read_text(encoding="utf-8")
    assert "| **3,000** (3,000 – 3,000, 1); the other member never answered in 1; limit 854 |" in text
    assert "| not as before by itself in 1; limit 854 |" in text


def test_how_long_two_held_the_vip_is_told(tmp_path: Path) -> None:
    tutorial, ours, *_ = contestants()
    results = Results()
    results.add(tutorial, observation("port enabled again", 20.0, failovers=1, shared_for=0.912))
    results.add(ours, observation("port enabled again", 0.01, failovers=1, shared_for=0.003))
    report = tmp_path / "failover.md"
    write_report(results, datetime(2026, 11, 23, tzinfo=UTC), report)
    text = report.read_text(encoding="utf-8")
    assert "| port enabled again | 912 (912); 1–1; 0 of 1 | 3 (3); 1–1; 0 of 1 | – | " in text
