"""Half-written files that a killed run leaves beside a state in files are removed, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from ops.local_state import remove_half_written


@pytest.fixture
def stacks(tmp_path: Path) -> Path:
    folder = tmp_path / ".pulumi" / "stacks" / "vrrp-pair"
    folder.mkdir(parents=True)
    for name in ("prod.json", "prod.json.bak", "other.json"):
        (folder / name).write_text("{}", encoding="utf-8")
        (folder / f"{name}.attrs").write_text('{"user.content_type": "application/json"}', encoding="utf-8")
    return folder


@pytest.mark.parametrize("stack", ["prod", "organization/vrrp-pair/prod"])
@pytest.mark.parametrize("half", ["", '{"user.content'])
def test_a_half_written_file_is_removed_and_the_state_stays(
    tmp_path: Path, stacks: Path, stack: str, half: str
) -> None:
    (stacks / "prod.json.attrs").write_text(half, encoding="utf-8")
    assert remove_half_written(f"file://{tmp_path}", "vrrp-pair", stack) == [stacks / "prod.json.attrs"]
    assert (stacks / "prod.json").exists()


def test_a_readable_file_stays(tmp_path: Path, stacks: Path) -> None:
    before = sorted(stacks.iterdir())
    assert remove_half_written(f"file://{tmp_path}", "vrrp-pair", "prod") == []
    assert sorted(stacks.iterdir()) == before


def test_files_of_other_stacks_and_other_projects_stay(tmp_path: Path, stacks: Path) -> None:
    (stacks / "other.json.attrs").write_bytes(b"")
    (stacks.parent / "shop").mkdir()
    (stacks.parent / "shop" / "prod.json.attrs").write_bytes(b"")
    assert remove_half_written(f"file://{tmp_path}", "vrrp-pair", "prod") == []


def test_the_home_folder_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, stacks: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (stacks / "prod.json.attrs").write_bytes(b"")
    assert remove_half_written("file://~", "vrrp-pair", "prod") == [stacks / "prod.json.attrs"]


def test_an_escaped_path_is_found(tmp_path: Path) -> None:
    folder = tmp_path / "a blank" / ".pulumi" / "stacks" / "vrrp-pair"
    folder.mkdir(parents=True)
    (folder / "prod.json.attrs").touch()
    assert remove_half_written((tmp_path / "a blank").as_uri(), "vrrp-pair", "prod") == [folder / "prod.json.attrs"]


def test_no_file_is_removed_for_a_state_that_is_not_in_files(tmp_path: Path, stacks: Path) -> None:
    (stacks / "prod.json.attrs").write_bytes(b"")
    assert remove_half_written(f"s3://{tmp_path}", "vrrp-pair", "prod") == []
    assert (stacks / "prod.json.attrs").exists()
