"""Conditions that no index serves, or that mean something else than they seem to."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta

from sqlglot import exp

from covet_sql.lint._finding import Finding, Rewrite, Source
from covet_sql.lint._rules import found
from covet_sql.lint._tree import COMPARISONS, Statement, enclosing, is_value, sources, table_of

MIRRORED: dict[type[exp.Binary], type[exp.Binary]] = {
    exp.GT: exp.LT,
    exp.GTE: exp.LTE,
    exp.LT: exp.GT,
    exp.LTE: exp.GTE,
}


def filters(statement: Statement, source: Source) -> Iterator[Finding]:
    """Findings in the conditions of a statement."""
    for node in _conditions(statement.tree):
        if isinstance(node, exp.Like | exp.ILike):
            yield from _wildcard(node, source)
        elif isinstance(node, exp.In) and node.args.get("query") is not None:
            yield from _not_in(statement, node, source)
        if isinstance(node, (*COMPARISONS, exp.Like, exp.ILike, exp.In, exp.Between)):
            yield from _function(statement, node, source)
        if isinstance(node, exp.EQ):
            yield from _implicit(statement, node, source)


def _conditions(tree: exp.Expr) -> Iterator[exp.Expr]:
    """Whatever stands in a condition, inside subqueries of it too, each node once."""
    seen: set[int] = set()
    roots = [where.this for where in tree.find_all(exp.Where)]
    roots += [join.args["on"] for join in tree.find_all(exp.Join) if join.args.get("on")]
    for root in roots:
        for node in root.walk():
            if id(node) not in seen:
                seen.add(id(node))
                yield node


def _wildcard(node: exp.Expr, source: Source) -> Iterator[Finding]:
    pattern = node.expression
    if isinstance(pattern, exp.Literal) and pattern.name[:1] in ("%", "_"):
        yield found(
            "leading-wildcard",
            source,
            "search words with a full-text index, parts of words with one of trigrams, endings with"
            " an index of the reversed text",
        )


def _not_in(statement: Statement, node: exp.In, source: Source) -> Iterator[Finding]:
    negation = node.parent
    while isinstance(negation, exp.Paren):
        negation = negation.parent
    query = node.args["query"].unnest()
    if not isinstance(negation, exp.Not) or not isinstance(query, exp.Select):
        return
    if len(query.expressions) != 1:
        return
    inner = query.expressions[0].unalias()
    if _never_null(statement, query, inner):
        return
    yield found(
        "not-in-nullable",
        source,
        "ask for what does not exist",
        _not_exists(statement, negation, node, query, inner),
    )


def _never_null(statement: Statement, query: exp.Select, inner: exp.Expr) -> bool:
    if not isinstance(inner, exp.Column):
        return isinstance(inner, exp.Literal)
    column = statement.schema.column(table_of(query, inner), inner.name)
    if column is not None and not column.nullable:
        return True
    where = query.args.get("where")
    return where is not None and any(
        isinstance(each.this, exp.Is)
        and isinstance(each.this.expression, exp.Null)
        and each.this.this == inner
        for each in where.find_all(exp.Not)
    )


def _not_exists(
    statement: Statement, negation: exp.Not, node: exp.In, query: exp.Select, inner: exp.Expr
) -> Rewrite | None:
    outer, around = node.this, enclosing(negation)
    if not (isinstance(inner, exp.Column) and isinstance(outer, exp.Column)):
        return None
    if any(query.args.get(each) for each in ("group", "having", "limit", "offset", "distinct")):
        return None
    # Both names have to say which table they are of, or the inner one hides the outer one.
    if around is None or not (table_of(query, inner) and table_of(around, outer)):
        return None
    kept, hidden = _qualified(query, inner), _qualified(around, outer)
    if hidden.table.lower() == kept.table.lower():
        return None
    changed = query.copy()
    changed.set("expressions", [exp.Literal.number(1)])
    changed = changed.where(exp.EQ(this=kept, expression=hidden))
    tree = _replaced(statement.tree, negation, exp.Not(this=exp.Exists(this=changed)))
    return Rewrite(statement.sql(tree), "where neither side is NULL")


def _qualified(select: exp.Expr, column: exp.Column) -> exp.Column:
    made = column.copy()
    if not made.table:
        (name,) = sources(select)
        made.set("table", exp.to_identifier(name))
    return made


def _function(statement: Statement, node: exp.Expr, source: Source) -> Iterator[Finding]:
    for side, others in _sides(node):
        if not all(is_value(other) for other in others) or isinstance(side, exp.Column):
            continue
        if side.find(exp.Query, exp.AggFunc, exp.Case) or not _is_made(side):
            continue
        columns = list(side.find_all(exp.Column))
        if len(columns) != 1:
            continue
        yield found(
            "function-on-column",
            source,
            f"compare {columns[0].sql()} itself, or make an index of {statement.sql(side)}",
            _unwrapped(statement, node, side, columns[0]),
        )


def _sides(node: exp.Expr) -> Iterator[tuple[exp.Expr, list[exp.Expr | None]]]:
    if isinstance(node, exp.In):
        if node.args.get("query") is None:
            yield node.this.unnest(), list(node.expressions)
    elif isinstance(node, exp.Between):
        yield node.this.unnest(), [node.args["low"], node.args["high"]]
    elif isinstance(node, exp.Binary):
        yield node.left.unnest(), [node.right]
        yield node.right.unnest(), [node.left]


def _is_made(node: exp.Expr) -> bool:
    return isinstance(node, exp.Func | exp.Cast | exp.Add | exp.Sub | exp.Mul | exp.Div | exp.DPipe)


def _unwrapped(
    statement: Statement, node: exp.Expr, side: exp.Expr, column: exp.Column
) -> Rewrite | None:
    if not (isinstance(node, exp.Binary) and isinstance(node, COMPARISONS)):
        return None
    value = node.right if node.left.unnest() is side else node.left
    if isinstance(side, exp.Binary) and isinstance(side, exp.Add | exp.Sub):
        return _moved(statement, node, side, column, value)
    if isinstance(node, exp.EQ) and (day := _day(side, value)) is not None:
        low, high = exp.Literal.string(str(day)), exp.Literal.string(str(day + timedelta(1)))
        made = exp.and_(
            exp.GTE(this=column.copy(), expression=low), exp.LT(this=column.copy(), expression=high)
        )
        tree = _replaced(statement.tree, node, exp.paren(made))
        return Rewrite(statement.sql(tree), "where the column has times, written as ISO 8601 says")
    return None


def _day(side: exp.Expr, value: exp.Expr) -> date | None:
    is_date = isinstance(side, exp.Date | exp.TsOrDsToDate) or (
        isinstance(side, exp.Cast) and side.to.is_type("date")
    )
    if isinstance(side, exp.Anonymous) and side.name.upper() == "DATE":
        is_date = len(side.expressions) == 1
    if isinstance(value, exp.Cast):
        value = value.this
    if not is_date or not (isinstance(value, exp.Literal) and value.is_string):
        return None
    try:
        return date.fromisoformat(value.name)
    except ValueError:
        return None


def _moved(
    statement: Statement, node: exp.Binary, side: exp.Binary, column: exp.Column, value: exp.Expr
) -> Rewrite | None:
    """``a + 1 < 5`` as ``a < 4``, for whole numbers."""
    if side.left is not column or not (_whole(side.right) and _whole(value)):
        return None
    by = int(side.right.name) * (1 if isinstance(side, exp.Add) else -1)
    kind = type(node)
    if node.left.unnest() is not side:
        kind = MIRRORED.get(kind, kind)
    number = int(value.name) - by
    literal: exp.Expr = exp.Literal.number(abs(number))
    made = kind(this=column.copy(), expression=exp.Neg(this=literal) if number < 0 else literal)
    tree = _replaced(statement.tree, node, made)
    return Rewrite(statement.sql(tree), "where the column has whole numbers")


def _whole(node: exp.Expr) -> bool:
    return isinstance(node, exp.Literal) and not node.is_string and node.name.isdigit()


def _implicit(statement: Statement, node: exp.EQ, source: Source) -> Iterator[Finding]:
    for column, value in ((node.left, node.right), (node.right, node.left)):
        around = enclosing(node)
        if not isinstance(column, exp.Column) or around is None:
            continue
        if not isinstance(value, exp.Literal) or value.is_string:
            continue
        known = statement.schema.column(table_of(around, column), column.name)
        if known is not None and known.is_text:
            tree = _replaced(statement.tree, value, exp.Literal.string(value.name))
            yield found(
                "implicit-cast",
                source,
                f"compare {column.sql()}, which is {known.kind}, with a text",
                Rewrite(statement.sql(tree), "where the numbers in it are written the same way"),
            )


def _replaced(tree: exp.Expr, old: exp.Expr, new: exp.Expr) -> exp.Expr:
    """A copy of a tree in which one node is another."""
    # Nodes are found again in the copy by the way that leads to them.
    way: list[tuple[str, int | None]] = []
    node = old
    while node is not tree:
        assert node.parent is not None
        assert node.arg_key is not None
        way.append((node.arg_key, node.index))
        node = node.parent
    copy = tree.copy()
    place: exp.Expr = copy
    for key, index in reversed(way):
        inner = place.args[key]
        place = inner if index is None else inner[index]
    place.replace(new)
    return copy
