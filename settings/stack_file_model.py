"""What the models of the stack file have in common: keys are camelCase, and an unknown one is an error."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


class StackFileModel(BaseModel):
    """Immutable; defaults are checked like everything else."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        validate_default=True,
        extra="forbid",
        frozen=True,
    )
