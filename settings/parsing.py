"""Validate the entries of a stack file as the settings of a pair, and report every wrong entry at once."""

from __future__ import annotations

import contextlib
import difflib
import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from .pair import PairSettings
from .service import Service
from .stack_file_model import Accepts

#: Pydantic's type of an error that one of our own rules raised. Its message already names the way out; pydantic's own
#: messages name only the rule.
_OWN_RULE = "value_error"
_UNKNOWN_KEY = "extra_forbidden"


class SettingsError(ValueError):
    """The stack configuration breaks at least one rule; the message has one line for each."""


def parse_settings(entries: Mapping[str, str], namespace: str) -> PairSettings:
    """Return the settings of a pair.

    :param entries: key without namespace → the engine's text for its value.
    :param namespace: the configuration namespace, for the messages.
    :raises SettingsError: naming each wrong key, its value, the rule and the way out.
    """
    values = {key: _decode(text) for key, text in entries.items()}
    try:
        return PairSettings.model_validate(values, by_alias=True, by_name=False)
    except ValidationError as error:
        lines = [_message(namespace, detail) for detail in error.errors(include_url=False)]
        raise SettingsError(_numbered(namespace, list(dict.fromkeys(lines)))) from None


def _decode(text: str) -> Any:
    """Return the value of the engine's text: the engine passes lists and objects as JSON, everything else as text."""
    if text.startswith(("[", "{")):
        with contextlib.suppress(json.JSONDecodeError):
            return json.loads(text)
    return text


def _model_of(location: tuple[int | str, ...]) -> tuple[type[BaseModel], list[str]]:
    """Return the model that has the key of an error, and the path of the key: (Service, ["service", "port"])."""
    key = str(location[0])
    if key == "service" and len(location) > 1 and isinstance(location[1], str):
        return Service, [key, location[1]]
    return PairSettings, [key]


def _field_names(model: type[BaseModel]) -> dict[str, str]:
    """Return key of the stack file → name of the field."""
    return {field.alias or name: name for name, field in model.model_fields.items()}


def accepted_values(field: FieldInfo) -> str:
    """Return the phrase that says which values a field accepts."""
    return next(hint.phrase for hint in field.metadata if isinstance(hint, Accepts))


def _message(namespace: str, detail: ErrorDetails) -> str:
    model, path = _model_of(detail["loc"])
    key, prefix = path[-1], "".join(f"{part}." for part in path[:-1])
    option = f"--path '{namespace}:{prefix}{key}'" if prefix else f"{namespace}:{key}"
    if detail["type"] == _UNKNOWN_KEY:
        near = difflib.get_close_matches(key, _field_names(model), n=1)
        hint = f"did you mean {prefix}{near[0]}?" if near else "docs/configuration.md lists all keys"
        return f"{prefix}{key}: there is no such key; {hint} (`pulumi config rm {option}` removes it)"

    field = model.model_fields[_field_names(model)[key]]
    position = "".join(f"[{part}]" for part in detail["loc"][len(path) :] if isinstance(part, int))
    shown = _shown(key, detail["input"])
    key = f"{prefix}{key}"
    if detail["type"] == _OWN_RULE:
        return f"{key}{position} = {shown}: {detail['msg'].removeprefix('Value error, ')}"
    how = "in the stack file" if "tuple" in str(field.annotation) else f"with `pulumi config set {option} …`"
    rule = detail["msg"][0].lower() + detail["msg"][1:]
    return f"{key}{position} = {shown}: {rule}; set {accepted_values(field)} {how}"


def _shown(key: str, value: object) -> str:
    """Return the value for a message. A wrong authPass or publicKey may be a secret, such as a private key."""
    if key in {"authPass", "publicKey"}:
        return "(not shown)"
    return str(value) if value != "" else "(empty)"


def _numbered(namespace: str, lines: list[str]) -> str:
    count = "1 setting is" if len(lines) == 1 else f"{len(lines)} settings are"
    body = "\n".join(f"  {number}. {namespace}:{line}" for number, line in enumerate(lines, start=1))
    return f"{count} wrong, so nothing was declared:\n{body}"
