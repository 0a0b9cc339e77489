"""The lab's events with two masters: what they change on a member, and that they undo it.

tests/lab shows that the members become master, and measures how long the service is away when one of them stops.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from drill.pair import Member, Pair
from lab.two_masters import BACKUP_HOST, OTHER_HOST, OTHER_ROUTER_ID, SAME_ROUTER_ID, set_backup_host, set_router_id
from userdata.renderer import KEEPALIVED_CONF, MEMBER_CONFIG_FILE, render_keepalived_conf, render_member_config

from .conftest import settings_of


class _Member:
    """A member whose files are in a folder of this machine. Its programs are not restarted, only counted."""

    def __init__(self, folder: Path) -> None:
        settings = settings_of("nz-por-1")
        self._folder = folder
        self.files = [folder / "keepalived.conf", folder / "member.json"]
        texts = [render(settings, settings.members[0]) for render in (render_keepalived_conf, render_member_config)]
        for path, text in zip(self.files, texts, strict=True):
            path.write_text(text, encoding="utf-8")

    def run(self, *command: str) -> CompletedProcess[str]:
        own = [KEEPALIVED_CONF, MEMBER_CONFIG_FILE]
        (script,) = command[2:]
        for theirs, mine in zip(own, self.files, strict=True):
            script = script.replace(theirs, str(mine))
        script = script.replace("systemctl restart", f"echo >> {self._folder}/restarts")
        return subprocess.run([*command[:2], script], capture_output=True, text=True, check=False)

    @property
    def restarts(self) -> int:
        path = self._folder / "restarts"
        return len(path.read_text(encoding="ascii").splitlines()) if path.exists() else 0

    def lines(self) -> list[str]:
        return [line for path in self.files for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize(
    ("change", "same", "other", "changed"),
    [
        (set_router_id, SAME_ROUTER_ID, OTHER_ROUTER_ID, ["    virtual_router_id 2", '  "virtualRouterId": 2,']),
        (set_backup_host, BACKUP_HOST, OTHER_HOST, ["        10.0.0.15", '  "peerAddress": "10.0.0.15",']),
    ],
)
def test_a_change_changes_one_line_in_each_file_and_is_undone(
    tmp_path: Path, change: Callable[[Pair, Member, int], None], same: int, other: int, changed: list[str]
) -> None:
    pair: Any = None
    made = _Member(tmp_path)
    member: Any = made
    before = made.lines()
    change(pair, member, same)
    assert (made.lines(), made.restarts) == (before, 0), "an unchanged member is left alone"
    change(pair, member, other)
    assert [line for line, old in zip(made.lines(), before, strict=True) if line != old] == changed
    change(pair, member, same)
    assert (made.lines(), made.restarts) == (before, 2)
