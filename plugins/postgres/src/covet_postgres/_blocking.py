"""The database for tools that block."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo

from covet_postgres._config import PostgresConfig
from covet_postgres._connect import refusal
from covet_postgres._errors import start_error
from covet_postgres._url import parameters_of, url_error
from covet_sql.driver import BlockingDatabase


def blocking_database(config: PostgresConfig, place: str) -> BlockingDatabase:
    """How tools connect.

    Raises:
        ConfigurationError: The URL cannot be used.
    """
    try:
        parameters = parameters_of(config)
    except ValueError as error:
        raise url_error(str(error), place) from None
    # Whatever the service reads from, tables are changed where that is possible.
    parameters["target_session_attrs"] = "read-write"
    where = f"{parameters.get('host', 'localhost')}:{parameters.get('port', '5432')}"

    def connect() -> psycopg.Connection[Any]:
        seconds = max(2, round(config.connect_timeout))  # libpq takes no less
        try:
            return psycopg.connect(make_conninfo("", **parameters), connect_timeout=seconds)
        except psycopg.OperationalError as error:
            raise start_error(refusal(_text(error), where), place) from error

    name = f"{parameters.get('dbname', parameters.get('user', ''))} at {where}"
    return BlockingDatabase(dialect="postgresql", name=name, dbapi=psycopg, connect=connect)


def _text(error: psycopg.OperationalError) -> str:
    """Libpq's own words, without psycopg's in front."""
    return str(error).strip().removeprefix("connection failed: ")
