"""The base of the stack file's models, and the phrase that each key has for its messages."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


@dataclass(frozen=True)
class Accepts:
    """The values of a key, as a phrase that follows "set" in a message: "an IPv4 address".

    It belongs into the ``Annotated`` type of a field. The meaning of the key is the field's ``description``; the
    reference of the keys (``settings.reference``) shows both, and Pulumi.yaml repeats the description.
    """

    phrase: str


class StackFileModel(BaseModel):
    """Base model: camelCase keys, no unknown keys, immutable, and defaults that are validated like given values."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        validate_default=True,
        extra="forbid",
        frozen=True,
    )
