"""Gates and preflight work with the provider that makes the pair: explicit providers, and an application credential."""

from __future__ import annotations

import os
from typing import Any

import pytest
from pulumi import automation

from .conftest import MakeStack
from .deployment import Deployment
from .seen import LONGEST_PLANNED_GAP, watched

TWO_PROVIDERS = """
import pulumi
import pulumi_openstack as openstack

from components import VrrpPair, VrrpPairArgs, preflight
from settings import PairSettings

config = pulumi.Config("two")
for name, cidr in (("shop", "10.1.0"), ("blog", "10.2.0")):
    provider = openstack.Provider(name, region=config.require(f"{name}Region"))
    settings = PairSettings.model_validate({
        "name_prefix": name,
        "cidr": f"{cidr}.0/24",
        "gateway": f"{cidr}.1",
        "pool_start": f"{cidr}.10",
        "pool_end": f"{cidr}.200",
        "master_address": f"{cidr}.4",
        "backup_address": f"{cidr}.5",
        "vip": f"{cidr}.201",
        "public_key": config.require("publicKey"),
        "virtual_router_id": config.require_int("virtualRouterId"),
        "advert_interval": 1,
    })
    existing = preflight(settings, pulumi.InvokeOptions(provider=provider), name=name)
    pair = VrrpPair(name, VrrpPairArgs(settings, existing), pulumi.ResourceOptions(providers=[provider]))
    pulumi.export(name, pair.url)
"""


def test_two_pairs_in_two_regions_are_rolled_each_by_its_own_gates(make_stack: MakeStack, other_region: str) -> None:
    """The stack's own region does not exist, so a gate or a preflight that asks it can only fail."""
    deployment = make_stack("shop")
    region = str(deployment.cloud.config.get_region_name())
    before = deployment.left()
    (deployment.folder / "__main__.py").write_text(TWO_PROVIDERS, encoding="utf-8")
    for name in ("namePrefix", "keyName", "publicKey", "advertInterval"):
        deployment.forget(name)
    deployment.set(
        **{
            "openstack:region": "nowhere",
            "two:shopRegion": region,
            "two:blogRegion": other_region,
            "two:publicKey": deployment.public_key,
            "two:virtualRouterId": 7,
        }
    )
    deployment.up()
    assert {str(outputs["region"]) for outputs in deployment.state() if "region" in outputs} == {region, other_region}
    pairs = [Deployment(deployment.stack, deployment.cloud, prefix) for prefix in ("shop", "blog")]
    for pair in pairs:
        pair.until_ready()
    servers = [pair.server(member).id for pair in pairs for member in pair.members]
    deployment.set(**{"two:virtualRouterId": 8})
    with watched(str(deployment.outputs["shop"])) as shop, watched(str(deployment.outputs["blog"])) as blog:
        deployment.up()
    assert not set(servers) & {pair.server(member).id for pair in pairs for member in pair.members}
    for pair, seen in zip(pairs, (shop, blog), strict=True):
        assert set(seen.by) == set(pair.members)
        assert seen.longest_gap <= LONGEST_PLANNED_GAP
    assert set(deployment.preview()) == {"same"}
    deployment.destroy()
    assert [pair.left() for pair in pairs] == [before, before]


def test_a_pair_is_made_and_rolled_with_an_application_credential_of_the_stack_file(
    monkeypatch: pytest.MonkeyPatch, cloud: Any, make_stack: MakeStack
) -> None:
    """Without any variable of OpenStack in the environment."""
    login = cloud.config.config["auth"]
    credential = cloud.identity.create_application_credential(cloud.current_user_id, "vrrp-acceptance")
    for variable in [name for name in os.environ if name.startswith("OS_")]:
        monkeypatch.delenv(variable)
    try:
        deployment = make_stack("fleeting")
        deployment.set(
            **{"openstack:authUrl": login["auth_url"], "openstack:applicationCredentialId": credential.id},
        )
        deployment.stack.set_config(
            "openstack:applicationCredentialSecret", automation.ConfigValue(credential.secret, secret=True)
        )
        deployment.up()
        deployment.until_ready()
        with watched(deployment.url) as seen:
            deployment.set(virtualRouterId=7)
            deployment.up()
        assert set(seen.by) == set(deployment.members)
        assert seen.longest_gap <= LONGEST_PLANNED_GAP
        assert set(deployment.preview()) == {"same"}
        assert deployment.ops("status", deployment.stack.name).returncode == 0
        deployment.destroy()
    finally:
        cloud.identity.delete_application_credential(cloud.current_user_id, credential)
