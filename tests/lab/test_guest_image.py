"""How the lab finds Debian's archives among this machine's apt sources: the real apt, with archives in folders."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest

from lab.guest_image import KEYRING, ImageError, Source, debian_sources

ARCHITECTURE = subprocess.run(
    ["dpkg", "--print-architecture"], capture_output=True, text=True, check=True
).stdout.strip()


@pytest.fixture
def etc_apt(tmp_path: Path) -> Path:
    """A configuration folder of apt, without sources."""
    folder = tmp_path / "etc apt"
    (folder / "sources.list.d").mkdir(parents=True)
    return folder


def archive(folder: Path, suite: str, origin: str, components: tuple[str, ...] = ("main",)) -> str:
    """Make an archive without packages and signatures; return its URI."""
    release = [f"Origin: {origin}", f"Suite: {suite}", f"Codename: {suite}", f"Architectures: {ARCHITECTURE}"]
    release += [f"Components: {' '.join(components)}", "Date: Mon, 01 Jan 2024 00:00:00 UTC", "SHA256:"]
    text = f"Origin: {origin}\n"
    for component in components:
        index = folder / "dists" / suite / component / f"binary-{ARCHITECTURE}" / "Release"
        index.parent.mkdir(parents=True)
        index.write_text(text, encoding="utf-8")
        digest = hashlib.sha256(text.encode()).hexdigest()
        release.append(f" {digest} {len(text)} {index.relative_to(folder / 'dists' / suite)}")
    (folder / "dists" / suite / "Release").write_text("\n".join(release) + "\n", encoding="utf-8")
    return f"file:{folder}"


def found(etc_apt: Path, work: Path) -> list[Source]:
    work.mkdir()
    return debian_sources(work, etc_apt)


class TestOnlyDebiansArchives:
    """Prevents an image with packages of a third party, and a build that a third party's broken source stops."""

    def test_both_formats_of_apts_sources_are_read(self, etc_apt: Path, tmp_path: Path) -> None:
        uri = archive(tmp_path / "debian", "bookworm", "Debian")
        updates = archive(tmp_path / "updates", "bookworm-updates", "Debian")
        (etc_apt / "sources.list").write_text(f"deb [trusted=yes] {uri} bookworm main # a comment\n", encoding="utf-8")
        (etc_apt / "sources.list.d" / "more.sources").write_text(
            f"Types: deb deb-src\nURIs: {updates}\nSuites:\n bookworm-updates\nComponents: main\nTrusted: yes\n"
            f"\nEnabled: no\nTypes: deb\nURIs: {uri}-disabled\nSuites: bookworm\nComponents: main\n",
            encoding="utf-8",
        )
        assert found(etc_apt, tmp_path / "work") == [Source(uri, "bookworm"), Source(updates, "bookworm-updates")]

    def test_a_third_partys_archive_is_left_out_also_with_debians_suite_and_component(
        self, etc_apt: Path, tmp_path: Path
    ) -> None:
        debian = archive(tmp_path / "debian", "bookworm", "Debian")
        other = archive(tmp_path / "other", "bookworm", "HashiCorp")
        (etc_apt / "sources.list").write_text(
            f"deb [trusted=yes] {other} bookworm main\ndeb [trusted=yes] {debian} bookworm main\n", encoding="utf-8"
        )
        assert found(etc_apt, tmp_path / "work") == [Source(debian, "bookworm")]

    def test_other_components_and_suites_are_left_out(self, etc_apt: Path, tmp_path: Path) -> None:
        debian = archive(tmp_path / "debian", "bookworm", "Debian", ("main", "contrib"))
        backports = archive(tmp_path / "backports", "bookworm-backports", "Debian")
        only_contrib = archive(tmp_path / "contrib", "bookworm-security", "Debian", ("contrib",))
        (etc_apt / "sources.list").write_text(
            f"deb [trusted=yes] {debian} bookworm main contrib\ndeb [trusted=yes] {backports} bookworm-backports main\n"
            f"deb [trusted=yes] {only_contrib} bookworm-security contrib\n",
            encoding="utf-8",
        )
        assert found(etc_apt, tmp_path / "work") == [Source(debian, "bookworm")]

    def test_an_archive_that_is_away_does_not_stop_the_others(self, etc_apt: Path, tmp_path: Path) -> None:
        debian = archive(tmp_path / "debian", "bookworm", "Debian")
        (etc_apt / "sources.list").write_text(
            f"deb [trusted=yes] file:{tmp_path}/nowhere bookworm main\ndeb [trusted=yes] {debian} bookworm main\n",
            encoding="utf-8",
        )
        assert found(etc_apt, tmp_path / "work") == [Source(debian, "bookworm")]

    def test_an_archive_without_debians_signature_is_refused(self, etc_apt: Path, tmp_path: Path) -> None:
        uri = archive(tmp_path / "debian", "bookworm", "Debian")
        (etc_apt / "sources.list").write_text(f"deb {uri} bookworm main\n", encoding="utf-8")
        with pytest.raises(ImageError, match="is not signed"):
            found(etc_apt, tmp_path / "work")

    def test_a_syntax_error_in_a_source_file_is_named(self, etc_apt: Path, tmp_path: Path) -> None:
        (etc_apt / "sources.list").write_text("deb [trusted=yes\n", encoding="utf-8")
        with pytest.raises(ImageError, match=r"Malformed entry 1 in list file .*sources\.list"):
            found(etc_apt, tmp_path / "work")

    def test_without_a_debian_archive_the_message_shows_the_line_to_add(self, etc_apt: Path, tmp_path: Path) -> None:
        with pytest.raises(ImageError, match=r"Add one: deb \[signed-by=.*\] http://MIRROR/debian bookworm"):
            found(etc_apt, tmp_path / "work")


class TestAMirrorList:
    """Prevents an image that installs from a file that only this machine has."""

    def test_the_first_mirror_stands_for_the_list(self, etc_apt: Path, tmp_path: Path) -> None:
        uri = archive(tmp_path / "debian", "bookworm", "Debian")
        mirrors = tmp_path / "mirrors.list"
        mirrors.write_text(f"# the nearest first\n{uri}/\tpriority:1\n", encoding="utf-8")
        (etc_apt / "sources.list").write_text(
            f"deb [trusted=yes] mirror+file:{mirrors} bookworm main\n", encoding="utf-8"
        )
        assert found(etc_apt, tmp_path / "work") == [Source(uri, "bookworm")]


def test_this_machines_own_sources_are_found_and_its_lists_stay_as_they_are(tmp_path: Path) -> None:
    lists = Path("/var/lib/apt/lists")
    before = sorted((path.name, path.stat().st_mtime_ns) for path in lists.iterdir())
    sources = debian_sources(tmp_path)
    assert "bookworm" in {source.suite for source in sources}
    assert sorted((path.name, path.stat().st_mtime_ns) for path in lists.iterdir()) == before


def test_each_source_is_bound_to_debians_keyring() -> None:
    line = Source("http://mirror.example/debian", "bookworm").line()
    assert line == f"deb [signed-by={KEYRING}] http://mirror.example/debian bookworm main"
