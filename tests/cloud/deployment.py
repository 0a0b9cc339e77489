"""One stack of the program on a real cloud, as an operator uses it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import yaml
from pulumi import automation

from gates.member_console import NovaServer, is_ready
from lab.stack_file import PROJECT_FOLDER
from userdata.renderer import TEMPLATES

#: Seconds from the creation of a server to a ready member: an emulated guest on a busy machine takes minutes.
BOOT_TIMEOUT = 900

#: The files and folders of the project that `pulumi up` and `python -m ops` need.
PROGRAM = (
    "Pulumi.yaml",
    "__main__.py",
    "components",
    "drill",
    "gates",
    "ops",
    "requirements.txt",
    "settings",
    "userdata",
)


@dataclass(frozen=True)
class Deployment:
    """A stack with its own state and its own copy of the project, so that a test may change either."""

    stack: automation.Stack
    #: An ``openstack.connection.Connection``; its proxies have no useful types.
    cloud: Any
    #: The prefix of every name.
    prefix: str

    @property
    def folder(self) -> Path:
        """The copy of the project that is deployed."""
        return Path(self.stack.workspace.work_dir)

    @property
    def outputs(self) -> dict[str, Any]:
        """The outputs of the stack, secrets in the clear."""
        return {name: output.value for name, output in self.stack.outputs().items()}

    @property
    def url(self) -> str:
        """The URL of the service behind the floating IP."""
        return str(self.outputs["url"])

    @property
    def members(self) -> tuple[str, str]:
        """The names of the master and the backup."""
        return f"{self.prefix}-master", f"{self.prefix}-backup"

    @property
    def stack_file(self) -> Path:
        """The stack file in the copy of the project."""
        return self.folder / f"Pulumi.{self.stack.name}.yaml"

    def set(self, **settings: object) -> None:
        """Set keys in the stack file: texts, numbers, lists and objects, each in YAML's own type.

        The engine refuses a list or an object that is written as a text.

        :param settings: key → value. A key without a namespace belongs to the project.
        """
        project = yaml.safe_load((self.folder / "Pulumi.yaml").read_text(encoding="utf-8"))["name"]
        content: dict[str, Any] = yaml.safe_load(self.stack_file.read_text(encoding="utf-8")) or {}
        entries = {key if ":" in key else f"{project}:{key}": value for key, value in settings.items()}
        content["config"] = {**content.get("config", {}), **entries}
        self.stack_file.write_text(yaml.safe_dump(content), encoding="utf-8")

    @property
    def private_key(self) -> Path:
        """The private key for the members."""
        return self.folder.parent / "key"

    @property
    def public_key(self) -> str:
        """The line of the public key."""
        return self.private_key.with_suffix(".pub").read_text(encoding="utf-8").strip()

    def forget(self, *keys: str) -> None:
        """Remove keys from the stack file, so that the defaults of Pulumi.yaml apply."""
        for key in keys:
            self.stack.remove_config(key)

    def up(self) -> dict[str, int]:
        """Run `pulumi up`, and return the number of resources by operation."""
        summary = self.stack.up(on_output=print, color="never").summary
        return _by_name(summary.resource_changes or {})

    def preview(self) -> dict[str, int]:
        """Run `pulumi preview`, and return the number of resources by operation: only ``same`` without changes."""
        return _by_name(self.stack.preview(color="never").change_summary)

    def refresh(self) -> dict[str, int]:
        """Run `pulumi refresh`, and return the number of resources by operation."""
        summary = self.stack.refresh(on_output=print, color="never").summary
        return _by_name(summary.resource_changes or {})

    def destroy(self) -> None:
        """Run `pulumi destroy`."""
        self.stack.destroy(on_output=print, color="never")

    def steps(self) -> list[tuple[str, str]]:
        """Return the operation and the logical name of each planned change."""
        preview = json.loads(self.pulumi("preview", "--json").stdout)
        steps = [(str(step["op"]), str(step["urn"]).rpartition("::")[2]) for step in preview["steps"]]
        return [(operation, name) for operation, name in steps if operation not in {"same", "refresh", "read"}]

    def state(self) -> list[dict[str, Any]]:
        """Return the outputs of each cloud resource in the engine's state."""
        exported: Any = self.stack.export_stack().deployment
        resources: list[dict[str, Any]] = exported.get("resources") or []
        return [one["outputs"] for one in resources if str(one["type"]).startswith("openstack:")]

    def pulumi(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the CLI on the stack, as an operator does, and require its success."""
        done = self.run("pulumi", *arguments, "--stack", self.stack.name, "--non-interactive")
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    def ops(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run ``python -m ops …`` in the project's folder, and return whatever it exits with."""
        return self.run(".venv/bin/python", "-m", "ops", *arguments)

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the project's folder with the stack's environment, and return whatever it exits with."""
        return subprocess.run(
            command, cwd=self.folder, env=self.environment, check=False, capture_output=True, text=True
        )

    @property
    def environment(self) -> dict[str, str]:
        """The environment of this process, and the variables of the stack's backend."""
        return {**os.environ, **self.stack.workspace.env_vars}

    def template(self, name: str) -> Path:
        """Return a template of the user-data in the copy of the project."""
        return self.folder / TEMPLATES.relative_to(PROJECT_FOLDER) / name

    def server(self, member: str) -> Any:
        """Return Nova's server of a member."""
        return self.cloud.compute.find_server(member, ignore_missing=False)

    def port(self, member: str) -> Any:
        """Return the port of a member (by the name of its server), or of the VIP (by the prefix alone)."""
        name = f"{self.prefix}-port" if member == self.prefix else f"{member.replace('-', '_')}_server_port"
        return self.cloud.network.find_port(name, ignore_missing=False)

    def console(self, member: str) -> str:
        """Return the console log of a member."""
        return str(self.cloud.compute.get_server_console_output(self.server(member))["output"])

    def until_ready(self) -> None:
        """Wait until both members report on their consoles that they are ready in their present boots."""
        for member in self.members:
            self.until_member_ready(member)

    def until_member_ready(self, member: str) -> None:
        """Wait until a member reports on its console that it is ready in its present boot."""
        end = time.monotonic() + BOOT_TIMEOUT
        while not is_ready(NovaServer(self.cloud.compute, self.server(member).id), member):
            assert time.monotonic() < end, f"{member} is not ready:\n{self.console(member)[-2000:]}"
            time.sleep(3)

    def until_the_master_serves(self, timeout: float = 30) -> None:
        """Wait until the master answers: after its return it takes the VIP after three advertisements and the skew.

        :param timeout: seconds; use more if it has to boot first.
        """
        self.until_served_by(self.members[0], timeout)

    def until_served_by(self, member: str, timeout: float = 30) -> None:
        """Wait until a member answers.

        :param timeout: seconds.
        """
        end = time.monotonic() + timeout
        while (answering := served_by(self.url)) != member:
            assert time.monotonic() < end, f"{answering or 'no member'} answers"
            time.sleep(0.5)

    def left(self) -> list[str]:
        """Return the resources of the project that may be left of this stack."""
        return resources_left(self.cloud, self.prefix)


def resources_left(cloud: Any, prefix: str) -> list[str]:
    """Return each resource whose name begins with ``prefix``, and the project's floating IPs and nameless ports."""
    network, compute = cloud.network, cloud.compute
    named = [
        *network.networks(),
        *network.subnets(),
        *network.routers(),
        *network.ports(),
        *network.security_groups(),
        *compute.servers(),
        *compute.server_groups(),
    ]
    found = [f"{type(one).__name__} {one.name}" for one in named if str(one.name).startswith(prefix)]
    found += [f"Keypair {one.name}" for one in compute.keypairs() if one.name == f"{prefix}-key"]
    project = cloud.current_project_id
    ips = [f"FloatingIP {ip.floating_ip_address}" for ip in network.ips(project_id=project)]
    nameless = [
        f"Port {port.id} ({port.device_owner})"
        for port in network.ports(project_id=project)
        if not str(port.name) and port.device_owner != "network:dhcp"
    ]
    return sorted(found + ips + nameless)


def new_deployment(folder: Path, prefix: str, cloud: Any, program: Callable[[Path], Path]) -> Deployment:
    """Make a stack without resources; its project, state and key are in ``folder``.

    :param folder: exists and is empty.
    :param prefix: the prefix of every name, and the name of the stack.
    :param program: writes the project into an existing folder, and returns that folder.
    """
    project, state = folder / "project", folder / "state"
    project.mkdir()
    state.mkdir()
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / "key")], check=True)
    # Several pairs exist at the same time, and a pair's ports are found by a tag of the project, stack and component.
    stack = automation.create_stack(
        prefix,
        work_dir=str(program(project)),
        opts=automation.LocalWorkspaceOptions(
            env_vars={
                **os.environ,
                "PULUMI_BACKEND_URL": state.as_uri(),
                "PULUMI_CONFIG_PASSPHRASE": "acceptance",
                "PULUMI_SKIP_UPDATE_CHECK": "true",
            }
        ),
    )
    deployment = Deployment(stack, cloud, prefix)
    deployment.set(
        **{"openstack:region": str(cloud.config.get_region_name())},
        namePrefix=prefix,
        keyName=f"{prefix}-key",
        publicKey=deployment.public_key,
    )
    return deployment


def served_by(url: str) -> str | None:
    """Return the member's name on the page, or None without an answer."""
    try:
        with urlopen(url, timeout=2) as answer:  # noqa: S310 # the URL is the stack's own, with http
            return answer.read().decode().strip()
    except OSError:
        return None


def copy_of_the_project(folder: Path) -> Path:
    """Copy the program into an existing folder, and return that folder."""
    for name in PROGRAM:
        source = PROJECT_FOLDER / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / name)
    (folder / ".venv").symlink_to(PROJECT_FOLDER / ".venv")
    return folder


def _by_name(changes: Mapping[Any, int]) -> dict[str, int]:
    return {str(getattr(operation, "value", operation)): count for operation, count in changes.items() if count}
