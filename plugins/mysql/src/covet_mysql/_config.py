"""The table ``[plugins.mysql]``."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, PositiveFloat, SecretStr, field_validator

from covet_kernel import PluginConfig
from covet_sql import Secret, SecretUrl


class MysqlConfig(PluginConfig):
    """The table ``[plugins.mysql]``. All times in seconds."""

    url: SecretUrl = Field(
        "mysql://localhost/",
        repr=False,
        description="mysql://user:password@host:port/database; with ?socket=/path the server's socket"
        " in the file system is used instead of host and port.",
    )
    password: Secret | None = Field(
        None, description="The password, to keep it out of the URL; from the environment, say."
    )
    tls: bool = Field(
        False,
        description="Connect over TLS only, to a server whose certificate is valid for the URL's host.",
    )
    tls_ca: Path | None = Field(
        None, description="Who may have signed it, as PEM; the system's authorities unless given."
    )
    tls_certificate: Path | None = Field(
        None, description="The client's own certificate, and its chain, as PEM."
    )
    tls_key: Path | None = Field(None, description="Its key, as PEM.")
    pool_size: int = Field(10, ge=1, le=1000, description="Connections, opened when first needed.")
    connect_timeout: PositiveFloat = Field(
        10.0, description="How long connecting to one address may take."
    )
    acquire_timeout: PositiveFloat = Field(
        10.0, description="How long a call waits for a connection."
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
        100, ge=1, le=10_000, description="How many the server keeps for each connection."
    )
    result_bytes: int = Field(
        256 * 1024 * 1024,
        ge=1024,
        description="The largest result that is read at once; what is larger is streamed.",
    )
    application_name: str = Field(
        "covet", max_length=63, description="What the server shows as program_name."
    )

    @field_validator("url", "application_name")
    @classmethod
    def _is_a_text(cls, text: str) -> str:
        if "\0" in text:
            raise ValueError("there can be no NUL character in it")
        return text

    @field_validator("password")
    @classmethod
    def _is_a_password(cls, password: SecretStr | None) -> SecretStr | None:
        if password is not None and "\0" in password.get_secret_value():
            raise ValueError("there can be no NUL character in it")
        return password
