"""A lab's pair, as a drill takes it."""

from __future__ import annotations

from collections.abc import Sequence
from subprocess import CompletedProcess

from settings.pair import Role

from . import container, nova
from .cloud import Cloud
from .place import NoSuchLab
from .up import is_ready


def url_of(cloud: Cloud) -> str:
    """Where the pair of a lab answers.

    :raises NoSuchLab: for a lab that was never complete.
    """
    if "outputs" not in cloud.record.about:
        raise NoSuchLab(f"lab {cloud.place.name} was never complete: `python -m lab down --name {cloud.place.name}`")
    return str(cloud.record.about["outputs"]["url"])


class LabMember:
    """A server of the lab. What is done to it is done to what it is now: a boot makes it another process."""

    def __init__(self, cloud: Cloud, member: nova.Member) -> None:
        self._cloud = cloud
        self._name = member.name

    @property
    def name(self) -> str:
        return self._name

    @property
    def role(self) -> Role:
        return self._now.role

    def set_port(self, *, up: bool) -> None:
        self._cloud.neutron.set_admin_state(self._now.port_id, up=up)

    def run(self, *command: str) -> CompletedProcess[str]:
        return self._now.run(*command)

    def switch_off(self) -> None:
        self._cloud.nova.stop(self._now)

    def cut_power(self) -> None:
        self._cloud.nova.kill(self._now)

    def switch_on(self) -> None:
        if self.is_running() and self._now.process is None:
            # Somebody interrupted what cut its power.
            self._cloud.nova.kill(self._now)
        if not self.is_running():
            self._cloud.nova.start(self._now)

    def freeze(self) -> None:
        container.freeze(self._now.server)

    def thaw(self) -> None:
        container.thaw(self._now.server)

    def is_running(self) -> bool:
        return self._now.is_running()

    def is_ready(self) -> bool:
        return is_ready(self._now)

    @property
    def _now(self) -> nova.Member:
        return next(member for member in self._cloud.nova.members() if member.name == self._name)


class LabPair:
    """The pair of one lab, with a client on the external network.

    :raises NoSuchLab: for a lab that was never complete.
    """

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self.url = url_of(cloud)
        about = cloud.record.about
        self.vip = str(about["vip"])
        self.advert_interval = float(about["advertInterval"])
        self.preempt = about["preempt"] == "true"
        self.service_unit = str(about["serviceUnit"])

    def members(self) -> list[LabMember]:
        return [LabMember(self._cloud, member) for member in self._cloud.nova.members()]

    def as_client(self, command: Sequence[str]) -> list[str]:
        return [*self._cloud.neutron.public.inside, *command]

    def holders(self) -> set[str]:
        return {member.name for member in self._cloud.nova.members() if self.vip in member.addresses()}

    def address_monitors(self) -> list[tuple[str, list[str]]]:
        return [
            (member.name, ["ip", "-n", member.namespace.name, "-4", "-oneline", "monitor", "address"])
            for member in self._cloud.nova.members()
        ]
