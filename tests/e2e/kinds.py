"""A service with inputs and answers of every kind, for requests made of its own document."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, Field

import covet_http as http
from covet_operations import Conflict, NotFound, operation

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


class Kind(Enum):
    PAPER = "paper"
    AUDIO = "audio"


class Price(BaseModel):
    above: float = 0
    below: float = 1000


class Filters(BaseModel):
    author: str = ""
    tags: list[str] = []
    price: Price = Price()


class Thing(BaseModel):
    id: UUID
    made: datetime
    on: date | None = None
    cost: Decimal = Decimal(0)
    kind: Kind = Kind.PAPER
    size: Annotated[int, Field(ge=0, le=10)] = 1
    left: Thing | None = None
    names: dict[str, int] = {}
    pair: tuple[int, str] = (1, "a")


class NoThing(NotFound):
    """There is no such thing."""

    thing: int


class Taken(Conflict):
    """Somebody has it."""


@operation(errors=(NoThing, Taken))
@http.get("/things/{id:int}")
async def find(
    id: int,
    kind: Kind = Kind.PAPER,
    size: Literal[1, 2, 3] = 1,
    when: date | None = None,
    took: timedelta | None = None,
    free: bool = True,
) -> Thing:
    if not free:
        raise Taken("it is not free")
    if id % 2:
        raise NoThing("it is odd", thing=id)
    return Thing(id=UUID(int=abs(id) % 2**128), made=NOON, on=when, kind=kind, size=size)


@http.get("/search")
async def search(filters: Annotated[Filters, http.Query()], page: int = 1) -> list[str]:
    return [filters.author, *filters.tags]


@http.post("/things", status=201)
async def add(thing: Thing) -> Thing:
    return thing


@http.put("/things/{id:int}/more")
async def change(id: int, thing: Thing, count: int, note: str = "none") -> None: ...


@http.get("/keys/{key:uuid}")
async def by_key(key: UUID) -> UUID:
    return key


@http.get("/days/{day:date}", etag=True)
async def by_day(day: date) -> date:
    return day


@http.get("/files/{rest:path}")
async def by_path(rest: str) -> str:
    return rest


@http.post("/signup")
async def sign_up(name: Annotated[str, http.Form()], age: Annotated[int, http.Form()] = 0) -> str:
    return name


@http.post("/upload")
async def upload(file: http.Upload, title: str = "") -> int:
    return file.size


@http.get("/lines")
async def lines(count: Annotated[int, Field(ge=0, le=9)] = 3) -> AsyncIterator[Price]:
    for number in range(count):
        yield Price(above=number)


@http.get("/events", stream="events")
async def events(count: Annotated[int, Field(ge=0, le=9)] = 3) -> AsyncIterator[Price]:
    for number in range(count):
        yield Price(above=number)


@http.get("/cookies")
async def cookies(
    session: Annotated[str, http.Cookie()], theme: Annotated[str, http.Cookie("the-theme")] = "none"
) -> list[str]:
    return [session, theme]


@http.get("/headers")
async def headers(
    trace: Annotated[str, http.Header("x-trace")], size: Annotated[int, http.Header("x-size")] = 1
) -> list[str]:
    return [trace]


@http.put("/raw")
async def raw(data: Annotated[bytes, http.Body(max_bytes=1000)]) -> int:
    return len(data)


@http.put("/text")
async def text(data: Annotated[str, http.Body("text/plain")]) -> int:
    return len(data)


@http.post("/bulk")
async def bulk(titles: Annotated[list[str], http.Body()]) -> int:
    return len(titles)


@operation(requires=("things.remove",))
@http.delete("/things/{id:int}")
async def remove(id: int) -> None: ...
