"""The previews that the real engine made of this program (previews/*.json), and the changes of the stack file behind.

`python -m tests.cloud.record_previews` makes them again, and tests/cloud/test_offline_plan.py compares them with the
program of today. They were made without a cloud, so no preview has a refresh: drift can't be recorded in this way.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PREVIEWS = Path(__file__).parent / "previews"


@dataclass(frozen=True)
class Change:
    """A change of a stack file of the repository."""

    #: The key that the change is about; None without a change.
    key: str | None
    #: Key → value that the stack file gets in addition, after the change and already before it.
    after: Mapping[str, Any] = field(default_factory=dict[str, Any])
    before: Mapping[str, Any] = field(default_factory=dict[str, Any])
    stack: str = "nz-por-1"


_IPV6 = {"cidr6": "2001:db8:1::/64", "httpCidrs": ["0.0.0.0/0", "::/0"]}

#: Name of the recording → the change. The preflight refuses the last ones without the permission in ``after``.
RECORDED: dict[str, Change] = {
    "same": Change(None),
    "http-cidrs": Change("httpCidrs", {"httpCidrs": ["192.0.2.0/24"]}),
    "members": Change("memberFloatingIps", {"memberFloatingIps": True}),
    "pool-end": Change("poolEnd", {"poolEnd": "10.0.0.190"}),
    "ready-timeout": Change("readyTimeout", {"readyTimeout": 1200}),
    "roll": Change("virtualRouterId", {"virtualRouterId": 7}),
    "flavor": Change("flavor", {"flavor": "c1.c2r2"}),
    "image": Change("image", {"image": "debian-13-x86_64"}),
    "auth": Change("authPass", {"authPass": "geheim99"}, stack="tutorial"),
    "master-priority": Change("masterPriority", {"masterPriority": 240}, {"masterPriority": 250, "backupPriority": 99}),
    "member-address": Change("masterAddress", {"masterAddress": "10.0.0.6"}),
    "name-prefix": Change("namePrefix", {"namePrefix": "web"}),
    "service-port": Change("service.port", {"service": {"port": 8080, "packages": ["apache2"]}}),
    "ipv6": Change("cidr6", _IPV6),
    "vip-allowed": Change("vip", {"vip": "10.0.0.202", "allowInterruption": ["vip: 10.0.0.201 -> 10.0.0.202"]}),
    "floating-ip-allowed": Change(
        "floatingIp",
        # The entry tells the offline plan the address of the floating IP that the pair has made.
        {"floatingIp": "198.51.100.7", "allowInterruption": ["floatingIp: 198.51.100.1 -> 198.51.100.7"]},
    ),
    "external-network-allowed": Change(
        "externalNetwork",
        {"externalNetwork": "other-net", "allowInterruption": ["externalNetwork: public-net -> other-net"]},
    ),
    "ipv6-allowed": Change(
        "cidr6",
        {"cidr6": "", "httpCidrs": ["0.0.0.0/0"], "allowInterruption": ["cidr6: 2001:db8:1::/64 -> none"]},
        before=_IPV6,
    ),
}


def recorded(name: str, folder: Path = PREVIEWS) -> list[dict[str, Any]]:
    """Return the events of a recorded preview, without what no code reads."""
    return json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))


def texts(entries: Mapping[str, Any]) -> dict[str, str]:
    """Return key → value as the engine gives it to the program: anything but a text is JSON."""
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in entries.items()}
