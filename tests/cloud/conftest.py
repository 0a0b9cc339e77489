"""The pair on a real OpenStack, with the real engine: what the mocks and the lab can't know.

Runs against whatever OS_CLOUD names, with a state of its own. It makes servers, networks, routers and floating IPs
there, all under name prefixes of its own, and deletes them. Servers are slow to boot, so one healthy pair is shared:
each test that takes ``pair`` finds it healthy, and leaves it so.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openstack
import pytest
from pulumi import automation

from .deployment import Deployment, copy_of_the_project
from .seen import Table, watched

MakeStack = Callable[..., Deployment]


@dataclass(frozen=True)
class FirstUp:
    """What the first `up` of the shared pair did."""

    changes: dict[str, int]
    #: Seconds, of the engine alone, and until both members were ready.
    up: float
    ready: float


@pytest.fixture(scope="session")
def table() -> Table:
    return Table()


@pytest.fixture(scope="session")
def cloud() -> Any:
    return openstack.connect()


@contextmanager
def _stack(folder: Path, prefix: str, cloud: Any) -> Generator[Deployment]:
    """A stack that has nothing yet, and has nothing afterwards, whatever became of it."""
    program, state = folder / "project", folder / "state"
    program.mkdir()
    state.mkdir()
    key = folder / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    stack = automation.create_stack(
        "acceptance",
        work_dir=str(copy_of_the_project(program)),
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
        advertInterval="1",
    )
    before = deployment.left()
    assert not [name for name in before if prefix in name], "an earlier run has left something"
    try:
        yield deployment
    finally:
        deployment.destroy()
    assert deployment.left() == before


@pytest.fixture(scope="session")
def _made(tmp_path_factory: pytest.TempPathFactory, cloud: Any) -> Generator[tuple[Deployment, FirstUp]]:
    with _stack(tmp_path_factory.mktemp("pair"), "acceptance", cloud) as deployment:
        began = time.monotonic()
        changes = deployment.up()
        up = time.monotonic() - began
        deployment.until_ready()
        yield deployment, FirstUp(changes, up, time.monotonic() - began)


@pytest.fixture(scope="session")
def first_up(_made: tuple[Deployment, FirstUp]) -> FirstUp:
    return _made[1]


@pytest.fixture
def pair(_made: tuple[Deployment, FirstUp]) -> Generator[Deployment]:
    """The shared pair: healthy before a test, and, if the test went well, after it."""
    deployment, _ = _made
    yield deployment
    assert set(deployment.preview()) == {"same"}
    deployment.until_ready()
    deployment.until_the_master_serves()
    with watched(deployment.url) as seen:
        pass
    # A cloud may lose a request by itself, and a busy machine does.
    assert seen.by == [deployment.members[0]]
    assert seen.longest_gap < 1


@pytest.fixture
def make_stack(tmp_path: Path, cloud: Any) -> Generator[MakeStack]:
    """Stacks of a test's own, without servers' boots being waited for."""
    with ExitStack() as stacks:

        def make(prefix: str = "fleeting") -> Deployment:
            folder = tmp_path / prefix
            folder.mkdir()
            return stacks.enter_context(_stack(folder, prefix, cloud))

        yield make
