"""What a killed run leaves half written beside a state that is kept in files.

The engine replaces the state itself in one move, and writes a small file beside it in place (``.attrs``: type and
checksum, which it can do without). Killed in between, it leaves that empty, and from then on every command ends with
`failed to load checkpoint: EOF`, although the state is whole.
"""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import unquote, urlsplit

#: What the engine says then.
SAID = "failed to load checkpoint: EOF"


def remove_half_written(backend: str, project: str, stack: str) -> list[Path]:
    """Remove what nobody can read beside the state of a stack; returns what was removed.

    :param backend: the URL that `pulumi whoami` tells. Of another kind than ``file://`` nothing is removed: an object
        store keeps both in one object.
    :param stack: its name, with or without organization and project.
    """
    parts = urlsplit(backend)
    if parts.scheme != "file":
        return []
    folder = Path(unquote(parts.netloc + parts.path)).expanduser() / ".pulumi" / "stacks"
    removed: list[Path] = []
    # Of this project alone: a stack of the same name in another one may be under way.
    for beside in sorted((folder / project).glob(f"{stack.rpartition('/')[2]}.json*.attrs")):
        try:
            json.loads(beside.read_text(encoding="utf-8"))
        except ValueError:
            beside.unlink()
            removed.append(beside)
    return removed
