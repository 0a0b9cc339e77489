"""Take OpenStack's place in the lab: answer the program's lookups, and make the resources that it declares."""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from . import container, overlay
from .kernel import KernelError
from .neutron import EXTENSIONS, EXTERNAL_NETWORK, EXTERNAL_NETWORK_ID, Conflict, Neutron
from .nova import Nova
from .place import Place
from .program import Declared
from .record import Made, Record
from .resources import (
    FloatingIpInputs,
    InstanceInputs,
    NetworkInputs,
    PortInputs,
    RouterInputs,
    RouterInterfaceInputs,
    SecGroupRuleInputs,
    SubnetInputs,
    UnknownToTheLab,
    parse_inputs,
)

#: The id of the lab's only image. The lab finds it under every name.
IMAGE_ID = str(uuid.uuid5(uuid.NAMESPACE_DNS, "debian-12.vrrp-pair.lab"))


class Cloud:
    """One lab: the provider for the program, and the resources for the other commands."""

    def __init__(self, place: Place, image: Path | None = None, say: Callable[[str], None] = lambda _: None) -> None:
        """Read the lab's record, if there is one.

        :param image: the image's root directory, which all servers share; None for a command that makes no server.
        :param say: is called with a line about each resource that was made.
        """
        self.place = place
        self.record = Record(place.record)
        self.neutron = Neutron(place, self.record)
        self.nova = Nova(place, self.record, self.neutron, image)
        self._say = say

    # -- for the program -----------------------------------------------------------------------------

    def start(self) -> None:
        """Make the lab's folders and the external network, before the program declares anything.

        :raises FileExistsError: if there is a lab of this name.
        """
        self.place.folder.mkdir(parents=True, mode=0o700)
        self.place.servers.mkdir(mode=0o700)
        if overlay.needs_tmpfs(self.place.servers):
            self._say("the servers' disks are in memory, because this file system can't carry an overlay")
            overlay.mount_tmpfs(self.place.servers)
        self.record.save()
        self.neutron.start()

    def look_up(self, token: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Answer the preflight's invoke, which has questions in the format of ``gates.cloud_questions``.

        :raises UnknownToTheLab: for any other invoke.
        """
        if token == "command:local:run":
            questions: list[dict[str, str]] = json.loads(arguments["stdin"])
            return {"stdout": json.dumps([self._answer(**question) for question in questions]), "stderr": ""}
        raise UnknownToTheLab(f"the lab has no answer to {token}")

    def _answer(self, kind: str, name: str) -> dict[str, Any]:
        """Answer one question of the preflight: the id of what exists, or the problem."""
        match kind:
            case "extension" if name in EXTENSIONS:
                return {"id": name}
            case "external network" if name == EXTERNAL_NETWORK:
                return {"id": EXTERNAL_NETWORK_ID}
            case "external network":
                return {"problem": f"the lab's external network is {EXTERNAL_NETWORK}."}
            case "image":
                return {"id": IMAGE_ID}
            case "servers":
                return {"names": [server.name for server, _ in self.record.every(InstanceInputs)]}
            case "networking":
                # The lab makes only new pairs, and its external network has no floating IPs beforehand.
                return {"networking": {}}
            case "flavor" | "key pair":
                return {"id": str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{name}.vrrp-pair.lab"))}
            case _:
                return {"problem": f"the lab has no {kind} of this name."}

    def create(self, declared: Declared) -> tuple[str, dict[str, Any]]:
        """Make a declared resource; return its id and its outputs.

        :raises UnknownToTheLab: for a type or a property that the lab can't make.
        :raises Conflict: where OpenStack would answer 409.
        :raises KernelError: if a command of the system fails.
        """
        inputs = parse_inputs(declared.type, declared.name, declared.inputs)
        made = Made(str(uuid.uuid4()), declared.urn, declared.type, inputs, declared.dependencies)
        # Recorded first, so that `down` also finds a resource whose creation was interrupted.
        self.record.add(made)
        match inputs:
            case NetworkInputs():
                self.neutron.create_network(made)
            case SubnetInputs():
                self.neutron.create_subnet(inputs)
            case RouterInputs():
                self.neutron.create_router(made, inputs)
            case RouterInterfaceInputs():
                self.neutron.create_router_interface(made, inputs)
            case PortInputs():
                self.neutron.create_port(made, inputs)
            case SecGroupRuleInputs():
                self.neutron.create_security_group_rule(made, inputs)
            case FloatingIpInputs():
                self.neutron.create_floating_ip(made, inputs)
            case InstanceInputs():
                self.nova.create_server(made, inputs)
            case _:
                pass  # a security group and a server group exist only in the record
        self.record.save()
        self._say(f"{made.kind} {made.name}")
        return made.id, self._outputs(made)

    def _outputs(self, made: Made) -> dict[str, Any]:
        if isinstance(made.inputs, PortInputs):
            return {"allFixedIps": [str(ip.ip_address) for ip in made.inputs.fixed_ips]}
        if isinstance(made.inputs, FloatingIpInputs):
            return {"address": made.chosen["address"]}
        return {}

    # -- deletion ----------------------------------------------------------------------------------

    def delete_everything(self, say: Callable[[str], None] = lambda _: None) -> list[str]:
        """Delete each resource after those that depend on it, then sweep; return the problems of this order.

        The engine deletes resources at the same time, unless one depends on the other. So only a declared dependency
        ensures the order that Neutron requires. The sweep removes everything that is left.

        :param say: is called with each resource before its deletion.
        """
        wrong = self.disorder()
        left = list(self.record)
        while left:
            needed = {urn for made in left for urn in made.dependencies}
            made = next((one for one in left if one.urn not in needed), left[0])
            left.remove(made)
            say(f"deleting {made.kind} {made.name}")
            try:
                self.delete(made)
            except Conflict as conflict:
                wrong.append(str(conflict))
            except KernelError:
                # The creation of this resource was interrupted; the sweep finds it by its name.
                if made.id in self.record:
                    self.record.remove(made)
        self.sweep()
        return list(dict.fromkeys(wrong))

    def disorder(self) -> list[str]:
        """Return a sentence for each deletion that Neutron may refuse, because no dependency sets the order."""
        by_urn = {made.urn: made for made in self.record}

        def depends(made: Made, on: Made, seen: set[str]) -> bool:
            for urn in made.dependencies:
                if urn == on.urn:
                    return True
                if urn in by_urn and urn not in seen:
                    seen.add(urn)
                    if depends(by_urn[urn], on, seen):
                        return True
            return False

        return [
            f"{made.kind} {made.name} may be deleted while there is {why}: {blocker.name} does not depend on it"
            for made in self.record
            for why, blocker in self.neutron.blockers(made)
            if not depends(blocker, made, set())
        ]

    def delete(self, made: Made) -> None:
        """Delete one resource as the cloud would.

        :raises Conflict: if Neutron would refuse; the resource still exists then.
        """
        self.neutron.refuse_deletion(made)
        if isinstance(made.inputs, InstanceInputs):
            self.nova.delete_server(made, made.inputs)
        self.record.remove(made)
        self.neutron.delete(made)

    def sweep(self) -> None:
        """Remove everything with the lab's name, whether or not it is in the record."""
        servers = self.place.servers
        for folder in servers.iterdir() if servers.exists() else ():
            container.kill(self.place.container(folder.name))
            # Delete the files before the unmount. Another lab's container may have a copy of the mount, and would keep
            # them in memory.
            shutil.rmtree(folder)
        overlay.unmount_tmpfs(servers)
        for namespace in self.place.namespaces():
            namespace.delete()
        if self.place.folder.exists():
            shutil.rmtree(self.place.folder)
