"""The format of the lines that a member writes on its console."""

from __future__ import annotations

import re
from enum import Enum

# The boot's id and start distinguish its lines from those of earlier boots.
LINE = "vrrp-pair: {member} {phrase} {what} (boot {boot}, booted at {booted_at}, said at {said_at}{again})"
#: The last part of a line that is repeated. Without it, an older release may have written the line.
AGAIN = ", again in {again_in} s"

#: Gates do not wait for a drained member, because only an operator can undrain it.
DRAINED = "drained"


class Condition(str, Enum):  # noqa: UP042 # StrEnum is Python 3.11's
    """What a member reports about itself."""

    READY = "ready"
    #: It was ready before, or it is drained.
    NOT_READY = "not ready"
    FAILED = "failed"


class Note(str, Enum):  # noqa: UP042 # StrEnum is Python 3.11's
    """What a member adds to its reports."""

    SPEAKS = "speaks"
    HEARS = "hears"


PHRASES: dict[Condition | Note, str] = {
    Condition.READY: "is ready as",
    Condition.NOT_READY: "is not ready:",
    Condition.FAILED: "has failed:",
    Note.SPEAKS: "speaks",
    Note.HEARS: "hears",
}


def format_line(
    member: str,
    kind: Condition | Note,
    what: str,
    boot: str,
    booted_at: int,
    said_at: int,
    again_in: int | None = None,
) -> str:
    """Return one line without its line break. In ``what``, ``?`` replaces all but printable ASCII.

    :param again_in: seconds until the line is repeated, or None if that is not certain.
    """
    return LINE.format(
        member=member,
        phrase=PHRASES[kind],
        what=re.sub("[^ -~]", "?", what),
        boot=boot,
        booted_at=booted_at,
        said_at=said_at,
        again="" if again_in is None else AGAIN.format(again_in=again_in),
    )
