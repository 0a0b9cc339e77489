"""The names and folders of the labs on this machine."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from . import kernel
from .container import Container
from .kernel import Namespace

#: Both remain after the command that made them. `down` deletes a lab's folder here, and keeps the servers' image.
STATE_FOLDER = Path(os.environ.get("VRRP_LAB_STATE", "/var/lib/vrrp-pair-lab"))
IMAGE_FOLDER = Path(os.environ.get("VRRP_LAB_IMAGES", "/var/cache/vrrp-pair-lab"))

#: The first part of each namespace's name. A lab's name has no dot, so that no lab's prefix begins another's.
PREFIX = "vrrp-lab"
NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,30}")


class NoSuchLab(Exception):
    """There is no lab of that name, or none at all, or more than one to choose from."""


@dataclass(frozen=True)
class Place:
    """One lab's names and folders, whether or not the lab exists."""

    name: str

    @property
    def folder(self) -> Path:
        """Everything that the lab keeps on disk."""
        return STATE_FOLDER / self.name

    @property
    def record(self) -> Path:
        """The file with everything that the lab has made."""
        return self.folder / "record.json"

    @property
    def servers(self) -> Path:
        """The folder with one folder per server; a tmpfs where the disk can't carry an overlay."""
        return self.folder / "servers"

    def namespace(self, what: str) -> Namespace:
        """Return the lab's network namespace of this name, whether or not it exists."""
        return Namespace(f"{PREFIX}.{self.name}.{what}")

    def namespaces(self) -> list[Namespace]:
        """Return the namespaces that exist, found by their names: a lab without a record is found too."""
        prefix = f"{PREFIX}.{self.name}."
        return [Namespace(name) for name in kernel.namespaces() if name.startswith(prefix)]

    def container(self, server: str) -> Container:
        """Return the container of the server of this name, whether or not it exists."""
        return Container(f"{self.name}.{server}", self.servers / server, self.namespace(server).name)

    def exists(self) -> bool:
        """Whether anything of the lab exists."""
        return self.folder.exists() or bool(self.namespaces())


def places() -> list[Place]:
    """Return every lab on this machine, in the order of their names."""
    folders = STATE_FOLDER.iterdir() if STATE_FOLDER.exists() else ()
    names = {folder.name for folder in folders if NAME.fullmatch(folder.name)}
    for namespace in kernel.namespaces():
        prefix, _, rest = namespace.partition(".")
        if prefix == PREFIX:
            names.add(rest.partition(".")[0])
    return [Place(name) for name in sorted(names)]


def the_place(name: str | None) -> Place:
    """Return the lab of that name; without a name, the lab that was brought up last.

    :raises NoSuchLab: with the labs that exist.
    """
    there = places()
    if name is None and there:
        return max(there, key=lambda place: place.folder.stat().st_ctime if place.folder.exists() else 0)
    for place in there:
        if place.name == name:
            return place
    names = ", ".join(place.name for place in there) or "none"
    raise NoSuchLab(
        f"there is no lab{f' {name}' if name else ''}; running now: {names}. `python -m lab up STACK` makes one"
    )


def the_only_place(name: str | None) -> Place:
    """Return the lab of that name; without a name, the only lab: a deletion must not guess.

    :raises NoSuchLab: with the labs that exist.
    """
    there = places()
    if name is None and len(there) > 1:
        raise NoSuchLab(f"choose a lab with --name; running now: {', '.join(place.name for place in there)}")
    return the_place(name)
