"""The catalogue an empty shop is stocked with."""

from __future__ import annotations

import csv
from pathlib import Path

from anyio import to_thread
from pydantic import BaseModel, ValidationError

from covet_kernel import ConfigurationError
from covet_kernel.contracts import SqlDatabase
from shop.dialects import Dialect
from shop.models import Cents, Copies, Language, Text, Year


class Entry(BaseModel):
    """One line of the catalogue."""

    title: Text
    author: Text
    born: Year
    died: Year
    published: Year
    language: Language
    price_cents: Cents
    stock: Copies


async def stock_shop(db: SqlDatabase, dialect: Dialect, catalogue: Path) -> int:
    """Stock an empty shop; how many titles that took.

    It is one transaction: a crash leaves nothing behind, and of two processes that start at the
    same time the second waits and finds a stocked one.

    Raises:
        ConfigurationError: The shop is empty and the catalogue cannot be read.
    """
    async with db.transaction() as tx:
        await dialect.take_turn(tx)
        if await tx.fetch_value("SELECT EXISTS (SELECT 1 FROM books)"):
            return 0
        entries = await to_thread.run_sync(read_catalogue, catalogue)
        authors = {entry.author: entry for entry in entries}
        await tx.execute_many(
            "INSERT INTO authors (name, born, died) VALUES (:author, :born, :died)",
            [entry.model_dump(include={"author", "born", "died"}) for entry in authors.values()],
        )
        await tx.execute_many(
            """
            INSERT INTO books (title, author_id, published, language, price_cents, stock)
            SELECT :title, id, :published, :language, :price_cents, :stock
            FROM authors WHERE name = :author
            """,
            [entry.model_dump(exclude={"born", "died"}) for entry in entries],
        )
        return len(entries)


def read_catalogue(path: Path) -> list[Entry]:
    """Every entry of a CSV file with the columns of `Entry`.

    Raises:
        ConfigurationError: The file cannot be read, or a line of it is wrong; says which.
    """
    try:
        rows = csv.DictReader(path.read_text("utf-8").splitlines())
    except (OSError, UnicodeDecodeError) as error:
        raise unusable(str(path), str(error)) from error
    try:
        return [Entry.model_validate(row) for row in rows]
    except ValidationError as error:
        fault = error.errors()[0]
        problem = f"{fault['loc'][0]}: {fault['msg']}"
        raise unusable(f"{path}:{rows.line_num}", problem) from error
    except csv.Error as error:
        raise unusable(f"{path}:{rows.line_num}", str(error)) from error


def unusable(place: str, problem: str) -> ConfigurationError:
    return ConfigurationError(
        "SHOP-CATALOGUE",
        f"the catalogue cannot be used: {problem}.",
        place=place,
        valid=list(Entry.model_fields),
        fix="Let plugins.shop.catalogue name a CSV file with these columns.",
    )
