"""The Neutron tags by which gates and preflight find a pair's ports and floating IP, whatever their names are."""

from __future__ import annotations

import hashlib
from enum import StrEnum

#: The tag of a floating IP that ``protectFloatingIp`` protects. The preflight reads it: a run of its own must end the
#: protection before a change may lose the address.
PROTECTED_TAG = "vrrp-protected"

#: The tag of a VIP port to which an existing floating IP leads (``floatingIp`` is an address).
EXISTING_FLOATING_IP_TAG = "vrrp-existing-floating-ip"

#: The tag of the members' ports while `destroy` takes the pair away.
TEARDOWN_TAG = "vrrp-teardown"

#: The beginning of the tag that all ports of a pair have.
PAIR_TAG = "vrrp-pair-"


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
    return f"{PAIR_TAG}{hashlib.sha256(f'{project} {stack} {name}'.encode()).hexdigest()[:16]}"


def role_tag(role: PortRole) -> str:
    """Return the tag of the one port that has this role in its pair."""
    return f"vrrp-role-{role.value}"
