"""What a text does to the connection that runs it, as far as its words tell."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from covet_kernel.contracts import Params, SqlError
from covet_sql.driver import Grammar, Statement

GRAMMAR = Grammar(
    re.compile(
        r"""
          (?P<quoted>
            ' [^']* (?: '' [^']* )* '
          | " [^"]* (?: "" [^"]* )* "
          | ` [^`]* (?: `` [^`]* )* `
          )
        | (?P<comment> \# [^\n]* | -- (?= [\x00-\x20] | \Z ) [^\n]* | /\* (?! M?! ) )
        | (?P<cast> := )
        | (?<! [\w)\]"`$] ) : (?P<name> [A-Za-z_]\w* )
        | (?P<mark> \?\?? )
        """,
        re.VERBOSE | re.DOTALL,
    ),
    nested=False,
)
"""As the server reads it with the settings of every connection: ``"`` quotes names, and a backslash
escapes nothing. What stands in a comment with ``!`` is run, and so is read."""

FIRST = re.compile(r"[\s(]*([A-Z]+)")
READS = frozenset(("SELECT", "VALUES", "WITH", "TABLE"))
CHANGES = frozenset(("INSERT", "UPDATE", "DELETE", "REPLACE"))
STAINS = re.compile(r":=|\bINTO\s+@|\bGET_LOCK\b|\bTEMPORARY\b|\bSETVAL\b")
"""Words of statements that leave something behind in the connection."""
STAINING = frozenset(
    ("SET", "USE", "PREPARE", "EXECUTE", "DEALLOCATE", "HANDLER", "LOCK", "UNLOCK", "CALL", "LOAD",
     "FLUSH")
)  # fmt: skip
"""Commands that do, or may."""
ENDS = re.compile(
    r"[\s(]*(?:BEGIN(?!\s+NOT\b)|START\s+TRANSACTION|COMMIT|ROLLBACK(?!\s+(?:WORK\s+)?TO\b)|XA"
    r"|SET\b[^;]*\bAUTOCOMMIT\b)\b"
)
"""What begins or ends a transaction, which blocks do."""
COMMITS = re.compile(
    r"[\s(]*(?:(?:ALTER|CACHE|CHECK|FLUSH|GRANT|INSTALL|LOCK|OPTIMIZE|RENAME|REPAIR|RESET|REVOKE"
    r"|TRUNCATE|UNINSTALL|UNLOCK|CREATE(?!\s+(?:OR\s+REPLACE\s+)?TEMPORARY)|DROP(?!\s+TEMPORARY))\b"
    r"|ANALYZE\s+(?:\w+\s+)?TABLE\b)"
)
"""Before these the server commits the transaction, whoever began it."""
FILES = re.compile(r"[\s(]*LOAD\s+(?:DATA|XML)\b[^;]*\bLOCAL\b")


class MysqlStatement(Statement):
    """A text for MariaDB or MySQL.

    Attributes:
        text: As it was given.
        reads: It is a query, which can be streamed.
        keeps: The server is to keep it prepared.
        stains: It may leave something behind in the connection.
        changes: It changes rows, which are counted.
        commits: The server commits the transaction before it.
        empty: There is no statement in it.
        ends: It begins or ends a transaction, which blocks do.
        files: It reads a file of the client's.
        uses: It changes which database names without one are in.
        marks: How many places it has for values.
    """

    __slots__ = (
        "_order", "changes", "commits", "empty", "ends", "files", "keeps", "marks", "reads", "stains", "text",
        "uses",
    )  # fmt: skip

    def __init__(self, text: str) -> None:
        if "\0" in text:
            raise SqlError("a statement has no NUL characters", sqlstate="42601")
        order: list[int] = []

        def mark(number: int) -> str:
            order.append(number - 1)
            return "?"

        super().__init__(text, mark, GRAMMAR)
        self.text = text
        self.empty = not self.code.strip("; \t\r\n")
        self.marks = len(order)
        self._order = order if order != [*range(self.count)] else None
        match = FIRST.match(self.code)
        first = match[1] if match else ""
        self.reads = first in READS
        self.changes = first in CHANGES
        self.keeps = self.reads or self.changes
        self.stains = first in STAINING or STAINS.search(self.code) is not None
        self.uses = first == "USE"
        self.ends = ENDS.match(self.code) is not None
        self.files = FILES.match(self.code) is not None
        self.commits = COMMITS.match(self.code) is not None

    def values(self, params: Params) -> Sequence[Any]:
        values = super().values(params)
        return values if self._order is None else [values[number] for number in self._order]

    def check(self, *, within: bool) -> None:
        """Refuse what is not a statement's to do.

        Args:
            within: It is to run within a transaction.

        Raises:
            SqlError: It begins, ends or would commit a transaction, or reads a file of the client's.
        """
        if self.empty:
            raise SqlError("a text holds one statement, this one none", sqlstate="42601")
        if self.ends:
            raise SqlError(
                "a transaction begins and ends with the block of transaction(), not with SQL; leave"
                " the block by an exception to roll back",
                sqlstate="25001",
            )
        if self.files:
            raise SqlError("files of the client's are never sent", sqlstate="0A000")
        if within and self.commits:
            raise SqlError(
                "the server would commit the transaction before this statement, and so it could not be"
                " undone any more: run it on the database itself",
                sqlstate="25001",
            )
