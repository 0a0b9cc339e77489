"""The component in another program: two pairs in one stack, without this project's `__main__.py`.

The tests show that the component needs only its arguments, and that two of them share no resource and no name.
tests/cloud runs two pairs in one OpenStack project.
"""

from __future__ import annotations

import inspect
import json
import re
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pulumi
import pulumi_openstack as openstack
import pytest

from components import ExistingResources, PreflightError, VrrpPair, VrrpPairArgs, preflight
from lab.program import Declared, run_program
from lab.stack_file import PROJECT_FOLDER, StackConfig
from settings import PairSettings
from settings.identity import pair_tag
from settings.stack_config import settings_from_stack_config

from .conftest import RecordingCloud, Run, identifier, kind_of

SHOP = StackConfig(project="shop", stack="prod", values={})
FOUND = ExistingResources(external_network_id=identifier("public-net"), image_id=identifier("debian-12-x86_64"))


def _two_pairs(**same: object) -> Run:
    """Run a program with two pairs, edge and core. Each has every resource that a pair can have."""

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


class TestTwoPairsShareNothing:
    """Prevents «Duplicate resource URN» from the engine, a 409 from OpenStack, and two resources of one name, which a
    lookup by name would mix up.
    """

    def test_no_two_resources_have_the_same_urn(self, two_pairs: Run) -> None:
        urns = Counter(made.urn for made in two_pairs.cloud.created)
        assert [urn for urn, times in urns.items() if times > 1] == []
        assert len(urns) == 2 * len([made for made in two_pairs.cloud.created if made.parent.endswith("::edge")])

    def test_no_two_resources_of_one_type_have_the_same_name_in_openstack(self, two_pairs: Run) -> None:
        names = Counter(
            (kind_of(made), made.inputs["name"]) for made in two_pairs.cloud.created if "name" in made.inputs
        )
        assert [name for name, times in names.items() if times > 1] == []
        assert {re.split("[-_]", name)[0] for _, name in names} == {"edge", "core"}

    def test_no_resource_depends_on_a_resource_of_the_other_pair(self, two_pairs: Run) -> None:
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


class TestTheComponentNeedsOnlyItsArguments:
    """Prevents a component that reads the configuration by itself, and so works in this project only."""

    def test_it_makes_no_lookup_and_reads_no_configuration(self, two_pairs: Run) -> None:
        assert two_pairs.cloud.lookups == []
        images = {server.inputs["imageId"] for server in two_pairs.all("Instance")}
        assert images == {FOUND.image_id}

    def test_the_mark_of_a_destroy_that_has_not_ended_is_withdrawn_before_anything_is_declared(self) -> None:
        """Prevents handover gates that stay open during the `up` after an interrupted `destroy`."""
        order: list[str] = []

        class Ordered(RecordingCloud):
            def look_up(self, token: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
                # The SDK declares what it can while it waits for the answer.
                time.sleep(0.2)
                order.append(token)
                return super().look_up(token, arguments)

            def create(self, declared: Declared) -> tuple[str, dict[str, Any]]:
                order.append(declared.name)
                return super().create(declared)

        def program() -> None:
            VrrpPair("edge", VrrpPairArgs(PairSettings(), replace(FOUND, is_torn_down=True)))

        cloud = Ordered()
        run_program(SHOP, cloud, program)
        assert order[0] == "command:local:run"
        assert len(order) > 10
        ((token, arguments),) = cloud.lookups
        assert token == "command:local:run"
        assert arguments["command"].endswith(" -m gates.teardown withdraw")
        assert arguments["environment"]["PAIR_TAG"] == pair_tag("shop", "prod", "edge")

    def test_a_program_can_read_its_outputs_as_attributes(self, two_pairs: Run) -> None:
        for name in ("edge", "core"):
            told = two_pairs.outcome.outputs[name]
            address = two_pairs.cloud.address_of(two_pairs.one("FloatingIp", f"{name}-floating-ip"))
            assert told["url"] == f"http://{address}"
            assert told["vip"] == "10.0.0.201"
            assert [member["name"] for member in told["members"]] == [f"{name}-master", f"{name}-backup"]

    def test_the_program_of_the_architecture_document_declares_its_two_pairs(self) -> None:
        document = (PROJECT_FOLDER / "docs" / "architecture.md").read_text(encoding="utf-8")
        (text,) = re.findall(r"```python\n(.*?)```", document, re.DOTALL)
        cloud = RecordingCloud()
        run = Run(run_program(SHOP, cloud, lambda: exec(text, {})), cloud)  # noqa: S102 # the document is ours
        assert {made.name for made in run.all("VrrpPair")} == {"shop", "blog"}
        assert set(run.outcome.outputs) == {"shop", "blog"}

    def test_each_pair_can_read_its_settings_from_a_namespace_of_its_own(self) -> None:
        values = {"edge:namePrefix": "edge", "edge:vip": "10.0.0.250", "core:namePrefix": "core"}

        def program() -> None:
            for namespace in ("edge", "core"):
                settings = settings_from_stack_config(namespace)
                VrrpPair(namespace, VrrpPairArgs(settings, preflight(settings, name=namespace)))

        cloud = RecordingCloud()
        run = Run(run_program(StackConfig("shop", "prod", values), cloud, program), cloud)
        vips = {
            name: run.one("Port", f"{name}-vip-port").inputs["fixedIps"][0]["ipAddress"] for name in ("edge", "core")
        }
        assert vips == {"edge": "10.0.0.250", "core": "10.0.0.201"}


class TestEachPairHasTheProviderThatMakesIt:
    """Prevents gates that ask the stack's default region: they find no server there, and let both be replaced."""

    @staticmethod
    def _configurations(cloud: RecordingCloud, program: Callable[[], None]) -> dict[str, set[str]]:
        """Return the name of each pair, and the provider's configurations that its gates have."""
        run = Run(run_program(StackConfig("shop", "prod", {"openstack:region": "nz-por-1"}), cloud, program), cloud)
        found: dict[str, set[str]] = {}
        for gate in run.all("Command"):
            found.setdefault(gate.name.split("-")[0], set()).add(gate.inputs["environment"]["OPENSTACK_PROVIDER"])
        return found

    @pytest.mark.parametrize("how", ["provider", "providers", "providers by package", "of the parent"])
    def test_the_gates_have_the_configuration_of_an_explicit_provider(self, cloud: RecordingCloud, how: str) -> None:
        def program() -> None:
            provider = openstack.Provider("hlz", region="nz-hlz-1", password="hunter2")  # no real secret
            options: dict[str, Callable[[], dict[str, Any]]] = {
                "provider": lambda: {"provider": provider},
                "providers": lambda: {"providers": [provider]},
                "providers by package": lambda: {"providers": {"openstack": provider}},
                "of the parent": lambda: {
                    "parent": pulumi.ComponentResource(
                        "test:index:Group", "group", None, pulumi.ResourceOptions(providers=[provider])
                    )
                },
            }
            VrrpPair("edge", VrrpPairArgs(PairSettings(), FOUND), pulumi.ResourceOptions(**options[how]()))

        (configuration,) = self._configurations(cloud, program)["edge"]
        assert json.loads(configuration) == {"region": "nz-hlz-1", "password": "hunter2"}

    def test_two_pairs_in_two_regions_have_two_configurations(self, cloud: RecordingCloud) -> None:
        def program() -> None:
            for name, region in (("edge", "nz-hlz-1"), ("core", "nz-por-1")):
                provider = openstack.Provider(name, region=region)
                settings = PairSettings(name_prefix=name)
                existing = preflight(settings, pulumi.InvokeOptions(provider=provider), name=name)
                VrrpPair(name, VrrpPairArgs(settings, existing), pulumi.ResourceOptions(provider=provider))

        assert self._configurations(cloud, program) == {
            "edge": {'{"region": "nz-hlz-1"}'},
            "core": {'{"region": "nz-por-1"}'},
        }

    @pytest.mark.parametrize("asks", ["the default provider", "another provider"])
    def test_a_preflight_of_another_provider_is_refused_before_anything_is_declared(
        self, cloud: RecordingCloud, asks: str
    ) -> None:
        def program() -> None:
            provider, other = openstack.Provider("hlz", region="nz-hlz-1"), openstack.Provider("por", region="nz-por-1")
            asked = None if asks == "the default provider" else pulumi.InvokeOptions(provider=other)
            existing = preflight(PairSettings(), asked, name="edge")
            VrrpPair("edge", VrrpPairArgs(PairSettings(), existing), pulumi.ResourceOptions(provider=provider))

        with pytest.raises(PreflightError, match="asked another provider than the one that makes the pair"):
            run_program(SHOP, cloud, program)
        assert {kind_of(made) for made in cloud.created} <= {"openstack"}

    def test_a_preflight_of_another_pair_is_refused_before_anything_is_declared(self, cloud: RecordingCloud) -> None:
        """It looks for the ports of the other pair, and does not see that a `destroy` of this one has not ended."""

        def program() -> None:
            VrrpPair("edge", VrrpPairArgs(PairSettings(), preflight(PairSettings(), name="vrrp")))

        with pytest.raises(PreflightError, match="the preflight of edge asked about the pair vrrp"):
            run_program(SHOP, cloud, program)
        assert cloud.created == []

    def test_a_preflight_needs_the_name_of_the_pair(self) -> None:
        assert inspect.signature(preflight).parameters["name"].default is inspect.Parameter.empty
