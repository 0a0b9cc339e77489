"""The rules of VRRP and keepalived.conf for the settings of a pair, each with its source.

Each ``check_…`` raises ValueError with the rule and the way out.
"""

from __future__ import annotations

import re
from decimal import Decimal

#: Seconds. RFC 9568 section 5.2.7: Maximum Advertise Interval is a 12-bit number of centiseconds (40.95 s); this
#: project's contract stops at 40 s. Below 0.1 s, false failovers were measured under load.
VERSION_3_INTERVALS = (Decimal("0.1"), Decimal(40))

#: Seconds. RFC 3768 section 5.3.7: Advertisement Interval is an 8-bit number of seconds.
VERSION_2_INTERVALS = (Decimal(1), Decimal(255))

#: RFC 2338 section 5.3.10: the authentication data field has eight bytes, and keepalived cuts a longer password.
AUTH_PASS_LONGEST = 8

#: The characters of one unquoted word in keepalived.conf: no blank, quote, comment sign, brace or "$".
AUTH_PASS_CHARACTERS = re.compile(r"[A-Za-z0-9_.,:;+*/=@%^~?-]+")


def check_interval(interval: Decimal, version: int | None) -> None:
    """Check that the version of VRRP can carry the interval (seconds). Without a valid version there is no rule."""
    if version == 2:
        low, high = VERSION_2_INTERVALS
        if interval != interval.to_integral_value() or not low <= interval <= high:
            raise ValueError(f"VRRP version 2 advertises in whole seconds, {low} to {high}: use 1, or vrrpVersion 3")
    elif version == 3:
        low, high = VERSION_3_INTERVALS
        if not low <= interval <= high:
            raise ValueError(f"VRRP version 3 takes {low} to {high} seconds here: use 0.25, or 1 on a busy cloud")
        if interval * 100 != (interval * 100).to_integral_value():
            raise ValueError(
                f"VRRP version 3 counts in centiseconds (RFC 9568 section 5.2.7): use {round(interval, 2)}"
            )


def check_backup_priority(backup: int, master: int | None) -> None:
    """Check that the backup's priority is below the master's."""
    if master is not None and backup >= master:
        way_out = "raise masterPriority to 2 or more" if master == 1 else f"use {master - 1}, close below it"
        raise ValueError(
            f"it must be lower than masterPriority ({master}), or both claim to be the master: "
            f"{way_out} (a low priority makes a failover slower)"
        )


def check_auth_pass(password: str, version: int | None) -> None:
    """Check that VRRP carries the whole password and that keepalived.conf takes it as one word."""
    if version == 3:
        raise ValueError(
            "VRRP version 3 has no authentication (RFC 9568 section 9): remove authPass, or use vrrpVersion 2"
        )
    if len(password) > AUTH_PASS_LONGEST:
        raise ValueError(f"it has {len(password)} characters and VRRP carries {AUTH_PASS_LONGEST}: shorten it")
    if not AUTH_PASS_CHARACTERS.fullmatch(password):
        raise ValueError("keepalived.conf takes no blanks, quotes, braces, '#', '!' or '$' there: use others")
