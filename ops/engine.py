"""The Pulumi CLI, asked what a stack has, would do, and was doing when it was killed."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml


class EngineError(Exception):
    """A command of the CLI failed; the message has its own words."""


@dataclass(frozen=True)
class Engine:
    """One stack of the project in ``folder``."""

    folder: Path
    stack: str
    #: Besides the environment of this process.
    environment: Mapping[str, str] = field(default_factory=dict[str, str])

    def run(self, *arguments: str, given: str | None = None) -> str:
        """What a command prints.

        :param given: its standard input: for what is secret, as the arguments of a process are for everyone to see.
        :raises EngineError: when it fails, or is not installed.
        """
        return self._run(*arguments, "--stack", self.stack, given=given)

    def backend(self) -> str:
        """The URL of what keeps the state."""
        return str(json.loads(self._run("whoami", "--json"))["url"])

    def project(self) -> str:
        """Its name, as Pulumi.yaml has it."""
        return str(yaml.safe_load((self.folder / "Pulumi.yaml").read_text(encoding="utf-8"))["name"])

    def _run(self, *arguments: str, given: str | None = None) -> str:
        try:
            done = subprocess.run(
                ["pulumi", *arguments, "--non-interactive", "--color", "never"],
                cwd=self.folder,
                env={**os.environ, **self.environment},
                input=given,
                stdin=subprocess.DEVNULL if given is None else None,
                check=False,
                capture_output=True,
                text=True,
            )
        except FileNotFoundError as error:
            raise EngineError(
                "the Pulumi CLI is not on PATH; Pulumi's own installer brings it (README, On a cloud)"
            ) from error
        if done.returncode:
            said = "\n".join(part for part in (_problems(done.stdout), done.stderr.strip()) if part)
            raise EngineError(f"`pulumi {' '.join(arguments)}` failed:\n{said}")
        return done.stdout

    def config(self) -> dict[str, dict[str, Any]]:
        """Every key with its namespace → ``value`` (or ``objectValue``) and ``secret``, secrets in the clear."""
        return json.loads(self.run("config", "--json", "--show-secrets"))

    def state(self) -> dict[str, Any]:
        """The stack's deployment: ``resources``, ``pending_operations``; secrets stay encrypted."""
        return self._export()["deployment"]

    def outputs(self) -> dict[str, Any]:
        """The stack's, as its last `up` has left them."""
        return json.loads(self.run("stack", "output", "--json"))

    def rewrite_state(self, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        """Put what ``change`` makes of the stack's deployment into its place."""
        exported = self._export()
        exported["deployment"] = change(exported["deployment"])
        self.run("stack", "import", given=json.dumps(exported))

    def _export(self) -> dict[str, Any]:
        return json.loads(self.run("stack", "export"))

    def preview(self, *arguments: str) -> list[Step]:
        """What an `up` would do now."""
        steps = json.loads(self.run("preview", "--json", *arguments))["steps"]
        return [Step.of(step) for step in steps]


@dataclass(frozen=True)
class Step:
    """What the engine would do with one resource."""

    #: ``create``, ``update``, ``replace``, ``create-replacement``, ``delete-replaced``, ``delete``, ``same``, …
    operation: str
    urn: str
    type: str
    #: The properties that are the reason.
    reasons: list[str]
    inputs: dict[str, Any]
    #: Property → the URNs of the resources that its value comes from.
    dependencies: dict[str, list[str]]

    @property
    def name(self) -> str:
        """The logical name."""
        return self.urn.rpartition("::")[2]

    @staticmethod
    def of(step: Mapping[str, Any]) -> Step:
        state: Mapping[str, Any] = step.get("newState") or step.get("oldState") or {}
        return Step(
            operation=step["op"],
            urn=step["urn"],
            type=state.get("type", ""),
            reasons=sorted({*(step.get("replaceReasons") or []), *(step.get("diffReasons") or [])}),
            inputs=state.get("inputs") or {},
            dependencies=state.get("propertyDependencies") or {},
        )


def _problems(printed: str) -> str:
    """The engine's diagnostics, where a command printed JSON; what it printed, where not."""
    try:
        parsed: dict[str, Any] = json.loads(printed)
    except json.JSONDecodeError:
        return printed.strip()
    return "\n".join(_messages(parsed))


def _messages(parsed: dict[str, Any]) -> Iterator[str]:
    diagnostics: list[dict[str, Any]] = parsed.get("diagnostics") or []
    for diagnostic in diagnostics:
        if diagnostic.get("severity") == "error":
            yield str(diagnostic.get("message", "")).strip()
