"""The database for tools that block, by PyMySQL."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from covet_kernel import ConfigurationError
from covet_mysql._config import MysqlConfig
from covet_mysql._connection import MODES
from covet_mysql._database import tls_context
from covet_mysql._errors import start_error
from covet_mysql._url import address_of, url_error
from covet_sql.driver import BlockingDatabase, ConnectError, ConnectProblem

KINDS: dict[int, ConnectProblem] = {
    1044: "database",
    1045: "password",
    1049: "database",
    1698: "password",
    2003: "unreachable",
}
"""What MariaDB's and PyMySQL's numbers mean for whoever wants to connect."""


def blocking_database(config: MysqlConfig, place: str) -> BlockingDatabase:
    """How tools connect.

    Raises:
        ConfigurationError: The URL cannot be used, or PyMySQL is not installed.
    """
    try:
        pymysql: Any = import_module("pymysql")
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            "COVET-MYSQL-TOOLS",
            "tools that block, as migrations do, reach this database by PyMySQL, which is not installed.",
            place=place,
            fix="pip install 'covet-mysql[migrations]'",
        ) from error
    try:
        address, tls = address_of(config), tls_context(config)
    except ValueError as error:
        raise url_error(str(error), place) from None

    def connect() -> Any:
        try:
            return pymysql.connect(
                host=address.host,
                port=address.port,
                user=address.user,
                password=address.password,
                database=address.database or None,
                unix_socket=address.socket or None,
                charset="utf8mb4",
                connect_timeout=max(1, round(config.connect_timeout)),
                ssl=tls,
                init_command=f"SET time_zone = '+00:00', sql_mode = '{MODES}'",
            )
        except pymysql.err.OperationalError as error:
            code, reason = (*error.args, "")[:2]
            kind = "tls" if "SSL" in str(reason) else KINDS.get(code, "refused")
            raise start_error(ConnectError(kind, str(address), str(reason)), place) from error

    name = f"{address.database} at {address}"
    return BlockingDatabase(dialect="mysql", name=name, dbapi=pymysql, connect=connect)
