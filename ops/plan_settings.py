"""Compare two configurations of a stack: each key that differs, with both values."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import yaml

from settings.change_classes import KEYS, NONE, ChangeClass, KeyChange
from settings.pair import PairSettings
from settings.parsing import SettingsError, parse_settings

from .plan_steps import ANOTHER_SECRET, SECRET

#: Keys whose values are never shown, whether the stack file encrypts them or not.
SECRET_KEYS = frozenset({"authPass"})


@dataclass(frozen=True)
class KeyDifference:
    """One key of the stack file, from what to what, as texts."""

    #: ``service.port`` for a key of ``service``.
    key: str
    old: str
    new: str

    @property
    def top(self) -> str:
        """The key at the top level: ``service`` for ``service.port``."""
        return self.key.partition(".")[0]

    @property
    def about(self) -> KeyChange | None:
        """The effect of a change of the key; None if there is no such key any more."""
        return KEYS.get(self.key) or KEYS.get(self.top)

    @property
    def change_class(self) -> ChangeClass | None:
        """The class of the change; None if there is no such key any more."""
        return self.about.class_from(self.old) if self.about else None

    @property
    def as_allowed(self) -> str:
        """The change as ``allowInterruption`` names it."""
        return f"{self.key}: {self.old} -> {self.new}"


@dataclass(frozen=True)
class Configured:
    """The configuration of a stack: the settings, and the secrets in it."""

    #: Key without namespace → the engine's text of its value.
    entries: Mapping[str, str]
    #: None if they break a rule.
    settings: PairSettings | None
    #: The values that no report may contain.
    secrets: frozenset[str]
    #: The keys whose values are encrypted.
    secret_keys: frozenset[str]


def configured(config: Mapping[str, Mapping[str, Any]], project: str, defaults: Mapping[str, str]) -> Configured:
    """Return the configuration of a stack.

    :param config: as ``Engine.config`` returns it.
    :param defaults: key → text of the default in Pulumi.yaml.
    """
    prefix = f"{project}:"
    entries = {
        key.removeprefix(prefix): json.dumps(entry["objectValue"]) if "objectValue" in entry else str(entry["value"])
        for key, entry in config.items()
        if key.startswith(prefix) and ("objectValue" in entry or "value" in entry)
    }
    secret_keys = {key for key, entry in config.items() if entry.get("secret")}
    secrets = {
        text
        for key in secret_keys
        for text in _texts(config[key].get("objectValue", config[key].get("value")))
        if text not in {"", "true", "false"}
    }
    secrets |= {entries[key] for key in SECRET_KEYS if entries.get(key)}
    return Configured(
        {**defaults, **entries},
        _settings({**defaults, **entries}, project),
        frozenset(secrets),
        frozenset(key.removeprefix(prefix) for key in secret_keys) | SECRET_KEYS,
    )


def defaults_of(folder: Path) -> dict[str, str]:
    """Return key → text of its default in Pulumi.yaml."""
    project = yaml.load((folder / "Pulumi.yaml").read_text(encoding="utf-8"), Loader=yaml.BaseLoader)
    declared: dict[str, Any] = project.get("config") or {}
    return {
        key: one["default"] if isinstance(one["default"], str) else json.dumps(one["default"])
        for key, one in declared.items()
        if isinstance(one, dict) and "default" in one
    }


def differences(old: Configured, new: Configured) -> list[KeyDifference]:
    """Return each key that differs, in the order of the reference. Secrets are masked."""
    # The settings write each value in one way, the entries as the operator did. Compare like with like.
    read = _values if old.settings and new.settings else _entries
    before, after = read(old), read(new)
    hidden = old.secret_keys | new.secret_keys
    order = {key: place for place, key in enumerate(KEYS)}
    keys = sorted({*before, *after}, key=lambda key: (order.get(key.partition(".")[0], len(order)), key))
    found = list[KeyDifference]()
    for key in keys:
        if before.get(key) != after.get(key):
            masked = key.partition(".")[0] in hidden
            texts = (SECRET, ANOTHER_SECRET) if masked else (_text(before.get(key)), _text(after.get(key)))
            found.append(KeyDifference(key, *texts))
    return found


def _settings(entries: Mapping[str, str], project: str) -> PairSettings | None:
    try:
        return parse_settings(entries, project)
    except SettingsError:
        return None


def _values(side: Configured) -> dict[str, Any]:
    """Return key → value, with the keys of ``service`` each for itself."""
    assert side.settings is not None
    values: dict[str, Any] = side.settings.model_dump(mode="json", by_alias=True)
    # pydantic's mask is the same for every password.
    values["authPass"] = side.settings.auth_pass.get_secret_value() if side.settings.auth_pass else ""
    return _with_keys_of_service(values)


def _entries(side: Configured) -> dict[str, Any]:
    """Return key → value as the stack file has it, with the keys of ``service`` each for itself."""
    values = {key: _parsed(text) for key, text in side.entries.items() if text != ""}
    return _with_keys_of_service(values) if isinstance(values.get("service", {}), dict) else values


def _with_keys_of_service(values: Mapping[str, Any]) -> dict[str, Any]:
    service = cast(dict[str, Any], values.get("service", {}))
    others = {key: value for key, value in values.items() if key != "service"}
    return {**others, **{f"service.{key}": value for key, value in service.items()}}


def _parsed(text: str) -> Any:
    """Return the value of the engine's text: a list or an object is JSON, everything else is text."""
    if text.startswith(("[", "{")):
        with contextlib.suppress(json.JSONDecodeError):
            return json.loads(text)
    return text


def _text(value: Any) -> str:
    if value is None or value == "":
        return NONE
    return value if isinstance(value, str) else json.dumps(value)


def _texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for one in cast(dict[str, Any], value).values() for text in _texts(one)]
    if isinstance(value, list):
        return [text for one in cast(list[Any], value) for text in _texts(one)]
    return [] if value is None else [str(value)]
