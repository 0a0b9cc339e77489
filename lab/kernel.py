"""Run the kernel's network tools: one command a call, and a failure with the command's own words."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: The kernel has this folder only if it has IPv6; with ipv6.disable=1 it has not.
IPV6_SETTINGS = Path("/proc/sys/net/ipv6/conf")


class KernelError(Exception):
    """A command failed; the message is the command and what it printed."""


def run(command: Sequence[str], text: str | None = None) -> str:
    """Run a command to its end and return what it printed.

    :param text: what the command reads from its standard input.
    :raises KernelError: if it exits with anything but 0.
    """
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip()
        raise KernelError(f"`{' '.join(command)}` exited with {done.returncode}: {said}")
    return done.stdout


def has_ipv6() -> bool:
    """Whether this machine's kernel has IPv6."""
    return IPV6_SETTINGS.is_dir()


@dataclass(frozen=True)
class Namespace:
    """A network namespace with a name, as ``ip netns`` lists it."""

    name: str

    def create(self) -> None:
        """Make the namespace, with a loopback device and without IPv6 addresses."""
        run(["ip", "netns", "add", self.name])
        self.ip("link", "set", "lo", "up")
        if has_ipv6():
            # Otherwise every interface would give itself an address and send. enable_ipv6 turns it on for one device.
            self.sysctl("net.ipv6.conf.all.disable_ipv6", 1)
            self.sysctl("net.ipv6.conf.default.disable_ipv6", 1)

    def delete(self) -> None:
        """Delete it with every device in it; a namespace that is gone already is no error."""
        if self.exists():
            run(["ip", "netns", "delete", self.name])

    def exists(self) -> bool:
        """Whether there is a namespace of this name."""
        return self.name in namespaces()

    def ip(self, *arguments: str) -> str:
        """Run ``ip`` in the namespace and return what it printed.

        :raises KernelError: if it fails.
        """
        return run(["ip", "-n", self.name, *arguments])

    def links(self) -> list[dict[str, Any]]:
        """Return every device, as ``ip -json link show`` describes it."""
        return json.loads(self.ip("-json", "link", "show") or "[]")

    def enable_ipv6(self, device: str, *, forwards: bool = False) -> None:
        """Allow IPv6 on one device; ``forwards`` makes the whole namespace a router."""
        # Not "all", which would enable it on every other device. Forwarding can only be set for all.
        if forwards:
            self.sysctl("net.ipv6.conf.all.forwarding", 1)
        self.sysctl(f"net.ipv6.conf.{device}.disable_ipv6", 0)

    def addresses(self) -> set[str]:
        """Return every address of every interface, without prefix lengths."""
        shown: list[dict[str, Any]] = json.loads(self.ip("-json", "address", "show") or "[]")
        return {entry["local"] for link in shown for entry in link.get("addr_info", [])}

    def nft(self, ruleset: str) -> None:
        """Load a ruleset as one transaction.

        :raises KernelError: if nft refuses it; nothing has changed then.
        """
        run([*self.inside, "nft", "-f", "-"], text=ruleset)

    def sysctl(self, key: str, value: int) -> None:
        """Set a kernel parameter of the namespace.

        :raises KernelError: if there is no such parameter.
        """
        run([*self.inside, "sysctl", "--quiet", "--write", f"{key}={value}"])

    @property
    def inside(self) -> list[str]:
        """The words before a command that runs it in the namespace."""
        return ["ip", "netns", "exec", self.name]


def connect(first: Namespace, first_device: str, second: Namespace, second_device: str) -> None:
    """Connect two namespaces with a veth pair, whose ends are never in a third namespace."""
    first.ip("link", "add", first_device, "type", "veth", "peer", "name", second_device, "netns", second.name)


def namespaces() -> list[str]:
    """Return the names of all network namespaces that ``ip netns`` knows."""
    listed: list[dict[str, str]] = json.loads(run(["ip", "-json", "netns", "list"]) or "[]")
    return [entry["name"] for entry in listed]
