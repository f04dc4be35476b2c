"""Many revisions become one, which does what they did, in their own words."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from covet_kernel import ConfigurationError
from covet_migrations._revisions import IDENTIFIERS, Revision, Revisions, assigned
from covet_migrations._sources import Source

WAYS = ("upgrade", "downgrade")


def squash(revisions: Revisions, source: Source, message: str) -> tuple[Path, list[Path]]:
    """Write one revision in place of all of a source, and remove those.

    It keeps the identifier of the newest, so a database that has that one notices nothing. One that
    is somewhere before has to be upgraded by the version of the service that still has the others.

    Args:
        revisions: Of all sources.
        source: Whose to squash.
        message: What the new one is for.

    Returns:
        The new file, and those that are gone.

    Raises:
        ConfigurationError: They are no line, another source needs one of them, or two of them define
            the same name.
    """
    line = _line(revisions, source)
    ids = {each.id for each in line}
    others = [each for each in revisions.by_id.values() if each.id not in ids]
    for each in others:
        if needed := ids.difference({line[-1].id}).intersection((*each.needs, *each.down)):
            raise _refused(source, f"{each.path} stands on {needed.pop()!r}, which would be gone")
    text = _joined(source, line, message)
    new = line[-1].path.with_name(
        f"{line[-1].path.stem.partition('_')[0]}_{line[-1].id}_squashed.py"
    )
    part = new.with_suffix(".part")
    part.write_text(text, "utf-8")
    part.replace(new)
    gone = [each.path for each in line if each.path != new]
    for path in gone:
        path.unlink()
    return new, gone


def _line(revisions: Revisions, source: Source) -> list[Revision]:
    """The revisions of a source, the oldest first."""
    own = {each.id: each for each in revisions.by_id.values() if each.source == source.name}
    if len(own) < 2:
        raise _refused(source, f"there {'is' if own else 'are'} {len(own) or 'no'} revision")
    tips = revisions.tips(source.name)
    if len(tips) > 1:
        raise _refused(source, f"there are {len(tips)} newest revisions")
    line = [tips[0]]
    while line[-1].down:
        if len(line[-1].down) > 1 or line[-1].down[0] not in own:
            raise _refused(source, f"{line[-1].path.name} joins branches, and this takes one line")
        line.append(own[line[-1].down[0]])
    if len(line) != len(own):
        raise _refused(source, "they are not one line")
    return line[::-1]


def _joined(source: Source, line: list[Revision], message: str) -> str:
    imports: dict[str, None] = {}
    owners: dict[str, Revision] = {}
    bodies: list[str] = []
    # The newest is in the names, so what is squashed again finds other names inside.
    newest = re.sub(r"\W", "_", line[-1].id)
    for position, each in enumerate(line, 1):
        kept, found = _parts(each, f"{newest}_{position}")
        imports.update(dict.fromkeys(found))
        for name in _defined(ast.parse(kept)):
            if name in owners:
                raise _refused(
                    source, f"{owners[name].path.name} and {each.path.name} both define {name!r}"
                )
            owners[name] = each
        bodies.append(f"# {each.id}: {each.title}\n{kept.strip()}\n")
    needs = tuple(dict.fromkeys(name for each in line for name in each.needs))
    calls = {
        "upgrade": range(1, len(line) + 1),
        "downgrade": range(len(line), 0, -1),
    }
    functions = [
        "\n".join(
            [f"def {way}() -> None:", *(f"    {way}_{newest}_{number}()" for number in calls[way])]
        )
        for way in WAYS
    ]
    head = [
        f"{' '.join(message.split()) + '.'!r}",
        "\n".join(sorted(imports, key=lambda line: "__future__" not in line)),
        (
            f"revision = {line[-1].id!r}\ndown_revision = None\n"
            f"branch_labels = {line[0].labels or None!r}\ndepends_on = {needs or None!r}"
        ),
    ]
    return (
        "\n\n".join(head)
        + "\n\n\n"
        + "\n\n".join(bodies)
        + "\n\n"
        + "\n\n\n".join(functions)
        + "\n"
    )


def _parts(each: Revision, number: str) -> tuple[str, list[str]]:
    """A file's text with its two functions numbered, and without its imports and identifiers."""
    tree, lines = ast.parse(each.text), each.text.splitlines(keepends=True)
    imports: list[str] = []
    for position, node in enumerate(tree.body):
        first, last = node.lineno - 1, node.end_lineno or node.lineno
        docstring = (
            position == 0 and isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        )
        if isinstance(node, ast.Import | ast.ImportFrom):
            imports.append("".join(lines[first:last]).strip())
        elif isinstance(node, ast.FunctionDef) and node.name in WAYS:
            lines[first] = lines[first].replace(node.name, f"{node.name}_{number}", 1)
            continue
        elif not docstring and assigned(node) not in IDENTIFIERS:
            continue
        lines[first:last] = [""] * (last - first)
    return "".join(lines), imports


def _defined(tree: ast.Module) -> set[str]:
    """The names that a module's own statements define."""
    found = {assigned(node) for node in tree.body}
    found |= {
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    }
    return found - {""}


def _refused(source: Source, problem: str) -> ConfigurationError:
    return ConfigurationError(
        "COVET-MIGRATION-SQUASH",
        f"the migrations of {source.name} cannot be squashed: {problem}.",
        place=str(source.path),
        fix="Nothing was changed.",
    )
