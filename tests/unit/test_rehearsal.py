"""An adoption is rehearsed on a copy of the stack: the stack, its file and its secrets do not change.

The CLI is a stand-in that records its calls; the real one runs in tests/cloud.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ops.engine import Engine, EngineError
from ops.rehearsal import rehearsal

SECRET = "a-secret-of-the-stack"

STAND_IN = """import json, os, sys
from pathlib import Path
arguments = sys.argv[1:]
given = sys.stdin.read() if not sys.stdin.isatty() else ""
files = {{file.name: file.read_text() for file in Path.cwd().glob("Pulumi*.yaml")}}
call = dict(arguments=arguments, given=given, cwd=os.getcwd(), files=files, linked=sorted(os.listdir()),
            backend=os.environ.get("PULUMI_BACKEND_URL", ""),
            passphrase_file=os.environ.get("PULUMI_CONFIG_PASSPHRASE_FILE", ""))
with open({log!r}, "a") as log:
    log.write(json.dumps(call) + "\\n")
answers = {answers!r}
key = " ".join(arguments[:2])
if key == "stack init":
    stack_file = Path("Pulumi.prod.yaml")
    stack_file.write_text(json.dumps({{**json.loads(stack_file.read_text()), "encryptionsalt": "v1:salt-of-the-copy"}}))
if key in answers:
    status, text = answers[key]
    print(text)
    sys.exit(status)
"""


@dataclass(frozen=True)
class Project:
    engine: Engine
    log: Path

    @property
    def calls(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text(encoding="utf-8").splitlines()]

    def answer(self, answers: dict[str, tuple[int, str]]) -> None:
        """Set the exit status and the output of the stand-in, by the first two words of its arguments."""
        stand_in = self.log.parent / "stand_in.py"
        stand_in.write_text(STAND_IN.format(log=str(self.log), answers=answers), encoding="utf-8")
        # A shell script, because in a "#!" line the kernel ends the interpreter's path at the first blank.
        command = f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {shlex.quote(str(stand_in))} "$@"\n'
        (self.log.parent / "bin" / "pulumi").write_text(command, encoding="utf-8")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    folder = tmp_path / "project"
    (folder / "components").mkdir(parents=True)
    (folder / ".git").mkdir()
    for name, text in {
        "Pulumi.yaml": "name: vrrp-pair\n",
        "Pulumi.prod.yaml": "config: {}\n",
        "Pulumi.other.yaml": "config: {}\n",
        "__main__.py": "",
    }.items():
        (folder / name).write_text(text, encoding="utf-8")
    (tmp_path / "bin").mkdir()
    executable = tmp_path / "bin" / "pulumi"
    executable.touch(mode=0o755)
    monkeypatch.setenv("PATH", f"{executable.parent}{os.pathsep}{os.environ['PATH']}")
    made = Project(Engine(folder, "acme/prod"), tmp_path / "log")
    config = {
        "vrrp-pair:vip": {"value": "10.0.0.201", "secret": False},
        "vrrp-pair:sshCidrs": {"value": "[]", "objectValue": ["192.0.2.0/24"], "secret": False},
        "vrrp-pair:authPass": {"value": SECRET, "secret": True},
    }
    state = {
        "deployment": {
            "resources": [{"urn": "urn::net"}],
            "secrets_providers": {"type": "passphrase", "state": {"salt": "v1:salt-of-the-stack"}},
        }
    }
    made.answer({"config --json": (0, json.dumps(config)), "stack export": (0, json.dumps(state))})
    return made


class TestTheStackIsNotChanged:
    """Prevents a rehearsal that changes the stack or its file, or shows its secrets to others."""

    def test_commands_on_the_copy_use_a_state_of_their_own(self, project: Project) -> None:
        with rehearsal(project.engine) as copy:
            copy.run("preview")
        (preview,) = [call for call in project.calls if call["arguments"][0] == "preview"]
        assert preview["backend"].startswith("file:///")
        assert preview["arguments"][:3] == ["preview", "--stack", "prod"]
        assert {"components", "__main__.py"} <= set(preview["linked"])
        assert "Pulumi.other.yaml" not in preview["linked"]
        assert ".git" not in preview["linked"]
        assert not Path(preview["cwd"]).exists()

    def test_an_operators_passphrase_file_does_not_apply_to_the_copy(
        self, project: Project, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The engine would take the passphrase from that file, and not the copy's own."""
        monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE_FILE", "/etc/passphrase")
        with rehearsal(project.engine) as copy:
            copy.run("preview")
        (preview,) = [call for call in project.calls if call["arguments"][0] == "preview"]
        assert preview["passphrase_file"] == ""

    def test_the_copy_has_the_settings_and_the_resources(self, project: Project) -> None:
        with rehearsal(project.engine):
            pass
        (init,) = [call for call in project.calls if call["arguments"][:2] == ["stack", "init"]]
        assert json.loads(init["files"]["Pulumi.prod.yaml"])["config"] == {
            "vrrp-pair:vip": "10.0.0.201",
            "vrrp-pair:sshCidrs": ["192.0.2.0/24"],
        }
        (imported,) = [call for call in project.calls if call["arguments"][:2] == ["stack", "import"]]
        deployment = json.loads(imported["given"])["deployment"]
        assert deployment["resources"] == [{"urn": "urn::net"}]
        assert deployment["secrets_providers"] == {"type": "passphrase", "state": {"salt": "v1:salt-of-the-copy"}}

    def test_the_stack_file_of_the_project_does_not_change(self, project: Project) -> None:
        with rehearsal(project.engine) as copy:
            (copy.folder / "Pulumi.prod.yaml").write_text("changed", encoding="utf-8")
        assert (project.engine.folder / "Pulumi.prod.yaml").read_text(encoding="utf-8") == "config: {}\n"

    def test_a_secret_goes_through_a_pipe_and_nowhere_else(self, project: Project) -> None:
        with rehearsal(project.engine):
            pass
        (told,) = [call for call in project.calls if call["arguments"][:2] == ["config", "set"]]
        assert told["given"] == SECRET
        for call in project.calls:
            assert SECRET not in " ".join(call["arguments"])
            assert SECRET not in "".join(call["files"].values())


class TestErrorsOfTheCli:
    """Prevents a traceback or a page of JSON instead of the engine's message."""

    def test_the_message_has_the_errors_of_the_json_output(self, project: Project) -> None:
        diagnostics = [
            {"severity": "info", "message": "nothing"},
            {"severity": "error", "message": "the cloud is not ready for the pair"},
        ]
        project.answer({"preview --json": (1, json.dumps({"diagnostics": diagnostics}))})
        with pytest.raises(EngineError, match=r"failed:\nthe cloud is not ready for the pair$"):
            project.engine.preview()

    def test_without_the_cli_the_message_says_how_to_install_it(
        self, project: Project, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PATH", "/nonexistent")
        with pytest.raises(EngineError, match="Pulumi's own installer"):
            project.engine.state()
