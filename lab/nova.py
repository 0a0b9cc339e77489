"""Nova, as far as a pair needs it: a server is a container that boots an image and runs its user-data."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess

from settings.pair import Role

from . import container
from .container import Container, ContainerError, Process
from .kernel import Namespace
from .neutron import Conflict, Neutron
from .place import Place
from .record import Made, Record
from .resources import InstanceInputs

#: The name of a network device depends on the image and the hypervisor. Here the two servers have different names, so
#: that a pair that guesses the name fails.
DEVICES = ("ens3", "enp1s0")

#: Seconds that a clean shutdown may take before the server is killed (Nova's shutdown_timeout is 60).
SHUTDOWN_PATIENCE = 20


@dataclass(frozen=True)
class Server:
    """One server of the lab: its record, its container and its network namespace."""

    made: Made
    inputs: InstanceInputs
    container: Container
    namespace: Namespace

    @property
    def name(self) -> str:
        """The server's name, which is also its host name."""
        return self.inputs.name

    @property
    def role(self) -> Role:
        """The member's role, which the program puts at the end of the server's name."""
        return Role(self.name.rpartition("-")[2])

    @property
    def port_id(self) -> str:
        """The id of the server's only port."""
        return self.inputs.networks[0].port

    @property
    def process(self) -> Process | None:
        """The container's main process; None if it does not run."""
        pid, started = self.made.chosen.get("pid"), self.made.chosen.get("started")
        if pid is None or started is None:
            return None
        process = Process(int(pid), int(started))
        return process if process.alive() else None

    def is_running(self) -> bool:
        """Whether any process of the server is alive."""
        return container.running(self.container)

    def addresses(self) -> set[str]:
        """Return the server's present addresses; none when the server is off."""
        return self.namespace.addresses() if self.is_running() and self.namespace.exists() else set()

    def console(self) -> str:
        """Return the console's text of all boots; empty before the first boot."""
        path = self.container.console
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    def run(self, *command: str, timeout: float = 30) -> CompletedProcess[str]:
        """Run a command on the server as root.

        :param timeout: seconds.
        :raises ContainerError: if the server is off.
        :raises TimeoutExpired: after ``timeout``.
        """
        return container.exec_in(self.first(), command, timeout=timeout)

    def write(self, path: str, text: str) -> None:
        """Write a file on the server.

        :raises ContainerError: if the server is off.
        """
        container.exec_in(self.first(), ["tee", path], stdin=text, timeout=30).check_returncode()

    def first(self) -> Process:
        """Return process 1 of the server.

        :raises ContainerError: if the server is off.
        """
        process = self.process
        first = container.leader(process) if process else None
        if first is None:
            raise ContainerError(f"{self.name} is not running")
        return first


class Nova:
    """The servers of one lab."""

    def __init__(self, place: Place, record: Record, neutron: Neutron, image: Path | None) -> None:
        """:param image: the folder of the image that the servers boot from; None for a command that makes no server."""
        self._place = place
        self._record = record
        self._neutron = neutron
        self._image = image

    def servers(self) -> list[Server]:
        """Return every server, the master first. The program declares the backup first."""
        servers = [self._server(made, inputs) for made, inputs in self._record.every(InstanceInputs)]
        return sorted(servers, key=lambda server: server.role is not Role.MASTER)

    def create_server(self, made: Made, inputs: InstanceInputs) -> None:
        """Make a server and switch it on.

        :raises Conflict: if another server has the same port.
        """
        port_id = inputs.networks[0].port
        if any(
            m.id != made.id and other.networks[0].port == port_id for m, other in self._record.every(InstanceInputs)
        ):
            raise Conflict(f"port {port_id} is still in use")
        made.chosen["device"] = DEVICES[(len(self.servers()) - 1) % len(DEVICES)]
        self._record.save()
        server = self._server(made, inputs)
        server.namespace.create()
        assert self._image is not None, "only a lab with an image makes servers"
        container.prepare(
            server.container,
            self._image,
            instance_id=uuid.UUID(made.id),
            hostname=inputs.name,
            user_data=inputs.user_data,
        )
        self.start(server)

    def delete_server(self, made: Made, inputs: InstanceInputs) -> None:
        """Switch a server off, cleanly if it was declared so, and delete its namespace. The disk stays until `down`."""
        server = self._server(made, inputs)
        if inputs.stop_before_destroy:
            self.stop(server)
        else:
            self.kill(server)
        server.namespace.delete()

    def start(self, server: Server) -> None:
        """Switch a server on, with its disk as it is."""
        self._neutron.plug(server.port_id, server.namespace, server.made.chosen["device"])
        # Reports of an earlier boot on the console do not count for this boot.
        server.made.chosen["console"] = str(len(server.console()))
        process = container.start(server.container)
        server.made.chosen.update(pid=str(process.pid), started=str(process.started))
        self._record.save()

    def stop(self, server: Server) -> None:
        """Shut a server down cleanly, and kill it after ``SHUTDOWN_PATIENCE`` seconds."""
        if (process := server.process) is not None:
            container.power_off(server.container, process, timeout=SHUTDOWN_PATIENCE)
        self.kill(server)

    def kill(self, server: Server) -> None:
        """Cut a server's power: its processes, its addresses and its link are gone at once."""
        container.kill(server.container, server.process)
        self._neutron.unplug(server.port_id)

    def _server(self, made: Made, inputs: InstanceInputs) -> Server:
        return Server(made, inputs, self._place.container(inputs.name), self._place.namespace(inputs.name))
