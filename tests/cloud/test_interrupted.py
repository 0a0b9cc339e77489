"""After a killed run nothing is lost: the next run continues it, or removes every resource."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest

from ops.local_state import CHECKPOINT_EOF

from .conftest import MakeStack
from .deployment import Deployment
from .seen import Table, watched


def _killed_when(deployment: Deployment, moment: str, by: signal.Signals, after: float = 0) -> None:
    """Run `up` until a line of its output contains ``moment``, wait for ``after`` seconds, and signal the engine."""
    command = ["pulumi", "up", "--yes", "--skip-preview", "--color", "never", "--non-interactive"]
    run = subprocess.Popen(
        [*command, "--stack", deployment.stack.name],
        cwd=deployment.folder,
        env=deployment.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    plugins: list[int] = []
    try:
        assert run.stdout
        for line in run.stdout:
            print(line, end="")
            if moment in line:
                time.sleep(after)
                plugins = _children(run.pid)
                os.kill(run.pid, by)
                moment = "(never again)"
        assert moment == "(never again)", f"the run ended before {moment!r}"
    finally:
        if run.poll() is None:
            os.killpg(run.pid, signal.SIGKILL)
        run.wait()
        _end(plugins)


def _children(pid: int) -> list[int]:
    threads = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for thread in threads for child in thread.read_text(encoding="ascii").split()]


def _end(plugins: list[int]) -> None:
    """End the plugins of a killed engine: they have their own process groups, and some do not end by themselves."""
    for plugin in plugins:
        with suppress(ProcessLookupError, FileNotFoundError):
            if "pulumi" in Path(f"/proc/{plugin}/exe").readlink().name:
                os.kill(plugin, signal.SIGKILL)


def _cancel(deployment: Deployment) -> subprocess.CompletedProcess[str]:
    return deployment.run("pulumi", "cancel", "--yes", "--stack", deployment.stack.name, "--non-interactive")


def _recover(deployment: Deployment) -> None:
    """Run the commands that docs/operations.md gives for a killed run."""
    cancelled = _cancel(deployment)
    if cancelled.returncode:
        assert CHECKPOINT_EOF in cancelled.stderr, cancelled.stderr
        print(deployment.ops("recover", deployment.stack.name).stdout)
        deployment.pulumi("cancel", "--yes")
    recovered = deployment.ops("recover", deployment.stack.name)
    print(recovered.stdout, recovered.stderr)
    assert recovered.returncode == 0


def test_a_killed_roll_can_be_continued(pair: Deployment, table: Table) -> None:
    """The worst moment: the backup is deleted, and its replacement exists but is not yet recorded."""
    address = pair.outputs["floatingIp"]
    with watched(pair.url) as seen:
        pair.set(healPartitions="false")
        _killed_when(pair, "vrrp-backup creating", signal.SIGKILL, after=3)
        _recover(pair)
        pair.up()
        pair.until_the_master_serves()
    table.add("user-data; the engine killed in the middle, then recovered", seen)
    master, backup = pair.members
    assert (seen.by[0], seen.by[-1]) == (master, master)
    assert backup in seen.by
    assert seen.longest_gap <= 2
    assert pair.outputs["floatingIp"] == address


#: Parts of lines in the engine's output, from the first resource to the last.
MOMENTS = [
    "vrrp-net creating",
    "vrrp-master-port creating",
    "vrrp-router-interface creating",
    "vrrp-floating-ip creating",
    "vrrp-backup creating",
    "vrrp-master creating",
]


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_killed_first_up_is_removed_by_destroy(make_stack: MakeStack, moment: str) -> None:
    deployment = make_stack()
    before = deployment.left()
    _killed_when(deployment, moment, signal.SIGKILL)
    _recover(deployment)
    deployment.destroy()
    assert deployment.left() == before


def test_a_half_written_file_beside_the_state_is_repaired(make_stack: MakeStack) -> None:
    """A kill rarely hits the engine while it writes that file, so the test writes the half-written file itself."""
    deployment = make_stack()
    before = deployment.left()
    _killed_when(deployment, "vrrp-net creating", signal.SIGKILL)
    (beside,) = (deployment.folder.parent / "state").glob(f"**/{deployment.stack.name}.json.attrs")
    beside.write_bytes(b"")
    cancelled = _cancel(deployment)
    assert CHECKPOINT_EOF in cancelled.stderr
    _recover(deployment)
    deployment.destroy()
    assert deployment.left() == before


@pytest.mark.parametrize("moment", ["vrrp-router creating", "vrrp-backup creating"])
def test_an_up_ended_by_ctrl_c_is_removed_by_destroy(make_stack: MakeStack, moment: str) -> None:
    """The engine finishes and records the operations under way, so no recovery is needed."""
    deployment = make_stack()
    before = deployment.left()
    _killed_when(deployment, moment, signal.SIGINT)
    deployment.destroy()
    assert deployment.left() == before


def test_a_killed_first_up_can_be_continued(make_stack: MakeStack) -> None:
    deployment = make_stack()
    _killed_when(deployment, "vrrp-backup creating", signal.SIGKILL)
    _recover(deployment)
    deployment.up()
    assert set(deployment.preview()) == {"same"}
    names = [name for name in deployment.left() if name.startswith("Server ")]
    assert names == ["Server fleeting-backup", "Server fleeting-master"]
