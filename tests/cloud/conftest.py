"""Tests of the pair on a real OpenStack with the real engine, which mocks and the lab can't replace.

They run on the cloud that OS_CLOUD names, with a state of their own. They create servers, networks, routers and
floating IPs under their own name prefixes, and delete them. Servers boot slowly, so the tests share one pair: each test
with the fixture ``pair`` finds it healthy, and leaves it healthy.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openstack
import pytest
from openstack.exceptions import ConfigException

from .deployment import Deployment, copy_of_the_project, new_deployment
from .seen import Table, watched

MakeStack = Callable[..., Deployment]


@dataclass(frozen=True)
class FirstUp:
    """The result of the first `up` of the shared pair."""

    changes: dict[str, int]
    #: Seconds of the engine alone, and until both members were ready.
    up: float
    ready: float


@pytest.fixture(scope="session")
def table() -> Table:
    """The table of the whole run."""
    return Table()


@pytest.fixture(scope="session")
def cloud() -> Any:
    """The connection to the cloud."""
    return openstack.connect()


@contextmanager
def _stack(folder: Path, prefix: str, cloud: Any) -> Generator[Deployment]:
    """Give an empty stack, destroy it afterwards in any case, and check that the project has nothing left of it."""
    deployment = new_deployment(folder, prefix, cloud, copy_of_the_project)
    deployment.set(advertInterval="1")
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
    """The first `up` of the shared pair."""
    return _made[1]


@pytest.fixture
def pair(_made: tuple[Deployment, FirstUp]) -> Generator[Deployment]:
    """Give the shared pair, and check after a test that it is healthy again."""
    deployment, _ = _made
    yield deployment
    assert set(deployment.preview()) == {"same"}
    deployment.until_ready()
    deployment.until_the_master_serves()
    with watched(deployment.url) as seen:
        pass
    # A cloud or a busy machine may lose a single request.
    assert seen.by == [deployment.members[0]]
    assert seen.longest_gap < 1


@pytest.fixture
def make_stack(tmp_path: Path, cloud: Any) -> Generator[MakeStack]:
    """Give a function that makes stacks for one test, without waiting for their servers to boot."""
    with ExitStack() as stacks:

        def make(prefix: str = "fleeting") -> Deployment:
            folder = tmp_path / prefix
            folder.mkdir()
            return stacks.enter_context(_stack(folder, prefix, cloud))

        yield make


def administrator(needed_for: str) -> Any:
    """Return the connection of an administrator, or skip the test.

    :param needed_for: what only an administrator can make.
    """
    try:
        return openstack.connect(cloud="admin")
    except ConfigException:
        # Keystone lets only an administrator make regions and users, and most clouds give their tenants none.
        pytest.skip(f"clouds.yaml has no `admin` who could make {needed_for}")


@pytest.fixture
def other_region(cloud: Any) -> Generator[str]:
    """Give another region of the catalog.

    If there is none and `clouds.yaml` has an ``admin``, create one for the test: the same services under another name.
    """
    present = str(cloud.config.get_region_name())
    catalog: list[Any] = cloud.session.auth.get_access(cloud.session).service_catalog.catalog
    regions = {str(endpoint["region"]) for service in catalog for endpoint in service["endpoints"]} - {present}
    if regions:
        yield min(regions)
        return
    admin = administrator("another region")
    with ExitStack() as afterwards:
        region = admin.identity.create_region(id="another-region", description="made by the acceptance tests")
        afterwards.callback(admin.identity.delete_region, region)
        for endpoint in list(admin.identity.endpoints(region_id=present)):
            made = admin.identity.create_endpoint(
                service_id=endpoint.service_id, interface=endpoint.interface, url=endpoint.url, region_id=region.id
            )
            afterwards.callback(admin.identity.delete_endpoint, made)
        yield str(region.id)
