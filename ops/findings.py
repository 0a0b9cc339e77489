"""What `ops status` reports: a finding, and the way out that most findings share."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One problem of a pair, as three parts of a sentence without its full stop."""

    cause: str
    #: What follows from it.
    consequence: str
    #: The commands that end it, or show more.
    way_out: str


PULUMI_REPAIRS_IT = "`pulumi up` repairs it"
