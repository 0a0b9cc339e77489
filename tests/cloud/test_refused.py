"""A refusal of the cloud is reported clearly, and the next run can finish or remove everything."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import pytest
from openstack.exceptions import HttpException
from pulumi import automation

from .conftest import MakeStack


def test_a_missing_image_is_named_before_any_resource_is_created(make_stack: MakeStack) -> None:
    deployment = make_stack()
    before = deployment.left()
    deployment.set(image="no-such-image")
    with pytest.raises(automation.CommandError) as failed:
        deployment.up()
    assert "image = no-such-image" in str(failed.value)
    assert "`openstack image list` lists those that exist" in str(failed.value)
    assert deployment.left() == before

    deployment.forget("image")
    # Every resource but the stack itself, which exists by now.
    assert deployment.preview() == {"create": 24, "same": 1}


@contextmanager
def _no_more_routers(cloud: Any) -> Generator[None]:
    """Create every router that the quota still allows, and delete them afterwards."""
    taken = list[Any]()
    try:
        while True:
            try:
                taken.append(cloud.network.create_router(name="acceptance-takes-the-quota"))
            except HttpException as error:
                if "Quota exceeded" not in str(error):
                    raise
                break
        yield
    finally:
        for router in taken:
            cloud.network.delete_router(router)


def test_an_exhausted_quota_is_named_and_the_next_up_finishes(make_stack: MakeStack) -> None:
    deployment = make_stack()
    before = deployment.left()
    with _no_more_routers(deployment.cloud), pytest.raises(automation.CommandError, match=r"Quota exceeded.*router"):
        deployment.up()
    deployment.up()
    assert set(deployment.preview()) == {"same"}
    deployment.destroy()
    assert deployment.left() == before
