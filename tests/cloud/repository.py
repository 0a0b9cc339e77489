"""A repository whose only commit is the project as it is here, for plans that are made offline."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lab.stack_file import PROJECT_FOLDER

from .deployment import copy_of_the_project

STACKS = ("nz-por-1", "nz-wlg-2", "nz-hlz-1", "tutorial")

#: Runs a command without any network, except the loopback interface that the engine itself needs.
ISOLATED = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"] if os.geteuid() == 0 else []


@dataclass(frozen=True)
class Repository:
    """The repository."""

    folder: Path

    def set(self, stack: str, **entries: Any) -> None:
        """Set keys in a stack file."""
        file = self.folder / f"Pulumi.{stack}.yaml"
        content: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
        content["config"].update({f"vrrp-pair:{key}": value for key, value in entries.items()})
        file.write_text(yaml.safe_dump(content), encoding="utf-8")

    def commit(self) -> None:
        """Make the present files the base of the next plans."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", "base")

    def git(self, *arguments: str) -> None:
        identity = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
        subprocess.run(["git", *identity, *arguments], cwd=self.folder, check=True, capture_output=True)

    def plan(self, stack: str, format_: str = "json") -> tuple[int, str]:
        """Return the exit status and the report of a plan against the only commit."""
        began = time.monotonic()
        command = [sys.executable, "-m", "ops", "plan", stack, "--offline", "--against", "HEAD", "--format", format_]
        environment = {key: value for key, value in os.environ.items() if not key.startswith("OS_")}
        done = subprocess.run(
            [*ISOLATED, *command], cwd=self.folder, env=environment, check=False, capture_output=True, text=True
        )
        print(f"{shlex.join(command[2:])}: {time.monotonic() - began:.1f} s, exit status {done.returncode}")
        print(done.stderr)
        return done.returncode, done.stdout

    def planned(self, stack: str) -> dict[str, Any]:
        """Return the report of a plan, parsed."""
        status, text = self.plan(stack)
        shown: dict[str, Any] = json.loads(text)
        assert shown["exitStatus"] == status
        return shown


def new_repository(folder: Path) -> Repository:
    """Make the repository in an existing empty folder."""
    copy_of_the_project(folder)
    for stack in STACKS:
        shutil.copyfile(PROJECT_FOLDER / f"Pulumi.{stack}.yaml", folder / f"Pulumi.{stack}.yaml")
    (folder / ".gitignore").write_text(".venv\n__pycache__\n", encoding="utf-8")
    made = Repository(folder)
    made.git("init", "--quiet", "--initial-branch", "main")
    made.commit()
    return made
