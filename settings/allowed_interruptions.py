"""The changes of a pair that an operator allows although they interrupt the service (``allowInterruption``).

An entry names one change exactly: ``vip: 10.0.0.201 -> 10.0.0.202``. After the change it has no effect while the pair
keeps the new value. It fits again if the pair gets the old value back and the same change is made a second time.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from .change_classes import KEYS, ChangeClass

#: The form of an entry. A value has no blank.
_ENTRY = re.compile(r"\s*(?P<key>[\w.]+)\s*:\s*(?P<old>\S+)\s*->\s*(?P<new>\S+)\s*")

#: The keys whose change may be allowed.
INTERRUPTING = sorted(key for key, change in KEYS.items() if change.change_class is ChangeClass.INTERRUPTION)


@dataclass(frozen=True)
class SettingChange:
    """The change of one key from the value that the cloud has to the value of the settings."""

    key: str
    old: str
    new: str

    def __str__(self) -> str:
        """Return the change as an entry of ``allowInterruption``."""
        return f"{self.key}: {self.old} -> {self.new}"

    @property
    def change_class(self) -> ChangeClass:
        """The effect of this change on the traffic."""
        return KEYS[self.key].class_from(self.old)


def parse_allowed(entry: str) -> SettingChange:
    """Return the change that an entry of ``allowInterruption`` names.

    :raises ValueError: with the rule and the way out.
    """
    match = _ENTRY.fullmatch(entry)
    if match is None:
        raise ValueError(
            f"{entry} is not a change: write KEY: OLD -> NEW as in the message of the refused run, such as "
            "'vip: 10.0.0.201 -> 10.0.0.202'"
        )
    change = SettingChange(**match.groupdict())
    if change.key not in INTERRUPTING:
        raise ValueError(
            f"{change.key} is not a key whose change can be allowed here: these are {', '.join(INTERRUPTING)}; remove "
            "the entry"
        )
    return change
