"""The graph of revisions, read from the files without running them.

Alembic imports every file and itself. A start that has nothing to migrate needs to know only which
revisions there are.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path

from covet_kernel import ConfigurationError
from covet_kernel.contracts import Record
from covet_migrations._sources import Source

IDENTIFIERS = ("revision", "down_revision", "branch_labels", "depends_on")


class Revision(Record):
    """One file of a source.

    Attributes:
        down: The revisions it stands on.
        needs: Revisions of other sources that come first.
        labels: Names for its branch.
        text: The file.
    """

    id: str
    source: str
    path: Path
    title: str
    down: tuple[str, ...]
    needs: tuple[str, ...]
    labels: tuple[str, ...]
    text: str


class Revisions:
    """Every revision of a database's sources.

    Raises:
        ConfigurationError: A file cannot be read, or stands on what is not there.
    """

    def __init__(self, sources: Sequence[Source]) -> None:
        self.by_id: dict[str, Revision] = {}
        for source in sources:
            for each in _of(source):
                if (other := self.by_id.get(each.id)) is not None:
                    raise _wrong(each.path, f"{other.path} has the revision {each.id!r} as well")
                self.by_id[each.id] = each
        labels = {name: each.id for each in self.by_id.values() for name in each.labels}
        for each in self.by_id.values():
            for name in (*each.down, *each.needs):
                if name not in self.by_id and name not in labels:
                    raise _wrong(
                        each.path, f"it stands on the revision {name!r}, which is not there"
                    )

    @cached_property
    def heads(self) -> frozenset[str] | None:
        """What the database's version table holds when all are applied.

        ``None`` if a dependency is given by a label, which only Alembic resolves.
        """
        below = {name for each in self.by_id.values() for name in (*each.down, *each.needs)}
        return None if below - self.by_id.keys() else frozenset(self.by_id.keys() - below)

    def tips(self, source: str) -> list[Revision]:
        """The revisions of a source that no other one of it stands on."""
        own = [each for each in self.by_id.values() if each.source == source]
        below = {name for each in own for name in each.down}
        return sorted((each for each in own if each.id not in below), key=lambda each: each.id)

    def applied(self, heads: Iterable[str]) -> set[str]:
        """The revisions that a database with these in its version table has."""
        found: set[str] = set()
        waiting = [name for name in heads if name in self.by_id]
        while waiting:
            name = waiting.pop()
            if name not in found:
                found.add(name)
                each = self.by_id[name]
                waiting += (below for below in (*each.down, *each.needs) if below in self.by_id)
        return found

    def unknown(self, heads: Iterable[str]) -> list[str]:
        """Which of these no file has."""
        return sorted(set(heads) - self.by_id.keys())


def _of(source: Source) -> Iterator[Revision]:
    for path in sorted(source.path.glob("*.py")):
        if path.name == "__init__.py":
            continue
        try:
            text = path.read_text("utf-8")
            tree = ast.parse(text, str(path))
        except (OSError, SyntaxError, ValueError) as error:
            raise _wrong(path, str(error)) from error
        values = dict.fromkeys(IDENTIFIERS) | dict(_identifiers(path, tree))
        if not isinstance(values["revision"], str) or "down_revision" not in _names(tree):
            raise _wrong(path, "it does not say revision and down_revision")
        yield Revision(
            id=values["revision"],
            source=source.name,
            path=path,
            title=(ast.get_docstring(tree) or "").partition("\n")[0].rstrip("."),
            down=_tuple(values["down_revision"]),
            needs=_tuple(values["depends_on"]),
            labels=_tuple(values["branch_labels"]),
            text=text,
        )


def assigned(node: ast.stmt) -> str:
    """The one name that a statement assigns to, or ``""``."""
    if isinstance(node, ast.Assign) and len(node.targets) == 1:
        target: ast.expr = node.targets[0]
    elif isinstance(node, ast.AnnAssign) and node.value is not None:
        target = node.target
    else:
        return ""
    return target.id if isinstance(target, ast.Name) else ""


def _names(tree: ast.Module) -> set[str]:
    return {assigned(node) for node in tree.body}


def _identifiers(path: Path, tree: ast.Module) -> Iterator[tuple[str, object]]:
    for node in tree.body:
        name = assigned(node)
        if name in IDENTIFIERS and isinstance(node, (ast.Assign, ast.AnnAssign)):
            assert node.value is not None
            try:
                yield name, ast.literal_eval(node.value)
            except ValueError:
                raise _wrong(path, f"{name} is not written out") from None


def _tuple(value: object) -> tuple[str, ...]:
    if value is None:
        return ()
    return (value,) if isinstance(value, str) else tuple(value)  # type: ignore[arg-type]


def _wrong(path: Path, problem: str) -> ConfigurationError:
    return ConfigurationError(
        "COVET-MIGRATION-SCRIPT",
        f"the revision {path.name!r} cannot be used: {problem}.",
        place=str(path),
        fix="Correct the file, or restore it as it was.",
    )
