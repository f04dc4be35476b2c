"""What the front can say, said to a real database."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any

import pytest
import sqlalchemy as sa
from pydantic import BaseModel, Field

from covet_kernel.contracts import SqlError, SqlIntegrityError
from covet_sql import Column
from covet_sql import query as q

TABLES = q.MetaData()


class Author(BaseModel):
    id: Annotated[int | None, Column(primary_key=True)] = None
    name: Annotated[str, Column(unique=True), Field(max_length=100)]


class Book(BaseModel):
    id: Annotated[int | None, Column(primary_key=True)] = None
    title: Annotated[str, Column(unique=True), Field(max_length=100)]
    author: Annotated[int, Column(references="authors.id", on_delete="CASCADE", index=True)]
    price: Annotated[Decimal, Field(max_digits=8, decimal_places=2)]
    stock: int = 0
    about: dict[str, Any] = {}
    sold: datetime | None = None


authors = q.table(Author, "authors", metadata=TABLES)
books = q.table(Book, "books", metadata=TABLES)
AUTHORS = [Author(id=n, name=name) for n, name in enumerate(["Austen", "Joyce", "Woolf"], 1)]
BOOKS = [
    Book(
        title="Emma", author=1, price=Decimal("7.50"), stock=3, about={"pages": 474, "in": ["en"]}
    ),
    Book(title="Persuasion", author=1, price=Decimal("6.00"), about={"pages": 249}),
    Book(title="Ulysses", author=2, price=Decimal("12.25"), stock=1, about={"lang": "en"}),
]


async def fill(db: Any) -> None:
    # Counted by the database, from 1 on.
    assert await q.insert_many(db, authors, [{"name": each.name} for each in AUTHORS]) == 3
    assert await q.insert_many(db, books, BOOKS) == 3


async def titles(db: Any, *conditions: Any, **params: Any) -> list[str]:
    statement = q.select(books.c.title).where(*conditions).order_by(books.c.title)
    return await q.fetch_all(db, statement, str, **params)


async def test_rows_come_back_as_they_went_in(open_db: Any) -> None:
    async with open_db(authors, books) as db:
        await fill(db)
        found = await q.fetch_all(db, q.select(books).order_by(books.c.id))
        assert [each.model_copy(update={"id": None}) for each in found] == BOOKS
        assert [type(each.price) for each in found] == [Decimal] * 3


async def test_conditions(open_db: Any) -> None:
    async with open_db(authors, books) as db:
        await fill(db)
        c = books.c
        assert await titles(db, c.price < Decimal(7)) == ["Persuasion"]
        assert await titles(db, q.or_(c.stock == 1, c.price == Decimal("7.5"))) == [
            "Emma",
            "Ulysses",
        ]
        assert await titles(db, c.title.like("%s%"), q.not_(c.stock == 0)) == ["Ulysses"]
        assert await titles(db, c.title.startswith("%", autoescape=True)) == []
        assert await titles(db, c.sold.is_(None), c.price.between(6, 8)) == ["Emma", "Persuasion"]
        assert await titles(db, c.price < q.param("most"), most=Decimal(8)) == [
            "Emma",
            "Persuasion",
        ]
        kind = q.case((c.price > 10, "dear"), else_="cheap")
        assert await titles(db, kind == "dear") == ["Ulysses"]


@pytest.mark.parametrize("wanted", [[], ["Emma"], ["Emma", "Ulysses", "none"]])
async def test_lists_of_any_length(open_db: Any, wanted: list[str]) -> None:
    async with open_db(authors, books) as db:
        await fill(db)
        inside = sorted({"Emma", "Ulysses"} & {*wanted})
        outside = sorted({"Emma", "Persuasion", "Ulysses"} - {*wanted})
        assert await titles(db, books.c.title.in_(wanted)) == inside
        assert await titles(db, books.c.title.not_in(wanted)) == outside
        given = q.param("wanted")
        assert await titles(db, books.c.title.in_(given), wanted=wanted) == inside
        pairs = [(1, title) for title in wanted]
        both = q.tuple_(books.c.author, books.c.title)
        assert await titles(db, both.in_(pairs)) == [each for each in inside if each == "Emma"]


async def test_joins_groups_and_common_tables(open_db: Any) -> None:
    class Shelf(BaseModel):
        name: str
        books: int
        worth: Decimal | None

    async with open_db(authors, books) as db:
        await fill(db)
        statement = (
            q.select(
                authors.c.name,
                q.func.count(books.c.id).label("books"),
                q.func.sum(books.c.price).label("worth"),
            )
            .outerjoin_from(authors, books)
            .group_by(authors.c.name)
            .order_by(authors.c.name)
        )
        assert await q.fetch_all(db, statement, Shelf) == [
            Shelf(name="Austen", books=2, worth=Decimal("13.5")),
            Shelf(name="Joyce", books=1, worth=Decimal("12.25")),
            Shelf(name="Woolf", books=0, worth=None),
        ]
        dear = q.select(books).where(books.c.price > q.param("over")).cte("dear")
        names = q.select(authors.c.name).join_from(authors, dear, dear.c.author == authors.c.id)
        assert await q.fetch_all(db, names, str, over=Decimal(10)) == ["Joyce"]
        numbers = q.select(q.literal(1).label("n")).cte("numbers", recursive=True)
        more = numbers.union_all(q.select(numbers.c.n + 1).where(numbers.c.n < 5))
        assert await q.fetch_all(db, q.select(more.c.n), int) == [1, 2, 3, 4, 5]


async def test_windows_unions_and_existence(open_db: Any) -> None:
    async with open_db(authors, books) as db:
        await fill(db)
        place = q.func.row_number().over(partition_by=books.c.author, order_by=books.c.price)
        ranked = q.select(books.c.title, place.label("place")).order_by(books.c.title)
        assert await q.fetch_all(db, ranked, tuple[str, int]) == [
            ("Emma", 2), ("Persuasion", 1), ("Ulysses", 1),
        ]  # fmt: skip
        some = q.exists().where(books.c.author == authors.c.id)
        without = q.select(authors.c.name).where(~some)
        assert await q.fetch_all(db, without, str) == ["Woolf"]
        names = q.union_all(q.select(authors.c.name), q.select(books.c.title))
        assert len(await q.fetch_all(db, names, str)) == 6
        assert await q.fetch_value(db, q.count(q.select(books).order_by(books.c.id)), int) == 3
        assert await q.fetch_value(db, q.select(books.c.price).where(books.c.id == -1)) is None
        locked = q.select(books.c.stock).where(books.c.title == "Emma").with_for_update()
        async with db.transaction() as session:
            assert await q.fetch_value(session, locked, int) == 3


async def test_json(open_db: Any) -> None:
    async with open_db(authors, books) as db:
        await fill(db)
        about = books.c.about
        assert await titles(db, about["pages"].as_integer() > 300) == ["Emma"]
        assert await titles(db, about["lang"].as_string() == "en") == ["Ulysses"]
        assert await titles(db, about[("in", 0)].as_string() == "en") == ["Emma"]
        rows = await q.fetch_all(db, q.select(books.c.about).order_by(books.c.id))
        assert [row["about"] for row in rows] == [each.about for each in BOOKS]
        hostile = """x'] OR 1=1 --"?:y"""
        assert await titles(db, about[hostile].as_string() == "en") == []


async def test_changes_and_what_they_return(open_db: Any) -> None:
    async with open_db(authors, books) as db:
        await fill(db)
        sell = q.update(books).values(
            stock=books.c.stock - 1, sold=datetime(2026, 1, 2, tzinfo=UTC)
        )
        sell = sell.where(books.c.title == q.param("named"), books.c.stock > 0)
        assert await q.execute(db, sell, named="Ulysses") == 1
        assert await q.execute(db, sell, named="Ulysses") == 0
        if db.dialect == "mysql":
            with pytest.raises(SqlError, match="no rows of an UPDATE"):
                await q.fetch_all(db, sell.returning(*books.c), Book, named="Emma")
            assert await q.execute(db, sell, named="Emma") == 1
            left = await q.fetch_all(db, q.select(books).where(books.c.title == "Emma"))
        else:
            left = await q.fetch_all(db, sell.returning(*books.c), Book, named="Emma")
        assert [(each.title, each.stock) for each in left] == [("Emma", 2)]
        assert left[0].sold == datetime(2026, 1, 2, tzinfo=UTC)
        added = q.insert(authors, Author(name="Sterne")).returning(authors.c.id)
        key = await q.fetch_value(db, added, int)
        assert key is not None
        assert await q.execute(db, q.delete(authors).where(authors.c.id == key)) == 1
        assert await q.execute(db, q.delete(books).where(q.EVERY_ROW)) == 3


async def test_upsert(open_db: Any) -> None:
    async with open_db(authors, books) as db:
        await fill(db)
        more = Book(title="Emma", author=1, price=Decimal("9.00"), stock=5)
        statement = q.insert(books, more)
        # MySQL counts rows that it has met.
        unchanged = 1 if db.dialect == "mysql" else 0
        assert await q.execute(db, q.upsert(statement, books.c.title)) == unchanged
        changed = {
            "price": q.incoming(books.c.price),
            "stock": books.c.stock + q.incoming(books.c.stock),
        }
        await q.execute(db, q.upsert(statement, books.c.title, update=changed))
        emma = q.select(books).where(books.c.title == "Emma")
        found = await q.fetch_one(db, emma)
        assert found is not None
        assert (found.price, found.stock, found.about) == (Decimal(9), 8, BOOKS[0].about)
        await q.execute(db, q.upsert(statement, "title", update=["stock"]))
        assert await q.fetch_value(db, emma.with_only_columns(books.c.stock)) == 5
        many = q.upsert(q.insert(books), books.c.title, update=["price"])
        rows = [Book(title=each, author=1, price=Decimal(1)) for each in ("Emma", "Sanditon")]
        await q.insert_many(db, books, rows, many)
        assert await titles(db, books.c.price == 1) == ["Emma", "Sanditon"]
        with pytest.raises(ValueError, match="'nothing' is no column"):
            q.upsert(statement, "nothing")
        with pytest.raises(ValueError, match="columns of its key"):
            q.upsert(statement, update=["price"])


async def test_whole_tables_are_changed_only_by_saying_so(open_db: Any) -> None:
    async with open_db(authors, books) as db:
        await fill(db)
        nothing = q.and_(True, *[])
        for statement in (
            q.update(books).values(stock=0),
            q.update(books).values(stock=0).where(nothing),
            q.delete(books),
            q.delete(books).where(sa.true(), q.literal(1) == 1),
            q.select(sa.delete(books).returning(books.c.id).cte("gone")),
        ):
            with pytest.raises(SqlError, match="has no condition") as caught:
                await q.execute(db, statement)
            assert caught.value.sqlstate == "42000"
        assert await q.execute(db, q.delete(books).where(q.or_(sa.false(), *[]))) == 0
        assert await q.execute(db, q.delete(books).where(q.text("1 = 2"))) == 0
        assert await q.fetch_value(db, q.count(q.select(books))) == 3
        assert await q.execute(db, q.update(books).values(stock=0).where(q.EVERY_ROW)) == 3


async def test_many_rows(open_db: Any) -> None:
    async with open_db(authors, books) as db:
        await fill(db)
        raised = q.update(books).values(price=books.c.price + q.param("by"))
        raised = raised.where(books.c.title == q.param("named"))
        rows = [{"named": "Emma", "by": Decimal("0.5")}, {"named": "Ulysses", "by": Decimal(1)}]
        assert await q.execute_many(db, raised, iter(rows)) == 2
        assert await titles(db, books.c.price.in_([8, Decimal("13.25")])) == ["Emma", "Ulysses"]
        assert await q.execute_many(db, raised, []) == 0
        assert await q.insert_many(db, authors, [{"name": "A"}, {"name": "B"}]) == 2
        with pytest.raises(SqlError, match="some have none"):
            await q.insert_many(db, authors, [Author(name="C"), Author(id=99, name="D")])
        with pytest.raises(SqlIntegrityError):
            await q.insert_many(db, authors, [Author(name="E"), Author(name="E")])
        assert await q.fetch_value(db, q.count(q.select(authors))) == 5
        some = q.select(books).where(books.c.id.in_(q.param("ids")))
        with pytest.raises(SqlError, match="a list has no place"):
            await q.execute_many(db, some, [{"ids": [1]}])


async def test_plain_sql_and_plain_tables(open_db: Any) -> None:
    plain = sa.Table(
        "authors", sa.MetaData(), sa.Column("id", sa.Integer), sa.Column("name", sa.Text)
    )
    async with open_db(authors, books) as db:
        await fill(db)
        text = "SELECT id, name FROM authors WHERE name = :name"
        assert await q.fetch_all(db, text, Author, name="Joyce") == [AUTHORS[1]]
        assert await q.fetch_one(db, q.text(text), Author, name="Woolf") == AUTHORS[2]
        assert await q.fetch_all(db, sa.select(plain).where(plain.c.id == 1), Author) == AUTHORS[:1]
        assert await q.execute(db, "DELETE FROM books WHERE stock = :n", n=0) == 1
        many = "UPDATE authors SET name = :to WHERE name = :name"
        assert await q.execute_many(db, many, [{"name": "Joyce", "to": "James"}]) == 1


async def test_sessions_and_streams(open_db: Any) -> None:
    async with open_db(authors, books) as db:
        await fill(db)
        async with db.transaction() as session:
            await q.execute(session, q.update(books).values(stock=9).where(books.c.stock == 0))
            found = [
                each.title async for each in q.stream(session, q.select(books).order_by(books.c.id))
            ]
            assert found == ["Emma", "Persuasion", "Ulysses"]
        prepared = q.prepare(q.select(books).where(books.c.stock == q.param("n")))
        assert [each.title for each in await prepared.fetch_all(db, n=9)] == ["Persuasion"]
        assert [each.title async for each in prepared.stream(db, n=9)] == ["Persuasion"]
        assert await prepared.fetch_one(db, n=77) is None
        gone = q.prepare(q.delete(books).where(books.c.stock == q.param("n")))
        assert await gone.execute(db, n=9) == 1


async def test_a_session_that_does_not_say_its_dialect(open_db: Any) -> None:
    class Session:
        pass

    silent: Any = Session()
    with pytest.raises(SqlError, match="Session has no attribute 'dialect'"):
        await q.fetch_all(silent, q.select(books))
    silent.dialect = "oracle"
    with pytest.raises(SqlError, match="no dialect 'oracle', only mysql, postgresql, sqlite"):
        await q.fetch_all(silent, q.select(books))
