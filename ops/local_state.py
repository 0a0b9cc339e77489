"""Remove half-written files that a killed run leaves beside a state that is kept in files.

The engine replaces the state itself atomically, but writes the small file beside it (``.attrs``: type and checksum) in
place. A kill in between leaves that file empty. From then on every command ends with `failed to load checkpoint: EOF`,
although the state is complete. The engine works without the file.
"""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import unquote, urlsplit

#: The engine's message about such a file.
CHECKPOINT_EOF = "failed to load checkpoint: EOF"


def remove_half_written(backend: str, project: str, stack: str) -> list[Path]:
    """Remove the unreadable files beside the state of a stack, and return their paths.

    :param backend: the URL of the backend (`pulumi whoami --json`). Only a backend of files (``file://``) can have such
        files: an object store keeps the attributes with the object.
    :param stack: its name, with or without organization and project.
    """
    parts = urlsplit(backend)
    if parts.scheme != "file":
        return []
    folder = Path(unquote(parts.netloc + parts.path)).expanduser() / ".pulumi" / "stacks"
    removed: list[Path] = []
    # Only in the folder of this project: a run of another project's stack of the same name may be writing there.
    for attributes in sorted((folder / project).glob(f"{stack.rpartition('/')[2]}.json*.attrs")):
        try:
            json.loads(attributes.read_text(encoding="utf-8"))
        except ValueError:
            attributes.unlink()
            removed.append(attributes)
    return removed
