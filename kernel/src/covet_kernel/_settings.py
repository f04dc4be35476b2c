"""``covet.toml``, the environment and ``--set`` merged; every value remembers where it came from."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from covet_kernel._errors import ConfigurationError

if TYPE_CHECKING:
    from pydantic import BaseModel

M = TypeVar("M", bound="BaseModel")
KeyPath = tuple[str, ...]
TABLES = ("app", "kernel", "plugins")


class Settings:
    """The merged configuration, not yet validated.

    Attributes:
        directory: The folder of the file; relative paths start here.
        tree: Nested tables.
        history: For each leaf every (source, value) from the weakest to the one that counts.
        errors: What is wrong so far; `assemble` adds to it and raises them all.
    """

    def __init__(self, directory: Path | None = None) -> None:
        self.directory = directory or Path.cwd()
        self.tree: dict[str, Any] = {}
        self.history: dict[KeyPath, list[tuple[str, Any]]] = {}
        self.errors: list[ConfigurationError] = []

    @classmethod
    def load(
        cls,
        path: Path | None,
        *,
        environ: Mapping[str, str] | None = None,
        overrides: Iterable[str] = (),
    ) -> Settings:
        """Read the file, then ``COVET_<TABLE>__<KEY>`` variables, then ``key.path=value`` overrides.

        Raises:
            ConfigurationError: The file cannot be read or is not TOML, or an override is malformed.
        """
        settings = cls(path.resolve().parent if path else None)
        if path:
            settings._read(path)
        for name, value in sorted((environ or {}).items()):
            keys = tuple(name.removeprefix("COVET_").split("__"))
            if name.startswith("COVET_") and len(keys) > 1 and keys[0].lower() in TABLES:
                settings.put(tuple(settings._known(keys)), _parse(value), f"environment {name}")
        for override in overrides:
            key, equals, value = override.partition("=")
            target = _path_of(f"{key} = 0")
            if not equals or not target:
                raise ConfigurationError.of("COVET-CONFIG-OVERRIDE", override=key)
            settings.put(target, _parse(value), f"--set {key}")
        for key in settings.tree.keys() - TABLES:
            settings.wrong("COVET-CONFIG-KEY", (key,), valid=TABLES, given=key)
        return settings

    def _read(self, path: Path) -> None:
        try:
            text = path.read_text("utf-8-sig")
            tree = tomllib.loads(text)
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ConfigurationError.of("COVET-CONFIG-FILE", path=path, reason=reason) from error
        except _UNREADABLE as error:
            place = str(path)
            raise ConfigurationError.of("COVET-CONFIG-SYNTAX", place=place, reason=error) from error
        lines = _lines_of(text)

        def source(key: KeyPath) -> str:
            while key not in lines:
                key = key[:-1]
            return f"{path}:{lines[key]}"

        self.put((), tree, source)

    def put(self, path: KeyPath, value: Any, source: str | Callable[[KeyPath], str]) -> None:
        """Lay ``value`` over what is at ``path``; tables merge, anything else replaces.

        Args:
            path: Keys from the top.
            value: A leaf or nested tables.
            source: Where it comes from, or what tells that of each leaf.
        """
        for key, inner in value.items() if isinstance(value, dict) else ():
            self.put((*path, key), inner, source)
        if isinstance(value, dict) and (value or not path):
            return
        node = self.tree
        for key in path[:-1]:
            if not isinstance(node.get(key), dict):
                node[key] = {}
            node = node[key]
        if value != {} or not isinstance(node.get(path[-1]), dict):
            node[path[-1]] = value
        known = source if isinstance(source, str) else source(path)
        self.history.setdefault(path, []).append((known, value))

    def table(self, *path: str) -> dict[str, Any]:
        """A copy of the table at ``path``, empty if it is absent; notes an error if it is none."""
        node: Any = self.tree
        for depth, key in enumerate(path, 1):
            node = node.get(key, {})
            if not isinstance(node, dict):
                self.wrong("COVET-CONFIG-VALUE", path[:depth], reason="must be a table")
                return {}
        return dict(node)

    def source(self, path: KeyPath) -> str:
        """Where the value at ``path`` came from, or that of the nearest key inside or around it."""
        for length in range(len(path), 0, -1):
            for known, history in self.history.items():
                if known[:length] == path[:length]:
                    return history[-1][0]
        return ""

    def wrong(self, code: str, path: KeyPath, **fields: Any) -> None:
        """Note an error about the key at ``path``."""
        place, key = self.source(path), ".".join(path)
        self.errors.append(ConfigurationError.of(code, place=place, key=key, **fields))

    def validate(self, model: type[M], values: dict[str, Any], path: KeyPath) -> M | None:
        """Make a ``model``; on failure note one error a key. Values are never shown."""
        from pydantic import ValidationError

        if not values and model.model_config.get("defer_build"):
            return model.model_construct()
        try:
            return model.model_validate(values)
        except ValidationError as error:
            for item in error.errors(include_url=False, include_context=False, include_input=False):
                key = (*path, *(str(part) for part in item["loc"]))
                if item["type"] == "extra_forbidden":
                    fields = sorted(model.model_fields) if len(key) == len(path) + 1 else ()
                    self.wrong("COVET-CONFIG-KEY", key, valid=fields, given=key[-1])
                else:
                    self.wrong("COVET-CONFIG-VALUE", key, reason=item["msg"])
            return None

    def _known(self, segments: KeyPath) -> Iterator[str]:
        """Match the upper-case words of a variable's name with the keys that are there."""
        node: Any = self.tree
        for segment in segments:
            keys = node if isinstance(node, dict) else {}
            alike = (key for key in keys if re.sub(r"\W", "_", key).upper() == segment.upper())
            key = next(alike, segment.lower())
            yield key
            node = keys.get(key)


_UNREADABLE = (ValueError, RecursionError)
"""What `tomllib` raises: also of numbers with too many digits, and of nesting without end."""


def _parse(text: str) -> Any:
    """Strings stay strings, for the model to convert; lists and tables are written as in TOML."""
    try:
        return tomllib.loads(f"value = {text}")["value"] if text[:1] in ("[", "{") else text
    except _UNREADABLE:
        return text


def _path_of(line: str) -> KeyPath:
    """The keys that one line of TOML sets or opens, none if it is no such line."""
    path: list[str] = []
    try:
        node: Any = tomllib.loads(line)
    except _UNREADABLE:
        return ()
    while isinstance(node, dict) and node:
        key, node = next(iter(node.items()))
        path.append(key)
    return tuple(path)


def _lines_of(text: str) -> dict[KeyPath, int]:
    """The number of the line that sets each key or opens each table; the top is at the first."""
    table: KeyPath = ()
    lines = {table: 1}
    for number, line in enumerate(text.split("\n"), 1):
        if line.lstrip().startswith("["):
            # A line that opens no table goes on with a list.
            here = table = _path_of(line) or table
        else:
            key, equals, _ = line.partition("=")
            here = (*table, *_path_of(f"{key} = 0")) if equals else ()
        lines.setdefault(here, number)
    return lines
