"""The names of IP protocols in Neutron: a security group rule keeps the number or the name that it was made with."""

from __future__ import annotations

#: IANA's number → Neutron's name.
_NAMES = {"1": "icmp", "6": "tcp", "17": "udp", "112": "vrrp"}

#: RFC 9568 section 5.1.1.4: protocol number 112.
VRRP = "vrrp"


def protocol_name(protocol: object) -> str | None:
    """Return the name of a protocol that Neutron gives by number or by name; None for any protocol.

    A protocol that is not in the table is returned as Neutron spells it.
    """
    return None if protocol is None else _NAMES.get(str(protocol), str(protocol))
