"""The pair on a real OpenStack, with the real engine: what the mocks and the lab can't know.

Runs against whatever OS_CLOUD names, with a state of its own. It makes two servers, a network, a router and a floating
IP there, all under one name prefix, and deletes them. Servers are slow to boot: the tests of a file share one stack,
and stand in the order in which they change it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import openstack
import pytest
from pulumi import automation

from lab.stack_file import PROJECT_FOLDER

PREFIX = "acceptance"

#: Seconds from a created server to a member that is ready: an emulated guest on a busy machine takes minutes.
BOOT_PATIENCE = 900

#: Seconds between two requests of the client, and how long it waits for an answer.
POLL_INTERVAL, ANSWER_PATIENCE = 0.1, 2.0


@dataclass(frozen=True)
class Seen:
    """What a client saw while something was done to the pair."""

    requests: int
    unanswered: int
    #: Seconds between two good answers.
    longest_gap: float
    #: Who answered, each once, in the order of the first answer.
    by: list[str]


@dataclass(frozen=True)
class Deployment:
    """One stack on the cloud."""

    stack: automation.Stack
    cloud: Any

    @property
    def folder(self) -> Path:
        """The copy of the project that is deployed."""
        return Path(self.stack.workspace.work_dir)

    @property
    def outputs(self) -> dict[str, Any]:
        return {name: output.value for name, output in self.stack.outputs().items()}

    def set(self, **settings: str) -> None:
        for key, value in settings.items():
            self.stack.set_config(key, automation.ConfigValue(value))

    def up(self) -> automation.UpResult:
        return self.stack.up(on_output=print, color="never")

    def changes(self) -> Mapping[str, int]:
        """What a preview would do, by operation: only ``same`` when nothing would change."""
        return {str(op.value): count for op, count in self.stack.preview(color="never").change_summary.items()}

    def console(self, member: str) -> str:
        server = self.cloud.compute.find_server(member, ignore_missing=False)
        return str(self.cloud.compute.get_server_console_output(server)["output"])

    def until_ready(self) -> None:
        end = time.monotonic() + BOOT_PATIENCE
        for member in (f"{PREFIX}-master", f"{PREFIX}-backup"):
            while f"{member} is ready as" not in self.console(member):
                assert time.monotonic() < end, f"{member} is not ready:\n{self.console(member)[-2000:]}"
                time.sleep(3)

    def left(self) -> list[str]:
        """Whatever bears our name, or hangs on something that does."""
        network, compute = self.cloud.network, self.cloud.compute
        named = [
            *network.networks(),
            *network.subnets(),
            *network.routers(),
            *network.ports(),
            *network.security_groups(),
            *compute.servers(),
            *compute.server_groups(),
            *compute.keypairs(),
        ]
        found = [f"{type(one).__name__} {one.name}" for one in named if str(one.name).startswith(PREFIX)]
        project = self.cloud.current_project_id
        return found + [f"FloatingIP {ip.floating_ip_address}" for ip in network.ips(project_id=project)]

    @contextmanager
    def watched(self) -> Generator[list[Seen]]:
        """A client asks all the while; what it saw is in the list afterwards."""
        script = str(PROJECT_FOLDER / "lab" / "client.py")
        command = [sys.executable, script, str(self.outputs["url"]), str(POLL_INTERVAL), str(ANSWER_PATIENCE)]
        client = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
        seen: list[Seen] = []
        try:
            time.sleep(2)
            yield seen
            time.sleep(5)
        finally:
            client.terminate()
            lines, _ = client.communicate()
        answers = [json.loads(line) for line in lines.splitlines()]
        good = sorted((answer["over"], answer["answer"]) for answer in answers if answer["answer"])
        gap = max(later[0] - earlier[0] for earlier, later in pairwise(good))
        seen.append(
            Seen(len(answers), len(answers) - len(good), gap, list(dict.fromkeys(member for _, member in good)))
        )
        print(seen[0])


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Generator[Deployment]:
    """A stack that is up and ready at its first use, and destroyed at the end, whatever became of it."""
    folder = tmp_path_factory.mktemp("project")
    for name in ("Pulumi.yaml", "__main__.py", "components", "userdata", "requirements.txt"):
        source = PROJECT_FOLDER / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / name)
    (folder / ".venv").symlink_to(PROJECT_FOLDER / ".venv")
    state = tmp_path_factory.mktemp("state")
    key = tmp_path_factory.mktemp("key") / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)

    stack = automation.create_stack(
        "acceptance",
        work_dir=str(folder),
        opts=automation.LocalWorkspaceOptions(
            env_vars={
                **os.environ,
                "PULUMI_BACKEND_URL": state.as_uri(),
                "PULUMI_CONFIG_PASSPHRASE": "acceptance",
                "PULUMI_SKIP_UPDATE_CHECK": "true",
            }
        ),
    )
    cloud: Any = openstack.connect()
    found = Deployment(stack, cloud)
    found.set(
        **{"openstack:region": str(cloud.config.get_region_name())},
        namePrefix=PREFIX,
        keyName=f"{PREFIX}-key",
        publicKey=key.with_suffix(".pub").read_text(encoding="utf-8").strip(),
        advertInterval="1",
    )
    before = found.left()
    assert not [name for name in before if PREFIX in name], "an earlier run has left something"
    try:
        yield found
    finally:
        stack.destroy(on_output=print, color="never")
    assert sorted(found.left()) == sorted(before)
