"""Nova, as far as a pair needs it: a server is a container that boots an image and runs its declared user-data."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess

from settings.pair import Role

from . import container
from .container import ContainerError, Process, Server
from .kernel import Namespace
from .neutron import Conflict, Neutron
from .place import Place
from .record import Made, Record
from .resources import InstanceInputs

#: The network device's name differs from image to image and from hypervisor to hypervisor: here from server to
#: server, so that a pair which guesses it fails.
DEVICES = ("ens3", "enp1s0")

#: Seconds that a clean shutdown may take before the plug is pulled (Nova's shutdown_timeout is 60).
SHUTDOWN_PATIENCE = 20


@dataclass(frozen=True)
class Member:
    """A server of the lab, as commands reach it."""

    made: Made
    inputs: InstanceInputs
    server: Server
    namespace: Namespace

    @property
    def name(self) -> str:
        return self.inputs.name

    @property
    def role(self) -> Role:
        """The program ends each server's name with its role."""
        return Role(self.name.rpartition("-")[2])

    @property
    def port_id(self) -> str:
        return self.inputs.networks[0].port

    @property
    def process(self) -> Process | None:
        """The container's, if it runs."""
        pid, started = self.made.chosen.get("pid"), self.made.chosen.get("started")
        if pid is None or started is None:
            return None
        process = Process(int(pid), int(started))
        return process if process.alive() else None

    def is_running(self) -> bool:
        return container.running(self.server)

    def addresses(self) -> set[str]:
        """The IPv4 addresses that it has right now; none when it is off."""
        return self.namespace.addresses() if self.is_running() and self.namespace.exists() else set()

    def console(self) -> str:
        path = self.server.console
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    def run(self, *command: str, timeout: float = 30) -> CompletedProcess[str]:
        """Run a command inside as root.

        :raises ContainerError: when the server is off.
        """
        return container.exec_in(self.first(), command, timeout=timeout)

    def write(self, path: str, text: str) -> None:
        """Write a file inside."""
        container.exec_in(self.first(), ["tee", path], stdin=text, timeout=30).check_returncode()

    def first(self) -> Process:
        """Process 1 of the server."""
        process = self.process
        first = container.leader(process) if process else None
        if first is None:
            raise ContainerError(f"{self.name} is not running")
        return first


class Nova:
    """The servers of one lab."""

    def __init__(self, place: Place, record: Record, neutron: Neutron, image: Path | None) -> None:
        self._place = place
        self._record = record
        self._neutron = neutron
        self._image = image

    def members(self) -> list[Member]:
        """Every server, the master first (the program declares the backup first, which changes first)."""
        servers = [self._member(made, inputs) for made, inputs in self._record.every(InstanceInputs)]
        return sorted(servers, key=lambda member: member.role is not Role.MASTER)

    def create_server(self, made: Made, inputs: InstanceInputs) -> None:
        port_id = inputs.networks[0].port
        if any(
            m.id != made.id and other.networks[0].port == port_id for m, other in self._record.every(InstanceInputs)
        ):
            raise Conflict(f"port {port_id} is still in use")
        made.chosen["device"] = DEVICES[(len(self.members()) - 1) % len(DEVICES)]
        self._record.save()
        member = self._member(made, inputs)
        member.namespace.create()
        assert self._image is not None, "a lab that only looks makes no servers"
        container.prepare(
            member.server,
            self._image,
            instance_id=uuid.UUID(made.id),
            hostname=inputs.name,
            user_data=inputs.user_data,
        )
        self.start(member)

    def delete_server(self, made: Made, inputs: InstanceInputs) -> None:
        member = self._member(made, inputs)
        if inputs.stop_before_destroy:
            self.stop(member)
        else:
            self.kill(member)
        member.namespace.delete()

    def start(self, member: Member) -> None:
        """Switch a server on, with its disk as it is."""
        self._neutron.plug(member.port_id, member.namespace, member.made.chosen["device"])
        # What an earlier boot said on the console does not count for this one.
        member.made.chosen["console"] = str(len(member.console()))
        process = container.start(member.server)
        member.made.chosen.update(pid=str(process.pid), started=str(process.started))
        self._record.save()

    def stop(self, member: Member) -> None:
        """Shut a server down cleanly."""
        if (process := member.process) is not None:
            container.power_off(member.server, process, timeout=SHUTDOWN_PATIENCE)
        self.kill(member)

    def kill(self, member: Member) -> None:
        """Pull the plug: the server's processes, its addresses and its link are gone at once."""
        container.kill(member.server, member.process)
        self._neutron.unplug(member.port_id)

    def _member(self, made: Made, inputs: InstanceInputs) -> Member:
        return Member(made, inputs, self._place.server(inputs.name), self._place.namespace(inputs.name))
