"""The kernel's network tools, each call one command whose failure is told with its own words."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


class KernelError(Exception):
    """A command of the system failed; the message is the command and what it said."""


def run(command: Sequence[str], text: str | None = None) -> str:
    """Run a command to its end and return what it printed.

    :raises KernelError: when it exits with anything but 0.
    """
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip()
        raise KernelError(f"`{' '.join(command)}` exited with {done.returncode}: {said}")
    return done.stdout


@dataclass(frozen=True)
class Namespace:
    """A network namespace with a name, as ``ip netns`` lists it."""

    name: str

    def create(self) -> None:
        run(["ip", "netns", "add", self.name])
        self.ip("link", "set", "lo", "up")
        # Without this every interface would make an address up and talk; a device that needs one is told (enable_ipv6).
        self.sysctl("net.ipv6.conf.all.disable_ipv6", 1)
        self.sysctl("net.ipv6.conf.default.disable_ipv6", 1)

    def delete(self) -> None:
        """Delete it with every device in it; one that is gone already is no error."""
        if self.exists():
            run(["ip", "netns", "delete", self.name])

    def exists(self) -> bool:
        return self.name in namespaces()

    def ip(self, *arguments: str) -> str:
        return run(["ip", "-n", self.name, *arguments])

    def links(self) -> list[dict[str, Any]]:
        return json.loads(self.ip("-json", "link", "show") or "[]")

    def enable_ipv6(self, device: str, *, forwards: bool = False) -> None:
        # "all" would enable it on every other device, too; forwarding is all or nothing.
        if forwards:
            self.sysctl("net.ipv6.conf.all.forwarding", 1)
        self.sysctl(f"net.ipv6.conf.{device}.disable_ipv6", 0)

    def addresses(self) -> set[str]:
        """Every address on any interface in here."""
        shown: list[dict[str, Any]] = json.loads(self.ip("-json", "address", "show") or "[]")
        return {entry["local"] for link in shown for entry in link.get("addr_info", [])}

    def nft(self, ruleset: str) -> None:
        """Load a ruleset as one transaction."""
        run([*self.inside, "nft", "-f", "-"], text=ruleset)

    def sysctl(self, key: str, value: int) -> None:
        run([*self.inside, "sysctl", "--quiet", "--write", f"{key}={value}"])

    @property
    def inside(self) -> list[str]:
        """What stands before a command that is to run in here."""
        return ["ip", "netns", "exec", self.name]


def connect(first: Namespace, first_device: str, second: Namespace, second_device: str) -> None:
    """Lay a cable (a veth pair) from one namespace to another; neither end is ever anywhere else."""
    first.ip("link", "add", first_device, "type", "veth", "peer", "name", second_device, "netns", second.name)


def namespaces() -> list[str]:
    listed: list[dict[str, str]] = json.loads(run(["ip", "-json", "netns", "list"]) or "[]")
    return [entry["name"] for entry in listed]
