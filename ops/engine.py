"""The Pulumi CLI: a stack's configuration, state, outputs and previews."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import yaml


class EngineError(Exception):
    """A command of the CLI failed; the message contains the CLI's own."""


#: Seconds that an interrupted command may take to end its own processes.
ENDS_WITHIN = 10

#: What the engine says about every program that ended with an error.
_PROGRAM_EXITED = "an unhandled error occurred: program exited with non-zero exit code"

#: Lets `pulumi preview --json` print each event of the engine as one line of JSON (`pulumi preview --help`). Unlike the
#: digest, the events tell a refresh from a change, and have old and new inputs. Secrets are masked in them.
STREAMED = {"PULUMI_ENABLE_STREAMING_JSON_PREVIEW": "true"}


@dataclass(frozen=True)
class PreviewEvents:
    """What the engine reported during a preview."""

    #: Each as in the engine's ``apitype.EngineEvent``.
    events: list[dict[str, Any]]
    #: The messages of a failed preview; empty if it succeeded.
    errors: list[str]


@dataclass(frozen=True)
class Engine:
    """One stack of the project in ``folder``."""

    folder: Path
    stack: str
    #: Added to the environment of this process.
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    #: Beginnings of the names of variables that the engine does not get from the environment of this process.
    hidden: tuple[str, ...] = ()

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
        done = self._execute(arguments, given)
        if done.returncode:
            message = "\n".join(part for part in (_problems(done.stdout), done.stderr.strip()) if part)
            raise EngineError(f"`pulumi {' '.join(arguments)}` failed:\n{message}")
        return done.stdout

    def _execute(
        self, arguments: tuple[str, ...], given: str | None = None, also: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        command = ["pulumi", *arguments, "--non-interactive", "--color", "never"]
        own = {key: value for key, value in os.environ.items() if not key.startswith(self.hidden)}
        try:
            running = subprocess.Popen(
                command,
                cwd=self.folder,
                env={**(own if self.hidden else os.environ), **self.environment, **(also or {})},
                stdin=subprocess.DEVNULL if given is None else subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        except FileNotFoundError as error:
            raise EngineError(
                "the Pulumi CLI is not on PATH; install it with Pulumi's own installer (README, On a cloud)"
            ) from error
        with running:
            try:
                printed, problems = running.communicate(given)
            except BaseException:
                # The CLI ends its plugins at SIGINT. They could still write into a folder that is about to be removed.
                running.send_signal(signal.SIGINT)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    running.wait(ENDS_WITHIN)
                running.kill()
                raise
        return subprocess.CompletedProcess(command, running.returncode, printed, problems)

    def config(self) -> dict[str, dict[str, Any]]:
        """Return each key with its namespace → ``value`` (or ``objectValue``) and ``secret``; secrets in the clear."""
        return json.loads(self.run("config", "--json", "--show-secrets"))

    def state(self) -> dict[str, Any]:
        """Return the stack's deployment: ``resources``, ``pending_operations``; secrets stay encrypted."""
        return self._export()["deployment"]

    def state_in_the_clear(self) -> dict[str, Any]:
        """Return the stack's deployment with its secrets in the clear. Keep it in memory, and never print it."""
        return json.loads(self.run("stack", "export", "--show-secrets"))["deployment"]

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

    def preview_events(self, *arguments: str) -> PreviewEvents:
        """Return what the engine reports during a preview, also if the preview fails.

        :param arguments: more arguments of `pulumi preview`.
        :raises EngineError: when the CLI failed before the preview began, for example without such a stack, or when
            the preview succeeded and its events are not there.
        """
        done = self._execute(("preview", "--json", *arguments, "--stack", self.stack), also=STREAMED)
        # Not splitlines(), which also splits at characters that a text in JSON may contain, such as U+0085.
        events = [parsed for line in done.stdout.split("\n") if (parsed := _event(line))]
        if not done.returncode:
            # The engine's last word. Without it, missing events would look like a preview without changes.
            if not any("summaryEvent" in event for event in events):
                raise EngineError(
                    "`pulumi preview` succeeded, and did not report its events as lines of JSON: this CLI does not "
                    f"know {', '.join(STREAMED)}, or its output was cut off. Install the version that README names"
                )
            return PreviewEvents(events, [])
        errors = [*_error_messages(events), *([] if events else [done.stderr.strip()])]
        if not events or not errors:
            raise EngineError(f"`pulumi preview` failed:\n{(done.stderr or done.stdout).strip()}")
        return PreviewEvents(events, errors)

    def last_deployed_config(self) -> dict[str, dict[str, Any]] | None:
        """Return the configuration of the last successful `up`, as ``config`` does; None if there was none.

        The backend keeps it in the history of the stack.
        """
        history: list[dict[str, Any]] = json.loads(self.run("stack", "history", "--json", "--show-secrets"))
        for update in history:
            if update.get("kind") == "update" and update.get("result") == "succeeded":
                return update.get("config") or {}
        return None


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


def _event(line: str) -> dict[str, Any] | None:
    """Return the event that a line contains; None if it contains other text."""
    try:
        parsed = json.loads(line)
    except json.JSONDecodeError:
        return None
    return cast(dict[str, Any], parsed) if isinstance(parsed, dict) and "sequence" in parsed else None


def _error_messages(events: list[dict[str, Any]]) -> list[str]:
    """Return the messages of all errors, each once."""
    diagnostics = [event["diagnosticEvent"] for event in events if "diagnosticEvent" in event]
    errors = [str(one.get("message", "")).strip() for one in diagnostics if one.get("severity") == "error"]
    told = list(dict.fromkeys(error for error in errors if error))
    # The engine adds a line without content to the program's own message.
    return [error for error in told if not error.startswith(_PROGRAM_EXITED)] or told


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
