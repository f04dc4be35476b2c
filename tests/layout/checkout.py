"""Reads a checkout: its distributions, their metadata and their sources. Never imports them."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
"""The checkout these tests belong to."""

KINDS = ("kernel", "plugins", "native", "contrib")
"""The folders that hold distributions; the kernel is one itself."""

PREFIX = "covet"
"""First word of every name, and the whole name of the metapackage."""

COMPANIONS = {"kernel": {"covet_cli"}}
"""Packages beside the one that is named for its folder: the command line, which nothing imports."""

IGNORED = {"__pycache__", "build", "dist", "node_modules"}


@dataclass(frozen=True)
class Source:
    """One Python file.

    Attributes:
        module: Its dotted name, ``"covet_http._routes"``; of a package, the package's.
        owner: Import name of the distribution whose folder holds it, ``""`` if none does.
    """

    path: Path
    module: str
    owner: str

    @cached_property
    def tree(self) -> ast.Module:
        """The file, parsed."""
        return ast.parse(self.path.read_text("utf-8"), str(self.path))

    @property
    def is_package(self) -> bool:
        """Whether it is an ``__init__.py``."""
        return self.path.name == "__init__.py"

    @cached_property
    def imports(self) -> list[tuple[str, str, int]]:
        """(module, imported name or ``""``, line), wherever in the file; relative ones resolved."""
        found = []
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                found += [(alias.name, "", node.lineno) for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                parts = self.module.split(".") if node.level else []
                parts = parts[: len(parts) - node.level + self.is_package]
                base = ".".join([*parts, node.module] if node.module else parts)
                found += [(base, alias.name, node.lineno) for alias in node.names]
        return found


@dataclass(frozen=True)
class Distribution:
    """One folder with a ``pyproject.toml``.

    Attributes:
        kind: ``"kernel"``, ``"plugins"``, ``"native"`` or ``"contrib"``.
        id: The one word: the folder's name.
        metadata: The parsed ``pyproject.toml``.
    """

    path: Path
    kind: str
    id: str
    metadata: Mapping[str, Any]

    @property
    def project(self) -> Mapping[str, Any]:
        """The ``[project]`` table."""
        table: Mapping[str, Any] = self.metadata.get("project", {})
        return table

    @property
    def is_metapackage(self) -> bool:
        """Whether it only names others: ``contrib/covet``, called like the prefix itself."""
        return self.kind == "contrib" and self.id == PREFIX

    @property
    def import_name(self) -> str:
        """What the one word makes of its import."""
        return f"{PREFIX}_{self.id}".replace("-", "_")

    @property
    def packages(self) -> set[str]:
        """Every package that belongs in ``src``."""
        if self.is_metapackage:
            return set()
        return {self.import_name} | COMPANIONS.get(self.kind, set())

    @property
    def requirements(self) -> dict[str, str]:
        """Every requirement, extras included: name to the rest of its line."""
        lines = list(self.project.get("dependencies", []))
        for extra in self.project.get("optional-dependencies", {}).values():
            lines += extra
        return dict(split_requirement(line) for line in lines)

    def sources(self, folder: str = "src") -> Iterator[Source]:
        """The Python files below ``src``, or below another folder of the distribution."""
        base = self.path / folder
        for path in python_files(base):
            parts = path.relative_to(base).with_suffix("").parts
            module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            yield Source(path, module, self.import_name)


def split_requirement(line: str) -> tuple[str, str]:
    """``"covet-kernel[trio]>=0.1,<0.2"`` as name and version range."""
    match = re.match(r"\s*([\w.-]+)\s*(?:\[[^]]*\])?\s*([^;]*)", line)
    assert match, line
    return match[1], match[2].strip()


def files(root: Path) -> Iterator[Path]:
    """Every file that belongs to the checkout: caches, environments and builds left out."""
    for path in sorted(root.iterdir()):
        if path.is_dir() and path.name not in IGNORED:
            if not path.name.startswith(".") or path.name == ".ci":
                yield from files(path)
        elif path.is_file() and path.name != ".git":  # a file in a worktree
            yield path


def python_files(root: Path) -> Iterator[Path]:
    """Every Python file below a folder, which need not exist."""
    return (path for path in (files(root) if root.is_dir() else ()) if path.suffix == ".py")


def distributions(root: Path) -> list[Distribution]:
    """Every distribution: ``kernel`` itself, and each folder of the other kinds."""
    found = []
    for kind in KINDS:
        folders = [root / kind] if kind == "kernel" else sorted((root / kind).glob("*/"))
        for folder in folders:
            if (folder / "pyproject.toml").is_file():
                metadata = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))
                found.append(Distribution(folder, kind, folder.name, metadata))
    return found


def all_sources(root: Path) -> Iterator[Source]:
    """Every Python file of the checkout, also tests and examples, with its owner."""
    known = distributions(root)
    claimed = set()
    for each in known:
        for source in each.sources():
            claimed.add(source.path)
            yield source
    for path in python_files(root):
        if path not in claimed:
            owners = [each.import_name for each in known if path.is_relative_to(each.path)]
            yield Source(path, path.stem, owners[0] if owners else "")


def expect_none(found: Iterable[str]) -> None:
    """Fail with one line for each thing found."""
    lines = list(found)
    assert not lines, "\n".join(["", *lines])


def plant(root: Path, tree: Mapping[str, str]) -> Path:
    """Write a small checkout for a test, file name to text; gives ``root``."""
    for name, text in tree.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return root


def manifest(name: str, *requirements: str, plugin: str = "", version: str = "0.1.0") -> str:
    """The text of a ``pyproject.toml``, for `plant`; ``plugin`` is ``"id = module:Class"``."""
    left, _, right = plugin.partition("=")
    entry = (
        f'[project.entry-points."covet.plugins"]\n{left} = "{right.strip()}"\n' if plugin else ""
    )
    return (
        f'[project]\nname = "{name}"\nversion = "{version}"\nrequires-python = ">=3.11"\n'
        f'license = "Apache-2.0"\ndependencies = {list(requirements)!r}\n{entry}'
    )
