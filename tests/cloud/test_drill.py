"""`ops drill` on a real cloud writes a table, figures and a picture, and restores the pair."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time

import pytest

from .deployment import BOOT_TIMEOUT, Deployment

EVENTS = [
    "port disabled",
    "port enabled again",
    "server paused",
    "server goes on",
    "server shut down",
    "server started",
]


def _state(pair: Deployment) -> list[tuple[str, bool, str | None]]:
    """Return status, admin state and task of each member: a server has the status ACTIVE until it is off."""
    servers = [(pair.cloud.compute.get_server(pair.server(member)), pair.port(member)) for member in pair.members]
    return [(server.status, port.is_admin_state_up, server.task_state) for server, port in servers]


def _until_as_before(pair: Deployment) -> None:
    """Check that the pair is restored, and wait until a server that was shut down has booted."""
    assert _state(pair) == [("ACTIVE", True, None), ("ACTIVE", True, None)]
    end = time.monotonic() + BOOT_TIMEOUT
    while pair.ops("status", pair.stack.name).returncode:
        assert time.monotonic() < end
        time.sleep(5)


def test_service_comes_back_after_every_event(pair: Deployment) -> None:
    done = pair.ops("drill", pair.stack.name, "--report", "drill")
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    report = pair.folder / "drill"
    seen = json.loads(report.with_suffix(".json").read_text(encoding="utf-8"))["events"]
    assert [event["name"] for event in seen] == EVENTS
    assert all(event["back"] for event in seen)
    away, home = pair.members, pair.members[::-1]
    assert [(event["before"], event["after"]) for event in seen] == [away, home] * 3
    assert report.with_suffix(".svg").read_text(encoding="utf-8").startswith("<svg")
    _until_as_before(pair)


def test_with_a_key_it_also_performs_events_on_a_member(pair: Deployment) -> None:
    """The events need SSH: keepalived stops, a member is drained, and a web server dies or hangs."""
    (pair.folder / "ssh_config").write_text(f"UserKnownHostsFile {pair.folder / 'known_hosts'}\n", encoding="utf-8")
    pair.set(memberFloatingIps="true")
    pair.set(sshCidrs=["0.0.0.0/0"])
    events = ["keepalived stopped", "drained", "web server stopped", "web server hangs"]
    back = ["keepalived started", "undrained", "web server started", "web server goes on"]
    try:
        pair.up()
        options = ["--key", str(pair.private_key), "--ssh-config", "ssh_config", "--report", "inside"]
        done = pair.ops("drill", pair.stack.name, *options, *(f"--event={event}" for event in events))
        print(done.stdout)
        assert done.returncode == 0, done.stdout + done.stderr
        seen = json.loads((pair.folder / "inside.json").read_text(encoding="utf-8"))["events"]
        assert [event["name"] for event in seen] == [name for both in zip(events, back, strict=True) for name in both]
        away, home = pair.members, pair.members[::-1]
        assert [(event["before"], event["after"]) for event in seen] == [away, home] * 4
    finally:
        pair.forget("memberFloatingIps", "sshCidrs")
        pair.up()


@pytest.mark.parametrize("phase", EVENTS)
def test_an_interrupt_leaves_the_pair_as_it_was(pair: Deployment, phase: str) -> None:
    command = [".venv/bin/python", "-u", "-m", "ops", "drill", pair.stack.name]
    environment = {**os.environ, **pair.stack.workspace.env_vars}
    with subprocess.Popen(
        command, cwd=pair.folder, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as drill:
        assert drill.stdout
        for line in drill.stdout:
            if line.strip() == phase:
                break
        else:
            pytest.fail(f"{phase} never began")
        time.sleep(1.5)
        drill.send_signal(signal.SIGINT)
        drill.stdout.read()
        assert drill.wait() != 0
    _until_as_before(pair)


def test_an_unhealthy_pair_is_not_drilled(pair: Deployment) -> None:
    port = pair.port(pair.members[1])
    pair.cloud.network.update_port(port, is_admin_state_up=False)
    try:
        done = pair.ops("drill", pair.stack.name)
        assert done.returncode == 1
        assert f"the port of {pair.members[1]} is disabled" in done.stderr
        assert "not drilled" in done.stderr
        assert _state(pair)[0] == ("ACTIVE", True, None)
    finally:
        pair.cloud.network.update_port(port, is_admin_state_up=True)
