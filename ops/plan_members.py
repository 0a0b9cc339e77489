"""Read the pair and the member of a resource from its logical name and its parent."""

from __future__ import annotations

import re
from dataclasses import dataclass

from settings.pair import Role

from .engine_json import logical_name

#: The type of the component whose children are the resources of a pair.
PAIR = "vrrp:index:VrrpPair"

_ROLE = "|".join(role.value for role in Role)

#: The logical name of a member's server, port or floating IP.
_OF_A_MEMBER = re.compile(rf"(?P<pair>.+)-(?P<role>{_ROLE})(?:-port|-floating-ip)?")


@dataclass(frozen=True)
class Place:
    """Where a resource belongs."""

    #: The logical name of the pair; empty if it is not known.
    pair: str
    #: ``master`` or ``backup`` for a member's server, port or floating IP; None for everything else.
    role: str | None


def pair_in(parent: object) -> str:
    """Return the logical name of the pair that a parent's URN names; an empty text if the parent is no pair."""
    parts = str(parent).split("::")
    return logical_name(parent) if len(parts) > 3 and parts[2].rpartition("$")[2] == PAIR else ""


def place_of(name: str, pair: str = "") -> Place:
    """Return the place of a resource.

    :param name: its logical name.
    :param pair: the logical name of its pair, if the parent tells it. Otherwise the end of ``name`` decides. Then the
        floating IP of a pair that is itself named ``…-backup`` looks like a member's.
    """
    found = _OF_A_MEMBER.fullmatch(name)
    if found is None or (pair and found["pair"] != pair):
        return Place(pair, None)
    return Place(found["pair"], found["role"])
