"""Check whether this machine can run a lab, and say everything that is missing in one message."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from . import container, guest_image, kernel, overlay
from .container import ContainerError
from .kernel import KernelError
from .place import IMAGE_FOLDER, STATE_FOLDER

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

#: Megabytes. The image has 325, and one lab's servers write 30 in a drill.
SPACE_FOR_IMAGE = 600
SPACE_FOR_SERVERS = 200

#: Every kind of device and rule that a lab makes, in a network namespace that ends with the command.
_NETWORK = """\
set -e
ip link add bridge type bridge
ip link add one type veth peer name other
nft -f - <<'RULES'
table bridge check {
    chain forward { type filter hook forward priority 0; policy accept; }
}
table ip check {
    chain postrouting { type nat hook postrouting priority srcnat; policy accept; }
}
RULES
"""

_PRIVILEGED = "in a container, start that with --privileged"


class MachineNotReady(Exception):
    """No lab can run on this machine; the message says what is missing and what to do."""


def check_commands() -> None:
    """Raise MachineNotReady unless this is root, with every command that the lab needs.

    :raises MachineNotReady: with what is missing and what to do.
    """
    problems: list[str] = []
    if os.geteuid() != 0:
        problems.append("it makes network namespaces and containers, which only root may: run it with sudo")
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    missing = sorted({package for command, package in NEEDED.items() if shutil.which(command, path=path) is None})
    if missing:
        problems.append(f"Debian packages are missing: sudo apt-get install --yes {' '.join(missing)}")
    _raise_if_any(problems)


def check_machine() -> None:
    """Raise MachineNotReady unless a lab can be made here: commands, overlays, control groups, networks and space.

    :raises MachineNotReady: with everything that is missing and what to do.
    """
    check_commands()
    _raise_if_any([problem for check in CHECKS if (problem := check())])


def check_ipv6(cidr6: str) -> None:
    """Raise MachineNotReady if a pair has IPv6 addresses and this machine's kernel has no IPv6.

    :param cidr6: the setting of that name; empty for a pair with IPv4 only.
    :raises MachineNotReady: with the value and the ways out.
    """
    if cidr6 and not kernel.has_ipv6():
        _raise_if_any(
            [
                f"cidr6 is {cidr6}, and this machine's kernel has no IPv6: take cidr6 out of the stack file, or boot "
                "a kernel with IPv6 and without ipv6.disable=1"
            ]
        )


def _overlays() -> str:
    for folder in (STATE_FOLDER, IMAGE_FOLDER):
        if problem := overlay.path_problem(folder):
            return problem
    if not overlay.why_not(IMAGE_FOLDER, STATE_FOLDER) or not overlay.why_not(IMAGE_FOLDER, None):
        return ""
    if not (said := overlay.why_not(None, None)):
        return (
            f"the file system of {IMAGE_FOLDER} can't be the lower layer of an overlay: set VRRP_LAB_IMAGES to a "
            "folder on ext4, xfs or tmpfs, such as a Docker volume"
        )
    return f"overlays can't be mounted ({said}): {_PRIVILEGED}; on a host, load the module overlay"


def _groups() -> str:
    try:
        container.check_groups()
    except (ContainerError, OSError) as error:
        return f"control groups can't be made ({error}): {_PRIVILEGED}; on a host, mount cgroup2 on /sys/fs/cgroup"
    return ""


def _networks() -> str:
    try:
        kernel.run(["unshare", "--net", "--", "sh", "-c", _NETWORK])
    except KernelError as error:
        said = str(error).rpartition("exited with ")[2].partition("\n")[0]
        return (
            f"network namespaces with bridges, veth and nftables can't be made (exit code {said}): {_PRIVILEGED}; "
            "on a host, load the modules bridge, veth, nf_tables and nft_chain_nat"
        )
    return ""


def _space() -> str:
    has_image = guest_image.path_of(IMAGE_FOLDER).is_dir()
    wanted: dict[int, tuple[Path, int]] = {}
    for folder, size in ((STATE_FOLDER, SPACE_FOR_SERVERS), (IMAGE_FOLDER, 0 if has_image else SPACE_FOR_IMAGE)):
        there = overlay.existing(folder)
        _, before = wanted.get(there.stat().st_dev, (there, 0))
        wanted[there.stat().st_dev] = (folder, before + size)
    short = [
        f"{folder} has {free} MB free and needs {size} MB: free some, or set VRRP_LAB_STATE and VRRP_LAB_IMAGES to "
        "folders on another disk"
        for folder, size in wanted.values()
        if (free := shutil.disk_usage(overlay.existing(folder)).free // 10**6) < size
    ]
    return "; ".join(short)


#: Each returns an empty text, or what is missing and what to do.
CHECKS = (_overlays, _groups, _networks, _space)


def _raise_if_any(problems: list[str]) -> None:
    if problems:
        raise MachineNotReady("the lab can't run here. " + "; ".join(problems))
