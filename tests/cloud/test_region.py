"""The same program works in another region with only another parameter."""

from __future__ import annotations

from .conftest import MakeStack


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
