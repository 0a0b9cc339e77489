"""One stack of the program on a real cloud, as an operator has it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from pulumi import automation

from lab.stack_file import PROJECT_FOLDER

#: Seconds from a created server to a member that is ready: an emulated guest on a busy machine takes minutes.
BOOT_PATIENCE = 900

#: What `pulumi up` and `python -m ops` need of the project.
PROGRAM = ("Pulumi.yaml", "__main__.py", "components", "drill", "lab", "ops", "userdata", "requirements.txt")


@dataclass(frozen=True)
class Deployment:
    """A stack with a state and a copy of the project of its own, so that a test may change either."""

    stack: automation.Stack
    #: An ``openstack.connection.Connection``; its proxies have no types that would help.
    cloud: Any
    #: The prefix of every name that it makes.
    prefix: str

    @property
    def folder(self) -> Path:
        """The copy of the project that is deployed."""
        return Path(self.stack.workspace.work_dir)

    @property
    def outputs(self) -> dict[str, Any]:
        return {name: output.value for name, output in self.stack.outputs().items()}

    @property
    def url(self) -> str:
        return str(self.outputs["url"])

    @property
    def members(self) -> tuple[str, str]:
        return f"{self.prefix}-master", f"{self.prefix}-backup"

    def set(self, **settings: str) -> None:
        for key, value in settings.items():
            self.stack.set_config(key, automation.ConfigValue(value))

    def set_list(self, key: str, *values: str) -> None:
        for position, value in enumerate(values):
            self.stack.set_config(f"{key}[{position}]", automation.ConfigValue(value), path=True)

    @property
    def private_key(self) -> Path:
        return self.folder.parent / "key"

    @property
    def public_key(self) -> str:
        return self.private_key.with_suffix(".pub").read_text(encoding="utf-8").strip()

    def forget(self, *keys: str) -> None:
        """Back to the defaults of Pulumi.yaml."""
        for key in keys:
            self.stack.remove_config(key)

    def up(self) -> dict[str, int]:
        """How many resources it changed, by operation."""
        summary = self.stack.up(on_output=print, color="never").summary
        return _by_name(summary.resource_changes or {})

    def preview(self) -> dict[str, int]:
        """What an `up` would do, by operation: only ``same`` when nothing would change."""
        return _by_name(self.stack.preview(color="never").change_summary)

    def refresh(self) -> dict[str, int]:
        summary = self.stack.refresh(on_output=print, color="never").summary
        return _by_name(summary.resource_changes or {})

    def destroy(self) -> None:
        self.stack.destroy(on_output=print, color="never")

    def steps(self) -> list[tuple[str, str]]:
        """What a preview would do: operation and logical name, without what stays as it is."""
        preview = json.loads(self.pulumi("preview", "--json").stdout)
        steps = [(str(step["op"]), str(step["urn"]).rpartition("::")[2]) for step in preview["steps"]]
        return [(operation, name) for operation, name in steps if operation not in {"same", "refresh", "read"}]

    def state(self) -> list[dict[str, Any]]:
        """What the engine knows of each of the cloud's resources."""
        exported: Any = self.stack.export_stack().deployment
        resources: list[dict[str, Any]] = exported.get("resources") or []
        return [one["outputs"] for one in resources if str(one["type"]).startswith("openstack:")]

    def pulumi(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """The command line, as the operator types it."""
        done = self.run("pulumi", *arguments, "--stack", self.stack.name, "--non-interactive")
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    def ops(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """``python -m ops …`` in the project's folder."""
        return self.run(".venv/bin/python", "-m", "ops", *arguments)

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """In the project's folder, with the stack's environment; whatever it exits with."""
        return subprocess.run(
            command, cwd=self.folder, env=self.environment, check=False, capture_output=True, text=True
        )

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, **self.stack.workspace.env_vars}

    def server(self, member: str) -> Any:
        return self.cloud.compute.find_server(member, ignore_missing=False)

    def port(self, member: str) -> Any:
        """The port of a member (by its server's name), or of the VIP (by the prefix alone)."""
        name = f"{self.prefix}-port" if member == self.prefix else f"{member.replace('-', '_')}_server_port"
        return self.cloud.network.find_port(name, ignore_missing=False)

    def console(self, member: str) -> str:
        return str(self.cloud.compute.get_server_console_output(self.server(member))["output"])

    def until_ready(self) -> None:
        end = time.monotonic() + BOOT_PATIENCE
        for member in self.members:
            while f"{member} is ready as" not in self.console(member):
                assert time.monotonic() < end, f"{member} is not ready:\n{self.console(member)[-2000:]}"
                time.sleep(3)

    def until_the_master_serves(self, patience: float = 30) -> None:
        """A master that comes back takes the VIP after three advertisements and the skew.

        :param patience: seconds; one that has to boot first takes longer.
        """
        end = time.monotonic() + patience
        while (member := served_by(self.url)) != self.members[0]:
            assert time.monotonic() < end, f"{member} answers"
            time.sleep(0.5)

    def left(self) -> list[str]:
        """Whatever bears our name, and every floating IP of the project, which has none."""
        network, compute = self.cloud.network, self.cloud.compute
        named = [
            *network.networks(),
            *network.subnets(),
            *network.routers(),
            *network.ports(),
            *network.security_groups(),
            *compute.servers(),
            *compute.server_groups(),
        ]
        found = [f"{type(one).__name__} {one.name}" for one in named if str(one.name).startswith(self.prefix)]
        found += [f"Keypair {one.name}" for one in compute.keypairs() if one.name == f"{self.prefix}-key"]
        project = self.cloud.current_project_id
        ips = [f"FloatingIP {ip.floating_ip_address}" for ip in network.ips(project_id=project)]
        nameless = [
            f"Port {port.id} ({port.device_owner})"
            for port in network.ports(project_id=project)
            if not str(port.name) and port.device_owner != "network:dhcp"
        ]
        return sorted(found + ips + nameless)


def served_by(url: str) -> str | None:
    """Whose page it is, or None when nobody answers."""
    try:
        with urlopen(url, timeout=2) as answer:  # noqa: S310 # http, by our own hand
            return answer.read().decode().strip()
    except OSError:
        return None


def copy_of_the_project(folder: Path) -> Path:
    for name in PROGRAM:
        source = PROJECT_FOLDER / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / name)
    (folder / ".venv").symlink_to(PROJECT_FOLDER / ".venv")
    return folder


def _by_name(changes: Mapping[Any, int]) -> dict[str, int]:
    return {str(getattr(operation, "value", operation)): count for operation, count in changes.items() if count}
