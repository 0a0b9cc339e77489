"""Read the configuration that the engine gives to the program: a stack file, and the defaults of Pulumi.yaml."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import yaml

PROJECT_FOLDER = Path(__file__).resolve().parent.parent


class StackFileError(Exception):
    """There is no such stack file, or it is not valid YAML; the message names the file."""


@dataclass(frozen=True)
class StackConfig:
    """The configuration of one stack, as the engine gives it to the program."""

    project: str
    stack: str
    #: Key with namespace → the engine's text of the value; a list or an object is JSON.
    values: dict[str, str]
    secret_keys: list[str] = field(default_factory=list[str])


def read_stack(stack: str, folder: Path = PROJECT_FOLDER) -> StackConfig:
    """Read ``Pulumi.STACK.yaml``, or the file whose path is ``stack``.

    The lab has no passphrase. In place of an encrypted value it puts a random text of eight characters, which is
    enough for a password between two members of a lab.

    :raises StackFileError: with the stack files that exist.
    """
    path = Path(stack) if stack.endswith((".yaml", ".yml")) else folder / f"Pulumi.{stack}.yaml"
    if not path.is_file():
        there = sorted(file.name.split(".")[1] for file in folder.glob("Pulumi.*.yaml"))
        raise StackFileError(f"there is no stack file {path.name}; there are: {', '.join(there)}")
    project = _read_yaml(folder / "Pulumi.yaml")
    declarations: dict[str, dict[str, Any]] = project.get("config", {})
    entries: dict[str, Any] = _read_yaml(path).get("config") or {}
    name = str(project["name"])
    values: dict[str, str] = {}
    secret_keys: list[str] = []
    for key, declaration in declarations.items():
        values[f"{name}:{key}"] = _as_text(declaration["default"])
        if declaration.get("secret") == "true":
            secret_keys.append(f"{name}:{key}")
    for key, value in entries.items():
        qualified = key if ":" in key else f"{name}:{key}"
        encrypted = isinstance(value, dict) and "secure" in value
        if encrypted:
            secret_keys.append(qualified)
        values[qualified] = secrets.token_hex(4) if encrypted else _as_text(cast(object, value))
    return StackConfig(name, path.stem.removeprefix("Pulumi."), values, sorted(set(secret_keys)))


def _read_yaml(path: Path) -> dict[str, Any]:
    # Keep every scalar as it is written, such as 0.10 and true. The engine does the same.
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.BaseLoader)
    except yaml.YAMLError as error:
        raise StackFileError(f"{path.name} is not valid YAML: {error}") from error
    return content or {}


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
