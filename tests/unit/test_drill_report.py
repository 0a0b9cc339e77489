"""The report of a drill: the table, the picture for a change request, and the page to explore; from a made-up past."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from itertools import combinations
from pathlib import Path

import pytest

from drill.drawing import CHARACTER, ROW, as_html, as_svg, label_rows
from drill.measurement import Observation
from drill.recording import Answer, HolderChange, Recording
from drill.report import HEADINGS, SUFFIXES, table_of, write_report
from drill.timeline import Timeline, timeline_of

MASTER, BACKUP = "vrrp-master", "vrrp-backup"
TITLE = "a <drill> & more"


def recording(*, holders: bool = True) -> Recording:
    """The master answers from 10 s to 12 s, the backup from 12.8 s to 17 s."""
    made = Recording([MASTER, BACKUP], tolerance=0.05)
    made.answers += [Answer(at / 100, at / 100, MASTER) for at in range(1000, 1201)]
    made.answers += [Answer(at / 100, at / 100, BACKUP) for at in range(1280, 1700)]
    if holders:
        changes = [(0, MASTER, True), (0, BACKUP, False), (12, MASTER, False), (12.8, BACKUP, True)]
        made.changes += [HolderChange(*change) for change in changes]
    return made


def event(name: str, at: float = 12, gap: float = 0.8, *, back: bool = True, problem: str = "") -> Observation:
    after = BACKUP if back else None
    return Observation(name, at, at + 5, MASTER, after, gap, at, 1, 1, back, problem=problem)


KILLED, HANGS = event("server killed"), event("web server hangs", gap=5, back=False)
#: As many as a drill of a lab has at most, some of them close to each other.
MANY = [event(f"keepalived's child number {number} killed", at=12 + 2.5 * number) for number in range(21)]


def timeline(*events: Observation, holders: bool = True) -> Timeline:
    return timeline_of(recording(holders=holders), events, TITLE)


class TestTheTimeline:
    def test_it_begins_one_second_before_the_first_event_and_ends_with_the_last(self) -> None:
        made = timeline(KILLED, event("server started", at=14))
        assert (made.duration, [mark.at for mark in made.marks]) == (8, [1, 3])

    def test_each_member_has_a_bar_for_its_service_and_one_for_its_vip(self) -> None:
        made = timeline(KILLED)
        bars = [(made.lanes[bar.lane], bar.title, bar.since, bar.until) for bar in made.bars]
        assert bars == [
            (f"{MASTER} answers", f"{MASTER} answers", 0, 1),
            (f"{BACKUP} answers", f"{BACKUP} answers", pytest.approx(1.8), pytest.approx(5.99)),
            ("no answer", "no answer for 800 ms", 1, pytest.approx(1.8)),
            (f"{MASTER} holds the VIP", f"{MASTER} holds the VIP", 0, 1),
            (f"{BACKUP} holds the VIP", f"{BACKUP} holds the VIP", pytest.approx(1.8), 6),
        ]

    def test_an_interrupted_service_of_one_member_has_two_bars(self) -> None:
        seen = recording()
        seen.answers = [answer for answer in seen.answers if not 14 < answer.over < 14.06]
        made = timeline_of(seen, [KILLED], TITLE)
        assert [bar.kind for bar in made.bars if made.lanes[bar.lane] == f"{BACKUP} answers"] == ["answers"] * 2
        assert "no answer for 60 ms" in [bar.title for bar in made.bars]

    def test_a_handover_without_a_gap_has_a_bar_for_each_member(self) -> None:
        seen = recording()
        seen.answers = [Answer(at / 100, at / 100, MASTER if at < 1400 else BACKUP) for at in range(1000, 1700)]
        made = timeline_of(seen, [KILLED], TITLE)
        served = [(bar.title, bar.until) for bar in made.bars if bar.kind == "answers"]
        assert served == [(f"{MASTER} answers", pytest.approx(2.99)), (f"{BACKUP} answers", pytest.approx(5.99))]

    def test_a_page_without_a_members_name_has_no_bar(self) -> None:
        seen = recording()
        seen.answers.append(Answer(13, 13.001, "It works!"))
        assert not [bar for bar in timeline_of(seen, [KILLED], TITLE).bars if "It works!" in bar.title]

    def test_without_recorded_holders_it_has_no_lane_for_the_vip(self) -> None:
        assert timeline(KILLED, holders=False).lanes == [f"{MASTER} answers", f"{BACKUP} answers", "no answer"]

    def test_a_mark_names_the_event_and_its_outage(self) -> None:
        labels = [(mark.label, mark.passed) for mark in timeline(KILLED, HANGS).marks]
        assert labels == [("server killed: 800 ms", True), ("web server hangs: no end in 5 s", False)]

    def test_an_event_with_a_problem_has_not_passed(self) -> None:
        assert not timeline(event("drained", problem="the other member never answered")).marks[0].passed


class TestLabelRows:
    def test_labels_that_do_not_overlap_share_a_row(self) -> None:
        assert label_rows([(0, 10), (10, 20), (30, 40)]) == [0, 0, 0]

    def test_a_label_stands_below_the_labels_that_its_mark_would_cross(self) -> None:
        assert label_rows([(0, 30), (5, 12), (10, 20), (30, 40)]) == [0, 1, 2, 0]


def svg(*events: Observation) -> ElementTree.Element:
    return ElementTree.fromstring(as_svg(timeline(*events)))  # noqa: S314 # our own text


def texts(picture: ElementTree.Element) -> list[ElementTree.Element]:
    return [element for element in picture.iter() if element.tag.endswith("}text")]


class TestThePicture:
    """Prevents a picture that cannot be opened, that leaves the outage out, or whose labels overlap."""

    def test_it_shows_the_outage_with_its_length(self) -> None:
        shown = [element.text for element in svg(KILLED).iter()]
        assert "no answer for 800 ms" in shown
        assert "server killed: 800 ms" in shown
        assert TITLE in shown

    def test_each_lane_has_its_name_and_a_bar(self) -> None:
        shown = [element.text for element in svg(KILLED).iter()]
        for member in (MASTER, BACKUP):
            assert shown.count(f"{member} holds the VIP") == 2, "the lane's name and its bar"
            assert shown.count(f"{member} answers") == 2

    @pytest.mark.parametrize("events", [[KILLED], MANY], ids=["one event", "many events"])
    def test_no_label_overlaps_another_or_is_cut_off(self, events: list[Observation]) -> None:
        picture = svg(*events)
        width, height = float(picture.get("width", 0)), float(picture.get("height", 0))
        boxes: list[tuple[float, float, float]] = []
        for text in texts(picture):
            assert text.text
            if text.get("font-weight"):
                continue  # the title has a line of its own
            long, x, y = CHARACTER * len(text.text), float(text.get("x", 0)), float(text.get("y", 0))
            begin = {"end": x - long, "middle": x - long / 2}.get(text.get("text-anchor", ""), x)
            assert 0 <= begin <= begin + long <= width
            assert 0 < y < height
            boxes.append((begin, begin + long, y))
        for (begin, end, y), (other_begin, other_end, other_y) in combinations(boxes, 2):
            assert abs(y - other_y) >= ROW or end <= other_begin or other_end <= begin

    def test_no_mark_crosses_the_label_of_another(self) -> None:
        picture = svg(*MANY)
        marks = [element for element in picture.iter() if element.get("class") == "event"]
        labels = [element for element in texts(picture) if element.get("class") == "label"]
        assert len(marks) == len(labels) == len(MANY)
        for mark in marks:
            for label in labels:
                assert label.text
                x, y = float(label.get("x", 0)), float(label.get("y", 0))
                below = float(mark.get("y1", 0)) < y
                assert not (x < float(mark.get("x1", 0)) < x + CHARACTER * len(label.text) and below)

    def test_an_event_that_did_not_pass_stands_out(self) -> None:
        classes = {text.text: text.get("class") for text in texts(svg(KILLED, HANGS))}
        assert classes["server killed: 800 ms"] == "label"
        assert classes["web server hangs: no end in 5 s"] == "label failed"

    def test_the_axis_has_a_title_and_marks_in_seconds(self) -> None:
        shown = [element.text for element in texts(svg(KILLED))]
        assert shown[-1] == "seconds"
        assert shown[-8:-1] == ["0", "1", "2", "3", "4", "5", "6"]


class Page(HTMLParser):
    """The elements of a page, with their attributes and texts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.rows: list[list[str]] = []
        self.texts: dict[str, list[str]] = {}
        self._open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag != "meta":
            self._open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag, f"</{tag}> closes another element"

    def handle_data(self, data: str) -> None:
        if self._open:
            self.texts.setdefault(self._open[-1], []).append(data)
        if {"td", "th"} & set(self._open):
            self.rows[-1][-1] += data


class TestThePage:
    """Prevents a page that needs a network, that loses an event, or that a name can break."""

    @pytest.fixture
    def text(self) -> str:
        events = [KILLED, HANGS, event("</script><script>alert(1)</script>")]
        rows = [[one.name, *["–"] * (len(HEADINGS) - 1)] for one in events]
        return as_html(timeline(*events), HEADINGS, rows)

    @pytest.fixture
    def page(self, text: str) -> Page:
        return Page(text)

    def test_it_refers_to_no_other_file(self, text: str, page: Page) -> None:
        referring = [
            (tag, value)
            for tag, attributes in page.elements
            for name, value in attributes.items()
            if name in ("src", "href", "srcset", "action", "data", "xlink:href")
        ]
        assert referring == []
        assert not re.search(r"https?:|//[a-z]|url\(|@import|\bimport\b|fetch\(|XMLHttpRequest|WebSocket", text)

    def test_it_forbids_the_browser_every_request(self, page: Page) -> None:
        (policy,) = [one["content"] for _, one in page.elements if one.get("http-equiv") == "Content-Security-Policy"]
        assert policy == "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"

    def test_its_table_and_its_timeline_have_every_event(self, page: Page) -> None:
        names = ["server killed", "web server hangs", "</script><script>alert(1)</script>"]
        assert page.rows[0] == list(HEADINGS)
        assert [row[0] for row in page.rows[1:]] == names
        data, _ = page.texts["script"]
        told = json.loads(data)
        assert [mark["label"].partition(":")[0] for mark in told["marks"]] == names
        assert told["title"] == TITLE
        assert told["lanes"] == timeline(KILLED).lanes
        assert {bar["kind"] for bar in told["bars"]} == {"answers", "silence", "holds"}

    def test_a_name_cannot_end_the_script(self, page: Page, text: str) -> None:
        assert "alert(1)</script>" not in text
        assert len([tag for tag, _ in page.elements if tag == "script"]) == 2, "the data and the program"

    def test_the_title_is_escaped(self, page: Page) -> None:
        assert page.texts["title"] == page.texts["h1"] == [TITLE]

    def test_every_event_can_be_shown_from_the_keyboard(self, page: Page) -> None:
        buttons = [attributes for tag, attributes in page.elements if tag == "button"]
        assert [one["data-do"] for one in buttons[:5]] == ["in", "out", "left", "right", "reset"]
        assert [(one["data-since"], one["data-until"]) for one in buttons[5:]] == [("1.0", "6.0")] * 3
        assert {"tabindex": "0"}.items() <= next(one for tag, one in page.elements if tag == "svg").items()

    def test_an_event_that_did_not_pass_stands_out(self, page: Page) -> None:
        rows = [attributes.get("class") for tag, attributes in page.elements if tag == "tr"]
        assert rows == [None, None, "failed", None]

    def test_it_has_colours_for_light_and_dark(self, text: str) -> None:
        light, dark = re.findall(r":root \{(.*?)\}", text, re.DOTALL)
        variables = re.compile(r"(--[a-z]+):")
        assert set(variables.findall(light)) == set(variables.findall(dark)) >= set(re.findall(r"var\((--\w+)\)", text))


class TestTheFiles:
    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        path = tmp_path / "drill-nz.por"
        seen = [KILLED, HANGS, event("drained", problem="the other member never answered")]
        write_report(path, TITLE, {"stack": "s", "limit": 5}, recording(), seen)
        return path

    def read(self, path: Path, suffix: str) -> str:
        return path.with_name(path.name + suffix).read_text(encoding="utf-8")

    def test_there_is_one_for_each_suffix_and_a_dot_in_the_name_stays(self, path: Path) -> None:
        assert sorted(file.name for file in path.parent.iterdir()) == sorted(f"drill-nz.por{one}" for one in SUFFIXES)

    def test_the_table_has_every_event_and_shows_the_picture(self, path: Path) -> None:
        lines = self.read(path, ".md").splitlines()
        assert lines[0] == f"# {TITLE}"
        assert lines[2] == "| event | before | after | longest gap | held the VIP | service back |"
        assert lines[4:7] == [
            "| server killed | vrrp-master | vrrp-backup | 800 ms | at most 1, then 1 | yes |",
            "| web server hangs | vrrp-master | no member | no end in 5 s | at most 1, then 1 | no |",
            "| drained | vrrp-master | vrrp-backup | 800 ms | at most 1, then 1 "
            "| yes, but the other member never answered |",
        ]
        assert lines[-1] == "![Timeline](drill-nz.por.svg)"

    def test_the_figures_have_every_field_of_every_event(self, path: Path) -> None:
        told = json.loads(self.read(path, ".json"))
        assert (told["stack"], told["limit"]) == ("s", 5)
        assert told["events"][0] == {
            "name": "server killed",
            "at": 12,
            "until": 17,
            "before": MASTER,
            "after": BACKUP,
            "longest_gap": 0.8,
            "gap_from": 12,
            "holders_most": 1,
            "holders_at_end": 1,
            "back": True,
            "failovers": 0,
            "shared_for": 0,
            "problem": "",
        }
        assert len(told["events"]) == 3

    def test_the_page_has_the_same_table(self, path: Path) -> None:
        assert Page(self.read(path, ".html")).rows[3][-1] == "yes, but the other member never answered"

    def test_the_picture_is_an_svg(self, path: Path) -> None:
        assert self.read(path, ".svg").startswith("<svg")

    def test_holders_that_were_not_recorded_are_called_so(self, tmp_path: Path) -> None:
        unseen = Observation("port disabled", 12, 17, MASTER, BACKUP, 0.8, 12, 0, 0, True)
        write_report(tmp_path / "drill", TITLE, {}, recording(holders=False), [unseen])
        assert "| not observed | yes |" in self.read(tmp_path / "drill", ".md")


def test_the_table_in_the_terminal_marks_events_that_did_not_pass() -> None:
    table = table_of(TITLE, [KILLED, HANGS])
    assert [row.style for row in table.rows] == [None, "red"]
