"""Tests of the pair on this machine's kernel, with real keepalived, cloud-init and NAT.

The tests of a cloud's own services are in tests/cloud, those of the declared resources in tests/unit.
"""

from __future__ import annotations

import dataclasses
import subprocess
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pulumi
import pytest

from components import VrrpPair, VrrpPairArgs, preflight
from drill.events import Event
from drill.measurement import Observation
from drill.observer import Observer
from drill.procedure import Drill
from lab.cloud import Cloud
from lab.machine import MachineNotReady, check_machine
from lab.pair import LabPair
from lab.place import Place
from lab.program import Outcome
from lab.stack_file import StackConfig, read_stack
from lab.up import bring_up
from settings.stack_config import settings_from_stack_config

Transformation = Callable[[pulumi.ResourceTransformationArgs], pulumi.ResourceTransformationResult | None]


@pytest.fixture(scope="session", autouse=True)
def machine() -> None:
    """Stop the run if no lab can run here. Skipped tests would look like a success."""
    try:
        check_machine()
    except MachineNotReady as error:
        pytest.exit(str(error), returncode=2)


@dataclass
class Labs:
    """Bring labs up for a test, and take all of them down, also after a failure."""

    places: list[Place] = field(default_factory=list[Place])

    def up(
        self,
        name: str,
        stack: str = "nz-por-1",
        program: Callable[[], None] | None = None,
        *,
        wait: bool = True,
        **own: str,
    ) -> tuple[Cloud, Outcome]:
        """Bring a stack up.

        :param wait: wait until both members are ready.
        :param own: settings that differ from the stack file's.
        """
        place = self.place(name)
        cloud, outcome, _ = bring_up(place, changed(read_stack(stack), **own), print, program, wait=wait)
        return cloud, outcome

    def place(self, name: str) -> Place:
        place = Place(f"test-{name}")
        self.places.append(place)
        # A run that was killed may have left a lab of the same name.
        Cloud(place).sweep()
        return place

    def down(self) -> list[str]:
        """Delete every lab; return what Neutron would have refused."""
        wrong: list[str] = []
        while self.places:
            wrong += Cloud(self.places.pop()).delete_everything()
        return wrong


@pytest.fixture
def labs() -> Generator[Labs]:
    mine = Labs()
    yield mine
    mine.down()


@pytest.fixture(scope="module")
def labs_of_module() -> Generator[Labs]:
    mine = Labs()
    yield mine
    mine.down()


def changed(config: StackConfig, **own: str) -> StackConfig:
    values = {**config.values, **{f"{config.project}:{key}": value for key, value in own.items()}}
    return dataclasses.replace(config, values=values)


def pair_with(transformation: Transformation) -> Callable[[], None]:
    """Return the program of ``__main__.py`` with each resource transformed: a wrongly declared pair."""

    def program() -> None:
        settings = settings_from_stack_config()
        pair = VrrpPair(
            "vrrp",
            VrrpPairArgs(settings, preflight(settings, name="vrrp")),
            pulumi.ResourceOptions(transformations=[transformation]),
        )
        pulumi.export("url", pair.url)
        pulumi.export("vip", pair.vip)

    return program


def without(type_: str, *properties: str) -> Transformation:
    """Return a transformation that leaves properties (snake_case) out of every resource of a type."""

    def transform(args: pulumi.ResourceTransformationArgs) -> pulumi.ResourceTransformationResult | None:
        if not args.type_.endswith(f":{type_}"):
            return None
        props: dict[str, Any] = {**args.props}
        for name in properties:
            props[name] = None
        return pulumi.ResourceTransformationResult(props, args.opts)

    return transform


def once(cloud: Cloud, event: Event) -> Observation:
    """Perform an event on a healthy pair; return what a client saw."""
    pair = LabPair(cloud)
    with Observer(pair) as observer:
        return Drill(pair, observer, print, recovery_timeout=60).once(event)[0]


def holders(cloud: Cloud) -> list[str]:
    vip = str(cloud.record.about["vip"])
    return [member.name for member in cloud.nova.servers() if vip in member.addresses()]


def from_client(cloud: Cloud, *command: str) -> int:
    """Run a command on the external network; return its exit code."""
    inside = cloud.neutron.public.inside
    return subprocess.run([*inside, *command], capture_output=True, check=False, timeout=60).returncode


def traces_of(place: Place) -> dict[str, list[str]]:
    """Return everything of a lab that this machine has, by kind, found without the lab's own code."""
    namespaces = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout
    mounts = Path("/proc/self/mounts").read_text(encoding="utf-8")
    rules = subprocess.run(["nft", "list", "ruleset"], capture_output=True, text=True, check=True).stdout
    links = subprocess.run(["ip", "-oneline", "link"], capture_output=True, text=True, check=True).stdout
    mark = f"vrrp-lab.{place.name}."
    return {
        "namespaces": [line for line in namespaces.splitlines() if line.startswith(mark)],
        "mounts": [line for line in mounts.splitlines() if place.name in line],
        "processes": _processes_of(place),
        "groups": [str(path) for path in Path("/sys/fs/cgroup").glob(f"**/nspawn-lab/{place.name}.*")],
        "rules of the root namespace": [line for line in rules.splitlines() if "port-" in line],
        "devices of the root namespace": [
            line for line in links.splitlines() if any(f" {kind}-" in line for kind in ("tap", "qr", "rt", "in"))
        ],
        "files": [str(place.folder)] if place.folder.exists() else [],
    }


def _processes_of(place: Place) -> list[str]:
    found: list[str] = []
    for process in Path("/proc").iterdir():
        if not process.name.isdecimal():
            continue
        try:
            if (process / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] == "Z":
                continue  # a zombie, which process 1 has not collected yet
            groups = (process / "cgroup").read_text(encoding="utf-8")
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if f"/nspawn-lab/{place.name}." in groups or f"vrrp-lab.{place.name}." in command:
            found.append(f"{process.name} {command}")
    return found
