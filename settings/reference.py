"""Write the reference of all keys, docs/configuration.md, from the models of the settings.

Run as ``python -m settings.reference > docs/configuration.md``. The introductions are in ``reference.md.j2`` beside
this module; the tables come from the models, so that no default and no rule is written twice.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from pydantic import BaseModel

from .change_classes import KEYS, NONE
from .pair import PairSettings
from .parsing import accepted_values
from .service import Service

TEMPLATE = Path(__file__).with_name("reference.md.j2")

#: JSON schema's name of a type, where people who write YAML use another one.
_TYPES = {"array": "list"}


@dataclass(frozen=True)
class Key:
    """One key of the stack file, as the reference describes it."""

    name: str
    #: string, integer, number, boolean, list or object.
    type: str
    #: As JSON; None for a key that has no value by default.
    default: str | None
    meaning: str
    accepts: str
    #: The class of a change, as the table writes it.
    change: str


def keys_of(model: type[BaseModel]) -> list[Key]:
    """Return every key of a model, in the order in which the model validates them."""
    # As in settings.change_classes.
    prefix = "service." if model is Service else ""
    schema = model.model_json_schema(by_alias=True, mode="serialization")
    properties: dict[str, dict[str, Any]] = schema["properties"]
    definitions: dict[str, dict[str, Any]] = schema.get("$defs", {})
    return [
        Key(
            name=str(field.alias),
            type=_type_of(properties[str(field.alias)], definitions),
            default=_default_of(properties[str(field.alias)]),
            meaning=str(field.description),
            accepts=accepted_values(field),
            change=_change_of(f"{prefix}{field.alias}"),
        )
        for field in model.model_fields.values()
    ]


def render_reference() -> str:
    """Return the text of docs/configuration.md.

    :raises ValueError: if the template leaves out a key, or has one twice or an unknown one.
    """
    environment = Environment(
        loader=FileSystemLoader(TEMPLATE.parent),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # Markdown
    )
    pair, service = _Tables(PairSettings), _Tables(Service)
    text = environment.get_template(TEMPLATE.name).render(
        pair=pair.table, service=service.table, effects=_effects_table()
    )
    for tables in (pair, service):
        if tables.left:
            raise ValueError(f"{TEMPLATE.name} has no table with {', '.join(tables.left)}: add them to one")
    return text


class _Tables:
    """The tables of one model. Each key belongs to exactly one of them."""

    def __init__(self, model: type[BaseModel]) -> None:
        self.left = {key.name: key for key in keys_of(model)}

    def table(self, *names: str) -> str:
        """Return a Markdown table of these keys."""
        if missing := [name for name in names if name not in self.left]:
            raise ValueError(f"{', '.join(missing)} is no key, or stands in another table of {TEMPLATE.name} already")
        return _table([self.left.pop(name) for name in names])


def _table(keys: Sequence[Key]) -> str:
    rows = [
        ("key", "type", "default", "meaning", "values", "change"),
        ("---",) * 6,
        *(
            (
                f"`{key.name}`",
                key.type,
                "–" if key.default is None else f"`{key.default}`",
                key.meaning,
                key.accepts,
                key.change,
            )
            for key in keys
        ),
    ]
    return _markdown(rows)


def _effects_table() -> str:
    """Return a Markdown table of the keys whose change has an effect that the class alone does not say."""
    rows = [
        ("key", "its change", "the way out"),
        ("---",) * 3,
        *((f"`{key}`", change.effect, change.way_out or "–") for key, change in KEYS.items() if change.effect),
    ]
    return _markdown(rows)


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _change_of(key: str) -> str:
    """Return the class of a key for the table."""
    change = KEYS[key]
    exception = f" ({change.from_none} from `{NONE}`)" if change.from_none else ""
    return f"{change.change_class}{exception}"


def _type_of(schema: dict[str, Any], definitions: dict[str, dict[str, Any]]) -> str:
    """Return the type of a property of a JSON schema; of an optional one, the type of its values."""
    if "anyOf" in schema:
        (schema,) = [choice for choice in schema["anyOf"] if choice.get("type") != "null"]
    if "$ref" in schema:
        schema = definitions[str(schema["$ref"]).rpartition("/")[2]]
    return _TYPES.get(str(schema["type"]), str(schema["type"]))


def _default_of(schema: dict[str, Any]) -> str | None:
    default: Any = schema["default"]
    if default is None:
        return None
    if isinstance(default, dict):
        return "{}"  # an object without keys has all its defaults
    return default if isinstance(default, str) else json.dumps(default)


if __name__ == "__main__":
    sys.stdout.write(render_reference())
