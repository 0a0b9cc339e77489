"""The Pulumi CLI: a stack's configuration, state, outputs and previews."""

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
    """A command of the CLI failed; the message contains the CLI's own."""


@dataclass(frozen=True)
class Engine:
    """One stack of the project in ``folder``."""

    folder: Path
    stack: str
    #: Added to the environment of this process.
    environment: Mapping[str, str] = field(default_factory=dict[str, str])

    def run(self, *arguments: str, given: str | None = None) -> str:
        """Run a command on the stack, and return its standard output.

        :param given: its standard input. Use it for secrets, because every user can read the arguments of a process.
        :raises EngineError: when the command fails, or the CLI is not installed.
        """
        return self._run(*arguments, "--stack", self.stack, given=given)

    def backend(self) -> str:
        """Return the URL of the backend that keeps the state."""
        return str(json.loads(self._run("whoami", "--json"))["url"])

    def project(self) -> str:
        """Return the project's name from Pulumi.yaml."""
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
                "the Pulumi CLI is not on PATH; install it with Pulumi's own installer (README, On a cloud)"
            ) from error
        if done.returncode:
            message = "\n".join(part for part in (_problems(done.stdout), done.stderr.strip()) if part)
            raise EngineError(f"`pulumi {' '.join(arguments)}` failed:\n{message}")
        return done.stdout

    def config(self) -> dict[str, dict[str, Any]]:
        """Return each key with its namespace → ``value`` (or ``objectValue``) and ``secret``; secrets in the clear."""
        return json.loads(self.run("config", "--json", "--show-secrets"))

    def state(self) -> dict[str, Any]:
        """Return the stack's deployment: ``resources``, ``pending_operations``; secrets stay encrypted."""
        return self._export()["deployment"]

    def outputs(self) -> dict[str, Any]:
        """Return the stack's outputs of its last `up`."""
        return json.loads(self.run("stack", "output", "--json"))

    def rewrite_state(self, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        """Replace the stack's deployment by the result of ``change``."""
        exported = self._export()
        exported["deployment"] = change(exported["deployment"])
        self.run("stack", "import", given=json.dumps(exported))

    def _export(self) -> dict[str, Any]:
        return json.loads(self.run("stack", "export"))

    def preview(self, *arguments: str) -> list[Step]:
        """Return the steps of an `up` now.

        :param arguments: more arguments of `pulumi preview`.
        """
        steps = json.loads(self.run("preview", "--json", *arguments))["steps"]
        return [Step.of(step) for step in steps]


@dataclass(frozen=True)
class Step:
    """One step of a preview: an operation on one resource."""

    #: ``create``, ``update``, ``replace``, ``create-replacement``, ``delete-replaced``, ``delete``, ``same``, …
    operation: str
    urn: str
    type: str
    #: The properties that cause the operation.
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
        """Return the step that an entry of the engine's JSON describes."""
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
    """Return the engine's error messages if a command printed JSON, and the whole text otherwise."""
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
