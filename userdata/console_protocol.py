"""Read the lines that a member writes on its console, in the format of ``console_line``.

Nova shows the console to everyone with the credentials that made the server. No SSH is needed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from .console_line import AGAIN, DRAINED, LINE, PHRASES, Condition, Note

__all__ = ["DRAINED", "Condition", "Note", "Report", "notes_of", "reports_of"]


@dataclass(frozen=True)
class Report:
    """One report of a member."""

    condition: Condition
    #: The VRRP state of a member that is ready, or the reason why it is not.
    what: str
    #: The id of the boot, as the kernel gives it.
    boot: str
    #: Seconds since 1970, by the server's clock.
    booted_at: int
    #: Seconds since 1970, by the server's clock; None in some lines of older releases.
    said_at: int | None


#: Field of LINE → the pattern of its text.
_FIELDS = {
    "member": r"\S+",
    "what": ".*",
    "boot": r"\S+",
    "booted_at": r"\d+",
    "said_at": r"\d+",
    "again_in": r"\d+",
}


def _lines_of(kinds: Iterable[Condition | Note]) -> re.Pattern[str]:
    """Return the pattern of LINE for some kinds of lines, with one group for each field."""
    phrases = "|".join(re.escape(PHRASES[kind]) for kind in kinds)
    pattern = re.escape(LINE.replace("{again}", AGAIN))
    for field, text in {**_FIELDS, "phrase": phrases}.items():
        pattern = pattern.replace(re.escape(f"{{{field}}}"), f"(?P<{field}>{text})")
    # Some lines of older releases do not say when they were written.
    said = re.escape(", said at ") + r"(?P<said_at>\d+)"
    again = re.escape(", again in ") + r"(?P<again_in>\d+)" + re.escape(" s")
    assert said + again in pattern
    return re.compile(pattern.replace(said + again, f"(?:{said})?(?:{again})?"))


_REPORT, _NOTE = _lines_of(Condition), _lines_of(Note)
_KINDS = {phrase: kind for kind, phrase in PHRASES.items()}


def reports_of(console: str, member: str) -> list[Report]:
    """Return every report of a member on a console, the oldest first."""
    return [
        Report(
            Condition(_KINDS[found["phrase"]]),
            found["what"],
            found["boot"],
            int(found["booted_at"]),
            int(found["said_at"]) if found["said_at"] else None,
        )
        for found in _REPORT.finditer(console)
        if found["member"] == member
    ]


def notes_of(console: str, member: str, boot: str) -> dict[str, str]:
    """Return the last notes of a member in one boot.

    :return: ``speaks`` → the settings that both members must share; ``hears`` → the last report of the peer.
    """
    return {
        _KINDS[found["phrase"]].value: found["what"]
        for found in _NOTE.finditer(console)
        if (found["member"], found["boot"]) == (member, boot)
    }
