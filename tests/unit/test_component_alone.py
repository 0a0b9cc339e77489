"""The component in somebody else's program: two pairs in one stack, without this project's `__main__.py`.

Proves that the component asks for nothing but its arguments and that two of them don't meet. That two pairs do run
beside each other in one OpenStack project is for tests/cloud.
"""

from __future__ import annotations

import re
from collections import Counter

import pulumi
import pytest

from components import ExistingResources, VrrpPair, VrrpPairArgs, preflight
from lab.program import run_program
from lab.stack_file import StackConfig
from settings import PairSettings
from settings.stack_config import settings_from_stack_config

from .conftest import RecordingCloud, Run, identifier, kind_of

PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl me@here"
SHOP = StackConfig(project="shop", stack="prod", values={})
FOUND = ExistingResources(external_network_id=identifier("public-net"), image_id=identifier("debian-12-x86_64"))


def _two_pairs(**same: object) -> Run:
    """The run of a program that has an edge and a core, with everything in them that a pair can have."""

    def program() -> None:
        for name in ("edge", "core"):
            settings = PairSettings.model_validate({"name_prefix": name, "member_floating_ips": True, **same})
            pair = VrrpPair(name, VrrpPairArgs(settings, FOUND))
            pulumi.export(name, {"url": pair.url, "vip": pair.vip, "members": pair.members})

    cloud = RecordingCloud()
    return Run(run_program(SHOP, cloud, program), cloud)


@pytest.fixture(scope="module")
def two_pairs() -> Run:
    return _two_pairs()


class TestTwoPairsNeverMeet:
    """Prevents «Duplicate resource URN» from the engine, and in OpenStack a 409 or, worse, two things of one name of
    which a lookup by name finds either.
    """

    def test_no_two_resources_have_one_urn(self, two_pairs: Run) -> None:
        urns = Counter(made.urn for made in two_pairs.cloud.created)
        assert [urn for urn, times in urns.items() if times > 1] == []
        assert len(urns) == 2 * len([made for made in two_pairs.cloud.created if made.parent.endswith("::edge")])

    def test_no_two_things_of_one_kind_have_one_name_in_openstack(self, two_pairs: Run) -> None:
        names = Counter(
            (kind_of(made), made.inputs["name"]) for made in two_pairs.cloud.created if "name" in made.inputs
        )
        assert [name for name, times in names.items() if times > 1] == []
        assert {re.split("[-_]", name)[0] for _, name in names} == {"edge", "core"}

    def test_no_resource_uses_one_of_the_other_pair(self, two_pairs: Run) -> None:
        parents = {urn: made.parent for urn, made in two_pairs.outcome.resources.items()}
        strangers = [
            (made.name, parents[urn])
            for made in two_pairs.cloud.created
            for urn in two_pairs.waits_for(made)
            if parents[urn] != made.parent
        ]
        assert strangers == []

    def test_each_pair_has_its_own_component(self, two_pairs: Run) -> None:
        components = {made.name: made.urn for made in two_pairs.all("VrrpPair")}
        assert set(components) == {"edge", "core"}
        assert {made.parent for made in two_pairs.cloud.created} == set(components.values())


class TestTheComponentNeedsNothingButItsArguments:
    """Prevents a component that works in this project only, because it reads the configuration by itself."""

    def test_it_looks_nothing_up_and_reads_no_configuration(self, two_pairs: Run) -> None:
        assert two_pairs.cloud.lookups == []
        images = {server.inputs["imageId"] for server in two_pairs.all("Instance")}
        assert images == {FOUND.image_id}

    def test_its_outputs_are_attributes_for_the_program_around_it(self, two_pairs: Run) -> None:
        for name in ("edge", "core"):
            told = two_pairs.outcome.outputs[name]
            address = two_pairs.cloud.address_of(two_pairs.one("FloatingIp", f"{name}-floating-ip"))
            assert told["url"] == f"http://{address}"
            assert told["vip"] == "10.0.0.201"
            assert [member["name"] for member in told["members"]] == [f"{name}-master", f"{name}-backup"]

    def test_each_pair_may_have_a_namespace_of_the_configuration(self) -> None:
        values = {"edge:namePrefix": "edge", "edge:vip": "10.0.0.250", "core:namePrefix": "core"}

        def program() -> None:
            for namespace in ("edge", "core"):
                settings = settings_from_stack_config(namespace)
                VrrpPair(namespace, VrrpPairArgs(settings, preflight(settings)))

        cloud = RecordingCloud()
        run = Run(run_program(StackConfig("shop", "prod", values), cloud, program), cloud)
        vips = {
            name: run.one("Port", f"{name}-vip-port").inputs["fixedIps"][0]["ipAddress"] for name in ("edge", "core")
        }
        assert vips == {"edge": "10.0.0.250", "core": "10.0.0.201"}
