"""Where a lab is on this machine: the names of its namespaces and its folder."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from . import kernel
from .container import Server
from .kernel import Namespace

#: Both survive the command that made them; neither survives `down` (the image of the servers does).
STATE_FOLDER = Path(os.environ.get("VRRP_LAB_STATE", "/var/lib/vrrp-pair-lab"))
IMAGE_FOLDER = Path(os.environ.get("VRRP_LAB_IMAGES", "/var/cache/vrrp-pair-lab"))

#: What each namespace's name begins with; the dot can't be part of a lab's name, so no lab's begins another's.
PREFIX = "vrrp-lab"
NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,30}")


class NoSuchLab(Exception):
    """There is no lab of that name, or none at all, or more than one to choose from."""


@dataclass(frozen=True)
class Place:
    name: str

    @property
    def folder(self) -> Path:
        return STATE_FOLDER / self.name

    @property
    def record(self) -> Path:
        return self.folder / "record.json"

    def namespace(self, what: str) -> Namespace:
        return Namespace(f"{PREFIX}.{self.name}.{what}")

    def namespaces(self) -> list[Namespace]:
        """Those that are there, by name: a lab whose record is lost is found by them."""
        prefix = f"{PREFIX}.{self.name}."
        return [Namespace(name) for name in kernel.namespaces() if name.startswith(prefix)]

    def server(self, name: str) -> Server:
        return Server(f"{self.name}.{name}", self.folder / "servers" / name, self.namespace(name).name)

    def exists(self) -> bool:
        return self.folder.exists() or bool(self.namespaces())


def places() -> list[Place]:
    """Every lab on this machine, in the order of their names."""
    names = {folder.name for folder in STATE_FOLDER.iterdir()} if STATE_FOLDER.exists() else set[str]()
    for namespace in kernel.namespaces():
        prefix, _, rest = namespace.partition(".")
        if prefix == PREFIX:
            names.add(rest.partition(".")[0])
    return [Place(name) for name in sorted(names)]


def the_place(name: str | None) -> Place:
    """The lab of that name; without one, the lab that was brought up last.

    :raises NoSuchLab: saying which there are.
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
    """The lab of that name; without one, the only one there is: what is to be deleted is not guessed.

    :raises NoSuchLab: saying which there are.
    """
    there = places()
    if name is None and len(there) > 1:
        raise NoSuchLab(f"say which lab by --name; running now: {', '.join(place.name for place in there)}")
    return the_place(name)
