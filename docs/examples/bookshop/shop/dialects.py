"""What the databases say differently. Everything else of the shop's SQL is the same for all."""

from __future__ import annotations

import re
from typing import Final

from covet_kernel import ConfigurationError
from covet_kernel.contracts import Capability, Record, SqlDatabase, SqlSession


class Dialect(Record):
    """One database's words.

    Attributes:
        matching: The condition for a book that has all the words of ``:words``.
        word: A word that a title or name may begin with, in the language of its search.
        both: What stands between two of them.
        lock: Behind a SELECT: nobody else changes these rows until the transaction ends.
        turn: A statement that waits for its turn to add books, which lasts until the transaction ends.
    """

    matching: str
    word: str
    both: str
    lock: str
    turn: str

    def search(self, text: str) -> str:
        """The words of a text, for ``:words``; ``""`` if it has none."""
        words = re.findall(r"[^\W_]+", text.lower())
        return self.both.join(self.word.format(word) for word in words)

    async def take_turn(self, db: SqlSession) -> None:
        """Be the only one who adds books, and see all that others have added."""
        if self.turn:
            await db.execute(self.turn)


DIALECT: Final = Capability[Dialect]("shop.dialect")
DIALECTS = {
    "sqlite": Dialect(
        matching="books.id IN (SELECT rowid FROM book_words WHERE book_words MATCH :words)",
        word='"{}"*',
        both=" ",
        lock="",  # writers take turns, so a transaction that writes has all rows for itself
        turn="",
    ),
    "postgresql": Dialect(
        matching="books.words @@ to_tsquery('simple', :words)",
        word="'{}':*",
        both=" & ",
        lock=" FOR UPDATE",
        turn="SELECT pg_advisory_xact_lock(hashtext('catalogue'))",
    ),
    "mysql": Dialect(
        # Words begin with w_ in its index, which so has the short and the frequent ones as well.
        matching="MATCH (books.words) AGAINST (:words IN BOOLEAN MODE)",
        word="+w_{}*",
        both=" ",
        lock=" FOR UPDATE",
        turn="SELECT only_row FROM catalogue_lock FOR UPDATE",
    ),
}


def dialect_of(db: SqlDatabase) -> Dialect:
    """The words for a database.

    Raises:
        ConfigurationError: The shop knows none for it.
    """
    if db.dialect not in DIALECTS:
        raise ConfigurationError(
            "SHOP-DATABASE",
            f"the shop has no tables for {db.dialect!r}.",
            valid=sorted(DIALECTS),
            fix="Enable [plugins.sqlite], [plugins.postgres] or [plugins.mysql].",
        )
    return DIALECTS[db.dialect]
