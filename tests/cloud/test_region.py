"""The same program works in another region with only another parameter."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import ExitStack
from typing import Any

import openstack
import pytest
from openstack.exceptions import ConfigException

from .conftest import MakeStack


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
    try:
        admin: Any = openstack.connect(cloud="admin")
    except ConfigException:
        # The test needs a second region, and only an administrator can create one.
        pytest.skip("the cloud has one region, and clouds.yaml has no `admin` who could make another")
    with ExitStack() as afterwards:
        region = admin.identity.create_region(id="another-region", description="made by the acceptance tests")
        afterwards.callback(admin.identity.delete_region, region)
        for endpoint in list(admin.identity.endpoints(region_id=present)):
            made = admin.identity.create_endpoint(
                service_id=endpoint.service_id, interface=endpoint.interface, url=endpoint.url, region_id=region.id
            )
            afterwards.callback(admin.identity.delete_endpoint, made)
        yield str(region.id)


def test_the_same_program_in_another_region(make_stack: MakeStack, other_region: str) -> None:
    deployment = make_stack("elsewhere")
    before = deployment.left()
    deployment.set(**{"openstack:region": other_region})
    deployment.up()
    regions = {str(outputs["region"]) for outputs in deployment.state() if "region" in outputs}
    assert regions == {other_region}
    assert set(deployment.preview()) == {"same"}
    deployment.destroy()
    assert deployment.left() == before
