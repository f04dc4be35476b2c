"""The table ``[plugins.twophase]``."""

from __future__ import annotations

from pydantic import Field, PositiveFloat, field_validator

from covet_kernel import PluginConfig


class TwoPhaseConfig(PluginConfig):
    """The table ``[plugins.twophase]``. All times in seconds."""

    databases: tuple[str, ...] = Field(
        ("",),
        min_length=1,
        description="The SQL instances that take part, by name; '' is the default one.",
    )
    log: str = Field(
        "twophase",
        min_length=1,
        description="The folder of the log, from the folder of covet.toml. It must last, and no copy of"
        " it be used.",
    )
    interval: PositiveFloat = Field(
        30.0, description="How often databases are looked at for parts that nobody has ended."
    )
    retry: PositiveFloat = Field(
        0.5,
        description="After how long a database that could not be told is tried again; then it doubles, up to"
        " `interval`.",
    )
    start_timeout: PositiveFloat = Field(
        5.0, description="How long a start waits for what is in doubt; then it goes on beside it."
    )
    finish_timeout: PositiveFloat = Field(
        10.0,
        description="How long a caller waits for databases to be told what was decided; then they are told"
        " later.",
    )
    stuck_after: PositiveFloat = Field(
        60.0, description="How long a part may be in doubt before the process is not ready."
    )

    @field_validator("databases")
    @classmethod
    def _are_different(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(names)) < len(names):
            raise ValueError("a database is named twice")
        return names
