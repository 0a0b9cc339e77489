"""What a change of each key does to the traffic of a running pair.

Each key of the stack file and of ``service`` has one class. The preflight refuses what would interrupt the service,
``ops plan`` announces the class, and tests/cloud/change_matrix.py measures it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class ChangeClass(StrEnum):
    """What a change does to the traffic, from harmless to impossible."""

    #: No server and no path to a server is touched.
    NOTHING = "nothing"
    #: The servers are replaced one after the other: two planned failovers.
    ROLL = "roll"
    #: The service stops answering for a while. Refused, unless the stack file allows exactly this change.
    INTERRUPTION = "interruption"
    #: Refused: there is a better way.
    REFUSED = "refused"


@dataclass(frozen=True)
class KeyChange:
    """The class of a key, and why."""

    change_class: ChangeClass
    #: What happens, as the end of a sentence that begins with the key. Empty where the class says it all.
    effect: str = ""
    #: How to reach the goal in another way. Empty unless the class is REFUSED.
    way_out: str = ""


_NOTHING, _ROLL = KeyChange(ChangeClass.NOTHING), KeyChange(ChangeClass.ROLL)

_SECOND_PAIR = (
    "make a second pair with the new value (another stack, or another VrrpPair in the program), move the DNS name to "
    "it, and delete this pair afterwards"
)

#: Key of the stack file → what its change does.
KEYS: dict[str, KeyChange] = {
    "namePrefix": _ROLL,
    "externalNetwork": KeyChange(
        ChangeClass.INTERRUPTION, "moves the router to another external network, and the floating IP changes"
    ),
    "cidr": KeyChange(
        ChangeClass.REFUSED, "replaces the subnet, and with it both servers at the same time", _SECOND_PAIR
    ),
    "gateway": KeyChange(
        ChangeClass.REFUSED, "is refused by Neutron while the router has an interface in the subnet", _SECOND_PAIR
    ),
    "poolStart": _NOTHING,
    "poolEnd": _NOTHING,
    "masterAddress": _ROLL,
    "backupAddress": _ROLL,
    "vip": KeyChange(
        ChangeClass.INTERRUPTION,
        "leads the floating IP to the new VIP before both members have it, so the service does not answer for about "
        "one boot of a server",
    ),
    "cidr6": KeyChange(
        ChangeClass.INTERRUPTION, "replaces or removes the IPv6 subnet, so the IPv6 VIP does not answer meanwhile"
    ),
    "vip6": KeyChange(ChangeClass.INTERRUPTION, "takes the old IPv6 VIP away, and clients must use the new one"),
    "dnsServers": _NOTHING,
    "image": _ROLL,
    "imageId": _ROLL,
    "flavor": _ROLL,
    "keyName": _ROLL,
    "publicKey": _ROLL,
    "httpCidrs": _NOTHING,
    "sshCidrs": _NOTHING,
    "memberFloatingIps": _NOTHING,
    "vrrpVersion": _ROLL,
    "unicast": _ROLL,
    "advertInterval": _ROLL,
    "virtualRouterId": _ROLL,
    "masterPriority": _ROLL,
    "backupPriority": _ROLL,
    "authPass": _ROLL,
    "preempt": _ROLL,
    "preemptDelay": _ROLL,
    "healPartitions": _ROLL,
    "service": _ROLL,
    "serviceCheck": _ROLL,
    "readyTimeout": _NOTHING,
    "antiAffinity": _ROLL,
}
