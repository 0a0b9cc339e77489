"""Read the lines that a member writes on its console, in the format of ``console_line``.

Nova shows the console to everyone with the credentials that made the server. No SSH is needed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from .console_line import AGAIN, DRAINED, LINE, PHRASES, Condition, Note

__all__ = ["DRAINED", "Condition", "Note", "Report", "notes_of", "reports_of"]

#: Seconds between two repetitions of a line that does not name its interval. Older releases repeated every 600 s.
OLD_INTERVAL = 600


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
    #: Seconds until the member repeats the report.
    again_in: int = OLD_INTERVAL

    @property
    def counts_for(self) -> int:
        """Seconds in which the report counts: two repetitions, so that one lost line is no silence."""
        return 2 * self.again_in


#: Field of LINE → the pattern of its text.
_FIELDS = {"member": r"\S+", "what": ".*", "boot": r"\S+", "booted_at": r"\d+", "said_at": r"\d+", "again_in": r"\d+"}


def _lines_of(kinds: Iterable[Condition | Note]) -> re.Pattern[str]:
    """Return the pattern of LINE for some kinds of lines, with one group for each field."""
    phrases = "|".join(re.escape(PHRASES[kind]) for kind in kinds)
    said, again = ", said at {said_at}", AGAIN
    assert said in LINE
    # Some lines of older releases do not say when they were written, and none names its interval.
    pattern = re.escape(LINE.replace("{again}", "").replace(said, f"{said}{again}"))
    for part in (said, again):
        pattern = pattern.replace(re.escape(part), f"(?:{re.escape(part)})?")
    for field, text in {**_FIELDS, "phrase": phrases}.items():
        pattern = pattern.replace(re.escape(f"{{{field}}}"), f"(?P<{field}>{text})")
    return re.compile(pattern)


_REPORT, _NOTE = _lines_of(Condition), _lines_of(Note)
_KINDS = {phrase: kind for kind, phrase in PHRASES.items()}


def reports_of(console: str, member: str | None = None) -> list[Report]:
    """Return every report of a member on a console, the oldest first.

    :param member: the member's name; None for any name, where the console is known to be the member's.
    """
    return [
        Report(
            Condition(_KINDS[found["phrase"]]),
            found["what"],
            found["boot"],
            int(found["booted_at"]),
            int(found["said_at"]) if found["said_at"] else None,
            int(found["again_in"]) if found["again_in"] else OLD_INTERVAL,
        )
        for found in _REPORT.finditer(console)
        if member in {None, found["member"]}
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
