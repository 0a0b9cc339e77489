"""A lab leaves nothing behind, however it ends, and does not disturb another lab."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from lab.cloud import Cloud
from lab.stack_file import PROJECT_FOLDER
from lab.up import ask

from .conftest import Labs, holders, traces_of

UP = [sys.executable, "-m", "lab", "up", "nz-por-1", "--name"]
DOWN = [sys.executable, "-m", "lab", "down", "--name"]


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGKILL])
@pytest.mark.parametrize("seconds", [0.3, 1.5])
def test_down_removes_a_lab_whose_up_was_interrupted(labs: Labs, stop: signal.Signals, seconds: float) -> None:
    place = labs.place("interrupted")
    up = subprocess.Popen([*UP, place.name], cwd=PROJECT_FOLDER, stdout=subprocess.PIPE, start_new_session=True)
    end = time.monotonic() + 30
    while not place.namespaces() and time.monotonic() < end:
        time.sleep(0.02)
    time.sleep(seconds)
    os.kill(up.pid, stop)
    assert up.wait(timeout=30) != 0
    assert any(traces_of(place).values())
    down = subprocess.run([*DOWN, place.name], cwd=PROJECT_FOLDER, capture_output=True, text=True, check=False)
    assert down.returncode == 0, down.stdout + down.stderr
    assert not any(traces_of(place).values()), traces_of(place)


def test_down_removes_a_lab_whose_record_is_lost(labs: Labs) -> None:
    cloud, _ = labs.up("lost", wait=False)
    cloud.place.record.unlink()
    Cloud(cloud.place).delete_everything()
    assert not any(traces_of(cloud.place).values()), traces_of(cloud.place)


def test_deleting_one_lab_does_not_disturb_another(labs: Labs) -> None:
    one, outcome = labs.up("one")
    other, _ = labs.up("other")
    url = str(outcome.outputs["url"])
    assert (ask(one, url), ask(other, url)) == ("vrrp-master", "vrrp-master")
    Cloud(other.place).delete_everything()
    assert not any(traces_of(other.place).values()), traces_of(other.place)
    assert ask(one, url) == "vrrp-master"
    assert holders(one) == ["vrrp-master"]
