"""Turns the entries of a stack file into the settings of a pair, and reports every wrong entry at once."""

from __future__ import annotations

import contextlib
import difflib
import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from .pair import PairSettings
from .service import Service

#: Pydantic's words for a value of the wrong type or out of range name the rule well enough; ours add the way out.
_OWN_RULE = "value_error"
_UNKNOWN_KEY = "extra_forbidden"


class SettingsError(ValueError):
    """The stack configuration breaks at least one rule; the message has one line for each."""


def parse_settings(entries: Mapping[str, str], namespace: str) -> PairSettings:
    """The settings that ``entries`` (key without namespace → the engine's text for its value) stand for.

    :raises SettingsError: naming each wrong key, its value, the rule and the way out.
    """
    values = {key: _decode(text) for key, text in entries.items()}
    try:
        return PairSettings.model_validate(values, by_alias=True, by_name=False)
    except ValidationError as error:
        lines = [_message(namespace, detail) for detail in error.errors(include_url=False)]
        raise SettingsError(_numbered(namespace, list(dict.fromkeys(lines)))) from None


def _decode(text: str) -> Any:
    """The engine hands lists and objects over as JSON, and everything else as plain text."""
    if text.startswith(("[", "{")):
        with contextlib.suppress(json.JSONDecodeError):
            return json.loads(text)
    return text


def _model_of(location: tuple[int | str, ...]) -> tuple[type[BaseModel], list[str]]:
    """The model that an error's key belongs to, and the way to the key: (Service, ["service", "port"])."""
    key = str(location[0])
    if key == "service" and len(location) > 1 and isinstance(location[1], str):
        return Service, [key, location[1]]
    return PairSettings, [key]


def _field_names(model: type[BaseModel]) -> dict[str, str]:
    """Key of the stack file → name of the field."""
    return {field.alias or name: name for name, field in model.model_fields.items()}


def _message(namespace: str, detail: ErrorDetails) -> str:
    model, path = _model_of(detail["loc"])
    key, prefix = path[-1], "".join(f"{part}." for part in path[:-1])
    option = f"--path '{namespace}:{prefix}{key}'" if prefix else f"{namespace}:{key}"
    if detail["type"] == _UNKNOWN_KEY:
        near = difflib.get_close_matches(key, _field_names(model), n=1)
        hint = f"did you mean {prefix}{near[0]}?" if near else "the README lists the keys there are"
        return f"{prefix}{key}: there is no such key; {hint} (`pulumi config rm {option}` removes it)"

    field = model.model_fields[_field_names(model)[key]]
    position = "".join(f"[{part}]" for part in detail["loc"][len(path) :] if isinstance(part, int))
    shown = _shown(key, detail["input"])
    key = f"{prefix}{key}"
    if detail["type"] == _OWN_RULE:
        return f"{key}{position} = {shown}: {detail['msg'].removeprefix('Value error, ')}"
    how = "in the stack file" if "tuple" in str(field.annotation) else f"with `pulumi config set {option} …`"
    rule = detail["msg"][0].lower() + detail["msg"][1:]
    return f"{key}{position} = {shown}: {rule}; set {field.description} {how}"


def _shown(key: str, value: object) -> str:
    """The value as the message may show it: keys go wrong in ways that put a secret into them."""
    if key in {"authPass", "publicKey"}:
        return "(not shown)"
    return str(value) if value != "" else "(empty)"


def _numbered(namespace: str, lines: list[str]) -> str:
    count = "1 setting is" if len(lines) == 1 else f"{len(lines)} settings are"
    body = "\n".join(f"  {number}. {namespace}:{line}" for number, line in enumerate(lines, start=1))
    return f"{count} wrong, so nothing was declared:\n{body}"
