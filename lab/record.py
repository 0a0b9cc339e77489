"""Keep on disk what a lab has made, so that the next command knows it, also after a crash."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from .resources import TYPES, Inputs

SomeInputs = TypeVar("SomeInputs", bound=Inputs)


@dataclass(frozen=True)
class Made:
    """One resource that the lab has made."""

    id: str
    urn: str
    type: str
    inputs: Inputs
    #: The URNs of the resources that it was declared to depend on.
    dependencies: tuple[str, ...]
    #: Values of the cloud's choice: addresses, a MAC address, names of devices.
    chosen: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def kind(self) -> str:
        """The resource type's short name, such as ``Port``."""
        return self.type.rpartition(":")[2]

    @property
    def name(self) -> str:
        """OpenStack's name of the resource; the logical name for a resource without one."""
        return str(getattr(self.inputs, "name", self.urn.rpartition("::")[2]))


class Record:
    """All resources so far, in the order of their creation. Each change is on disk before the next step."""

    def __init__(self, path: Path) -> None:
        """:param path: the record's file, which is read if it exists."""
        self._path = path
        self._made: dict[str, Made] = {}
        self.about: dict[str, Any] = {}
        if path.exists():
            self._read()

    def __iter__(self) -> Iterator[Made]:
        """Iterate over a copy, so that a resource may be removed meanwhile."""
        return iter(list(self._made.values()))

    def __contains__(self, identifier: str) -> bool:
        """Whether there is a resource with this id."""
        return identifier in self._made

    def add(self, made: Made) -> None:
        """Record a resource."""
        self._made[made.id] = made
        self.save()

    def remove(self, made: Made) -> None:
        """Forget a resource.

        :raises KeyError: if it is not recorded.
        """
        del self._made[made.id]
        self.save()

    def get(self, identifier: str, inputs: type[SomeInputs]) -> tuple[Made, SomeInputs]:
        """Return the resource with this id, and its inputs, which must be of the model ``inputs``.

        :raises KeyError: if there is none.
        """
        made = self._made[identifier]
        assert isinstance(made.inputs, inputs), f"{identifier} is a {made.type}"
        return made, made.inputs

    def every(self, inputs: type[SomeInputs]) -> list[tuple[Made, SomeInputs]]:
        """Return the resources whose inputs are of one model."""
        return [(made, made.inputs) for made in self if isinstance(made.inputs, inputs)]

    def save(self) -> None:
        """Write the record, completely or not at all."""
        content = {
            "about": self.about,
            "made": [
                {
                    "id": made.id,
                    "urn": made.urn,
                    "type": made.type,
                    "inputs": made.inputs.model_dump(mode="json", by_alias=True, exclude_unset=True),
                    "dependencies": made.dependencies,
                    "chosen": made.chosen,
                }
                for made in self
            ],
        }
        # Only root may read it, because it contains user-data.
        new = self._path.with_suffix(".new")
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(content, file, indent=1)
        new.rename(self._path)

    def _read(self) -> None:
        content = json.loads(self._path.read_text(encoding="utf-8"))
        self.about = content["about"]
        for entry in content["made"]:
            inputs = TYPES[entry["type"]].model_validate(entry["inputs"])
            self._made[entry["id"]] = Made(
                entry["id"], entry["urn"], entry["type"], inputs, tuple(entry["dependencies"]), entry["chosen"]
            )
