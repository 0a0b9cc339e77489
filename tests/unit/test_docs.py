"""README and docs/ agree with the code: links, maps, tables and commands.

The tests read the documents as text. They do not judge whether a sentence is true.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
import yaml

import lab.cli
import ops.cli
from lab.stack_file import PROJECT_FOLDER
from settings import reference
from settings.pair import PairSettings
from settings.reference import keys_of, render_reference
from settings.service import Service

from .test_layout import LAYERS

README = PROJECT_FOLDER / "README.md"
ARCHITECTURE = PROJECT_FOLDER / "docs" / "architecture.md"
DOCUMENTS = [
    README,
    PROJECT_FOLDER / "CONTRIBUTING.md",
    PROJECT_FOLDER / "CHANGELOG.md",
    *sorted((PROJECT_FOLDER / "docs").glob("*.md")),
]

#: Folders that tools make in a checkout, and that git ignores.
MADE_BY_TOOLS = {"__pycache__", "build"}


def _name(path: Path) -> str:
    return str(path.relative_to(PROJECT_FOLDER))


def _prose(path: Path) -> str:
    """Return the text of a document without its blocks of code."""
    return re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def _links(path: Path) -> Iterator[str]:
    """Yield the target of each link and image."""
    # Code between backquotes may contain brackets and is no link, but a link's own text may be code.
    text = re.sub(r"`[^`]*`", "code", _prose(path))
    yield from re.findall(r"\]\(([^)\s]+)\)", text)


def _anchors(path: Path) -> set[str]:
    """Return the anchors that GitHub gives the headings of a document."""
    headings = re.findall(r"^#+ (.+)$", _prose(path), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _broken_links(document: Path, root: Path) -> list[str]:
    """Return the local links of a document that lead to no file below ``root``, or to no heading of it."""
    broken = list[str]()
    for link in _links(document):
        name, _, anchor = link.partition("#")
        target = (document.parent / name).resolve() if name else document
        exists = target.is_relative_to(root) and target.exists()
        if ":" not in link and not (exists and (not anchor or anchor in _anchors(target))):
            broken.append(link)
    return broken


def _table(path: Path, heading: str) -> list[list[str]]:
    """Return the rows of the table whose header line is ``heading``, cell by cell."""
    lines = path.read_text(encoding="utf-8").splitlines()
    rows = list[list[str]]()
    for line in lines[lines.index(heading) + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split(" | ")])
    return rows


class TestEveryLocalLinkLeadsSomewhere:
    """Prevents a link to a file or a heading that was renamed."""

    @pytest.mark.parametrize("document", DOCUMENTS, ids=_name)
    def test_each_link_names_an_existing_file_and_heading(self, document: Path) -> None:
        assert _broken_links(document, PROJECT_FOLDER) == []

    def test_links_to_a_missing_file_a_missing_heading_or_out_of_the_project_are_found(self, tmp_path: Path) -> None:
        (tmp_path / "page.md").write_text(
            "# One heading, `two`\n[a](#one-heading-two) [b](page.md#one-heading-two) [c](https://example.org)\n"
            "![d](missing.svg) [`e`](page.md#two) [f](../)\n```\n[g](missing.md)\n```\n",
            encoding="utf-8",
        )
        assert _broken_links(tmp_path / "page.md", tmp_path) == ["missing.svg", "page.md#two", "../"]

    def test_the_readme_links_to_every_document(self) -> None:
        linked = {(PROJECT_FOLDER / link.partition("#")[0]).resolve() for link in _links(README) if ":" not in link}
        assert set(DOCUMENTS) - {README} <= linked


class TestTheReadmeIsShortAndTrue:
    """Prevents a README that grows into a manual, and values in it that the code does not have."""

    def test_it_has_at_most_150_lines(self) -> None:
        assert len(README.read_text(encoding="utf-8").splitlines()) <= 150

    def test_it_states_the_versions_that_the_project_files_require(self) -> None:
        text = README.read_text(encoding="utf-8")
        project = tomllib.loads((PROJECT_FOLDER / "pyproject.toml").read_text("utf-8"))["project"]
        pulumi = yaml.safe_load((PROJECT_FOLDER / "Pulumi.yaml").read_text("utf-8"))["requiredPulumiVersion"]
        (oldest,) = re.findall(r">=(\d+\.\d+)\.0", pulumi)
        assert f"Pulumi CLI {oldest} or newer" in text
        (first, after_last) = re.findall(r"3\.(\d+)", project["requires-python"])
        assert f"Python 3.{first} to 3.{int(after_last) - 1}" in text

    def test_it_shows_six_keys_with_the_defaults_of_the_model(self) -> None:
        rows = {row[0].strip("`"): row[1].strip("`") for row in _table(README, "| key | default | meaning |")}
        assert len(rows) == 6
        assert rows.pop("service") == f"{Service().packages[0]} on port {Service().port}"
        defaults = {key.name: key.default for key in keys_of(PairSettings)}
        assert rows == {name: defaults[name] for name in rows}

    def test_it_shows_five_commands_of_daily_operation(self) -> None:
        assert len(_table(README, "| command | purpose |")) == 5


class TestTheMapsNameEveryFolder:
    """Prevents a map that leaves out a folder, or names one that is gone."""

    @pytest.mark.parametrize(
        ("document", "heading"),
        [(README, "| folder | content |"), (ARCHITECTURE, "| folder | job |")],
        ids=["README.md", "docs/architecture.md"],
    )
    def test_the_map_names_exactly_the_folders_of_the_project(self, document: Path, heading: str) -> None:
        folders = {path.name for path in PROJECT_FOLDER.iterdir() if path.is_dir() and not path.name.startswith(".")}
        named = [row[0].strip("`/") for row in _table(document, heading)]
        assert sorted(named) == sorted(folders - MADE_BY_TOOLS)

    def test_the_table_of_imports_is_the_rule_that_the_layout_test_checks(self) -> None:
        rows = _table(ARCHITECTURE, "| folder | may import |")
        assert {row[0].strip("`"): set(re.findall(r"`(\w+)`", row[1])) for row in rows} == LAYERS


class TestTheReferenceOfTheKeysIsCurrent:
    """Prevents a default or a rule in the documents that the program does not have."""

    def test_it_regenerates_without_a_difference(self) -> None:
        assert (PROJECT_FOLDER / "docs" / "configuration.md").read_text(encoding="utf-8") == render_reference()

    def test_it_has_one_row_for_each_key(self) -> None:
        types = "string|integer|number|boolean|list|object"
        rows = re.findall(rf"^\| `(\w+)` \| (?:{types}) \|", render_reference(), re.MULTILINE)
        assert sorted(rows) == sorted(key.name for model in (PairSettings, Service) for key in keys_of(model))

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (('"namePrefix", ', ""), "has no table with namePrefix"),
            (('"namePrefix", ', '"namePrefix", "vip6", '), "vip6 is no key, or stands in another table"),
            (('"namePrefix", ', '"nameprefix", '), "nameprefix is no key"),
        ],
    )
    def test_a_template_with_a_missing_or_an_unknown_key_is_refused(
        self, change: tuple[str, str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        template = tmp_path / "reference.md.j2"
        template.write_text(reference.TEMPLATE.read_text("utf-8").replace(*change), encoding="utf-8")
        monkeypatch.setattr(reference, "TEMPLATE", template)
        with pytest.raises(ValueError, match=message):
            render_reference()


class TestEveryCommandExists:
    """Prevents a document that names a command which was renamed or removed."""

    COMMANDS = "\n".join(
        code for document in DOCUMENTS for code in re.findall(r"`+[^`]+`+", document.read_text(encoding="utf-8"))
    )

    @pytest.mark.parametrize(("module", "app"), [("ops", ops.cli.app), ("lab", lab.cli.app)], ids=["ops", "lab"])
    def test_each_command_of_a_module_is_one_of_its_commands(self, module: str, app: typer.Typer) -> None:
        named = set(re.findall(rf"python -m {module} ([a-z]+)", self.COMMANDS))
        existing = {command.name or getattr(command.callback, "__name__", "") for command in app.registered_commands}
        assert named
        assert named <= existing

    def test_each_target_of_make_is_in_the_makefile(self) -> None:
        targets = set(re.findall(r"^([a-z-]+):", (PROJECT_FOLDER / "Makefile").read_text("utf-8"), re.MULTILINE))
        named = set(re.findall(r"(?:^|`)make ([a-z-]+)", self.COMMANDS, re.MULTILINE))
        assert named
        assert named <= targets

    def test_each_module_that_python_runs_exists(self) -> None:
        named = set(re.findall(r"python -m ((?:gates|settings|userdata)[\w.]*)", self.COMMANDS))
        assert {"gates.ready", "gates.peer", "settings.reference"} <= named
        assert [name for name in named if not (PROJECT_FOLDER / f"{name.replace('.', '/')}.py").is_file()] == []
