"""Checks that the cloud has everything that the pair needs, before anything is declared. A preview checks it too."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import pulumi
import pulumi_command as command

from gates.present_pair import (
    Networking,
    PresentPair,
    changes_of,
    find_present_pair,
    floating_ip_problems,
    refusals,
    servers_of,
    strangers_with_a_members_address,
    taken_addresses,
    unclear_ports,
)
from settings import PairSettings
from settings.allowed_interruptions import SettingChange
from settings.identity import TEARDOWN_TAG, pair_tag

from .provider_credentials import credentials_of, provider_of_invokes

PROJECT_FOLDER = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Asked:
    """What the preflight asked about."""

    #: The logical name of the pair.
    name: str
    #: The provider whose cloud it asked; None for the stack's default provider.
    provider: pulumi.ProviderResource | None


@dataclass(frozen=True)
class ExistingResources:
    """The resources that the pair uses and does not make."""

    external_network_id: str
    image_id: str
    #: Whether the cloud has a server of a member: with its name, on its port, or with its address. True if this is
    #: unknown: then the gates wait, and the members are made one after the other.
    has_servers: bool = True
    #: Whether only an address leads to these servers. They may belong to another pair, which was made by hand.
    has_only_strangers: bool = False
    #: Whether a member's server is not ACTIVE. The engine starts a stopped server in place, and waits for no boot.
    has_stopped_member: bool = False
    #: Whether a port has the mark of a `destroy` that has not ended (``TEARDOWN_TAG``). The run withdraws it first.
    is_torn_down: bool = False
    #: What the preflight asked about; None if these resources were not found by a preflight.
    asked: Asked | None = None
    #: The interruptions that this run makes. The settings allow each of them.
    interruptions: frozenset[SettingChange] = frozenset()

    def changes(self, key: str) -> bool:
        """Whether this run changes ``key`` and so interrupts the service."""
        return any(change.key == key for change in self.interruptions)


#: The beginning of the message about things that the cloud lacks.
NOT_READY = "the cloud is not ready for the pair"

#: The beginning of the message about changes and addresses that the pair can't have.
REFUSED = "the change is refused"


class PreflightError(pulumi.RunError):
    """The cloud lacks something, or a change is refused; the message has one line for each problem."""


@dataclass(frozen=True)
class Question:
    """One thing that the cloud must have, or may have."""

    #: One of the kinds of ``gates.cloud_questions``.
    kind: str
    name: str
    #: The beginning of a message about it.
    subject: str = ""
    #: The end of a message: the way out.
    way_out: str = ""


@dataclass(frozen=True)
class Answer:
    """The cloud's answer: the id of the resource, or the problem; all servers; or Neutron's lists."""

    id: str | None = None
    problem: str = ""
    #: Only for ``SERVERS``.
    names: Sequence[str] = ()
    #: Only for ``SERVERS``: the ids of those whose status is not ACTIVE.
    not_active: Collection[str] = ()
    #: Only for ``NETWORKING``; ``gates.present_pair.Networking`` reads it.
    networking: Mapping[str, list[dict[str, Any]]] = field(default_factory=dict[str, list[dict[str, Any]]])


#: The project's servers. It is no problem when there are none.
SERVERS = Question("servers", "", "the servers of the project", "Try again.")

#: The project's ports, subnets, routers and floating IPs. It is no problem when there are none.
NETWORKING = Question("networking", "", "the ports, subnets, routers and floating IPs of the project", "Try again.")


def preflight(settings: PairSettings, opts: pulumi.InvokeOptions | None = None, *, name: str) -> ExistingResources:
    """Look up what the pair needs, and compare the settings with the pair that exists. A preview does this too.

    Several pairs in one program share the answers: each question is asked once per provider.

    :param opts: name the provider that makes the pair, if it is not the stack's default provider: by ``provider``, or
        by a ``parent`` that has it.
    :param name: the logical name of the ``VrrpPair``, by whose tag its ports are found.
    :raises PreflightError: naming each thing that is missing and the command that lists what exists, or each change
        that would interrupt the service and is not allowed.
    """
    needed = _needed(settings)
    provider = provider_of_invokes(opts)
    answers = _ask_the_cloud([*needed, SERVERS, NETWORKING], provider)
    tag = pair_tag(pulumi.get_project(), pulumi.get_stack(), name)
    networking = Networking.of(answers[NETWORKING].networking)
    present = find_present_pair(networking, tag, settings)
    own_servers = servers_of(present)
    has_own = bool(own_servers) or any(member.name in answers[SERVERS].names for member in settings.members)
    has_strangers = strangers_with_a_members_address(networking, settings)
    problems: list[str] = []
    for question in (*needed, SERVERS, NETWORKING):
        if not (problem := answers[question].problem):
            continue
        if question.kind == "key pair" and has_own:
            pulumi.log.warn(f"{question.subject}: {problem} {_KEY_PAIR_OF_A_COLLEAGUE} {question.way_out}")
        else:
            problems.append(f"{question.subject}: {problem} {question.way_out}")
    if problems:
        raise PreflightError(_numbered(problems))
    ids = {question.kind: answers[question].id for question in needed}
    if unclear := list(unclear_ports(networking, tag, settings)):
        raise PreflightError(_numbered(unclear, REFUSED))
    interruptions = _allowed_changes(networking, present, settings, str(ids["external network"]))
    return ExistingResources(
        external_network_id=str(ids["external network"]),
        image_id=str(settings.image_id or ids["image"]),
        has_servers=has_own or has_strangers,
        has_only_strangers=has_strangers and not has_own,
        has_stopped_member=any(one in answers[SERVERS].not_active for one in own_servers),
        is_torn_down=any(tag in port.tags and TEARDOWN_TAG in port.tags for port in networking.ports),
        asked=Asked(name, provider),
        interruptions=interruptions,
    )


def _allowed_changes(
    networking: Networking, present: PresentPair, settings: PairSettings, external_network_id: str
) -> frozenset[SettingChange]:
    """Return the changes of the present pair that interrupt the service and are allowed.

    :raises PreflightError: for a change that is not allowed, and for an address that the pair can't have.
    """
    changes = changes_of(present, settings, external_network_id)
    problems = [
        *refusals(present, settings, changes),
        *taken_addresses(networking, present, settings),
        *floating_ip_problems(networking, present, settings, external_network_id),
    ]
    if problems:
        raise PreflightError(_numbered(problems, REFUSED))
    return frozenset(change for change in changes if change in settings.allowed_interruptions)


def _needed(settings: PairSettings) -> list[Question]:
    """Return the questions about the resources that must exist."""
    questions = [
        Question(
            "extension",
            "allowed-address-pairs",
            "the Neutron extension allowed-address-pairs",
            "Without it no server may answer for the VIP. `openstack extension list --network` lists the extensions; "
            "ask the operator of the cloud, or use another cloud.",
        ),
        Question(
            "external network",
            settings.external_network,
            f"externalNetwork = {settings.external_network}",
            "`openstack network list --external` lists those that exist.",
        ),
        Question(
            "flavor",
            settings.flavor,
            f"flavor = {settings.flavor}",
            "`openstack flavor list` lists those that exist.",
        ),
    ]
    # With imageId, do not look up the name: it may now belong to another image, or to none.
    if settings.image_id is None:
        questions.append(
            Question(
                "image", settings.image, f"image = {settings.image}", "`openstack image list` lists those that exist."
            )
        )
    # With publicKey the key is in the user-data, and no key pair is used.
    if settings.public_key is None:
        questions.append(
            Question(
                "key pair",
                settings.key_name,
                f"keyName = {settings.key_name}",
                "`openstack keypair list` lists those that exist; or set publicKey, which needs no key pair.",
            )
        )
    return questions


#: Key pairs belong to a user. The servers were made by one operator, and another one looks at them.
_KEY_PAIR_OF_A_COLLEAGUE = (
    "The servers exist and keep their key, so nothing else is affected. But Nova would refuse to make or to replace a "
    "server with these credentials."
)

#: For each run of a program (its root resource), the answers by provider and question. A process runs one program,
#: but a process of tests runs several one after the other, each with its own root resource.
_ANSWERS: WeakKeyDictionary[pulumi.Resource, dict[tuple[pulumi.ProviderResource | None, Question], Answer]] = (
    WeakKeyDictionary()
)

_CREDENTIALS = (
    "Give credentials as the provider takes them: OS_CLOUD names an entry of clouds.yaml, the project's openrc file "
    "sets variables, and a stack file has keys such as openstack:authUrl."
)


def _ask_the_cloud(questions: Sequence[Question], provider: pulumi.ProviderResource | None) -> dict[Question, Answer]:
    """Return all answers. One process (``gates.cloud_questions``) asks the questions that are new in this run.

    :param provider: None for the stack's default provider.
    :raises PreflightError: when the cloud cannot be reached.
    """
    root = pulumi.runtime.get_root_resource()
    known = _ANSWERS.setdefault(root, {}) if root is not None else {}
    if new := [question for question in questions if (provider, question) not in known]:
        for question, answer in zip(new, _asked(new, provider), strict=True):
            known[provider, question] = answer
    return {question: known[provider, question] for question in questions}


def _asked(questions: Sequence[Question], provider: pulumi.ProviderResource | None) -> list[Answer]:
    try:
        done = command.local.run(
            command=f"{shlex.quote(sys.executable)} -m gates.cloud_questions",
            dir=str(PROJECT_FOLDER),
            stdin=json.dumps([{"kind": question.kind, "name": question.name} for question in questions]),
            environment=credentials_of(provider),
            logging=command.local.Logging.NONE,
        )
    except Exception as error:  # the SDK raises a plain Exception for every failed invoke
        raise PreflightError(_numbered([f"the cloud: {_reason(error)} {_CREDENTIALS}"])) from None
    answers: list[dict[str, Any]] = json.loads(done.stdout)
    return [Answer(**answer) for answer in answers]


def _reason(error: Exception) -> str:
    """Return the provider's own words: the last line of its message that is not empty."""
    lines = [line.strip(" \t*") for line in str(error).splitlines()]
    return next((line for line in reversed(lines) if line), type(error).__name__)


def _numbered(problems: list[str], head: str = NOT_READY) -> str:
    body = "\n".join(f"  {number}. {line}" for number, line in enumerate(problems, start=1))
    return f"{head}, so nothing was declared:\n{body}"
