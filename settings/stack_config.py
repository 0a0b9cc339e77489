"""Read the settings of a pair from the configuration of the stack that is being run."""

from __future__ import annotations

from typing import Any

import pulumi

from .pair import PairSettings
from .parsing import SettingsError, parse_settings


class StackConfigError(pulumi.RunError):
    """The stack configuration breaks at least one rule. The engine shows the message without a traceback."""


def settings_from_stack_config(namespace: str | None = None) -> PairSettings:
    """Return the settings of the stack that is being run.

    :param namespace: the configuration namespace; the project's name when left out.
    :raises StackConfigError: naming each wrong key, its value, the rule and the way out.
    """
    namespace = namespace or pulumi.get_project()
    try:
        return parse_settings(_entries_of(namespace), namespace)
    except SettingsError as error:
        raise StackConfigError(str(error)) from None


def _entries_of(namespace: str) -> dict[str, str]:
    """Return every configured key of a namespace.

    Unknown keys too: the parser refuses them, because a misspelt key must not become a silent default.
    """
    prefix = f"{namespace}:"
    runtime = pulumi.runtime
    every: dict[str, Any] = {**runtime.get_config_env(), **runtime.config.CONFIG.get()}
    return {key.removeprefix(prefix): str(value) for key, value in every.items() if key.startswith(prefix)}
