"""What the cloud must have before anything is declared, and what is said when it has not.

Proves the questions and the messages, with lookups that fail in the form in which the engine hands a failure over.
That the provider's lookups and Neutron's extensions answer like this on a real OpenStack is shown by tests/cloud.
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Mapping
from typing import Any

import pytest

from components import PreflightError
from lab.program import run_program
from lab.stack_file import PROJECT_FOLDER, read_stack

from .conftest import (
    EXTENSIONS,
    EXTERNAL_NETWORK,
    FLAVOR,
    IMAGE,
    KEY_PAIR,
    NOTHING_FOUND,
    RecordingCloud,
    config_of,
)

PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl me@here"
IMAGE_ID = "94b566de-52f9-423f-ab80-ceee8c0a4a23"
UNREACHABLE = (
    'exit status 1: running "python -m gates.cloud_questions":\n'
    "Neutron can't be asked for its extensions: Cloud catalyst was not found."
)

#: Lookup → how the message begins, and the command that shows what there is.
MISSING = {
    EXTERNAL_NETWORK: ("externalNetwork = public-net: ", "`openstack network list --external`"),
    IMAGE: ("image = debian-12-x86_64: ", "`openstack image list`"),
    FLAVOR: ("flavor = c1.c1r1: ", "`openstack flavor list`"),
    KEY_PAIR: ("keyName = vrrp-demo-key: ", "`openstack keypair list`"),
}


def _problems(cloud: RecordingCloud, **changed: str) -> list[str]:
    """The numbered lines that the program ends with on this cloud, where it declares nothing."""
    with pytest.raises(PreflightError) as raised:
        run_program(config_of("nz-por-1", **changed), cloud)
    head, *lines = str(raised.value).splitlines()
    assert head == "the cloud is not ready for the pair, so nothing was declared:"
    assert cloud.created == []
    numbered = [re.fullmatch(r"  (\d+)\. (.+)", line) for line in lines]
    assert [match and match[1] for match in numbered] == [str(number) for number in range(1, len(lines) + 1)]
    return [match[2] for match in numbered if match]


class TestNothingIsDeclaredOnACloudThatLacksSomething:
    """Prevents half a pair: a network and a router that stand, are paid for and block the next try, because the image
    turned out to be withdrawn when the first server was made.
    """

    @pytest.mark.parametrize("missing", MISSING)
    def test_one_missing_thing_is_named_with_the_way_to_see_what_is_there(self, missing: str) -> None:
        (problem,) = _problems(RecordingCloud(refused={missing: NOTHING_FOUND}))
        beginning, command = MISSING[missing]
        assert problem.startswith(f"{beginning}{NOTHING_FOUND} {command} shows those there are")

    def test_everything_that_is_missing_is_told_in_one_message(self) -> None:
        cloud = RecordingCloud(extensions=["router"], refused=dict.fromkeys(MISSING, NOTHING_FOUND))
        problems = _problems(cloud)
        assert len(problems) == 1 + len(MISSING)
        assert problems[0].startswith("the Neutron extension allowed-address-pairs is missing")
        assert [problem.split(NOTHING_FOUND)[0] for problem in problems[1:]] == [begin for begin, _ in MISSING.values()]

    def test_a_cloud_that_has_everything_gets_its_pair(self, cloud: RecordingCloud) -> None:
        run_program(read_stack("nz-por-1"), cloud)
        assert len(cloud.created) > 10
        assert sorted(token for token, _ in cloud.lookups) == sorted([EXTENSIONS, *MISSING])


class TestAllowedAddressPairsAreACondition:
    """Prevents a pair whose ports drop everything that comes from the VIP, while every log is clean."""

    def test_without_the_extension_it_says_why_it_is_needed_and_whom_to_ask(self) -> None:
        (problem,) = _problems(RecordingCloud(extensions=["router", "port-security", "allowed-address-pairs-atomic"]))
        assert problem.startswith("the Neutron extension allowed-address-pairs is missing")
        assert "no server may answer for the VIP" in problem
        assert "`openstack extension list --network` shows what there is; ask the operator of the cloud" in problem

    def test_the_question_goes_to_the_region_of_the_stack(self, cloud: RecordingCloud, stack: str) -> None:
        config = read_stack(stack)
        run_program(config, cloud)
        (question,) = cloud.asked(EXTENSIONS)
        assert question["environment"] == {"OS_REGION_NAME": config.values["openstack:region"]}

    def test_the_question_is_a_module_of_this_project_run_by_this_python(self, cloud: RecordingCloud) -> None:
        run_program(read_stack("nz-por-1"), cloud)
        (question,) = cloud.asked(EXTENSIONS)
        python, *arguments = shlex.split(question["command"])
        assert python == sys.executable
        assert arguments == ["-m", "gates.cloud_questions"]
        assert question["dir"] == str(PROJECT_FOLDER)
        assert (PROJECT_FOLDER / "gates" / "cloud_questions.py").is_file()

    @pytest.mark.parametrize(
        ("key", "variable"),
        [
            ("cloud", "OS_CLOUD"),
            ("authUrl", "OS_AUTH_URL"),
            ("userName", "OS_USERNAME"),
            ("password", "OS_PASSWORD"),
            ("domainName", "OS_USER_DOMAIN_NAME"),
            ("tenantName", "OS_PROJECT_NAME"),
            ("tenantId", "OS_PROJECT_ID"),
            ("applicationCredentialId", "OS_APPLICATION_CREDENTIAL_ID"),
            ("applicationCredentialSecret", "OS_APPLICATION_CREDENTIAL_SECRET"),
            ("cacertFile", "OS_CACERT"),
        ],
    )
    def test_credentials_in_the_stack_file_are_those_of_the_question(
        self, cloud: RecordingCloud, key: str, variable: str
    ) -> None:
        config = read_stack("nz-por-1")
        config.values[f"openstack:{key}"] = "from-the-stack-file"
        run_program(config, cloud)
        (question,) = cloud.asked(EXTENSIONS)
        assert question["environment"][variable] == "from-the-stack-file"


class TestAnUnreachableCloudIsOneProblem:
    """Prevents five messages with one cause: whoever reads «no such image» looks for an image."""

    def test_only_the_first_question_is_asked_and_only_its_failure_told(self) -> None:
        cloud = RecordingCloud(refused=dict.fromkeys([EXTENSIONS, *MISSING], UNREACHABLE))
        (problem,) = _problems(cloud)
        assert problem.startswith("the cloud: Neutron can't be asked for its extensions: Cloud catalyst was not found.")
        assert "OS_CLOUD names an entry of clouds.yaml" in problem
        assert [token for token, _ in cloud.lookups] == [EXTENSIONS]


class TestOnlyWhatIsUsedIsLookedUp:
    """Prevents a stop for something that the pair would not have used: a pinned image is pinned because its name now
    means another one or none, and a key pair that is to be made can't be there before.
    """

    def test_a_pinned_image_is_not_looked_up_and_reaches_the_servers(self) -> None:
        cloud = RecordingCloud(refused={IMAGE: NOTHING_FOUND})
        outcome = run_program(config_of("nz-por-1", imageId=IMAGE_ID), cloud)
        assert cloud.asked(IMAGE) == []
        images = {made.name: made.inputs["imageId"] for made in outcome.resources.values() if "imageId" in made.inputs}
        assert images == {"vrrp-master": IMAGE_ID, "vrrp-backup": IMAGE_ID}

    def test_a_key_pair_that_is_to_be_made_is_not_looked_up(self) -> None:
        cloud = RecordingCloud(refused={KEY_PAIR: NOTHING_FOUND})
        outcome = run_program(config_of("nz-por-1", publicKey=PUBLIC_KEY), cloud)
        assert cloud.asked(KEY_PAIR) == []
        made = [made.inputs for made in outcome.resources.values() if made.type == "openstack:compute/keypair:Keypair"]
        assert made == [{"name": "vrrp-demo-key", "publicKey": PUBLIC_KEY}]

    def test_what_is_looked_up_is_what_the_settings_name(self, cloud: RecordingCloud) -> None:
        run_program(
            config_of("nz-por-1", externalNetwork="internet", image="mine", flavor="c3.c2r4", keyName="my-key"), cloud
        )
        assert {token: arguments["name"] for token, arguments in cloud.lookups if token != EXTENSIONS} == {
            EXTERNAL_NETWORK: "internet",
            IMAGE: "mine",
            FLAVOR: "c3.c2r4",
            KEY_PAIR: "my-key",
        }


class TestALookupThatFailsForAnotherReason:
    """Prevents a traceback in place of the preflight's message, whatever it is that answers in OpenStack's place."""

    def test_any_exception_of_a_provider_is_the_failure_of_its_lookup(self) -> None:
        class Broken(RecordingCloud):
            def look_up(self, token: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
                if token == EXTERNAL_NETWORK:
                    raise LookupError("there is no public-net")
                return super().look_up(token, arguments)

        with pytest.raises(PreflightError, match=r"externalNetwork = public-net: .*there is no public-net"):
            run_program(read_stack("nz-por-1"), Broken())
