"""Databases by URL."""

from __future__ import annotations

from urllib.parse import parse_qsl, unquote, urlsplit

from pydantic import ValidationError

from covet_kernel import ConfigurationError
from covet_sqlite._config import MEMORY, SqliteConfig


def config_of(url: str) -> SqliteConfig:
    """``sqlite:///shop.db?readers=2`` as a configuration.

    Three slashes name a path from the folder of ``covet.toml``, four an absolute one; the query
    holds the other keys of the table.

    Raises:
        ConfigurationError: It is not such a URL, or a key is wrong.
    """
    parts = urlsplit(url)
    path = unquote(parts.path[1:])
    keys = dict(parse_qsl(parts.query, keep_blank_values=True))
    problem = ""
    if parts.scheme != "sqlite" or parts.netloc or parts.fragment or not path or "path" in keys:
        problem = "it is not of the form sqlite:///path"
    else:
        try:
            return SqliteConfig.model_validate({"path": path, **keys})
        except ValidationError as error:
            problem = "; ".join(f"{issue['loc'][0]}: {issue['msg']}" for issue in error.errors())
    raise ConfigurationError(
        "COVET-SQLITE-URL",
        f"the database URL cannot be used: {problem}.",
        place=url,
        valid=("sqlite:///from/covet.toml.db", "sqlite:////absolute.db", f"sqlite:///{MEMORY}"),
        fix="Correct the URL; behind '?' it takes the keys of [plugins.sqlite].",
    )
