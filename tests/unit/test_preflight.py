"""The preflight: what the cloud must have, asked in every run, and told in one message when it is missing.

That a real cloud gives these answers is shown in tests/cloud.
"""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pulumi
import pulumi_openstack as openstack
import pytest

from components import ExistingResources, PreflightError, preflight
from gates.credentials import KEYS
from lab.program import run_program
from lab.stack_file import PROJECT_FOLDER, StackConfig, read_stack
from settings import PairSettings
from settings.identity import pair_tag

from .conftest import (
    EXTENSION,
    EXTERNAL_NETWORK,
    FLAVOR,
    IMAGE,
    KEY_PAIR,
    NETWORKING,
    PROJECT,
    QUESTIONS,
    SERVERS,
    RecordingCloud,
    config_of,
)

PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl me@here"
IMAGE_ID = "94b566de-52f9-423f-ab80-ceee8c0a4a23"
UNREACHABLE = (
    'exit status 1: running "python -m gates.cloud_questions":\n'
    "the cloud cannot be asked: Cloud catalyst was not found."
)

#: Kind of question → how the message begins, and the command that lists what exists.
MISSING = {
    EXTENSION: ("the Neutron extension allowed-address-pairs: ", "`openstack extension list --network`"),
    EXTERNAL_NETWORK: ("externalNetwork = public-net: ", "`openstack network list --external`"),
    FLAVOR: ("flavor = c1.c1r1: ", "`openstack flavor list`"),
    IMAGE: ("image = debian-12-x86_64: ", "`openstack image list`"),
    KEY_PAIR: ("keyName = vrrp-demo-key: ", "`openstack keypair list`"),
}


def _problems(cloud: RecordingCloud, **changed: str) -> list[str]:
    """Run the program on a cloud where it must fail; return the numbered lines of its message."""
    with pytest.raises(PreflightError) as raised:
        run_program(config_of("nz-por-1", **changed), cloud)
    head, *lines = str(raised.value).splitlines()
    assert head == "the cloud is not ready for the pair, so nothing was declared:"
    assert cloud.created == []
    numbered = [re.fullmatch(r"  (\d+)\. (.+)", line) for line in lines]
    assert [match and match[1] for match in numbered] == [str(number) for number in range(1, len(lines) + 1)]
    return [match[2] for match in numbered if match]


class TestNothingIsDeclaredOnACloudThatLacksSomething:
    """Prevents half a pair: the network and the router stand, cost money and block the next try, because the image
    turned out to be withdrawn when the first server was made.
    """

    @pytest.mark.parametrize("missing", MISSING)
    def test_a_missing_thing_is_named_with_the_command_that_lists_what_exists(self, missing: str) -> None:
        (problem,) = _problems(RecordingCloud(lacks=[missing]))
        beginning, listing = MISSING[missing]
        assert problem.startswith(f"{beginning}the cloud has no {missing} of this name. ")
        assert f"{listing} lists" in problem

    def test_everything_that_is_missing_is_told_in_one_message(self) -> None:
        problems = _problems(RecordingCloud(lacks=list(MISSING)))
        assert [problem.split("the cloud has")[0] for problem in problems] == [begin for begin, _ in MISSING.values()]

    def test_a_cloud_that_has_everything_gets_its_pair(self, cloud: RecordingCloud) -> None:
        run_program(read_stack("nz-por-1"), cloud)
        assert len(cloud.created) > 10

    def test_the_message_about_the_extension_says_why_it_is_needed_and_whom_to_ask(self) -> None:
        (problem,) = _problems(RecordingCloud(lacks=[EXTENSION]))
        assert "no server may answer for the VIP" in problem
        assert "ask the operator of the cloud" in problem


class TestOneProcessAsksTheCloud:
    """Prevents a preview that asks one question after another, which took four seconds."""

    def test_a_pair_is_one_lookup_with_all_questions(self, cloud: RecordingCloud) -> None:
        run_program(read_stack("nz-por-1"), cloud)
        assert [token for token, _ in cloud.lookups] == [QUESTIONS]
        asked = {kind: cloud.questions(kind) for kind in (*MISSING, SERVERS, NETWORKING)}
        assert asked == {
            EXTENSION: ["allowed-address-pairs"],
            EXTERNAL_NETWORK: ["public-net"],
            FLAVOR: ["c1.c1r1"],
            IMAGE: ["debian-12-x86_64"],
            KEY_PAIR: ["vrrp-demo-key"],
            SERVERS: [""],
            NETWORKING: [""],
        }

    def test_the_questions_go_to_the_region_of_the_stack(self, cloud: RecordingCloud, stack: str) -> None:
        config = read_stack(stack)
        run_program(config, cloud)
        (question,) = cloud.asked(QUESTIONS)
        assert _configuration(question) == {"region": config.values["openstack:region"]}

    def test_the_process_is_a_module_of_this_project_run_by_this_python(self, cloud: RecordingCloud) -> None:
        run_program(read_stack("nz-por-1"), cloud)
        (question,) = cloud.asked(QUESTIONS)
        python, *arguments = shlex.split(question["command"])
        assert python == sys.executable
        assert arguments == ["-m", "gates.cloud_questions"]
        assert question["dir"] == str(PROJECT_FOLDER)
        assert (PROJECT_FOLDER / "gates" / "cloud_questions.py").is_file()

    @pytest.mark.parametrize("key", KEYS)
    def test_the_providers_keys_in_the_stack_file_are_those_of_the_questions(
        self, cloud: RecordingCloud, key: str
    ) -> None:
        config = read_stack("nz-por-1")
        config.values[f"openstack:{key}"] = "from-the-stack-file"
        run_program(config, cloud)
        (question,) = cloud.asked(QUESTIONS)
        assert _configuration(question)[key] == "from-the-stack-file"
        assert "from-the-stack-file" not in question["command"] + question["stdin"]


class TestPairsOfOneProgramShareTheAnswers:
    """Prevents a program of twenty pairs that asks the same five questions twenty times."""

    @staticmethod
    def _found(cloud: RecordingCloud, *pairs: PairSettings, **config: str) -> list[ExistingResources]:
        found: list[ExistingResources] = []

        def program() -> None:
            found.extend(preflight(settings, name=settings.name_prefix) for settings in pairs)

        values = {f"openstack:{key}": text for key, text in config.items()}
        run_program(StackConfig(project="shop", stack="prod", values=values), cloud, program)
        return found

    def test_a_second_pair_asks_only_what_is_new(self, cloud: RecordingCloud) -> None:
        shop = PairSettings(name_prefix="shop")
        blog = PairSettings(name_prefix="blog", flavor="c3.c2r4")
        first, second = self._found(cloud, shop, blog)
        assert cloud.questions(IMAGE) == ["debian-12-x86_64"]
        assert cloud.questions(FLAVOR) == ["c1.c1r1", "c3.c2r4"]
        assert cloud.questions(SERVERS) == cloud.questions(NETWORKING) == [""]
        assert first == replace(second, asked=first.asked)

    def test_twenty_pairs_of_one_kind_are_one_lookup(self, cloud: RecordingCloud) -> None:
        self._found(cloud, *(PairSettings(name_prefix=f"pair{number}") for number in range(20)))
        assert len(cloud.asked(QUESTIONS)) == 1

    def test_another_run_asks_again(self) -> None:
        """A cloud changes between two runs of one process, as of a test or of the automation API."""
        before, after = RecordingCloud(name="before"), RecordingCloud(name="after")
        (old,) = self._found(before, PairSettings())
        (new,) = self._found(after, PairSettings())
        assert old.image_id == before.id_of(IMAGE, "debian-12-x86_64")
        assert new.image_id == after.id_of(IMAGE, "debian-12-x86_64")


class TestAnUnreachableCloudIsOneProblem:
    """Prevents five messages with one cause: a reader of "no such image" looks for an image."""

    def test_only_the_failure_of_the_lookup_is_told(self) -> None:
        (problem,) = _problems(RecordingCloud(refused={QUESTIONS: UNREACHABLE}))
        assert problem.startswith("the cloud: the cloud cannot be asked: Cloud catalyst was not found.")
        assert "OS_CLOUD names an entry of clouds.yaml" in problem

    def test_any_exception_of_the_provider_is_the_failure_of_the_lookup(self) -> None:
        class Broken(RecordingCloud):
            def look_up(self, token: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
                raise LookupError("the plugin has crashed")

        with pytest.raises(PreflightError, match=r"the cloud: .*the plugin has crashed"):
            run_program(read_stack("nz-por-1"), Broken())


class TestOnlyWhatIsUsedIsLookedUp:
    """Prevents a stop for something that the pair would not use. An image is pinned because its name now means another
    one or none. With a public key no key pair is used.
    """

    def test_a_pinned_image_is_not_looked_up_and_reaches_the_servers(self) -> None:
        cloud = RecordingCloud(lacks=[IMAGE])
        outcome = run_program(config_of("nz-por-1", imageId=IMAGE_ID), cloud)
        assert cloud.questions(IMAGE) == []
        images = {made.name: made.inputs["imageId"] for made in outcome.resources.values() if "imageId" in made.inputs}
        assert images == {"vrrp-master": IMAGE_ID, "vrrp-backup": IMAGE_ID}

    def test_with_a_public_key_no_key_pair_is_looked_up(self) -> None:
        cloud = RecordingCloud(lacks=[KEY_PAIR])
        run_program(config_of("nz-por-1", publicKey=PUBLIC_KEY), cloud)
        assert cloud.questions(KEY_PAIR) == []

    def test_what_is_looked_up_is_what_the_settings_name(self, cloud: RecordingCloud) -> None:
        run_program(
            config_of("nz-por-1", externalNetwork="internet", image="mine", flavor="c3.c2r4", keyName="my-key"), cloud
        )
        asked = {kind: cloud.questions(kind) for kind in (EXTERNAL_NETWORK, IMAGE, FLAVOR, KEY_PAIR)}
        assert asked == {
            EXTERNAL_NETWORK: ["internet"],
            IMAGE: ["mine"],
            FLAVOR: ["c3.c2r4"],
            KEY_PAIR: ["my-key"],
        }


class TestServersThatExist:
    """Prevents two servers replaced at once because the pair was taken for a new one."""

    @pytest.mark.parametrize("servers", [["vrrp-master"], ["vrrp-backup"], ["vrrp-master", "vrrp-backup"]])
    def test_one_server_with_a_members_name_is_enough(self, servers: list[str]) -> None:
        assert self._found(RecordingCloud(servers=servers)).has_servers

    def test_without_a_server_of_a_members_name_there_is_none(self) -> None:
        assert not self._found(RecordingCloud(servers=["shop-master"])).has_servers

    SUBNET: ClassVar = {
        "id": "subnet",
        "name": "another-subnet",
        "ip_version": 4,
        "cidr": "10.0.0.0/24",
        "gateway": "10.0.0.1",
    }

    def _beside(
        self,
        *tags: str,
        name: str = "made-by-hand",
        owner: str = "compute:nova",
        cidr: str = "10.0.0.0/24",
        not_active: Collection[str] = (),
    ) -> ExistingResources:
        """Run the preflight beside a port with the master's address."""
        port = {
            "id": "port-1",
            "name": name,
            "tags": list(tags),
            "network_id": "net",
            "device_id": "server-1",
            "device_owner": owner,
            "fixed_ips": [{"subnet_id": "subnet", "ip_address": "10.0.0.4"}],
            "allowed_addresses": [],
        }
        networking = {"ports": [port], "subnets": [{**self.SUBNET, "cidr": cidr}]}
        return self._found(RecordingCloud(servers=["shop-master"], networking=networking, not_active=not_active))

    def test_a_server_on_a_port_of_the_pair_is_one_whatever_its_name_is(self) -> None:
        for found in (
            self._beside(pair_tag(PROJECT, "nz-por-1", "vrrp"), "vrrp-role-master"),
            self._beside(name="vrrp_master_server_port"),
        ):
            assert found.has_servers
            assert not found.has_only_strangers

    def test_a_server_with_a_members_address_may_be_one(self) -> None:
        """As of a pair that was taken into the stack, and whose ``namePrefix`` has changed since."""
        found = self._beside()
        assert found.has_servers
        assert found.has_only_strangers

    def test_a_server_elsewhere_is_none(self) -> None:
        for found in (
            self._beside(pair_tag(PROJECT, "nz-por-1", "shop"), "vrrp-role-master"),
            self._beside(owner="network:dhcp"),
            self._beside(cidr="10.0.0.0/25"),
        ):
            assert not found.has_servers

    @pytest.mark.parametrize(("not_active", "stopped"), [(["another", "server-1"], True), (["another"], False)])
    def test_a_member_that_does_not_run_is_known(self, not_active: list[str], stopped: bool) -> None:
        own = pair_tag(PROJECT, "nz-por-1", "vrrp"), "vrrp-role-master"
        assert self._beside(*own, not_active=not_active).has_stopped_member == stopped

    def test_what_is_not_known_counts_as_there(self) -> None:
        assert ExistingResources(external_network_id="n", image_id="i").has_servers

    @staticmethod
    def _found(cloud: RecordingCloud) -> ExistingResources:
        found: list[ExistingResources] = []
        run_program(read_stack("nz-por-1"), cloud, lambda: found.append(preflight(PairSettings(), name="vrrp")))
        return found[0]


class TestAChangeThatInterruptsTheService:
    """Prevents an outage that an operator learns from the clients. test_present_pair has the single rules."""

    HEAD = "the change is refused, so nothing was declared:"

    @staticmethod
    def _cloud(tagged: bool = True, **more: list[dict[str, Any]]) -> RecordingCloud:
        """Return a cloud with the port and the floating IP of the default VIP."""
        tag = pair_tag(PROJECT, "nz-por-1", "vrrp")
        vip_port = {
            "id": "port-1",
            "name": "vrrp-port",
            "tags": [tag, "vrrp-role-vip"] if tagged else [],
            "network_id": "net",
            "device_id": "",
            "device_owner": "",
            "fixed_ips": [{"subnet_id": "subnet", "ip_address": "10.0.0.201"}],
            "allowed_addresses": [],
        }
        subnet = {
            "id": "subnet",
            "name": "vrrp-subnet",
            "ip_version": 4,
            "cidr": "10.0.0.0/24",
            "gateway": "10.0.0.1",
        }
        return RecordingCloud(networking={"ports": [vip_port], "subnets": [subnet], **more})

    @pytest.mark.parametrize("tagged", [True, False])
    def test_it_is_refused_before_anything_is_declared(self, tagged: bool) -> None:
        cloud = self._cloud(tagged)
        with pytest.raises(PreflightError) as raised:
            run_program(config_of("nz-por-1", vip="10.0.0.202"), cloud)
        head, line = str(raised.value).splitlines()
        assert head == self.HEAD
        assert line.startswith("  1. vip: 10.0.0.201 -> 10.0.0.202: this leads the floating IP to the new VIP")
        assert cloud.created == []

    def test_two_ports_of_one_role_are_refused_before_anything_is_declared(self) -> None:
        cloud = self._cloud()
        (vip_port,) = cloud.networking["ports"]
        twins = self._cloud(ports=[vip_port, {**vip_port, "id": "port-2"}])
        with pytest.raises(PreflightError) as raised:
            run_program(read_stack("nz-por-1"), twins)
        head, line = str(raised.value).splitlines()
        assert head == self.HEAD
        assert line.startswith("  1. 2 ports have the tags of this pair's vip: port port-1 (vrrp-port), port port-2 (")
        assert twins.created == []

    def test_the_pair_is_found_by_its_tag_when_its_names_are_new(self) -> None:
        with pytest.raises(PreflightError, match=r"1\. vip: 10\.0\.0\.201 -> 10\.0\.0\.202"):
            run_program(config_of("nz-por-1", vip="10.0.0.202", namePrefix="shop"), self._cloud())

    def test_with_permission_it_is_declared(self) -> None:
        allowed = '["vip: 10.0.0.201 -> 10.0.0.202"]'
        cloud = self._cloud()
        run_program(config_of("nz-por-1", vip="10.0.0.202", allowInterruption=allowed), cloud)
        (vip_port,) = [made for made in cloud.created if made.name == "vrrp-vip-port"]
        assert vip_port.inputs["fixedIps"][0]["ipAddress"] == "10.0.0.202"

    def test_the_permission_changes_nothing_that_is_declared(self) -> None:
        plain, allowed = RecordingCloud(), RecordingCloud()
        run_program(read_stack("nz-por-1"), plain)
        run_program(config_of("nz-por-1", allowInterruption='["vip: 10.0.0.1 -> 10.0.0.2"]'), allowed)
        assert {made.urn: made.inputs for made in plain.created} == {made.urn: made.inputs for made in allowed.created}

    def test_the_component_learns_which_allowed_changes_this_run_makes(self) -> None:
        found: list[ExistingResources] = []
        entries = ("vip: 10.0.0.201 -> 10.0.0.202", "floatingIp: 203.0.113.10 -> none")
        settings = PairSettings.model_validate({"vip": "10.0.0.202", "allow_interruption": entries})
        run_program(read_stack("nz-por-1"), self._cloud(), lambda: found.append(preflight(settings, name="vrrp")))
        assert found[0].changes("vip")
        assert not found[0].changes("floatingIp")

    def test_a_refused_change_and_a_taken_address_are_told_together(self) -> None:
        cloud = self._cloud()
        dhcp: dict[str, Any] = {
            **cloud.networking["ports"][0],
            "id": "port-2",
            "name": "",
            "tags": [],
            "device_owner": "network:dhcp",
        }
        dhcp["fixed_ips"] = [{"subnet_id": "subnet", "ip_address": "10.0.0.4"}]
        both = self._cloud(ports=[*cloud.networking["ports"], dhcp])
        with pytest.raises(PreflightError) as raised:
            run_program(config_of("nz-por-1", vip="10.0.0.202"), both)
        assert [line[:23] for line in str(raised.value).splitlines()[1:]] == [
            "  1. vip: 10.0.0.201 ->",
            "  2. masterAddress = 10",
        ]

    def test_an_existing_floating_ip_is_looked_up_and_used(self) -> None:
        config = config_of("nz-por-1", floatingIp="203.0.113.77")
        with pytest.raises(PreflightError, match=r"1\. floatingIp = 203\.0\.113\.77: the project has no floating IP"):
            run_program(config, RecordingCloud())
        cloud = RecordingCloud()
        free: dict[str, Any] = {
            "address": "203.0.113.77",
            "port_id": None,
            "fixed_ip": None,
            "external_network_id": cloud.id_of(EXTERNAL_NETWORK, "public-net"),
            "tags": [],
        }
        outcome = run_program(config, RecordingCloud(networking={"floating_ips": [free]}))
        assert outcome.outputs["floatingIp"] == "203.0.113.77"
        assert outcome.outputs["url"] == "http://203.0.113.77"


class TestTheKeyPairOfAColleague:
    """Prevents that only the operator who made the servers can preview: a key pair belongs to a user, and the stack to
    a team.
    """

    def test_if_the_servers_exist_a_missing_key_pair_is_a_warning(self, monkeypatch: pytest.MonkeyPatch) -> None:
        warnings: list[str] = []
        monkeypatch.setattr(pulumi.log, "warn", warnings.append)
        cloud = RecordingCloud(lacks=[KEY_PAIR], servers=["vrrp-master", "vrrp-backup"])
        run_program(read_stack("nz-por-1"), cloud)
        assert len(cloud.created) > 10
        (warning,) = warnings
        assert warning.startswith("keyName = vrrp-demo-key: the cloud has no key pair of this name.")
        assert "Nova would refuse to make or to replace a server" in warning
        assert "or set publicKey" in warning

    def test_any_other_missing_thing_is_a_problem_for_an_existing_pair_too(self) -> None:
        (problem,) = _problems(RecordingCloud(lacks=[KEY_PAIR, FLAVOR], servers=["vrrp-master", "vrrp-backup"]))
        assert problem.startswith("flavor = ")


class TestAnExplicitProvider:
    """Prevents the image of one region on the servers of another, and gates that look for the servers elsewhere."""

    @staticmethod
    def _found(
        cloud: RecordingCloud, options: Callable[[pulumi.ProviderResource], pulumi.InvokeOptions | None]
    ) -> ExistingResources:
        """Run the preflight beside a provider for Hamilton, in a stack for Porirua."""
        found: list[ExistingResources] = []

        def program() -> None:
            found.append(preflight(PairSettings(), options(openstack.Provider("hlz", **HAMILTON)), name="vrrp"))

        run_program(read_stack("nz-por-1"), cloud, program)
        return found[0]

    @pytest.mark.parametrize("how", ["provider", "parent with a provider", "parent with providers"])
    def test_its_configuration_is_that_of_the_questions(self, cloud: RecordingCloud, how: str) -> None:
        """Its own values, also those that openstack.Provider has no attribute for, and no value of the stack."""

        def options(provider: pulumi.ProviderResource) -> pulumi.InvokeOptions:
            if how == "provider":
                return pulumi.InvokeOptions(provider=provider)
            single = how == "parent with a provider"
            its = pulumi.ResourceOptions(provider=provider) if single else pulumi.ResourceOptions(providers=[provider])
            return pulumi.InvokeOptions(parent=pulumi.ComponentResource("test:index:Group", "group", None, its))

        found = self._found(cloud, options)
        (question,) = cloud.asked(QUESTIONS)
        assert _configuration(question) == {
            "region": "nz-hlz-1",
            "authUrl": "https://keystone.example",
            "applicationCredentialId": "c-1",
            "applicationCredentialSecret": "hunter2",
            "maxRetries": "3",
            "endpointOverrides": '{"compute": "https://nova.example/v2.1/"}',
        }
        assert "hunter2" not in question["command"] + question["stdin"]
        assert found.image_id == cloud.id_of(IMAGE, "debian-12-x86_64")

    def test_a_plain_provider_resource_is_read_too(self, cloud: RecordingCloud) -> None:
        def program() -> None:
            provider = pulumi.ProviderResource("openstack", "hlz", {"region": "nz-hlz-1", "authUrl": "https://k"})
            preflight(PairSettings(), pulumi.InvokeOptions(provider=provider), name="vrrp")

        run_program(read_stack("nz-por-1"), cloud, program)
        (question,) = cloud.asked(QUESTIONS)
        assert _configuration(question) == {"region": "nz-hlz-1", "authUrl": "https://k"}

    @pytest.mark.parametrize("servers", [[], ["vrrp-master"]])
    def test_its_servers_are_known(self, servers: list[str]) -> None:
        found = self._found(RecordingCloud(servers=servers), lambda provider: pulumi.InvokeOptions(provider=provider))
        assert found.has_servers == bool(servers)

    def test_without_one_the_stacks_configuration_counts(self, cloud: RecordingCloud) -> None:
        self._found(cloud, lambda _: None)
        (question,) = cloud.asked(QUESTIONS)
        assert _configuration(question) == {"region": "nz-por-1"}

    def test_each_provider_is_asked_once(self, cloud: RecordingCloud) -> None:
        def program() -> None:
            for options in (None, pulumi.InvokeOptions(provider=openstack.Provider("hlz", **HAMILTON))):
                for name in ("shop", "blog"):
                    preflight(PairSettings(name_prefix=name), options, name=name)

        run_program(read_stack("nz-por-1"), cloud, program)
        assert [_configuration(question)["region"] for question in cloud.asked(QUESTIONS)] == ["nz-por-1", "nz-hlz-1"]


HAMILTON: dict[str, Any] = {
    "region": "nz-hlz-1",
    "auth_url": "https://keystone.example",
    "application_credential_id": "c-1",
    "application_credential_secret": "hunter2",
    "max_retries": 3,
    "endpoint_overrides": {"compute": "https://nova.example/v2.1/"},
}


def _configuration(question: dict[str, Any]) -> dict[str, Any]:
    """Return the provider's configuration, as the process gets it in its environment."""
    assert set(question["environment"]) == {"OPENSTACK_PROVIDER"}
    return json.loads(question["environment"]["OPENSTACK_PROVIDER"])


def test_the_questions_are_json_that_the_process_reads(cloud: RecordingCloud) -> None:
    """The other end of the pipe is tested in test_cloud_questions."""
    run_program(read_stack("nz-por-1"), cloud)
    questions = json.loads(cloud.asked(QUESTIONS)[0]["stdin"])
    assert {"kind": "image", "name": "debian-12-x86_64"} in questions
    assert all(set(question) == {"kind", "name"} for question in questions)
    assert Path(PROJECT_FOLDER, "gates", "cloud_questions.py").is_file()
