"""The table ``[plugins.sqlite]``."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveFloat, field_validator

from covet_kernel import PluginConfig

MEMORY = ":memory:"


class SqliteConfig(PluginConfig):
    """The table ``[plugins.sqlite]``. All times in seconds."""

    path: str = Field(
        "app.db",
        min_length=1,
        description="The file, from the folder of covet.toml; ':memory:' for one that is not kept.",
    )
    readers: int = Field(
        4, ge=1, le=64, description="How many reads run at once, beside the one writer."
    )
    inline_steps: int = Field(
        1000,
        ge=0,
        le=100_000,
        description="Rows that are found by their keys are read on the event loop itself, where that"
        " takes at most twice as many steps of SQLite's virtual machine; 0: in a thread, always.",
    )
    busy_timeout: PositiveFloat = Field(
        5.0, description="How long a statement waits for another process's lock."
    )
    acquire_timeout: PositiveFloat = Field(
        10.0, description="How long a call waits for a connection of its own."
    )
    statement_timeout: PositiveFloat = Field(
        30.0, description="How long one statement, or one chunk of a stream, may run."
    )
    cleanup_timeout: PositiveFloat = Field(
        5.0, description="How long a rollback, commit or close may take before giving up on it."
    )
    synchronous: Literal["normal", "full"] = Field(
        "normal",
        description="'normal' may lose the last commits when the power fails, never consistency;"
        " 'full' waits for the disk at each commit.",
    )

    @field_validator("path")
    @classmethod
    def _is_a_path(cls, path: str) -> str:
        if "\0" in path:
            raise ValueError("a path has no NUL characters")
        return path
