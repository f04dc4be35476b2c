"""Settings that covet.toml only refers to: they are in the environment, or in a file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, SecretStr, WithJsonSchema

KEYS: Final = ("env", "file")
MOST: Final = 64 * 1024
"""Bytes of a file that holds one secret."""


def resolved(given: Any) -> Any:
    """What a reference refers to; anything that is no table is the setting itself.

    ``{ env = "NAME" }`` is a variable of the environment, ``{ file = "/run/secrets/name" }`` the text of a
    file, without the line's end that editors leave behind it. Both are read when the configuration is,
    so that what is missing is told together with all else that is wrong, and a reload reads them anew.

    Raises:
        ValueError: It is no such table, or there is nothing where it points; repeats nothing of what
            is there.
    """
    if not isinstance(given, Mapping):
        return given
    if len(given) != 1 or (key := next(iter(given))) not in KEYS:
        raise ValueError("a reference has one key: 'env', a variable's name, or 'file', a path")
    place = given[key]
    if not isinstance(place, str) or not place or "\0" in place:
        raise ValueError(f"'{key}' of a reference is a text")
    text = _variable(place) if key == "env" else _file(place)
    if not text:
        raise ValueError(f"{key} {place!r} is empty")
    return text


def _variable(name: str) -> str:
    try:
        return os.environ[name]
    except KeyError:
        raise ValueError(f"the environment has no variable {name!r}") from None


def _file(name: str) -> str:
    path = Path(name)
    if not path.is_absolute():
        raise ValueError(f"the file {name!r} is named by no absolute path")
    try:
        with path.open("rb") as file:
            data = file.read(MOST + 1)
        text = data.decode()
    except OSError as error:
        raise ValueError(f"the file {name!r} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError(f"the file {name!r} is no text in UTF-8") from None
    if len(data) > MOST:
        raise ValueError(f"the file {name!r} has more than {MOST} bytes")
    return text.removesuffix("\n").removesuffix("\r")


_REFERENCE: Final = {
    "type": "object",
    "properties": {
        "env": {"type": "string", "description": "A variable of the environment."},
        "file": {"type": "string", "description": "The absolute path of a file."},
    },
    "minProperties": 1,
    "maxProperties": 1,
    "additionalProperties": False,
}

_SCHEMA: Final = WithJsonSchema({"anyOf": [{"type": "string"}, _REFERENCE]})

Secret = Annotated[SecretStr, BeforeValidator(resolved), _SCHEMA]
"""The type of a setting that is shown nowhere: a text, or a reference to one."""
SecretUrl = Annotated[str, BeforeValidator(resolved), _SCHEMA]
"""The type of a setting whose password alone is a secret: a URL, or a reference to one."""
