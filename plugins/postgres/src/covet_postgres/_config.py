"""The table ``[plugins.postgres]``."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, PositiveFloat

from covet_kernel import PluginConfig
from covet_sql import Secret, SecretUrl


def without_nul(text: str) -> str:
    """The text; libpq's end at the first NUL.

    Raises:
        ValueError: It has one.
    """
    if "\0" in text:
        raise ValueError("there can be no NUL character in it")
    return text


def as_table(given: Any) -> Any:
    """A URL alone stands for a table with it."""
    return {"url": given} if isinstance(given, str) else given


Text = Annotated[str, AfterValidator(without_nul)]
Url = Annotated[SecretUrl, AfterValidator(without_nul)]


class Replica(PluginConfig):
    """A server to read from."""

    url: Url = Field(
        repr=False,
        description="postgres://host:port of one server; what it leaves out is the main URL's.",
    )
    password: Secret | None = Field(None, description="If it is not the main one.")
    weight: float = Field(
        1.0,
        ge=0,
        le=1000,
        description="Its share of the reads, beside the others'; 0: none, it may become the primary.",
    )
    required: bool = Field(
        False, description="The process is not ready while this one cannot be read from."
    )


class PostgresConfig(PluginConfig):
    """The table ``[plugins.postgres]``. All times in seconds."""

    url: Url = Field(
        "postgres://localhost/",
        repr=False,
        description="postgres://user:password@host:port/database?sslmode=verify-full; hosts with"
        " commas between them are tried in order, and parameters behind '?' are libpq's.",
    )
    password: Secret | None = Field(
        None, description="The password, to keep it out of the URL; from the environment, say."
    )
    pool_size: int = Field(
        10, ge=1, le=1000, description="Connections for transactions, changes and long statements."
    )
    lane_size: int = Field(
        2,
        ge=0,
        le=64,
        description="Connections that short reads of all tasks share; 0 has each read take one of"
        " the pool's.",
    )
    lane_depth: int = Field(
        64, ge=1, le=1000, description="Reads under way at once on each of those."
    )
    lane_patience: PositiveFloat = Field(
        0.25,
        description="How long a read may run, or wait for a lock, on a shared connection; then it is"
        " run again on one of its own.",
    )
    connect_timeout: PositiveFloat = Field(
        10.0, description="How long connecting to one address may take."
    )
    acquire_timeout: PositiveFloat = Field(
        10.0, description="How long a call waits for a connection of its own."
    )
    statement_timeout: PositiveFloat = Field(
        30.0, description="How long one statement, or one chunk of a stream, may run."
    )
    cleanup_timeout: PositiveFloat = Field(
        5.0,
        description="How long a rollback, commit, close or cancellation may take before the"
        " connection is given up.",
    )
    idle_timeout: PositiveFloat = Field(
        300.0, description="How long an unneeded connection is kept."
    )
    lifetime: PositiveFloat = Field(
        3600.0, description="How long a connection is used, a tenth more or less."
    )
    prepared_statements: int = Field(
        200, ge=0, le=10_000, description="How many the server keeps for each connection."
    )
    pgbouncer: bool = Field(
        False,
        description="The server is a pooler that hands out its connections per transaction:"
        " nothing is prepared, shared or set for a connection.",
    )
    application_name: Text = Field(
        "covet", max_length=63, description="What the server shows in pg_stat_activity."
    )
    replicas: tuple[Annotated[Replica, BeforeValidator(as_table)], ...] = Field(
        (), description="Servers that follow the primary, to read from: URLs, or tables with one."
    )
    max_lag: float = Field(
        10.0,
        ge=0.1,
        description="How far a replica may be behind the primary and still be read from.",
    )
    replica_patience: float = Field(
        0.05,
        ge=0,
        description="How long a read waits until a replica has what its call has written; then it"
        " is run on the primary.",
    )
