"""A lab's pair, with the operations that a drill needs."""

from __future__ import annotations

from collections.abc import Sequence
from subprocess import CompletedProcess

from settings.pair import Role

from . import container
from .cloud import Cloud
from .nova import Server
from .place import NoSuchLab
from .up import is_ready


def url_of(cloud: Cloud) -> str:
    """Return the URL at which a lab's pair answers.

    :raises NoSuchLab: for a lab that was never complete.
    """
    if "outputs" not in cloud.record.about:
        raise NoSuchLab(f"lab {cloud.place.name} was never complete: `python -m lab down --name {cloud.place.name}`")
    return str(cloud.record.about["outputs"]["url"])


class LabMember:
    """A server of the lab, with the operations that a drill does to a member (``drill.pair.Member``)."""

    def __init__(self, cloud: Cloud, server: Server) -> None:
        """:param cloud: the lab of the server."""
        self._cloud = cloud
        self._server = server

    @property
    def name(self) -> str:
        """The server's name."""
        return self._server.name

    @property
    def role(self) -> Role:
        """The member's role in the settings, whatever its VRRP state is."""
        return self._server.role

    def set_port(self, *, up: bool) -> None:
        """Enable or disable the port, as Neutron's admin_state_up does."""
        self._cloud.neutron.set_admin_state(self._server.port_id, up=up)

    def run(self, *command: str) -> CompletedProcess[str]:
        """Run a command inside as root.

        :raises ContainerError: if the server is off.
        """
        return self._server.run(*command)

    def switch_off(self) -> None:
        """Shut the server down cleanly, and wait until it is off."""
        self._cloud.nova.stop(self._server)

    def cut_power(self) -> None:
        """End every process of the server at once."""
        self._cloud.nova.kill(self._server)

    def switch_on(self) -> None:
        """Boot the server from its disk; a server that runs is left alone."""
        if self.is_running() and self._server.process is None:
            # A power cut was interrupted half-way; complete it.
            self._cloud.nova.kill(self._server)
        if not self.is_running():
            self._cloud.nova.start(self._server)

    def freeze(self) -> None:
        """Suspend every process of the server."""
        container.freeze(self._server.container)

    def thaw(self) -> None:
        """Resume the server; a server that is not suspended is left alone."""
        container.thaw(self._server.container)

    def is_running(self) -> bool:
        """Whether any process of the server is alive."""
        return self._server.is_running()

    def is_ready(self) -> bool:
        """Whether the member's last report on its console since it was switched on is that it is ready."""
        return is_ready(self._server)


class LabPair:
    """The pair of one lab, with a client on the external network (``drill.pair.Pair``).

    :raises NoSuchLab: for a lab that was never complete.
    """

    def __init__(self, cloud: Cloud) -> None:
        """:param cloud: the lab."""
        self._cloud = cloud
        self.url = url_of(cloud)
        about = cloud.record.about
        self.vip = str(about["vip"])
        self.advert_interval = float(about["advertInterval"])
        self.preempt = about["preempt"] == "true"
        self.service_unit = str(about["serviceUnit"])
        #: Whether the members check their service, and so have the `vrrp-health drain` command.
        self.service_check = about.get("serviceCheck") != "false"

    def members(self) -> list[LabMember]:
        """Return both members, the master first."""
        return [LabMember(self._cloud, server) for server in self._cloud.nova.servers()]

    def as_client(self, command: Sequence[str]) -> list[str]:
        """Return the command line that runs a command on the external network."""
        return [*self._cloud.neutron.public.inside, *command]

    def holders(self) -> set[str]:
        """Return the names of the members that have the VIP on an interface now."""
        return {server.name for server in self._cloud.nova.servers() if self.vip in server.addresses()}

    def address_monitors(self) -> list[tuple[str, list[str]]]:
        """Return for each member its name, and a command that prints a line at each change of its addresses."""
        return [
            (server.name, ["ip", "-n", server.namespace.name, "-4", "-oneline", "monitor", "address"])
            for server in self._cloud.nova.servers()
        ]
