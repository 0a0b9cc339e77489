"""What a drill needs of a pair, wherever that runs."""

from __future__ import annotations

from collections.abc import Sequence
from subprocess import CompletedProcess
from typing import Protocol

from settings.pair import Role


class Member(Protocol):
    """One server of the pair, and what can be done to it."""

    @property
    def name(self) -> str: ...

    @property
    def role(self) -> Role: ...

    def set_port(self, *, up: bool) -> None:
        """Enable or disable its port, as Neutron's admin_state_up does. Over when it has an effect."""
        ...

    def run(self, *command: str) -> CompletedProcess[str]:
        """Run a command on it as root."""
        ...

    def switch_off(self) -> None:
        """Shut it down cleanly, as its power button does. Over when it is off."""
        ...

    def cut_power(self) -> None:
        """Pull the plug: nothing on it can say good-bye."""
        ...

    def switch_on(self) -> None:
        """Let it boot from its disk; one that runs is left alone, and one that is going down is waited for."""
        ...

    def freeze(self) -> None:
        """Stop its time, as the last moment of a live migration does. Over when it stands still."""
        ...

    def thaw(self) -> None: ...

    def is_running(self) -> bool: ...

    def is_ready(self) -> bool:
        """Whether it has said so on its console in its present boot."""
        ...


class Pair(Protocol):
    """Both members, and the way of a client to them."""

    @property
    def url(self) -> str: ...

    @property
    def vip(self) -> str: ...

    @property
    def advert_interval(self) -> float:
        """Seconds."""
        ...

    @property
    def preempt(self) -> bool:
        """Whether the master takes the VIP back by itself."""
        ...

    @property
    def service_unit(self) -> str: ...

    def members(self) -> Sequence[Member]:
        """The master first."""
        ...

    def as_client(self, command: Sequence[str]) -> list[str]:
        """The command line that runs ``command`` where the clients are."""
        ...

    def holders(self) -> set[str]:
        """The names of the members whose interface has the VIP now."""
        ...

    def address_monitors(self) -> Sequence[tuple[str, list[str]]]:
        """Per member a command that prints a line at each change of its addresses, as `ip -4 -oneline monitor address`
        does; none where nobody can look inside.
        """
        ...
