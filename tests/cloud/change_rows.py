"""The changes that change_matrix.py makes: one of each key, and those that once ended in an outage.

The rows stand in an order in which each begins where the one before has ended: a row that is carried out stays, a row
that is refused is undone. ``service`` is written as a whole, so a row gives its own keys and keeps the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from settings.change_classes import ChangeClass

#: Texts that the runner replaces in the values of a row (``Place`` → the value of this cloud).
OTHER_KEY, PUBLIC_KEY, OTHER_IMAGE, IMAGE_ID, OTHER_FLAVOR, OTHER_NETWORK, PRESENT_VIP = (
    "<other key pair>",
    "<another public key>",
    "<other image>",
    "<id of the image>",
    "<other flavor>",
    "<other external network>",
    "<present VIP>",
)


class Situation(StrEnum):
    """What is done to the pair before the change."""

    HEALTHY = "healthy"
    BACKUP_STOPPED = "the backup is stopped"
    MASTER_STOPPED = "the master is stopped"
    MASTER_PORT_DISABLED = "the port of the master is disabled"
    BOTH_RESIZED = "both servers have another flavor, set by hand"


class Expected(StrEnum):
    """How the change must end."""

    #: `up` exits with 0, and the traffic is within the bounds of the class.
    DONE = "done"
    #: `up` fails before it touches anything, and the value can be set back.
    REFUSED = "refused"
    #: `up` fails at a gate, the service stays up, and the next `up` carries the change out.
    STOPPED = "stopped"


@dataclass(frozen=True)
class Row:
    """One change."""

    #: Unique, and the beginning of the row in the table.
    what: str
    #: The key that the row is about, such as ``vip`` or ``service.port``; empty for a change without a key.
    key: str
    announced: ChangeClass
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    #: Keys that are removed from the stack file.
    forget: tuple[str, ...] = ()
    expected: Expected = Expected.DONE
    situation: Situation = Situation.HEALTHY
    #: More arguments of `pulumi up`.
    arguments: tuple[str, ...] = ()
    #: A line that the members' install script gets in addition, before this row.
    install: str = ""
    #: A second port at which an answer counts: the service moves from one port to the other.
    second_port: int | None = None


def _row(key: str, value: Any, announced: ChangeClass, what: str = "", **more: Any) -> Row:
    return Row(what or f"`{key}`", key, announced, {key: value, **more.pop("also", {})}, **more)


def _service(key: str, value: Any, *, also: Mapping[str, Any] | None = None) -> Row:
    service = {key: value, **(also or {})}
    return Row(f"`service.{key}`", f"service.{key}", ChangeClass.ROLL, {"service": service})


#: Keys of ``service`` that go with one kind of check, and are removed when a row changes the check.
OF_ONE_CHECK = {"command": "command", "urlPath": "http", "expectedCodes": "http"}


_NOTHING, _ROLL = ChangeClass.NOTHING, ChangeClass.ROLL
_INTERRUPTION, _REFUSED = ChangeClass.INTERRUPTION, ChangeClass.REFUSED

ROWS: tuple[Row, ...] = (
    _row("poolStart", "10.0.0.20", _NOTHING),
    _row("poolEnd", "10.0.0.190", _NOTHING),
    _row("dnsServers", ["9.9.9.9"], _NOTHING),
    _row("httpCidrs", ["0.0.0.0/0", "192.0.2.0/24"], _NOTHING),
    _row("sshCidrs", ["192.0.2.0/24"], _NOTHING),
    _row("memberFloatingIps", True, _NOTHING),
    _row("readyTimeout", 1200, _NOTHING),
    _row("protectFloatingIp", True, _NOTHING),
    _row("allowInterruption", ["vip: 10.0.0.9 -> 10.0.0.8"], _NOTHING, "`allowInterruption` for another change"),
    _row("vip", "10.0.0.202", _INTERRUPTION, expected=Expected.REFUSED),
    _row("externalNetwork", OTHER_NETWORK, _INTERRUPTION, expected=Expected.REFUSED),
    _row("floatingIp", "none", _INTERRUPTION, expected=Expected.REFUSED),
    Row("`protectFloatingIp` removed", "protectFloatingIp", _NOTHING, forget=("protectFloatingIp",)),
    _row("cidr6", "2001:db8:1::/64", _ROLL, "`cidr6` set", also={"httpCidrs": ["0.0.0.0/0", "::/0"]}),
    _row("vip6", "2001:db8:1::202", _INTERRUPTION, expected=Expected.REFUSED),
    Row("`cidr6` removed", "cidr6", _INTERRUPTION, forget=("cidr6",), expected=Expected.REFUSED),
    _row("cidr", "10.0.0.0/23", _REFUSED, expected=Expected.REFUSED),
    _row("gateway", "10.0.0.254", _REFUSED, expected=Expected.REFUSED),
    Row(
        "`masterAddress` and `backupAddress` swapped",
        "masterAddress",
        _REFUSED,
        {"masterAddress": "10.0.0.5", "backupAddress": "10.0.0.4"},
        expected=Expected.REFUSED,
    ),
    _row("masterAddress", "10.0.0.6", _ROLL),
    _row("backupAddress", "10.0.0.7", _ROLL),
    _row("image", OTHER_IMAGE, _ROLL),
    _row("imageId", IMAGE_ID, _ROLL),
    _row("flavor", OTHER_FLAVOR, _ROLL),
    Row("flavor of both servers changed by hand", "flavor", _ROLL, situation=Situation.BOTH_RESIZED),
    Row("`keyName`", "keyName", _ROLL, {"keyName": OTHER_KEY}, forget=("publicKey",)),
    _row("publicKey", PUBLIC_KEY, _ROLL),
    _row("antiAffinity", "none", _ROLL),
    _row("unicast", False, _ROLL),
    _row("virtualRouterId", 7, _ROLL, "`virtualRouterId` (the members do not hear each other meanwhile)"),
    _row(
        "vrrpVersion", 2, _ROLL, "`vrrpVersion` without `cidr6`", forget=("cidr6",), also={"httpCidrs": ["0.0.0.0/0"]}
    ),
    _row("authPass", "s3cret", _ROLL),
    Row("`vrrpVersion` back to 3", "vrrpVersion", _ROLL, {"vrrpVersion": 3}, forget=("authPass",)),
    _row("advertInterval", 0.5, _ROLL),
    _row("advertInterval", 1, _ROLL, "`advertInterval` back to 1"),
    Row(
        "`masterPriority` while the backup is stopped",
        "masterPriority",
        _ROLL,
        {"masterPriority": 200, "backupPriority": 199},
        situation=Situation.BACKUP_STOPPED,
    ),
    _row("backupPriority", 100, _ROLL),
    Row(
        "`backupPriority` while the master is stopped",
        "backupPriority",
        _ROLL,
        {"backupPriority": 190},
        expected=Expected.STOPPED,
        situation=Situation.MASTER_STOPPED,
    ),
    Row(
        "`backupPriority` while the port of the master is disabled",
        "backupPriority",
        _ROLL,
        {"backupPriority": 180},
        expected=Expected.STOPPED,
        situation=Situation.MASTER_PORT_DISABLED,
    ),
    _row("preemptDelay", 5, _ROLL),
    Row("`preempt`", "preempt", _ROLL, {"preempt": False}, forget=("preemptDelay",)),
    Row("`preempt` back", "preempt", _ROLL, forget=("preempt",)),
    _row("healPartitions", False, _ROLL),
    _service("packages", ["apache2", "tcpdump"]),
    _service("unit", "apache2.service"),
    _service("urlPath", "/index.html"),
    _service("expectedCodes", "200"),
    _service("delay", 0.2),
    _service("timeout", 1),
    _service("maxRetries", 4),
    _service("maxRetriesDown", 2),
    _service("check", "tcp"),
    _service("command", "true", also={"check": "command"}),
    Row(
        "the members also listen on port 8080 (a changed install script)",
        "",
        ChangeClass.ROLL,
        {"service": {"check": "http"}},
        install="grep -qx 'Listen 8080' /etc/apache2/ports.conf || echo 'Listen 8080' >> /etc/apache2/ports.conf",
    ),
    Row("`service.port`", "service.port", ChangeClass.ROLL, {"service": {"port": 8080}}, second_port=80),
    _row("serviceCheck", False, _ROLL),
    Row("`serviceCheck` back", "serviceCheck", _ROLL, forget=("serviceCheck",)),
    _row("namePrefix", "changes2", _ROLL),
    Row("the master replaced on request", "", _ROLL, arguments=("--replace", "**::vrrp-master")),
    Row(
        "both members replaced on request",
        "",
        _ROLL,
        arguments=("--replace", "**::vrrp-backup", "--replace", "**::vrrp-master"),
    ),
    Row(
        "the master replaced on request while the backup is stopped",
        "",
        _ROLL,
        arguments=("--replace", "**::vrrp-master"),
        situation=Situation.BACKUP_STOPPED,
    ),
    Row(
        "`vip` with permission",
        "vip",
        _INTERRUPTION,
        {"vip": "10.0.0.202", "allowInterruption": [f"vip: {PRESENT_VIP} -> 10.0.0.202"]},
    ),
)
