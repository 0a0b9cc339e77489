"""The format of the lines that a member writes on its console."""

from __future__ import annotations

import re
from enum import Enum

# The boot distinguishes a line from one of an earlier boot.
LINE = "vrrp-pair: {member} {phrase} {what} (boot {boot}, booted at {booted_at}, said at {said_at})"

#: Only an operator can undrain a member, so gates do not wait for one with this reason.
DRAINED = "drained"


class Condition(str, Enum):  # noqa: UP042 # StrEnum is Python 3.11's
    """What a member reports about itself."""

    READY = "ready"
    #: It has been ready, and may be again.
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


def format_line(member: str, kind: Condition | Note, what: str, boot: str, booted_at: int, said_at: int) -> str:
    """Return one line without its line break. In ``what``, ``?`` replaces all but printable ASCII."""
    what = re.sub("[^ -~]", "?", what)
    return LINE.format(member=member, phrase=PHRASES[kind], what=what, boot=boot, booted_at=booted_at, said_at=said_at)
