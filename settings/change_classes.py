"""The effect of each key's change on the traffic of a running pair.

Each key of the stack file and of ``service`` has one class. The preflight refuses what would interrupt the service,
``ops plan`` announces the class, and tests/cloud/change_matrix.py measures it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class ChangeClass(StrEnum):
    """The effect of a change on the traffic, from harmless to impossible."""

    #: No server and no path to the service is touched.
    NOTHING = "nothing"
    #: The servers are replaced one after the other: two planned failovers.
    ROLL = "roll"
    #: The service stops answering for a while. Refused, unless ``allowInterruption`` names exactly this change.
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
    #: The class of the change from no value (``none``) to a value, where that is another one.
    from_none: ChangeClass | None = None

    def class_from(self, old: str | None) -> ChangeClass:
        """Return the class of the change from a value.

        :param old: the present value; None or ``none`` if there is none.
        """
        return self.from_none if self.from_none and old in (None, NONE) else self.change_class


#: How a value that is not there is written in messages and in ``allowInterruption``.
NONE = "none"

_NOTHING, _ROLL = KeyChange(ChangeClass.NOTHING), KeyChange(ChangeClass.ROLL)

_SECOND_PAIR = (
    "Make a second pair with the new value (another stack, or another VrrpPair in the program), move the DNS name to "
    "it, and delete this pair afterwards."
)

#: Key of the stack file → what its change does. ``service.port`` is the key ``port`` of ``service``.
KEYS: dict[str, KeyChange] = {
    "namePrefix": _ROLL,
    "externalNetwork": KeyChange(
        ChangeClass.INTERRUPTION,
        "replaces the router and every floating IP of the pair, so the public addresses are lost",
    ),
    "cidr": KeyChange(
        ChangeClass.REFUSED, "replaces the subnet, and with it both servers at the same time", _SECOND_PAIR
    ),
    "gateway": KeyChange(
        ChangeClass.REFUSED, "is refused by Neutron while the router has an interface in the subnet", _SECOND_PAIR
    ),
    "poolStart": KeyChange(ChangeClass.NOTHING, "updates the subnet in place; ports keep their addresses"),
    "poolEnd": KeyChange(ChangeClass.NOTHING, "updates the subnet in place; ports keep their addresses"),
    "masterAddress": _ROLL,
    "backupAddress": _ROLL,
    "vip": KeyChange(
        ChangeClass.INTERRUPTION,
        "leads the floating IP to the new VIP before a member has it, so the service does not answer for about one "
        "boot of a server",
    ),
    "cidr6": KeyChange(
        ChangeClass.INTERRUPTION,
        "takes the IPv6 subnet and its VIP away, so no client reaches the service over the old IPv6 address",
        from_none=ChangeClass.ROLL,
    ),
    "vip6": KeyChange(
        ChangeClass.INTERRUPTION,
        "takes the old IPv6 VIP away, and clients must use the new one",
        from_none=ChangeClass.ROLL,
    ),
    "dnsServers": KeyChange(ChangeClass.NOTHING, "reaches a running server when it next renews its DHCP lease"),
    "floatingIp": KeyChange(
        ChangeClass.INTERRUPTION,
        "takes the present floating IP away from the pair, so no client reaches the service by it",
        from_none=ChangeClass.NOTHING,
    ),
    "protectFloatingIp": _NOTHING,
    "allowInterruption": _NOTHING,
    "image": _ROLL,
    "imageId": _ROLL,
    "flavor": _ROLL,
    "keyName": _ROLL,
    "publicKey": _ROLL,
    "httpCidrs": KeyChange(ChangeClass.NOTHING, "changes rules only; clients of a removed network lose access"),
    "sshCidrs": KeyChange(ChangeClass.NOTHING, "changes rules only; logins from a removed network end"),
    "memberFloatingIps": KeyChange(
        ChangeClass.NOTHING,
        "touches only the members' own public addresses: connections to them, and connections that a member has opened "
        "to the outside, may break",
    ),
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
    "service.packages": _ROLL,
    "service.unit": _ROLL,
    "service.port": KeyChange(
        ChangeClass.ROLL,
        "opens the new port first; the service answers at the old port until the first failover, and at the new one "
        "from then on",
    ),
    "service.check": _ROLL,
    "service.urlPath": _ROLL,
    "service.expectedCodes": _ROLL,
    "service.command": _ROLL,
    "service.delay": _ROLL,
    "service.timeout": _ROLL,
    "service.maxRetries": _ROLL,
    "service.maxRetriesDown": _ROLL,
    "serviceCheck": _ROLL,
    "readyTimeout": KeyChange(ChangeClass.NOTHING, "runs the gates once, which touch no server"),
    "antiAffinity": _ROLL,
}
