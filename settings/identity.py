"""The Neutron tags by which gates and preflight find the ports of a pair, whatever their names are at the moment."""

from __future__ import annotations

import hashlib
from enum import StrEnum


class PortRole(StrEnum):
    """What a port of the pair is for."""

    MASTER = "master"
    BACKUP = "backup"
    VIP = "vip"
    VIP6 = "vip6"


def pair_tag(project: str, stack: str, name: str) -> str:
    """Return the tag that all ports of a pair have.

    It does not depend on any setting, so it stays the same when ``namePrefix`` or an address changes. Neutron accepts
    up to 60 characters, without a comma or a slash.

    :param project: the Pulumi project.
    :param stack: the Pulumi stack.
    :param name: the logical name of the component.
    """
    return f"vrrp-pair-{hashlib.sha256(f'{project} {stack} {name}'.encode()).hexdigest()[:16]}"


def role_tag(role: PortRole) -> str:
    """Return the tag of the one port that has this role in its pair."""
    return f"vrrp-role-{role.value}"
