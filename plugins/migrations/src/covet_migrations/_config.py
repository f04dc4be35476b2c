"""The table ``[plugins.migrations]``."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveFloat

from covet_kernel import PluginConfig


class MigrationsConfig(PluginConfig):
    """The table ``[plugins.migrations]``. All times in seconds."""

    migrate: Literal["on start", "check", "off"] = Field(
        "check",
        description="What a start does about revisions that are not applied: 'on start' applies"
        " them, 'check' refuses to start, 'off' does not look.",
    )
    databases: tuple[str, ...] = Field(
        ("",),
        description="The SQL instances that a start looks at, by name; '' is the default one.",
    )
    folder: str = Field(
        "migrations",
        min_length=1,
        description="The revisions that belong to no plugin, from the folder of covet.toml.",
    )
    tables: str = Field(
        "", description="The MetaData of the tables that those lead to, as 'module:name'."
    )
    wait: PositiveFloat = Field(
        300.0, description="How long to wait for another process that migrates."
    )
    lock_timeout: PositiveFloat = Field(
        5.0,
        description="How long a migration waits for a lock on a table while everybody else waits"
        " behind it; PostgreSQL's.",
    )
