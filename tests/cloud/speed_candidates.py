"""The programs that compare_speed.py compares: ours, a plain Pulumi program, a Terraform configuration, many pairs.

Each has its own folder, state and name prefix, and removes everything that it has created.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from drill.interrupts import interrupts_postponed
from lab.stack_file import read_stack
from settings import parse_settings
from userdata.renderer import render_user_data

from .deployment import Deployment, copy_of_the_project, new_deployment

HERE = Path(__file__).parent

#: Seconds that a command may take to end after an interrupt: it finishes the operations under way and records them.
END_TIMEOUT = 300


class CommandFailed(Exception):
    """A command ended with an error or took too long; the message has the end of its output."""


@dataclass(frozen=True)
class Cloud:
    """The cloud of the comparison, and what every program uses there."""

    #: An ``openstack.connection.Connection``.
    connection: Any
    external_network: str
    image: str
    flavor: str
    #: Seconds that one command may take.
    timeout: float

    @staticmethod
    def with_the_defaults_of_the_project(connection: Any, timeout: float) -> Cloud:
        """Use the external network, the image and the flavor of Pulumi.yaml."""
        values = read_stack("nz-por-1").values
        return Cloud(
            connection,
            external_network=values["vrrp-pair:externalNetwork"],
            image=values["vrrp-pair:image"],
            flavor=values["vrrp-pair:flavor"],
            timeout=timeout,
        )

    @property
    def region(self) -> str:
        """The region of the connection."""
        return str(self.connection.config.get_region_name())


class Candidate(Protocol):
    """A program that is measured."""

    @property
    def name(self) -> str:
        """Its name in the table."""
        ...

    @property
    def prefix(self) -> str:
        """The beginning of the names of its resources."""
        ...

    def preview(self, *, unchanged: bool = False) -> None:
        """Show what would change.

        :param unchanged: whether everything exists, so that a change is an error.
        :raises CommandFailed: see there.
        """
        ...

    def up(self) -> str:
        """Create the resources, and return the URL of the service.

        :raises CommandFailed: see there.
        """
        ...

    def destroy(self) -> None:
        """Delete the resources, also those of an interrupted `up`.

        :raises CommandFailed: see there.
        """
        ...


@dataclass
class Command:
    """Runs commands in a folder. An interrupt ends the command first, and cleanly."""

    folder: Path
    timeout: float
    environment: Mapping[str, str] = field(default_factory=dict[str, str])

    def run(self, *command: str) -> str:
        """Run a command, and return its standard output.

        :raises CommandFailed: when it fails, or takes longer than the timeout.
        """
        with subprocess.Popen(
            command,
            cwd=self.folder,
            env=self._whole_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # Ctrl-C reaches only this process, which ends the command itself.
            start_new_session=True,
        ) as process:
            try:
                output, errors = process.communicate(timeout=self.timeout)
            except subprocess.TimeoutExpired:
                _end(process)
                raise CommandFailed(f"`{_shown(command)}` took longer than {self.timeout:.0f} s") from None
            except BaseException:
                _end(process)
                raise
        if process.returncode:
            raise CommandFailed(f"`{_shown(command)}` ended with {process.returncode}:\n{(output + errors)[-3000:]}")
        return output

    def _whole_environment(self) -> dict[str, str]:
        """Return this process's environment and the command's own variables.

        Python may write byte code, as on an operator's machine. Otherwise each run would measure the compiler.
        """
        environment = {**os.environ, **self.environment}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        return environment


def _shown(command: Sequence[str]) -> str:
    return " ".join(command[:3])


def _end(process: subprocess.Popen[str]) -> None:
    """Interrupt a command, wait for its end, and kill it and its children if that takes too long."""
    with interrupts_postponed():
        process.send_signal(signal.SIGINT)
        try:
            process.communicate(timeout=END_TIMEOUT)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


class PulumiCandidate:
    """A Pulumi program in a stack of its own."""

    def __init__(self, name: str, deployment: Deployment, timeout: float) -> None:
        """:param deployment: a stack without resources.

        :param timeout: seconds that one command may take.
        """
        self.name = name
        self.prefix = deployment.prefix
        self._command = Command(deployment.folder, timeout, deployment.stack.workspace.env_vars)
        self._stack = deployment.stack.name

    def preview(self, *, unchanged: bool = False) -> None:
        """Run `pulumi preview`."""
        self._pulumi("preview", *(["--expect-no-changes"] if unchanged else []))

    def up(self) -> str:
        """Run `pulumi up`, and return the output ``url``."""
        self._pulumi("up", "--yes", "--skip-preview")
        return str(json.loads(self._pulumi("stack", "output", "--json"))["url"])

    def destroy(self) -> None:
        """Run `pulumi destroy`, after `pulumi cancel` if a killed run has left a lock."""
        try:
            self._pulumi("destroy", "--yes", "--skip-preview")
        except CommandFailed:
            self._pulumi("cancel", "--yes")
            self._pulumi("destroy", "--yes", "--skip-preview")

    def _pulumi(self, *arguments: str) -> str:
        return self._command.run("pulumi", *arguments, "--stack", self._stack, "--non-interactive", "--color", "never")


class TerraformCandidate:
    """The Terraform configuration in tests/cloud/terraform."""

    def __init__(self, name: str, folder: Path, prefix: str, variables: Mapping[str, str], command: Command) -> None:
        """:param folder: has main.tf and the user-data, and gets the state.

        :param variables: the values of the variables in main.tf.
        """
        self.name = name
        self.prefix = prefix
        self._command = command
        text = json.dumps(variables, indent=2)
        (folder / "terraform.tfvars.json").write_text(text, encoding="utf-8")

    def preview(self, *, unchanged: bool = False) -> None:
        """Run `terraform plan`."""
        # With -detailed-exitcode the exit status is 2 when there are changes.
        self._terraform("plan", *(["-detailed-exitcode"] if unchanged else []))

    def up(self) -> str:
        """Run `terraform apply`, and return the output ``url``."""
        self._terraform("apply", "-auto-approve")
        return self._command.run("terraform", "output", "-raw", "url")

    def destroy(self) -> None:
        """Run `terraform destroy`, without the lock that a killed run may have left."""
        self._terraform("destroy", "-auto-approve", "-lock=false")

    def _terraform(self, subcommand: str, *arguments: str) -> str:
        return self._command.run("terraform", subcommand, "-input=false", "-no-color", *arguments)


def ours(folder: Path, cloud: Cloud) -> PulumiCandidate:
    """Return the project's own program, with one advertisement per second as in the acceptance tests."""
    deployment = new_deployment(folder, "speed-ours", cloud.connection, copy_of_the_project)
    deployment.set(externalNetwork=cloud.external_network, image=cloud.image, flavor=cloud.flavor, advertInterval="1")
    return PulumiCandidate("ours", deployment, cloud.timeout)


def plain(folder: Path, cloud: Cloud) -> PulumiCandidate:
    """Return the plain program in tests/cloud/plain_pair."""
    prefix = "speed-plain"

    def program(project: Path) -> Path:
        for name in ("Pulumi.yaml", "__main__.py"):
            shutil.copy(HERE / "plain_pair" / name, project / name)
        public_key = (project.parent / "key.pub").read_text(encoding="utf-8").strip()
        write_user_data(project, prefix, public_key)
        return _with_the_interpreter(project)

    deployment = new_deployment(folder, prefix, cloud.connection, program)
    deployment.set(externalNetwork=cloud.external_network, image=cloud.image, flavor=cloud.flavor, userData=".")
    return PulumiCandidate("plain", deployment, cloud.timeout)


def many(folder: Path, cloud: Cloud, pairs: int) -> PulumiCandidate:
    """Return a program with many pairs, which is only previewed."""

    def program(project: Path) -> Path:
        copy_of_the_project(project)
        shutil.copy(HERE / "many_pairs" / "__main__.py", project / "__main__.py")
        # The program has keys of its own, and the project's declarations do not apply to them.
        declaration = "name: many-pairs\nruntime: {name: python, options: {toolchain: pip, virtualenv: .venv}}\n"
        (project / "Pulumi.yaml").write_text(f"{declaration}options: {{refresh: always}}\n", encoding="utf-8")
        return project

    deployment = new_deployment(folder, "speed-many", cloud.connection, program)
    deployment.set(externalNetwork=cloud.external_network, image=cloud.image, flavor=cloud.flavor, pairs=pairs)
    return PulumiCandidate(f"ours, {pairs} pairs", deployment, cloud.timeout)


def terraform(folder: Path, cloud: Cloud, provider: Path) -> TerraformCandidate:
    """Return the Terraform configuration.

    :param provider: the executable of terraform-provider-openstack, in a folder of its own.
    """
    prefix = "speed-terraform"
    shutil.copy(HERE / "terraform" / "main.tf", folder / "main.tf")
    key = folder / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    write_user_data(folder, prefix, key.with_suffix(".pub").read_text(encoding="utf-8").strip())
    # The provider is used as it is, without `terraform init` and a registry.
    settings = folder / "terraform.rc"
    override = f'"terraform-provider-openstack/openstack" = {json.dumps(str(provider.resolve().parent))}'
    settings.write_text(f"provider_installation {{\n  dev_overrides {{\n    {override}\n  }}\n}}\n", encoding="utf-8")
    variables = {
        "region": cloud.region,
        "name_prefix": prefix,
        "external_network": cloud.external_network,
        "image": cloud.image,
        "flavor": cloud.flavor,
    }
    command = Command(folder, cloud.timeout, {"TF_CLI_CONFIG_FILE": str(settings), "CHECKPOINT_DISABLE": "1"})
    return TerraformCandidate("terraform", folder, prefix, variables, command)


def write_user_data(folder: Path, prefix: str, public_key: str) -> None:
    """Write the user-data that the project's own program would give the members."""
    settings = parse_settings({"namePrefix": prefix, "publicKey": public_key, "advertInterval": "1"}, "vrrp-pair")
    for member in settings.members:
        text = render_user_data(settings, member)
        (folder / f"user-data-{member.role.value}").write_text(text, encoding="utf-8")


def _with_the_interpreter(project: Path) -> Path:
    (project / ".venv").symlink_to(HERE.parent.parent / ".venv")
    return project


def remove_leftovers(connection: Any, prefix: str) -> None:
    """Delete the resources with a name prefix by the APIs: the last resort after a destroy that failed.

    :param connection: an ``openstack.connection.Connection``.
    """
    network, compute, project = connection.network, connection.compute, connection.current_project_id

    def ours(resources: Any) -> list[Any]:
        return [one for one in resources if str(one.name).startswith(prefix)]

    for server in ours(compute.servers()):
        compute.delete_server(server)
        compute.wait_for_delete(server, wait=300)
    networks = {one.id for one in ours(network.networks(project_id=project))}
    ports = [port for port in network.ports(project_id=project) if port.network_id in networks]
    for ip in network.ips(project_id=project):
        if ip.port_id in {port.id for port in ports}:
            network.delete_ip(ip)
    for router in ours(network.routers(project_id=project)):
        for interface in network.ports(device_id=router.id, device_owner="network:router_interface"):
            network.remove_interface_from_router(router, port_id=interface.id)
        network.delete_router(router)
    for port in ports:
        if not str(port.device_owner).startswith("network:"):
            network.delete_port(port)
    for one in ours(network.networks(project_id=project)):
        network.delete_network(one)
    for group in ours(network.security_groups(project_id=project)):
        network.delete_security_group(group)
    for group in ours(compute.server_groups()):
        compute.delete_server_group(group)


def seconds_of(action: Any, *arguments: Any, **options: Any) -> tuple[float, Any]:
    """Return the duration of a call in seconds, and its result."""
    began = time.monotonic()
    result = action(*arguments, **options)
    return time.monotonic() - began, result
