"""The engine's JSON: its placeholders, its secrets, and parts of it that may be missing or null."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

#: The placeholder in the engine's JSON where a value is unknown before an `up`.
UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"

#: The entry by which the engine marks a dictionary as a secret.
SECRET_MARK = ("4dabf18193072939515e22adb298388d", "1b47061264138c4ac30d75fd1eb44270")


def is_secret(value: Any) -> bool:
    """Whether a value is a secret: a dictionary with a mark, and with ``ciphertext`` or ``plaintext`` (JSON)."""
    return isinstance(value, dict) and SECRET_MARK in cast(dict[str, Any], value).items()


def mapping_in(container: Mapping[str, Any], key: str) -> dict[str, Any]:
    """Return a part that is a mapping; an empty one if it is missing or null."""
    return cast(dict[str, Any], container.get(key) or {})


def list_in(container: Mapping[str, Any], key: str) -> list[Any]:
    """Return a part that is a list; an empty one if it is missing or null."""
    return cast(list[Any], container.get(key) or [])


def logical_name(urn: object) -> str:
    """Return the logical name at the end of a URN."""
    return str(urn).rpartition("::")[2]
