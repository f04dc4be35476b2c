"""Documents in files and folders, and which format each is of."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final, TypeAlias

from covet_kernel import ConfigurationError

ByKind: TypeAlias = dict[str, dict[str, str]]
"""Texts by the name of their file, by the kind of their format."""

_SUFFIXES: Final[Mapping[str, str]] = {
    ".graphql": "graphql",
    ".graphqls": "graphql",
    ".gql": "graphql",
    ".proto": "proto",
}
_WORDS: Final = ("openapi", "asyncapi")
"""The members by which JSON documents say what they are."""


def read_documents(path: Path, kinds: Iterable[str] = ()) -> ByKind:
    """The documents of a file, or of a folder and what is below it.

    Other files in a folder are passed over.

    Args:
        path: Of the file or the folder.
        kinds: The formats that are wanted; all, unless given.

    Raises:
        ConfigurationError: It cannot be read, or there is no document.
    """
    wanted = set(kinds)
    found: ByKind = {}
    for name, file in _files(path):
        text = _read(file)
        kind = kind_of(file.name, text)
        if kind and (not wanted or kind in wanted):
            found.setdefault(kind, {})[name] = text
    if not found:
        raise unreadable(path, "holds no document of a format that is known here")
    return found


def kind_of(name: str, text: str) -> str:
    """The format of a document, ``""`` if it is of none that is known.

    Args:
        name: Of its file.
        text: What is in it.
    """
    suffix = Path(name).suffix.lower()
    if suffix in _SUFFIXES:
        return _SUFFIXES[suffix]
    if suffix == ".json":
        try:
            document = json.loads(text)
        except (ValueError, RecursionError):
            return ""
        if isinstance(document, dict):
            return next((word for word in _WORDS if word in document), "")
    return ""


def _files(path: Path) -> Iterator[tuple[str, Path]]:
    if not path.is_dir():
        yield path.name, path
        return
    for each in sorted(path.rglob("*")):
        parts = each.relative_to(path).parts
        hidden = any(part.startswith(".") for part in parts)
        known = each.suffix.lower() in (*_SUFFIXES, ".json")
        if known and not hidden and each.is_file():
            yield "/".join(parts), each


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, ValueError) as error:
        raise unreadable(path, "cannot be read", error) from None


def unreadable(path: Path | str, what: str, error: Exception | None = None) -> ConfigurationError:
    """The error for a file that is no document, or cannot be one.

    Args:
        path: Of the file.
        what: What is wrong, a verb and the rest.
        error: The cause.
    """
    reason = f": {error}" if error is not None else ""
    return ConfigurationError(
        "COVET-CONTRACT-FILE",
        f"{path} {what}{reason}.",
        valid=("OpenAPI and AsyncAPI in *.json", "GraphQL in *.graphql", "protobuf in *.proto"),
        fix="Give files that 'covet contract export' has written.",
    )
