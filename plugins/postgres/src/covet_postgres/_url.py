"""Databases by URL, and what libpq is told of one."""

from __future__ import annotations

from collections.abc import Mapping

import psycopg
from psycopg.pq import Conninfo

from covet_kernel import ConfigurationError
from covet_postgres._config import PostgresConfig, Replica
from covet_sql.driver import read_url

SCHEMES = ("postgres", "postgresql")
EXAMPLES = (
    "postgres://user@host:5432/database",
    "postgres://one.example,two.example/database?target_session_attrs=read-write",
)
OURS = frozenset(("client_encoding", "connect_timeout", "fallback_application_name", "replication"))
"""Parameters of libpq's that are set here, or have no place here."""
NOT_IN_URLS = frozenset(("url", "password", "application_name", "replicas"))
"""Keys of the table that a URL has no parameter for, or one of libpq's."""


def parameters_of(config: PostgresConfig) -> dict[str, str]:
    """Libpq's parameters by name.

    Raises:
        ValueError: The URL cannot be used; the message repeats nothing of it but names of parameters.
    """
    given = _given(config.url)
    if config.password is not None:
        given["password"] = config.password.get_secret_value()
    given.setdefault("application_name", config.application_name)
    # Kerberos is looked for before anything is sent, and that blocks.
    given.setdefault("gssencmode", "disable")
    given["client_encoding"] = "UTF8"
    return given


def parameters_of_replica(replica: Replica, main: Mapping[str, str]) -> dict[str, str]:
    """Libpq's parameters for a replica: the main URL's, but for those of its own.

    Raises:
        ValueError: The URL cannot be used, or names more than one server, or none.
    """
    own = _given(replica.url)
    if not own.get("host") or "," in own["host"]:
        raise ValueError("it does not name one host")
    if replica.password is not None:
        own["password"] = replica.password.get_secret_value()
    inherited = {
        name: value for name, value in main.items() if name not in ("host", "hostaddr", "port")
    }
    return {**inherited, **own}


def _given(url: str) -> dict[str, str]:
    scheme, colon, _ = url.partition("://")
    if not colon or scheme not in SCHEMES:
        raise ValueError("it does not begin with postgres://")
    try:
        # The message would repeat the URL, and with it a password.
        options = Conninfo.parse(url.encode())
    except (psycopg.Error, UnicodeError):
        raise ValueError(
            "it cannot be read: '%', '/', '@', ':' and '?' within a part are written with '%'"
        ) from None
    given = {
        option.keyword.decode(): option.val.decode() for option in options if option.val is not None
    }
    if refused := sorted(OURS & given.keys()):
        raise ValueError(f"{refused[0]} cannot be given in it")
    return given


def config_of(url: str) -> PostgresConfig:
    """``postgres://host/database?pool_size=5&sslmode=require`` as a configuration.

    The query holds keys of the table and parameters of libpq's alike.

    Raises:
        ConfigurationError: It is not such a URL, or a key is wrong.
    """
    try:
        return read_url(url, PostgresConfig, without=NOT_IN_URLS, check=parameters_of)
    except ValueError as error:
        problem = str(error)
    raise url_error(problem, "a store's URL")


def url_error(problem: str, place: str) -> ConfigurationError:
    """That a URL cannot be used."""
    return ConfigurationError(
        "COVET-POSTGRES-URL",
        f"the database URL cannot be used: {problem}.",
        place=place,
        valid=EXAMPLES,
        fix="Correct the URL; its parameters are libpq's.",
    )
