"""The table ``[plugins.sagas]``."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from covet_kernel import PluginConfig


class SagasConfig(PluginConfig):
    """The table ``[plugins.sagas]``. All times in seconds."""

    database: str = Field("", description="The SQL instance by name; '' is the default one.")
    tables: Literal["create", "expect"] = Field(
        "create",
        description="'create' makes the tables at the start where they are missing; 'expect' refuses"
        " to start without them, for those who make them with `covet sagas schema`.",
    )
    run: bool = Field(True, description="Whether this process runs sagas, or only starts them.")
    concurrency: int = Field(
        8, ge=1, le=1000, description="How many sagas this process works at at once."
    )
    poll: PositiveFloat = Field(
        1.0, description="How often it looks for sagas that have something to do."
    )
    lease: float = Field(
        30.0,
        ge=0.5,
        description="For how long a saga is one worker's without a sign of it; after a crash, nobody"
        " takes it over before.",
    )
    first_wait: PositiveFloat = Field(
        0.5, description="Before the second attempt; doubles with each, less a random part."
    )
    longest_wait: PositiveFloat = Field(60.0, description="Between two attempts.")
    undo_attempts: PositiveInt = Field(
        20, description="How often undoing a step is tried until the saga is parked."
    )
    data_bytes: PositiveInt = Field(256 << 10, description="Bytes of a saga's data, as JSON.")
    retention: PositiveFloat = Field(
        7 * 86400.0, description="For how long sagas that are over are kept."
    )

    @model_validator(mode="after")
    def _waits_are_in_order(self) -> Self:
        if self.first_wait > self.longest_wait:
            raise ValueError("first_wait cannot be longer than longest_wait")
        return self
