"""Schemas: made of operations, read from a file, parts of a federation; and what cannot be one."""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal
from uuid import UUID

import graphql_shop as shop
import pytest
from graphql import build_schema
from graphql_serving import ask, serving
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

import covet_graphql as graphql
from covet_graphql import Graphql
from covet_http.testing import run_service
from covet_kernel import ConfigurationError, flatten
from covet_operations import Invalid

Isbn = Annotated[
    str, Field(pattern=r"^\d{13}$"), graphql.Scalar(name="Isbn", specified_by="https://a.example")
]


class Color(Enum):
    RED = 1
    BLUE = 2


class Row(TypedDict):
    name: str
    color: Color


@dataclass
class Everything:
    """All there is."""

    id: graphql.ID
    isbn: Isbn
    moment: dt.datetime
    span: dt.timedelta
    price: Decimal
    uuid: UUID
    data: bytes
    rows: tuple[Row, ...]
    any: dict[str, Any]
    kind: Literal["a", "b"]
    number: int | float
    _private: int = 0


@graphql.query()
def everything(
    isbn: Isbn = "1234567890123", color: Color = Color.RED, when: dt.date | None = None
) -> Everything:
    return Everything(
        id=graphql.ID("7"),
        isbn=isbn,
        moment=dt.datetime(2026, 11, 29, tzinfo=dt.UTC),
        span=dt.timedelta(minutes=1),
        price=Decimal("1.50"),
        uuid=UUID(int=5),
        data=b"abc",
        rows=({"name": str(when), "color": color},),
        any={"a": [1, None]},
        kind="a",
        number=1.5,
    )


async def test_every_type_comes_and_goes() -> None:
    async with serving(everything) as client:
        query = (
            "query($w: Date) { everything(color: BLUE, when: $w) {"
            " id isbn moment span price uuid data any kind number rows { name color } } }"
        )
        assert (await ask(client, query, variables={"w": "2026-01-02"}))["data"]["everything"] == {
            "id": "7",
            "isbn": "1234567890123",
            "moment": "2026-11-29T00:00:00Z",
            "span": "PT1M",
            "price": "1.50",
            "uuid": "00000000-0000-0000-0000-000000000005",
            "data": "abc",
            "any": {"a": [1, None]},
            "kind": "a",
            "number": 1.5,
            "rows": [{"name": "2026-01-02", "color": "BLUE"}],
        }
        wrong = await ask(client, query, variables={"w": "never"})
        assert wrong["errors"][0]["message"].startswith("Variable '$w' has invalid value")
        wrong = await ask(client, '{ everything(isbn: "1") { id } }')
        assert "Isbn cannot represent the value" in wrong["errors"][0]["message"]


async def test_the_schema_describes_itself() -> None:
    async with serving(everything, introspection=True) as client:
        found = await ask(
            client,
            '{ a: __type(name: "Everything") { description fields { name } }'
            ' b: __type(name: "Isbn") { specifiedByURL }'
            ' c: __type(name: "Thing") { possibleTypes { name } }'
            " __schema { queryType { fields { name args { name defaultValue } } } } }",
        )
        data = found["data"]
        assert data["a"]["description"] == "All there is."
        assert "Private" not in str(data["a"])
        assert data["b"] == {"specifiedByURL": "https://a.example"}
        assert {"Book", "Map"} <= {each["name"] for each in data["c"]["possibleTypes"]}
        fields = {each["name"]: each["args"] for each in data["__schema"]["queryType"]["fields"]}
        assert {"name": "color", "defaultValue": "RED"} in fields["everything"]


class Unsaid:
    """Nothing that a schema knows."""


class Hollow(BaseModel):
    """Has no fields."""


@graphql.named("Book")
class Other(BaseModel):
    id: int


@graphql.query()
def unsaid() -> dict[str, int] | str:
    return ""


@graphql.query()
def pair() -> tuple[int, str]:
    return 1, ""


@graphql.query()
def hollow() -> Hollow:
    return Hollow()


@graphql.query()
def other() -> Other:
    return Other(id=1)


@graphql.query("books")
def again() -> int:
    return 1


@graphql.query("a-b")
def badly_named() -> int:
    return 1


@graphql.resolver(Other)
def lost(call: graphql.FieldCall) -> int:
    return 1


@graphql.resolver("Book")
def by_name(call: graphql.FieldCall) -> int:
    return 1


@graphql.query()
async def counted() -> int:
    return 1


@pytest.mark.parametrize(
    ("operation", "said"),
    [
        (unsaid, "nothing that a schema can say"),
        (pair, "nothing that a schema can say"),
        (hollow, "Hollow has no fields"),
        (other, "two types are called 'Book'"),
        (again, "both claim graphql 'Query.books'"),
        (badly_named, "no name that a schema may use"),
        (lost, "nothing in the schema is one"),
        (by_name, "no type of this schema"),
    ],
)
async def test_what_is_no_schema_does_not_start(operation: Any, said: str) -> None:
    with pytest.raises(ExceptionGroup) as caught:
        async with serving(operation):
            pass
    errors = flatten(caught.value)
    assert any(said in str(each) for each in errors), errors
    assert all(isinstance(each, ConfigurationError) for each in errors)


async def test_without_a_query_there_is_no_schema() -> None:
    with pytest.raises(ExceptionGroup, match="no query"):
        async with serving(operations=(shop.tick,)):
            pass
    async with serving(operations=(shop.tick,), build="on first request") as client:
        assert (await client.post("/graphql", json={"query": "{ a }"})).status == 500


FIRST = """
    "What is for sale."
    type Query {
      find(words: String = "", kind: Kind): [Thing!]!
      volume(id: ID!): Volume
    }
    type Mutation { add(new: NewVolume!): Volume! }
    type Subscription { arrivals: Volume! }
    interface Thing { id: ID! }
    type Volume implements Thing { id: ID!, pageCount: Int!, kind: Kind!, sold: Date, writer(upper: Boolean): String!, next: Volume }
    input NewVolume { pageCount: Int!, kind: Kind = NOVEL }
    enum Kind { NOVEL ATLAS }
    scalar Date
"""


class Kind(Enum):
    NOVEL = "n"
    ATLAS = "a"


@dataclass
class Volume:
    id: str
    page_count: int
    kind: Kind = Kind.NOVEL
    sold: dt.date | None = None

    @graphql.field()
    def writer(self, upper: bool | None = None) -> str:
        return "ME" if upper else "me"


class NewVolume(BaseModel):
    page_count: int
    kind: Kind


@graphql.query("find")
async def find_volumes(words: str = "", kind: Kind | None = None) -> list[Volume]:
    return [Volume("1", 7, kind or Kind.ATLAS, dt.date(2026, 1, 2))]


@graphql.query()
async def volume(id: str) -> Volume | None:
    return Volume(id, 8)


@graphql.mutation("add")
async def add_volume(new: NewVolume) -> Volume:
    return Volume("2", new.page_count, new.kind)


@graphql.subscription("arrivals")
async def volumes() -> AsyncIterator[Volume]:
    yield Volume("3", 1)


@graphql.resolver("Volume", "next")
async def next_volume(call: graphql.FieldCall) -> Volume | None:
    return Volume("9", call.source_as(Volume).page_count + 1)


BOUND = (find_volumes, volume, add_volume, volumes, next_volume)


async def test_a_schema_that_was_written_first(tmp_path: Path) -> None:
    (tmp_path / "shop.graphql").write_text(FIRST, "utf-8")
    async with run_service(
        *BOUND,
        plugins={"graphql": Graphql},
        config={"graphql": {"schema_file": "shop.graphql"}},
        directory=tmp_path,
    ) as client:
        query = """
            { find(kind: NOVEL) { __typename id ... on Volume { pageCount kind sold writer(upper: true) } }
              volume(id: 5) { id next { pageCount } } }
        """
        assert (await ask(client, query))["data"] == {
            "find": [
                {
                    "__typename": "Volume", "id": "1", "pageCount": 7, "kind": "NOVEL",
                    "sold": "2026-01-02", "writer": "ME",
                }
            ],
            "volume": {"id": "5", "next": {"pageCount": 9}},
        }  # fmt: skip
        added = await ask(client, "mutation { add(new: {pageCount: 3}) { pageCount kind } }")
        assert added["data"] == {"add": {"pageCount": 3, "kind": "NOVEL"}}
        stream = await client.post(
            "/graphql/stream", json={"query": "subscription { arrivals { id } }"}
        )
        assert '"arrivals":{"id":"3"}' in stream.text


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("type Query {", "type Query { lost: Int"), "nobody has Query.lost"),
        (("pageCount: Int!, kind: Kind!", "pages: Int!, kind: Kind!"), "nobody has Volume.pages"),
        (("volume(id: ID!): Volume", "volume: Volume"), "needs 'id'"),
        (("volume(id: ID!)", "volume(id: ID!, more: Int)"), "takes 'more'"),
        (("volume(id: ID!): Volume", ""), "Query.volume, which is not there"),
        (("{ NOVEL ATLAS }", "{ NOVEL COMIC }"), "Kind has COMIC"),
        (("input NewVolume { pageCount", "input NewVolume { pages"), "NewVolume has 'pages'"),
        (("type Query {", "type Query ["), "it is no schema"),
    ],
)
async def test_a_file_and_operations_that_do_not_fit(
    tmp_path: Path, change: tuple[str, str], said: str
) -> None:
    assert change[0] in FIRST
    (tmp_path / "shop.graphql").write_text(FIRST.replace(*change), "utf-8")
    with pytest.raises(ExceptionGroup) as caught:
        async with run_service(
            *BOUND,
            plugins={"graphql": Graphql},
            config={"graphql": {"schema_file": "shop.graphql"}},
            directory=tmp_path,
        ):
            pass
    assert said in str(flatten(caught.value))


@graphql.key("id")
class Product(BaseModel):
    id: int
    name: str


@graphql.query()
async def product(id: int) -> Product:
    return Product(id=id, name=f"Product {id}")


@graphql.entity(Product)
async def product_of(id: int) -> Product | None:
    return Product(id=id, name=f"Found {id}") if id < 100 else None


async def test_a_subgraph_of_a_federation() -> None:
    async with serving(product, product_of, federation=True) as client:
        sdl = (await ask(client, "{ _service { sdl } }"))["data"]["_service"]["sdl"]
        assert "federation/v2.3" in sdl
        assert 'type Product @key(fields: "id") {' in sdl
        assert "_entities" not in sdl
        plain = sdl.partition("\n")[2].replace('@key(fields: "id") ', "")
        assert "Product" in build_schema(plain).type_map
        query = (
            "query($r: [_Any!]!) { _entities(representations: $r) { ... on Product { id name } } }"
        )
        asked = [{"__typename": "Product", "id": each} for each in (1, 200, 2)]
        assert (await ask(client, query, variables={"r": asked}))["data"] == {
            "_entities": [{"id": 1, "name": "Found 1"}, None, {"id": 2, "name": "Found 2"}]
        }
        for wrong in ([{"__typename": "Book", "id": 1}], [7], [{"id": 1}], [asked[0]] * 1001):
            assert "errors" in await ask(client, query, variables={"r": wrong})
        unfit = await ask(client, query, variables={"r": [{"__typename": "Product", "id": "x"}]})
        assert unfit["errors"][0]["extensions"]["code"] == "invalid"


async def test_the_page_to_try_queries_on() -> None:
    browser = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
    async with serving(explorer=True) as client:
        page = await client.get("/graphql", headers=browser)
        assert (page.status, page.media_type) == (200, "text/html")
        assert "script-src 'self'" in page.headers["content-security-policy"]
        assert 'data-path="graphql"' in page.text
        for name in ("page.js", "page.css"):
            assert f"graphql/{name}" in page.text
            assert (await client.get(f"/graphql/{name}")).status == 200
        asked = await client.get("/graphql", params={"query": "{ who }"}, headers=browser)
        assert asked.json() == {"data": {"who": ""}}
    async with serving() as client:
        assert (await client.get("/graphql", headers=browser)).status == 400
        assert (await client.get("/graphql/page.js")).status == 404


@graphql.query()
async def shelf(
    first: Annotated[int, Field(ge=0, le=100)] = 2, after: str | None = None
) -> graphql.Connection[Product]:
    offset = graphql.offset_after(after)
    ids = range(offset, min(offset + first, 5))
    found = [Product(id=each, name=f"P{each}") for each in ids]
    return graphql.connection(found, offset=offset, more=offset + first < 5, total=5)


async def test_pages_as_relay_has_them() -> None:
    query = """
        query($after: String) { shelf(after: $after) {
          totalCount edges { cursor node { id } } pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
        } }
    """
    async with serving(shelf, introspection=True, max_complexity=100) as client:
        seen: list[int] = []
        after = None
        while True:
            page = (await ask(client, query, variables={"after": after}))["data"]["shelf"]
            info = page["pageInfo"]
            seen += [each["node"]["id"] for each in page["edges"]]
            assert page["totalCount"] == 5
            assert info["hasPreviousPage"] is (after is not None)
            assert info["startCursor"] == page["edges"][0]["cursor"]
            after = info["endCursor"]
            if not info["hasNextPage"]:
                break
        assert seen == [0, 1, 2, 3, 4]
        beyond = (await ask(client, query, variables={"after": after}))["data"]["shelf"]
        assert beyond["edges"] == []
        for wrong in ("x", "b2Zmc2V0OmE=", "ü", ""):
            found = await ask(client, query, variables={"after": wrong})
            assert found["errors"][0]["extensions"]["code"] == "invalid"
        names = await ask(client, '{ __type(name: "ProductConnection") { fields { name } } }')
        assert len(names["data"]["__type"]["fields"]) == 3
        # The size of a page is what its connection was asked for.
        many = "{ shelf(first: 99) { edges { node { id name } } } }"
        assert "costs" in (await ask(client, many))["errors"][0]["message"]


@given(st.integers(0, 10**9))
def test_a_cursor_leads_behind_its_item(offset: int) -> None:
    page = graphql.connection(["a"], offset=offset)
    assert graphql.offset_after(page.edges[0].cursor) == offset + 1


@given(st.text(max_size=80))
def test_any_cursor_is_read_or_refused(text: str) -> None:
    with suppress(Invalid):
        assert graphql.offset_after(text) >= 1
