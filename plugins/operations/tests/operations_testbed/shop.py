"""The bookshop: five operations, each bound to three transports."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextvars import ContextVar
from typing import Annotated, Any, Final

import anyio
from operations_testbed.asgi import route
from operations_testbed.framed import framed
from operations_testbed.topic import topic
from pydantic import BaseModel, Field

from covet_kernel.contracts import Capability, Principal, SqlDatabase, SqlSession
from covet_operations import Conflict, NotFound, operation

WHO: ContextVar[str] = ContextVar("WHO", default="nobody")


class Probe:
    """What tests see of handlers, and how they interfere.

    Attributes:
        log: What happened, in order.
        pause: Awaited by handlers at their heart.
        unencodable: Whether ``place_order`` returns something that cannot be encoded.
    """

    def __init__(self) -> None:
        self.log: list[str] = []
        self.pause: Callable[[], Any] | None = None
        self.reached = anyio.Event()
        self.unencodable = False

    async def heart(self) -> None:
        self.reached.set()
        if self.pause is not None:
            try:
                await self.pause()
            except anyio.get_cancelled_exc_class():
                self.log.append("cancelled")
                raise


PROBE: Final = Capability[Probe]("test.probe")


class Book(BaseModel):
    id: int
    title: str
    stock: Annotated[int, Field(ge=0)]


class Line(BaseModel):
    book_id: int
    quantity: Annotated[int, Field(ge=1)]


class Order(BaseModel):
    key: str
    customer: str
    copies: int


class Imported(BaseModel):
    count: int


class NoSuchBook(NotFound):
    """The shop has never had this book."""

    book_id: int


class OutOfStock(Conflict):
    """Fewer copies are left than were ordered."""

    book_id: int
    left: int


@operation(name="shop.list_books", effect="read")
@route("GET", "/books")
@topic("books.list")
@framed("list_books")
async def list_books(
    db: SqlDatabase, probe: Probe, q: str = "", limit: Annotated[int, Field(ge=1, le=100)] = 20
) -> list[Book]:
    await probe.heart()
    rows = await db.fetch_all("select * from books where title like ? limit ?", [f"%{q}%", limit])
    return [Book(**row) for row in rows]


@operation(name="shop.get_book", effect="read", errors=(NoSuchBook,))
@route("GET", "/books/{id}")
@topic("books.get")
@framed("get_book")
async def get_book(db: SqlDatabase, probe: Probe, id: int) -> Book:
    probe.log.append(f"who was {WHO.get()}")
    WHO.set(f"reader of {id}")
    await probe.heart()
    row = await db.fetch_one("select * from books where id = ?", [id])
    if row is None:
        raise NoSuchBook(f"there is no book {id}", book_id=id)
    return Book(**row)


@operation(
    name="shop.place_order",
    requires=("orders:write",),
    effect="idempotent",
    transaction="write",
    errors=(NoSuchBook, OutOfStock),
)
@route("POST", "/orders")
@topic("orders.place")
@framed("place_order")
async def place_order(
    db: SqlSession, who: Principal, probe: Probe, key: str, lines: list[Line]
) -> Order:
    await db.execute("insert into orders values (?, ?)", [key, who.id])
    for line in lines:
        left = await db.fetch_value("select stock from books where id = ?", [line.book_id])
        if left is None:
            raise NoSuchBook(f"there is no book {line.book_id}", book_id=line.book_id)
        if left < line.quantity:
            raise OutOfStock(f"only {left} left", book_id=line.book_id, left=left)
        await db.execute(
            "update books set stock = stock - ? where id = ?", [line.quantity, line.book_id]
        )
    await probe.heart()
    order = Order(key=key, customer=who.id, copies=sum(line.quantity for line in lines))
    if probe.unencodable:
        order.copies = object()  # type: ignore[assignment]
    return order


@operation(name="shop.watch_stock", effect="read", transaction="read", errors=(NoSuchBook,))
@route("GET", "/books/{book_id}/stock")
@topic("stock.watch")
@framed("watch_stock")
async def watch_stock(
    db: SqlSession, probe: Probe, book_id: int, count: int = 3
) -> AsyncIterator[Book]:
    probe.log.append("watching")
    try:
        for _ in range(count):
            row = await db.fetch_one("select * from books where id = ?", [book_id])
            if row is None:
                raise NoSuchBook(f"there is no book {book_id}", book_id=book_id)
            yield Book(**row)
            await probe.heart()
    finally:
        probe.log.append("watched")


@operation(
    name="shop.import_books", requires=("books:write",), effect="idempotent", transaction="write"
)
@route("POST", "/books/import")
@topic("books.import")
@framed("import_books")
async def import_books(db: SqlSession, probe: Probe, books: AsyncIterator[Book]) -> Imported:
    count = 0
    async for book in books:
        await db.execute(
            "insert into books values (:id, :title, :stock)"
            " on conflict (id) do update set stock = stock + :stock",
            book.model_dump(),
        )
        count += 1
    await probe.heart()
    return Imported(count=count)
