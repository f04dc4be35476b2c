"""The table ``[plugins.sql]``."""

from __future__ import annotations

from pydantic import Field, PositiveFloat

from covet_kernel import PluginConfig


class SqlConfig(PluginConfig):
    """The table ``[plugins.sql]``. All times in seconds."""

    statement_cache: int = Field(
        1000,
        ge=1,
        le=1_000_000,
        description="How many shapes of statements are kept compiled; the least used leave first.",
    )
    databases: tuple[str, ...] = Field(
        ("",), description="The SQL instances that this is for, by name; '' is the default one."
    )
    shapes: int = Field(
        500,
        ge=10,
        le=10_000,
        description="How many shapes of statements each database's profile tells apart.",
    )
    slow: PositiveFloat = Field(
        0.5, description="How long a statement may take before it is written to the slow log."
    )
    slow_plans: bool = Field(
        True, description="Ask the database for the plans of slow statements, and log them too."
    )
    report: str = Field(
        "",
        description="A file, from the folder of covet.toml, that the profile is written to while the"
        " service runs and when it stops; 'covet sql' reads it.",
    )
    report_interval: PositiveFloat = Field(
        10.0, description="How long after one writing of the report the next follows."
    )
    record: bool = Field(
        False,
        description="For development: record which operation runs which statements, for"
        " 'covet sql lint'. Texts are kept as the code has them, parameters are not.",
    )
    cache_entries: int = Field(
        10_000, ge=1, description="How many results 'cached' keeps, for each database."
    )
    cache_bytes: int = Field(64 << 20, ge=1024, description="How many bytes they may take, about.")
    cache_shared: bool = Field(
        False,
        description="Tell other processes on the same database what was written, and hear it from"
        " them (PostgreSQL).",
    )
