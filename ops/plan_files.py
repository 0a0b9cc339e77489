"""The files inside the members' user-data, compared line by line, with secrets masked."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import yaml

from .engine_json import list_in
from .plan_steps import ANOTHER_SECRET, SECRET

#: keepalived's own password (keepalived.conf(5)), wherever it is written.
_AUTH_PASS = re.compile(r"(\bauth_pass[ \t]+)\S+")

#: Lines of an unchanged file around a change.
CONTEXT = 2


@dataclass(frozen=True)
class FileChange:
    """One file of one or both members."""

    #: The logical names of the servers: both, if the change is the same.
    servers: tuple[str, ...]
    path: str
    #: A unified diff without its two header lines. Empty if only a secret differs.
    lines: tuple[str, ...]


class Masker:
    """Replaces secrets in texts for people."""

    def __init__(self, secrets: Iterable[str]) -> None:
        """:param secrets: the values that no text may contain; the longest are replaced first."""
        ordered = sorted({form for secret in secrets if secret for form in _forms(secret)}, key=len, reverse=True)
        # A short one is replaced only as a whole word: otherwise "a" would mask every text.
        parts = [re.escape(one) if len(one) > 3 else rf"(?<!\w){re.escape(one)}(?!\w)" for one in ordered]
        self._pattern = re.compile("|".join(parts)) if parts else None

    def mask(self, text: str, with_: str = SECRET) -> str:
        """Return the text without its secrets."""
        text = _AUTH_PASS.sub(lambda found: found[1] + with_, text)
        return self._pattern.sub(lambda _: with_, text) if self._pattern else text


def _forms(secret: str) -> set[str]:
    r"""Return a secret as it is, and as a text in JSON: a file in the user-data has ``\"`` for each quotation mark.

    A JSON text may itself be a text in JSON, as a file is in an event of the engine.
    """
    once = {secret, *_in_json(secret)}
    return once.union(*(_in_json(form) for form in once))


def _in_json(text: str) -> tuple[str, str]:
    """Return a text inside JSON's quotation marks, with other characters than ASCII escaped and as they are."""
    return json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]


def files_in(user_data: str) -> dict[str, str]:
    """Return path → content of each file that a ``#cloud-config`` writes; empty for any other text."""
    try:
        parsed: Any = yaml.load(user_data, Loader=yaml.BaseLoader)
    except yaml.YAMLError:
        return {}
    entries = list_in(cast(dict[str, Any], parsed), "write_files") if isinstance(parsed, dict) else []
    return {one["path"]: one.get("content", "") for one in entries}


def file_changes(old: Mapping[str, str], new: Mapping[str, str], masker: Masker) -> list[FileChange]:
    """Return each file that differs between two sets of user-data.

    :param old: logical name of a server → its user-data. Servers that only one side has are left out.
    """
    found: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for server in old:
        if server not in new:
            continue
        before, after = files_in(old[server]), files_in(new[server])
        for path in sorted({*before, *after}):
            if before.get(path) != after.get(path):
                lines = tuple(_diff(before.get(path, ""), after.get(path, ""), masker))
                found.setdefault((path, lines), []).append(server)
    return [FileChange(tuple(servers), path, lines) for (path, lines), servers in found.items()]


def _diff(before: str, after: str, masker: Masker) -> list[str]:
    another = _AUTH_PASS.findall(before) and _passwords(before) != _passwords(after)
    old = masker.mask(before).splitlines()
    new = masker.mask(after, ANOTHER_SECRET if another else SECRET).splitlines()
    return list(difflib.unified_diff(old, new, lineterm="", n=CONTEXT))[2:]


def _passwords(text: str) -> list[str]:
    return [found[0] for found in _AUTH_PASS.finditer(text)]
