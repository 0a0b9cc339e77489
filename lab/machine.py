"""Whether this machine can run a lab, said in one message before anything is made."""

from __future__ import annotations

import os
import shutil

#: Command → the Debian package that brings it.
NEEDED = {
    "ip": "iproute2",
    "nft": "nftables",
    "mmdebstrap": "mmdebstrap",
    "systemd-nspawn": "systemd-container",
    "nsenter": "util-linux",
    "setpriv": "util-linux",
    "sysctl": "procps",
    "curl": "curl",
}


class MachineNotReady(Exception):
    """Not root, or a package is missing; the message says what to do."""


def check_machine() -> None:
    """Raise MachineNotReady unless a lab can run here."""
    problems: list[str] = []
    if os.geteuid() != 0:
        problems.append("it makes network namespaces and containers, which only root may: run it with sudo")
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    missing = sorted({package for command, package in NEEDED.items() if shutil.which(command, path=path) is None})
    if missing:
        problems.append(f"Debian packages are missing: sudo apt-get install --yes {' '.join(missing)}")
    if problems:
        raise MachineNotReady("the lab can't run here. " + "; ".join(problems))
