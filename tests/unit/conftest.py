"""Fixtures of the unit tests: a recording cloud, and the program run against it.

`declare` returns when the last resource is registered and every output has resolved. So a test can assert an absence,
and no assertion hides in an ``apply``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, Protocol
from uuid import NAMESPACE_URL, uuid5
from zlib import crc32

import grpc
import hypothesis
import pytest

from lab.program import Declared, Outcome, run_program
from lab.stack_file import StackConfig, read_stack
from settings import PairSettings
from settings.parsing import parse_settings

# The same examples in every run: a red build has its cause in the change that it belongs to. No deadline, because
# how long something takes is no subject of this tier.
hypothesis.settings.register_profile("unit", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("unit")

PROJECT = "vrrp-pair"
STACKS = ("nz-por-1", "nz-wlg-2", "nz-hlz-1", "tutorial")

#: The one lookup of the preflight: a process that asks all its questions (``gates.cloud_questions``).
QUESTIONS = "command:local:run"
EXTENSION, EXTERNAL_NETWORK, IMAGE, FLAVOR, KEY_PAIR, SERVERS, NETWORKING = (
    "extension",
    "external network",
    "image",
    "flavor",
    "key pair",
    "servers",
    "networking",
)


def identifier(of: str) -> str:
    """Return an id as OpenStack gives one: always the same for the same resource, whichever stack declares it."""
    # A URN begins with "urn:pulumi:STACK::".
    return str(uuid5(NAMESPACE_URL, of.partition("::")[2] or of))


class LookupRefused(grpc.RpcError):
    """A failed lookup as the engine hands it to a program: a status and the plugin's words."""

    def __init__(self, token: str, reason: str) -> None:
        super().__init__(reason)
        self._details = (
            f"invocation of {token} returned an error: invoking {token}: 1 error occurred:\n\t* {reason}\n\n"
        )

    def code(self) -> grpc.StatusCode:
        return grpc.StatusCode.UNKNOWN

    def details(self) -> str:
        return self._details


@dataclass
class RecordingCloud:
    """Answers every lookup and makes every resource, and keeps the list of both."""

    #: Kinds of questions to which the answer is a problem.
    lacks: Collection[str] = ()
    #: Lookup → the reason why it fails as a whole.
    refused: Mapping[str, str] = field(default_factory=dict[str, str])
    #: The names of the servers that exist.
    servers: Collection[str] = ()
    #: The ids of the servers that are not ACTIVE.
    not_active: Collection[str] = ()
    #: Neutron's lists, as ``gates.cloud_questions`` prints them.
    networking: Mapping[str, list[dict[str, Any]]] = field(default_factory=dict[str, list[dict[str, Any]]])
    #: Logical name of a command → what it prints when it is created.
    printed: Mapping[str, str] = field(default_factory=dict[str, str])
    #: What a gate that is no resource prints.
    gates_print: str = ""
    #: Another cloud has other ids for the same names.
    name: str = "a cloud"
    lookups: list[tuple[str, dict[str, Any]]] = field(default_factory=list[tuple[str, dict[str, Any]]])
    created: list[Declared] = field(default_factory=list[Declared])

    def look_up(self, token: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        self.lookups.append((token, dict(arguments)))
        if token in self.refused:
            raise LookupRefused(token, self.refused[token])
        if token == QUESTIONS:
            if "stdin" not in arguments:  # a gate that is no resource
                return {**arguments, "stdout": self.gates_print}
            questions: list[dict[str, str]] = json.loads(arguments["stdin"])
            return {**arguments, "stdout": json.dumps([self._answer(**question) for question in questions])}
        return {**arguments, "id": self.id_of(token, arguments["name"])}

    def _answer(self, kind: str, name: str) -> dict[str, Any]:
        if kind == SERVERS:
            return {"names": list(self.servers), "not_active": list(self.not_active)}
        if kind == NETWORKING:
            return {"networking": dict(self.networking)}
        if kind in self.lacks:
            return {"problem": f"the cloud has no {kind} of this name."}
        return {"id": self.id_of(kind, name)}

    def create(self, declared: Declared) -> tuple[str, dict[str, Any]]:
        self.created.append(declared)
        outputs: dict[str, Any] = {}
        if kind_of(declared) == "Port":
            outputs["allFixedIps"] = [fixed["ipAddress"] for fixed in declared.inputs["fixedIps"]]
        if kind_of(declared) == "FloatingIp":
            outputs["address"] = self.address_of(declared)
        if kind_of(declared) == "Command":
            outputs["stdout"] = self.printed.get(declared.name, "")
        return identifier(declared.urn), outputs

    def address_of(self, floating_ip: Declared) -> str:
        """Return an address that does not depend on the order of creation, which differs from run to run."""
        return f"203.0.113.{10 + crc32(floating_ip.name.encode()) % 240}"

    def id_of(self, kind: str, name: str) -> str:
        """Return the id of a resource that existed before the pair."""
        return identifier(f"{self.name}/{kind}/{name}")

    def asked(self, token: str) -> list[dict[str, Any]]:
        """The arguments of every lookup of one kind."""
        return [arguments for asked, arguments in self.lookups if asked == token]

    def questions(self, kind: str) -> list[str]:
        """The names that were asked for, in all questions of one kind."""
        every = [
            question for asked in self.asked(QUESTIONS) if "stdin" in asked for question in json.loads(asked["stdin"])
        ]
        return [question["name"] for question in every if question["kind"] == kind]


def kind_of(declared: Declared) -> str:
    """``Port`` for ``openstack:networking/port:Port``."""
    return declared.type.rpartition(":")[2]


@dataclass(frozen=True)
class Run:
    """What a program declared, and the cloud that it declared it to."""

    outcome: Outcome
    cloud: RecordingCloud

    def all(self, kind: str) -> list[Declared]:
        return [declared for declared in self.outcome.resources.values() if kind_of(declared) == kind]

    def one(self, kind: str, name: str) -> Declared:
        """The only resource of this type and logical name."""
        (found,) = [declared for declared in self.all(kind) if declared.name == name]
        return found

    def waits_for(self, declared: Declared) -> set[str]:
        """The URNs of everything that must exist before ``declared`` does, and that outlives it."""
        reached: set[str] = set()
        ahead = list(declared.dependencies)
        while ahead:
            urn = ahead.pop()
            if urn not in reached:
                reached.add(urn)
                ahead += self.outcome.resources[urn].dependencies
        return reached


class Declare(Protocol):
    def __call__(self, stack: str, **changed: str) -> Run:
        """Run the program on a stack of the repository, with some keys set to another text."""
        ...


@cache
def _as_it_is(stack: str) -> StackConfig:
    return read_stack(stack)


def config_of(stack: str, **changed: str) -> StackConfig:
    """A stack of the repository, with some keys (without namespace) set to another text."""
    config = _as_it_is(stack)
    return replace(config, values={**config.values, **{f"{PROJECT}:{key}": text for key, text in changed.items()}})


def settings_of(stack: str, **changed: str) -> PairSettings:
    """The same, validated."""
    values = config_of(stack, **changed).values
    prefix = f"{PROJECT}:"
    ours = {key.removeprefix(prefix): text for key, text in values.items() if key.startswith(prefix)}
    return parse_settings(ours, PROJECT)


@pytest.fixture
def cloud() -> RecordingCloud:
    """A cloud that has everything, and that nothing was asked of yet."""
    return RecordingCloud()


@pytest.fixture(scope="session")
def declare() -> Declare:
    """Runs the program; what was once declared is only read afterwards, so equal runs are one run."""

    @cache
    def run(stack: str, changed: frozenset[tuple[str, str]]) -> Run:
        cloud = RecordingCloud()
        return Run(run_program(config_of(stack, **dict(changed)), cloud), cloud)

    def declare(stack: str, **changed: str) -> Run:
        return run(stack, frozenset(changed.items()))

    return declare


@pytest.fixture(params=STACKS)
def stack(request: pytest.FixtureRequest) -> str:
    """Each stack of the repository in turn."""
    return request.param


@pytest.fixture
def pair(declare: Declare, stack: str) -> Run:
    """The pair as each stack of the repository declares it."""
    return declare(stack)


@pytest.fixture(autouse=True)
def _no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:  # pyright: ignore[reportUnusedFunction]
    """Hide the credentials of the person who runs the tests."""
    for variable in [name for name in os.environ if name.startswith(("OS_", "PULUMI_"))]:
        monkeypatch.delenv(variable)
