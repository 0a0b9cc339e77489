"""The lines that a member writes on its console, and how to read them: the only place that knows their format.

A member reports its condition in every boot. The console can be read with the credentials that made the server, from
anywhere, without SSH. The id and the start of the boot tell a report from one of an earlier boot.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

#: The reason of a member that an operator has drained. Only an operator can undrain it, so gates do not wait for it.
DRAINED = "drained"

_BOOT = r"\(boot (?P<boot>\S+), booted at (?P<at>\d+)(?:, said at (?P<said>\d+))?\)"

_REPORT = re.compile(
    r"vrrp-pair: (?P<member>\S+) (?:is (?P<ready>ready) as|is (?P<not_ready>not ready):|has (?P<failed>failed):) "
    rf"(?P<what>.*) {_BOOT}"
)

_NOTE = re.compile(rf"vrrp-pair: (?P<member>\S+) (?P<verb>speaks|hears) (?P<what>.*) {_BOOT}")


class Condition(StrEnum):
    """What a member reports about itself."""

    READY = "ready"
    #: It has been ready, and may be again.
    NOT_READY = "not ready"
    FAILED = "failed"


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
    #: Seconds since 1970, by the server's clock; None where the line does not say.
    said_at: int | None


def reports_of(console: str, member: str) -> list[Report]:
    """Return every report of a member on a console, the oldest first."""
    return [
        Report(
            Condition(found["ready"] or found["not_ready"] or found["failed"]),
            found["what"],
            found["boot"],
            int(found["at"]),
            int(found["said"]) if found["said"] else None,
        )
        for found in _REPORT.finditer(console)
        if found["member"] == member
    ]


def notes_of(console: str, member: str, boot: str) -> dict[str, str]:
    """Return the last notes of a member in one boot.

    :return: ``speaks`` → what both members have to agree on; ``hears`` → what the peer reports.
    """
    return {
        found["verb"]: found["what"]
        for found in _NOTE.finditer(console)
        if (found["member"], found["boot"]) == (member, boot)
    }
