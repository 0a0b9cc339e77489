"""Checks that the cloud has everything that the pair needs, before anything is declared. A preview checks it too."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import pulumi
import pulumi_command as command
import pulumi_openstack as openstack

from settings import PairSettings

from .provider_credentials import credentials_of_the_stack

PROJECT_FOLDER = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class ExistingResources:
    """The resources that the pair uses and does not make."""

    external_network_id: str
    image_id: str
    #: Whether the cloud has a server with the name of a member. True if this is unknown: then the gates wait, and the
    #: members are made one after the other.
    has_servers: bool = True


class PreflightError(pulumi.RunError):
    """The cloud lacks something; the message has one line for each problem, and nothing was declared."""


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
    """The cloud's answer: the id of the resource, or the problem; for ``SERVERS``, the names of all servers."""

    id: str | None = None
    problem: str = ""
    names: Sequence[str] = ()


#: The project's servers. It is no problem when there are none.
SERVERS = Question("servers", "", "the servers of the project", "Try again.")


def preflight(settings: PairSettings, opts: pulumi.InvokeOptions | None = None) -> ExistingResources:
    """Look up what the pair needs. A preview does this too.

    Several pairs in one program share the answers: each question is asked once per cloud.

    :param opts: with an explicit provider, that provider is asked for network, image, flavor and key pair.
    :raises PreflightError: naming each thing that is missing and the command that lists what exists.
    """
    needed = _needed(settings)
    answers = _ask_the_cloud([*needed, SERVERS])
    # An explicit provider may work elsewhere: then nothing is known about its servers.
    knows_servers = opts is None or opts.provider is None
    if opts is not None and not knows_servers:
        answers.update(_ask_the_provider(needed, opts))
    problems = [
        f"{question.subject}: {answers[question].problem} {question.way_out}"
        for question in (*needed, SERVERS)
        if answers[question].problem
    ]
    if problems:
        raise PreflightError(_numbered(problems))
    ids = {question.kind: answers[question].id for question in needed}
    return ExistingResources(
        external_network_id=str(ids["external network"]),
        image_id=str(settings.image_id or ids["image"]),
        has_servers=not knows_servers or any(member.name in answers[SERVERS].names for member in settings.members),
    )


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
    # With publicKey, the program makes the key pair.
    if settings.public_key is None:
        questions.append(
            Question(
                "key pair",
                settings.key_name,
                f"keyName = {settings.key_name}",
                "`openstack keypair list` lists those that exist; or set publicKey, and the pair makes the key pair.",
            )
        )
    return questions


#: For each run of a program (its root resource), the answers by credentials and question. A process runs one program,
#: but a process of tests runs several one after the other, each with its own root resource.
_ANSWERS: WeakKeyDictionary[pulumi.Resource, dict[tuple[str, Question], Answer]] = WeakKeyDictionary()

_CREDENTIALS = (
    "Give credentials as the provider takes them: OS_CLOUD names an entry of clouds.yaml, "
    "or source the project's openrc file."
)


def _ask_the_cloud(questions: Sequence[Question]) -> dict[Question, Answer]:
    """Return all answers. One process (``gates.cloud_questions``) asks the questions that are new in this run.

    :raises PreflightError: when the cloud cannot be reached.
    """
    environment = credentials_of_the_stack()
    cloud = json.dumps(environment, sort_keys=True)
    root = pulumi.runtime.get_root_resource()
    known = _ANSWERS.setdefault(root, {}) if root is not None else {}
    if new := [question for question in questions if (cloud, question) not in known]:
        for question, answer in zip(new, _asked(new, environment), strict=True):
            known[cloud, question] = answer
    return {question: known[cloud, question] for question in questions}


def _asked(questions: Sequence[Question], environment: Mapping[str, str]) -> list[Answer]:
    try:
        done = command.local.run(
            command=f"{shlex.quote(sys.executable)} -m gates.cloud_questions",
            dir=str(PROJECT_FOLDER),
            stdin=json.dumps([{"kind": question.kind, "name": question.name} for question in questions]),
            environment=dict(environment),
            logging=command.local.Logging.NONE,
        )
    except Exception as error:  # the SDK raises a plain Exception for every failed invoke
        raise PreflightError(_numbered([f"the cloud: {_reason(error)} {_CREDENTIALS}"])) from None
    answers: list[dict[str, Any]] = json.loads(done.stdout)
    return [Answer(**answer) for answer in answers]


def _ask_the_provider(questions: Sequence[Question], opts: pulumi.InvokeOptions) -> dict[Question, Answer]:
    """Return the answers of an explicit provider, which may work in another region or for another project."""
    lookups: dict[str, Callable[[str], str]] = {
        "external network": lambda name: openstack.networking.get_network(name=name, external=True, opts=opts).id,
        "image": lambda name: openstack.images.get_image(name=name, most_recent=True, opts=opts).id,
        "flavor": lambda name: openstack.compute.get_flavor(name=name, opts=opts).id,
        "key pair": lambda name: openstack.compute.get_keypair(name=name, opts=opts).id,
    }
    answers: dict[Question, Answer] = {}
    for question in questions:
        if question.kind not in lookups:
            continue
        try:
            answers[question] = Answer(id=lookups[question.kind](question.name))
        except Exception as error:  # the SDK raises a plain Exception for every failed invoke
            answers[question] = Answer(problem=_reason(error))
    return answers


def _reason(error: Exception) -> str:
    """Return the provider's own words: the last line of its message that is not empty."""
    lines = [line.strip(" \t*") for line in str(error).splitlines()]
    return next((line for line in reversed(lines) if line), type(error).__name__)


def _numbered(problems: list[str]) -> str:
    body = "\n".join(f"  {number}. {line}" for number, line in enumerate(problems, start=1))
    return f"the cloud is not ready for the pair, so nothing was declared:\n{body}"
