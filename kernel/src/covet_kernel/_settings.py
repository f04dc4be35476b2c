"""``covet.toml``, the environment and ``--set`` merged; every value remembers where it came from."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
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
    """

    def __init__(self, directory: Path | None = None) -> None:
        self.directory = directory or Path.cwd()
        self.tree: dict[str, Any] = {}
        self.history: dict[KeyPath, list[tuple[str, Any]]] = {}
        self.errors: list[ConfigurationError] = []

    @classmethod
    def load(
        cls, path: Path | None, *, environ: Mapping[str, str] | None = None, overrides: Iterable[str] = ()
    ) -> Settings:
        """Read the file, then ``COVET_<TABLE>__<KEY>`` variables, then ``key.path=value`` overrides.

        Raises:
            ConfigurationError: The file cannot be read or is not TOML, or an override is malformed.
        """
        settings = cls(path.resolve().parent if path else None)
        if path:
            try:
                text = path.read_text("utf-8")
                settings.merge(tomllib.loads(text), lambda key: f"{path}:{_line_of(text, key)}")
            except (OSError, UnicodeDecodeError) as error:
                raise ConfigurationError(
                    "COVET-CONFIG-FILE",
                    f"cannot read {path}: {getattr(error, 'strerror', None) or error}.",
                    fix="Name the file with -c, or create a covet.toml here.",
                ) from error
            except tomllib.TOMLDecodeError as error:
                raise ConfigurationError("COVET-CONFIG-SYNTAX", f"not valid TOML: {error}.", place=str(path)) from error
        for name, value in sorted((environ or {}).items()):
            keys = tuple(name.removeprefix("COVET_").split("__"))
            if name.startswith("COVET_") and len(keys) > 1 and keys[0].lower() in TABLES:
                path_ = tuple(settings._known(keys))
                settings._put(path_, _parse(value), lambda _, name=name: f"environment {name}")
        for override in overrides:
            key, equals, value = override.partition("=")
            try:
                path_ = next(_leaves(tomllib.loads(f"{key} = 0")))[0]
            except (tomllib.TOMLDecodeError, StopIteration):
                path_ = ()
            if not equals or not path_:
                raise ConfigurationError(
                    "COVET-CONFIG-OVERRIDE", f"cannot read --set {override!r}.", fix="Write --set plugins.http.port=8123."
                )
            settings._put(path_, _parse(value), lambda _, key=key: f"--set {key}")
        settings.errors += [
            ConfigurationError(
                "COVET-CONFIG-KEY", f"unknown table {key!r}.", place=settings.source((key,)), valid=TABLES, given=key
            )
            for key in settings.tree
            if key not in TABLES
        ]
        return settings

    def merge(self, tree: Mapping[str, Any], source: Any) -> None:
        """Lay ``tree`` over what is there; ``source(key_path)`` says where a leaf came from."""
        for path, value in _leaves(tree):
            self._put(path, value, source)

    def table(self, *path: str) -> dict[str, Any]:
        """A copy of the table at ``path``, empty if it is absent; an error is noted if it is none."""
        node: Any = self.tree
        for depth, key in enumerate(path, 1):
            node = node.get(key, {})
            if not isinstance(node, dict):
                place, name = self.source(path[:depth]), ".".join(path[:depth])
                self.errors.append(ConfigurationError("COVET-CONFIG-VALUE", f"{name} must be a table.", place=place))
                return {}
        return dict(node)

    def source(self, path: KeyPath) -> str:
        """Where the value at ``path`` came from, or that of the nearest key around or inside it."""
        for length in range(len(path), 0, -1):
            for known, history in self.history.items():
                if known[:length] == path[:length]:
                    return history[-1][0]
        return ""

    def validate(self, model: type[M], values: dict[str, Any], path: KeyPath) -> M | None:
        """Make a ``model``; on failure note one error a key and return ``None``. Values are never shown."""
        from pydantic import ValidationError

        try:
            return model.model_validate(values)
        except ValidationError as error:
            for item in error.errors(include_url=False, include_context=False, include_input=False):
                key = (*path, *(str(part) for part in item["loc"]))
                name, extra = ".".join(key), item["type"] == "extra_forbidden"
                self.errors.append(
                    ConfigurationError(
                        "COVET-CONFIG-KEY" if extra else "COVET-CONFIG-VALUE",
                        f"{name}: unknown key." if extra else f"{name}: {item['msg']}.",
                        place=self.source(key),
                        valid=sorted(model.model_fields) if extra and len(key) == len(path) + 1 else (),
                        given=key[-1] if extra else "",
                    )
                )
            return None

    def _put(self, path: KeyPath, value: Any, source: Any) -> None:
        node = self.tree
        for key in path[:-1]:
            child = node.get(key)
            if not isinstance(child, dict):
                child = node[key] = {}
            node = child
        if isinstance(value, dict):
            node.setdefault(path[-1], {})
            for inner, leaf in value.items():
                self._put((*path, inner), leaf, source)
            if value:
                return
        else:
            node[path[-1]] = value
        self.history.setdefault(path, []).append((source(path), value))

    def _known(self, segments: KeyPath) -> Iterator[str]:
        """Match the upper-case words of a variable's name with the keys that are there."""
        node: Any = self.tree
        for segment in segments:
            keys = node if isinstance(node, dict) else {}
            key = next((key for key in keys if re.sub(r"\W", "_", key).upper() == segment.upper()), segment.lower())
            yield key
            node = keys.get(key)


def _leaves(tree: Mapping[str, Any], path: KeyPath = ()) -> Iterator[tuple[KeyPath, Any]]:
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, (*path, key))
        else:
            yield (*path, key), value


def _parse(text: str) -> Any:
    """Strings stay strings, for the model to convert; lists and tables are written as in TOML."""
    if text[:1] in ("[", "{"):
        try:
            return tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            return text
    return text


def _line_of(text: str, path: KeyPath) -> int:
    """The line that sets ``path``, else that of the nearest table around it."""
    table: KeyPath = ()
    best, depth = 1, 0
    for number, line in enumerate(text.splitlines(), 1):
        here: KeyPath = ()
        try:
            if line.lstrip().startswith("["):
                table = here = next(_leaves(tomllib.loads(line)))[0]
            elif "=" in line:
                here = table + next(_leaves(tomllib.loads(f"{line.partition('=')[0]} = 0")))[0]
        except (tomllib.TOMLDecodeError, StopIteration):
            continue
        if here == path[: len(here)] and len(here) > depth:
            best, depth = number, len(here)
    return best
