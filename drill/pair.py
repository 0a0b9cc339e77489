"""The interface between a drill and a pair: the lab and the clouds implement it."""

from __future__ import annotations

from collections.abc import Sequence
from subprocess import CompletedProcess
from typing import Protocol

from settings.pair import Role


class Member(Protocol):
    """One server of the pair, and the actions that a drill performs on it."""

    @property
    def name(self) -> str:
        """The server's name, which is also the first line of its page."""
        ...

    @property
    def role(self) -> Role:
        """The role in the settings, whatever the VRRP state is now."""
        ...

    def set_port(self, *, up: bool) -> None:
        """Enable or disable the port (Neutron's admin_state_up). Return when the change has taken effect."""
        ...

    def run(self, *command: str) -> CompletedProcess[str]:
        """Run a command on the server as root."""
        ...

    def switch_off(self) -> None:
        """Shut the server down cleanly, as its power button does. Return when it is off."""
        ...

    def cut_power(self) -> None:
        """Switch the server off at once, so that its programs cannot sign off."""
        ...

    def switch_on(self) -> None:
        """Boot the server from its disk. Wait for a shutdown that is under way; leave a running server alone."""
        ...

    def freeze(self) -> None:
        """Suspend the server, as a live migration does in its last moment. Return when it is suspended."""
        ...

    def thaw(self) -> None:
        """Resume a suspended server; leave a running one alone."""
        ...

    def is_running(self) -> bool:
        """Return whether the server is switched on."""
        ...

    def is_ready(self) -> bool:
        """Return whether `ready` is the last report on the server's console in its present boot."""
        ...


class Pair(Protocol):
    """Both members, and the client's way to them."""

    @property
    def url(self) -> str:
        """The service's URL, as a client uses it."""
        ...

    @property
    def vip(self) -> str:
        """The virtual IPv4 address."""
        ...

    @property
    def advert_interval(self) -> float:
        """The VRRP advertisement interval in seconds."""
        ...

    @property
    def preempt(self) -> bool:
        """Whether the master takes the VIP back by itself."""
        ...

    @property
    def service_unit(self) -> str:
        """The systemd unit of the service."""
        ...

    def members(self) -> Sequence[Member]:
        """Return the master and the backup, in this order."""
        ...

    def as_client(self, command: Sequence[str]) -> list[str]:
        """Return the command line that runs ``command`` in the client's network."""
        ...

    def holders(self) -> set[str]:
        """Return the names of the members whose interface has the VIP now."""
        ...

    def address_monitors(self) -> Sequence[tuple[str, list[str]]]:
        """Return each member's name, and a command that prints a line at each change of its addresses.

        The lines are those of `ip -4 -oneline monitor address`. The sequence is empty if the members' interfaces
        cannot be watched.
        """
        ...
