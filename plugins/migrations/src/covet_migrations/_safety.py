"""What a migration's statements do to a database that is in use, read before they run.

The rules are PostgreSQL's, which locks, rewrites and checks tables as each of its versions since 11
does. Of other databases only what destroys data is told.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal, TypeAlias

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from covet_kernel.contracts import Record

Kind: TypeAlias = Literal["breaks", "destructive", "fails", "lock", "rewrite", "unread"]

DIALECTS = {"postgresql": "postgres", "sqlite": "sqlite", "mysql": "mysql"}
ALLOWED = re.compile(r"#\s*covet:\s*allow\s+([a-z, ]+)")
VOLATILE = re.compile(
    r"\b(random|clock_timestamp|gen_random_uuid|uuid\w*|nextval|timeofday)\b", re.IGNORECASE
)
"""Functions that give each row another value, so that every row has to be written."""

ONLINE_INDEX = (
    "with op.get_context().autocommit_block(): op.create_index(..., postgresql_concurrently=True)"
)


class Finding(Record):
    """Something a migration does that people will notice.

    Attributes:
        revision: Whose, ``""`` where it is not known.
        kind: ``"lock"``: others wait for it; ``"rewrite"``: and as long as it takes to write the
            table; ``"destructive"``: data is gone; ``"breaks"``: the version of the service that
            still runs fails; ``"fails"``: it cannot succeed, or not with rows in the table;
            ``"unread"``: the statement was not understood.
        statement: The SQL, one line.
        problem: What happens.
        instead: How to do it while the service runs.
    """

    revision: str
    kind: Kind
    statement: str
    problem: str
    instead: str


Told: TypeAlias = tuple[Kind, str, str]


def lint(statements: Iterable[tuple[str, str]], dialect: str) -> list[Finding]:
    """What is to be known before these statements run.

    Args:
        statements: The revision and the text of each, in the order in which they would run.
        dialect: As databases call theirs.
    """
    reader = _Reader(dialect)
    with _quiet():
        return [
            Finding(
                revision=revision,
                kind=kind,
                statement=" ".join(text.split()).rstrip(";"),
                problem=problem,
                instead=instead,
            )
            for revision, text in statements
            for kind, problem, instead in reader.read(text)
        ]


def allowed(text: str) -> set[str]:
    """The kinds that a revision's file says are meant: ``# covet: allow lock, destructive``."""
    return {word for match in ALLOWED.finditer(text) for word in re.findall(r"[a-z]+", match[1])}


@contextmanager
def _quiet() -> Iterator[None]:
    # It warns of every statement that it keeps as text, which is seen to here.
    log = logging.getLogger("sqlglot")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(before)


class _Reader:
    """Reads statements in their order: what was made on the way has no rows, and nobody uses it."""

    def __init__(self, dialect: str) -> None:
        self._dialect = DIALECTS.get(dialect, "")
        self._new: set[str] = set()
        self._checked: set[str] = set()
        self._in_transaction = False

    def read(self, text: str) -> list[Told]:
        sql = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("--"))
        sql = sql.strip().rstrip(";")
        word = sql.upper()
        if word in ("BEGIN", "COMMIT"):
            self._in_transaction = word == "BEGIN"
            return []
        if not sql:
            return []
        try:
            tree = sqlglot.parse_one(sql, dialect=self._dialect)
        except SqlglotError:
            return [("unread", "nothing can be told of this statement", "Read it with care.")]
        found = list(self._any(tree))
        if self._dialect == "postgres":
            found += self._postgres(tree, sql)
        return found

    def _is_new(self, table: Any) -> bool:
        return isinstance(table, exp.Expression) and _name(table) in self._new

    def _any(self, tree: Any) -> Iterator[Told]:
        """What holds on every database."""
        if isinstance(tree, exp.Drop) and tree.args.get("kind") in ("TABLE", "SCHEMA", "DATABASE"):
            for table in tree.args.get("tables") or [tree.this]:
                if not self._is_new(table):
                    yield (
                        "destructive",
                        f"{_name(table)} is gone with all its rows, and whoever still uses it fails",
                        "First release a version that does not use it; rename or dump it, and drop it later.",
                    )
        elif isinstance(tree, exp.TruncateTable):
            yield (
                "destructive",
                "all rows are gone",
                "Delete in small batches, outside of migrations.",
            )
        elif isinstance(tree, exp.Delete | exp.Update) and not tree.args.get("where"):
            table, verb = tree.this, "deletes" if isinstance(tree, exp.Delete) else "changes"
            if not self._is_new(table):
                yield (
                    "destructive" if verb == "deletes" else "lock",
                    f"it {verb} every row of {_name(table)} in one transaction",
                    "Do it in batches by key, each in a transaction of its own.",
                )
        elif isinstance(tree, exp.Alter) and not self._is_new(tree.this):
            for action in tree.args.get("actions") or ():
                if isinstance(action, exp.Drop) and action.args.get("kind") in (None, "COLUMN"):
                    yield (
                        "destructive",
                        (
                            f"a column of {_name(tree.this)} is gone with what is in it, and whoever"
                            " still names it fails"
                        ),
                        "First release a version that does not use it; drop it in the next.",
                    )
                elif isinstance(action, exp.RenameColumn | exp.AlterRename):
                    yield (
                        "breaks",
                        "the version of the service that still runs knows the old name only",
                        (
                            "Add the new one, write both, copy, release, drop the old one; or keep a view"
                            " of the old name."
                        ),
                    )
        elif isinstance(tree, exp.Create) and tree.args.get("kind") == "TABLE":
            made = tree.this.this if isinstance(tree.this, exp.Schema) else tree.this
            self._new.add(_name(made))

    def _postgres(self, tree: Any, sql: str) -> Iterator[Told]:
        if isinstance(tree, exp.Create) and tree.args.get("kind") == "INDEX":
            yield from self._index(tree)
        elif isinstance(tree, exp.Drop) and tree.args.get("kind") == "INDEX":
            if not tree.args.get("concurrently"):
                yield (
                    "lock",
                    "everybody who uses the table waits while the index is dropped",
                    (
                        "with op.get_context().autocommit_block(): op.drop_index(...,"
                        " postgresql_concurrently=True)"
                    ),
                )
            elif self._in_transaction:
                yield _no_transaction()
        elif isinstance(tree, exp.Alter) and not self._is_new(tree.this):
            for action in tree.args.get("actions") or ():
                yield from self._action(tree, action)
        elif isinstance(tree, exp.Command):
            yield from self._text(" ".join(sql.split()))

    def _index(self, tree: Any) -> Iterator[Told]:
        table = tree.this.args.get("table")
        if tree.args.get("concurrently"):
            if self._in_transaction:
                yield _no_transaction()
        elif table is not None and not self._is_new(table):
            yield (
                "lock",
                f"nobody can write to {_name(table)} while the index is built",
                ONLINE_INDEX,
            )

    def _action(self, tree: Any, action: Any) -> Iterator[Told]:
        table = _name(tree.this)
        if isinstance(action, exp.ColumnDef):
            yield from _added(table, action)
        elif isinstance(action, exp.AlterColumn):
            if action.args.get("dtype") is not None:
                yield (
                    "rewrite",
                    (
                        f"{table} is written anew, and nobody can read it meanwhile, unless the new type"
                        " is only a wider text"
                    ),
                    "Add a column of the new type, write both, copy in batches, and switch.",
                )
            elif action.args.get("allow_null") is False and table not in self._checked:
                yield (
                    "lock",
                    f"every row of {table} is looked at, and nobody can read it meanwhile",
                    (
                        "ADD CONSTRAINT ... CHECK (column IS NOT NULL) NOT VALID, then VALIDATE CONSTRAINT,"
                        " then SET NOT NULL, which then looks at no row."
                    ),
                )
        elif isinstance(action, exp.AddConstraint):
            for part in action.expressions:
                yield from _constraint(table, part, valid=not tree.args.get("not_valid"))
        elif not isinstance(action, exp.Drop | exp.RenameColumn | exp.AlterRename):
            yield _unread(table)

    def _text(self, sql: str) -> Iterator[Told]:
        """Statements that are not taken apart."""
        if match := re.match(
            r"ALTER TABLE (?:ONLY )?(\S+) VALIDATE CONSTRAINT\b", sql, re.IGNORECASE
        ):
            self._checked.add(match[1].replace('"', ""))
        elif match := re.match(
            r"ALTER TABLE (?:ONLY )?(?:IF EXISTS )?(\S+) (.*)", sql, re.IGNORECASE
        ):
            rest, table = match[2].upper(), match[1].replace('"', "")
            if table in self._new or re.search(r"\bNOT VALID$|\bUSING INDEX\b", rest):
                return
            if re.search(r"\bADD\b.*\b(EXCLUDE|UNIQUE|PRIMARY KEY)\b", rest):
                yield _key(table)
            elif "SET SCHEMA" in rest:
                yield (
                    "breaks",
                    "the version of the service that still runs looks for it in the old schema",
                    "Keep a view of the old name until nobody uses it.",
                )
            else:
                yield _unread(table)
        elif re.match(
            r"(VACUUM\b.*\bFULL|CLUSTER|REINDEX(?!.*\bCONCURRENTLY))\b", sql, re.IGNORECASE
        ):
            yield (
                "rewrite",
                "nobody can use the table while it is written anew",
                "REINDEX CONCURRENTLY, or a tool that repacks tables online, outside of migrations.",
            )
        elif re.match(r"LOCK\b", sql, re.IGNORECASE):
            yield (
                "lock",
                "others wait until the transaction ends",
                "Leave it to the statement that needs it.",
            )


def _name(table: Any) -> str:
    """A table's name as it is compared: without quotes, with its schema if there is one."""
    parts = [each.name for each in (table.args.get("db"), table) if each is not None]
    return ".".join(part for part in parts if part)


def _no_transaction() -> Told:
    return (
        "fails",
        "CONCURRENTLY is refused inside of a transaction",
        "Put it into: with op.get_context().autocommit_block():",
    )


def _unread(table: str) -> Told:
    return (
        "unread",
        f"it takes a lock on {table}, and how long is not known here",
        "Read what PostgreSQL's manual says of this form of ALTER TABLE.",
    )


def _key(table: str) -> Told:
    return (
        "lock",
        f"nobody can read or write {table} while the index behind the constraint is built",
        f"{ONLINE_INDEX}, then ALTER TABLE ... ADD CONSTRAINT ... UNIQUE USING INDEX ...",
    )


def _constraint(table: str, part: Any, *, valid: bool) -> Iterator[Told]:
    kinds: Sequence[Any] = part.expressions if isinstance(part, exp.Constraint) else [part]
    for kind in kinds:
        if isinstance(kind, exp.ForeignKey) and valid:
            yield (
                "lock",
                f"nobody can write to {table}, nor to the table it refers to, while every row is checked",
                (
                    "op.create_foreign_key(..., postgresql_not_valid=True), and in the next revision"
                    " ALTER TABLE ... VALIDATE CONSTRAINT ..."
                ),
            )
        elif isinstance(kind, exp.CheckColumnConstraint | exp.Check) and valid:
            yield (
                "lock",
                f"nobody can read {table} while every row is checked",
                "ADD CONSTRAINT ... CHECK (...) NOT VALID, then VALIDATE CONSTRAINT in the next revision.",
            )
        elif isinstance(kind, exp.UniqueColumnConstraint | exp.PrimaryKey):
            yield _key(table)


def _added(table: str, column: Any) -> Iterator[Told]:
    kinds = [each.args.get("kind") for each in column.args.get("constraints") or ()]
    default = next((k for k in kinds if isinstance(k, exp.DefaultColumnConstraint)), None)
    made = any(
        isinstance(k, exp.ComputedColumnConstraint | exp.GeneratedAsIdentityColumnConstraint)
        for k in kinds
    )
    serial = "SERIAL" in str(column.args.get("kind")).upper()
    uuid = default is not None and isinstance(default.this, exp.Uuid | exp.Rand)
    volatile = default is not None and VOLATILE.search(default.sql(dialect="postgres"))
    if made or serial or uuid or volatile:
        yield (
            "rewrite",
            (
                f"every row of {table} gets a value of its own, so it is written anew, and nobody can"
                " read it meanwhile"
            ),
            "Add the column without, fill it in batches, and set the default for new rows.",
        )
    elif any(isinstance(k, exp.NotNullColumnConstraint) for k in kinds) and default is None:
        yield (
            "fails",
            f"rows of {table} would have nothing in a column that must have something",
            "Give it a server_default; or add it nullable, fill it, and then SET NOT NULL.",
        )
    if any(
        isinstance(k, exp.UniqueColumnConstraint | exp.PrimaryKeyColumnConstraint) for k in kinds
    ):
        yield _key(table)
