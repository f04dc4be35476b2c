"""Which tables a statement reads and writes, as far as its text tells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.scope import traverse_scope

from covet_sql.parse import parsed

ANY: Final = "*"
"""Every table, or nobody knows which."""

KNOWN = (exp.Query, exp.Values, exp.Insert, exp.Update, exp.Delete, exp.Merge)
"""Statements of which it is known what they touch."""
_EVERYTHING: Final = frozenset([ANY])


@dataclass(frozen=True)
class Touched:
    """The tables of a statement: last parts of their names, in lower case.

    Attributes:
        reads: What it reads; with `ANY`, possibly others.
        writes: What it writes; with `ANY`, possibly others, or the schema itself.
        locks: It locks the rows it reads, which a kept result would not.
    """

    reads: frozenset[str]
    writes: frozenset[str]
    locks: bool = False

    @property
    def may_be_kept(self) -> bool:
        """Whether its result can stand for running it."""
        return not (self.writes or self.locks)


def touched(text: str, dialect: str) -> Touched:
    """The tables of a statement.

    What cannot be read is taken to write everything: a function that writes looks like one that
    does not, so that those who call it from a ``SELECT`` have to say so themselves.

    Args:
        text: One statement, as a session takes it.
        dialect: The database's.
    """
    try:
        trees = parsed(text, dialect)
    except SqlglotError:
        return Touched(_EVERYTHING, _EVERYTHING)
    if len(trees) != 1:
        return Touched(_EVERYTHING, _EVERYTHING)
    (tree,) = trees
    if not isinstance(tree, KNOWN):
        return Touched(_EVERYTHING, _EVERYTHING)
    writes = {
        _name(node.this) for node in tree.find_all(exp.Insert, exp.Update, exp.Delete, exp.Merge)
    }
    # Deleting from several tables at once, as MySQL does; and a table made of a query.
    for node in tree.find_all(exp.Delete):
        writes |= {_name(each) for each in node.args.get("tables") or ()}
    if tree.find(exp.Into, exp.Command):
        writes.add(ANY)
    if isinstance(tree, exp.Update) and tree.args.get("from_") is None and tree.find(exp.Join):
        writes |= {_name(each) for each in tree.find_all(exp.Table)}
    return Touched(
        frozenset(_reads(tree)), frozenset(writes), locks=tree.find(exp.Lock) is not None
    )


def _name(node: exp.Expr | None) -> str:
    table = node if isinstance(node, exp.Table) else node.find(exp.Table) if node else None
    return (table.name.lower() if table is not None else "") or ANY


def _reads(tree: exp.Expr) -> set[str]:
    if tree.find(exp.Anonymous, exp.AnonymousAggFunc):
        return {ANY}  # a function may read whatever it likes
    mentioned = {_name(table) for table in tree.find_all(exp.Table)}
    named = {cte.alias.lower() for cte in tree.find_all(exp.CTE)}
    if not mentioned & named:
        return mentioned
    # A name that is a table's here may be one of the statement's own there.
    try:
        resolved = {
            _name(source)
            for scope in traverse_scope(tree)
            for source in scope.sources.values()
            if isinstance(source, exp.Table)
        }
    except SqlglotError:
        return {ANY}
    return (mentioned - named) | resolved
