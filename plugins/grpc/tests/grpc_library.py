"""The service that the tests call: every kind of method, and types of every sort."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import uuid
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from typing import Annotated, Any

import anyio
from pydantic import BaseModel, Field

import covet_grpc as grpc
from covet_http import ClientCertificate
from covet_kernel import Plugin
from covet_kernel.contracts import Authenticator, Credentials, Operation, Principal
from covet_operations import (
    Conflict,
    NotFound,
    RateLimited,
    Unauthenticated,
    operation,
    operations_of,
)


class Genre(enum.Enum):
    NOVEL = "novel"
    POEMS = "poems"


@dataclass
class Size:
    width: float
    height: float


class Author(BaseModel):
    """Who wrote it."""

    name: str
    born: dt.date | None = None


class Book(BaseModel):
    """A book of the library."""

    id: Annotated[int, Field(gt=0, description="Its number in the catalogue.")]
    title: str
    authors: list[Author] = []
    price: decimal.Decimal = decimal.Decimal(0)
    genre: Genre | None = None
    tags: dict[str, int] = {}
    added: dt.datetime | None = None
    lent_for: dt.timedelta | None = None
    size: Size | None = None
    key: uuid.UUID | None = None
    cover: bytes = b""
    ratings: list[float] = []
    shelf: Annotated[int, grpc.Wire("sint32")] = 0
    notes: dict[str, Any] = {}
    secret: str = Field(default="", exclude=True)


class NoSuchBook(NotFound):
    """There is no such book."""

    book_id: int


class OnLoan(Conflict):
    """Somebody else has it."""

    grpc_status = 9


class TooMany(RateLimited):
    """The library is full."""


class Nobody(Authenticator):
    """Knows one reader, and one robot by its certificate."""

    async def authenticate(self, credentials: Credentials) -> Principal | None:
        if isinstance(credentials, ClientCertificate):
            known = "robot.test" in credentials.dns_names
            return Principal(id="robot", permissions=frozenset({"books:write"})) if known else None
        if credentials.value == "wrong":
            raise Unauthenticated("who is that?")
        if credentials.value != "ann":
            return None
        return Principal(id="ann", permissions=frozenset({"books:write"}))


class Library(Plugin[None]):
    """The library."""

    def __init__(self, config: None) -> None:
        super().__init__(config)
        self.log: list[str] = []
        self.reached = anyio.Event()

    def covet_operations(self) -> Iterable[Operation]:
        return operations_of(self)

    def covet_authenticators(self) -> Iterable[Authenticator]:
        return (Nobody(),)

    def covet_permissions(self) -> Iterable[str]:
        return ("books:write",)

    @operation(effect="read", errors=(NoSuchBook,))
    @grpc.unary("library.v1.Books/GetBook")
    async def get(self, id: int, loud: bool = False) -> Book:
        """One book."""
        if id > 100:
            raise NoSuchBook(f"no book has the number {id}", book_id=id)
        return Book(id=id, title="EMMA" if loud else "Emma", authors=[Author(name="Jane Austen")])

    @grpc.unary("library.v1.Books/Echo")
    async def echo(self, book: Book) -> Book:
        """The same book."""
        return book

    @grpc.unary("library.v1.Books/Say")
    def say(self, text: str) -> str:
        return text

    @operation(requires=("books:write",))
    @grpc.unary("library.v1.Books/AddBook")
    async def add(self, who: Principal, book: Book) -> str:
        return f"{who.id} has added {book.title}"

    @operation(errors=(OnLoan, TooMany))
    @grpc.unary("library.v1.Books/Borrow")
    async def borrow(self, id: int) -> None:
        match id:
            case 1:
                raise OnLoan("until Friday")
            case 2:
                raise TooMany("come back later", retry_after=1.5)
            case 3:
                raise RuntimeError("secret")

    @operation(deadline=20)
    @grpc.unary("library.v1.Books/Wait")
    async def wait(self, call: grpc.GrpcCall, name: str) -> None:
        self.log.append(f"waits {name} {call.metadata('x-why')}")
        try:
            await anyio.sleep_forever()
        finally:
            self.log.append(f"leaves {name}")

    @grpc.unary("library.v1.Books/Tell")
    async def tell(self, call: grpc.GrpcCall) -> str:
        call.add_metadata("x-leading", "first")
        call.add_metadata("x-leading-bin", b"\0\xff")
        call.add_trailer("x-trailing-bin", b"last")
        found = ",".join(each.hex() for each in call.binary_metadata("x-data-bin"))
        return f"{call.metadata('x-text')} {found}"

    @grpc.server_stream("library.v1.Books/ListBooks")
    async def list_books(self, count: int, fail_at: int = -1) -> AsyncIterator[Book]:
        for number in range(count):
            if number == fail_at:
                raise NoSuchBook("gone", book_id=number)
            yield Book(id=number + 1, title=f"Book {number}")

    @grpc.server_stream("library.v1.Books/Watch")
    async def watch(self, name: str) -> AsyncIterator[str]:
        self.log.append(f"watches {name}")
        try:
            yield "first"
            await anyio.sleep_forever()
        finally:
            self.log.append(f"leaves {name}")

    @grpc.server_stream("library.v1.Books/Blocks")
    async def blocks(self, count: int, size: int) -> AsyncIterator[bytes]:
        for number in range(count):
            self.log.append(f"block {number}")
            yield b"\0" * size

    @grpc.client_stream("library.v1.Books/Import")
    async def import_books(self, books: AsyncIterator[Book]) -> int:
        total = 0
        async for book in books:
            if book.title == "stop":
                raise OnLoan("no more")
            total += 1
        return total

    @grpc.bidi("library.v1.Books/Chat")
    async def chat(self, lines: AsyncIterator[str]) -> AsyncIterator[str]:
        async for line in lines:
            yield line.upper()
