"""Databases by URL."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from getpass import getuser
from urllib.parse import parse_qsl, unquote, urlsplit

from covet_kernel import ConfigurationError
from covet_mysql._config import MysqlConfig
from covet_sql.driver import read_url

SCHEMES = ("mysql", "mariadb")
EXAMPLES = (
    "mysql://user@host:3306/database",
    "mysql://user@localhost/database?socket=/run/mysqld/mysqld.sock",
)
PORT = 3306
ESCAPES = re.compile(r"%(?![0-9A-Fa-f]{2})")


@dataclass(frozen=True)
class Address:
    """Where a database is, and who wants to use it.

    Attributes:
        host: Its name or number.
        port: Of TCP.
        user: The user's name.
        password: The user's password.
        database: The database's name, empty for none.
        socket: The path of a socket in the file system, empty for TCP.
    """

    host: str
    port: int
    user: str
    database: str
    socket: str
    password: str = field(repr=False)

    def __str__(self) -> str:
        return self.socket or f"{self.host}:{self.port}"


def address_of(config: MysqlConfig) -> Address:
    """Where the configured database is.

    Raises:
        ValueError: The URL cannot be used; the message repeats nothing of it but names of parameters.
    """
    scheme, colon, rest = config.url.partition("://")
    if not colon or scheme not in SCHEMES:
        raise ValueError("it does not begin with mysql://")
    if ESCAPES.search(rest):
        raise ValueError("a '%' in it is followed by no two digits of a number to base 16")
    try:
        parts = urlsplit(config.url)
        host, port = parts.hostname or "localhost", parts.port or PORT
    except ValueError:
        # The message would repeat the URL, and with it a password.
        raise ValueError(
            "it cannot be read: '%', '/', '@', ':' and '?' within a part are written with '%'"
        ) from None
    path = parts.path.removeprefix("/")
    if "/" in path or parts.fragment or "@" in parts.netloc.rpartition("@")[0]:
        raise ValueError("'/', '@' and '#' within a part are written with '%'")
    given = dict(parse_qsl(parts.query, keep_blank_values=True))
    socket = given.pop("socket", "")
    if given:
        raise ValueError(f"{next(iter(given))[:40]!r} is no parameter of it, only 'socket' is")
    password = unquote(parts.password or "")
    if config.password is not None:
        password = config.password.get_secret_value()
    found = Address(
        host=unquote(host),
        port=port,
        user=unquote(parts.username) if parts.username else getuser(),
        password=password,
        database=unquote(path),
        socket=socket,
    )
    if any("\0" in each for each in (found.user, found.password, found.database, found.socket)):
        raise ValueError("there can be no NUL character in it")
    return found


def config_of(url: str) -> MysqlConfig:
    """``mysql://host/database?pool_size=5&tls=true`` as a configuration.

    The query holds keys of the table and the socket alike.

    Raises:
        ConfigurationError: It is not such a URL, or a key is wrong.
    """
    try:
        return read_url(url, MysqlConfig, without=("url", "password"), check=address_of)
    except ValueError as error:
        problem = str(error)
    raise url_error(problem, "a store's URL")


def url_error(problem: str, place: str) -> ConfigurationError:
    """That a URL cannot be used."""
    return ConfigurationError(
        "COVET-MYSQL-URL",
        f"the database URL cannot be used: {problem}.",
        place=place,
        valid=EXAMPLES,
        fix="Correct the URL.",
    )
