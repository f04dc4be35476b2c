"""The OpenAPI document: what it says, that it is valid, and how it is served."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from datetime import date
from types import ModuleType
from typing import Annotated, Any, Literal
from uuid import UUID

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openapi_spec_validator import OpenAPIV31SpecValidator, validate
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

import covet_http as http
from covet_http._openapi._document import build, encode
from covet_kernel import Kernel, Plugin, PluginConfig, Serving
from covet_kernel.contracts import Credentials, Layer, Operation, Phase, Principal
from covet_kernel.testing import assembly_of
from covet_operations import (
    Conflict,
    ErrorMapping,
    NotFound,
    Operations,
    Pipeline,
    RateLimited,
    operation,
    operations_of,
    providers_of,
)


class Book(BaseModel):
    """A title in the catalogue."""

    id: int
    title: str = Field(examples=["Emma"])
    price: float | None = None


class Draft(BaseModel):
    title: str
    tags: list[str] = []


@dataclass
class Pair:
    left: int
    right: int = 2


class Taken(TypedDict):
    name: str


class NoSuchBook(NotFound):
    """The shop does not have this book."""

    book_id: int
    near: list[int] | None = None


class Sold(Conflict):
    """Every copy is sold."""


@operation(errors=(NoSuchBook,), tags=("catalogue",))
@http.get("/books/{id}")
async def find(
    id: int,
    lang: Literal["en", "fr"] = "en",
    also: Annotated[list[int] | None, http.Query("with")] = None,
    trace: Annotated[str | None, http.Header("X-Trace"), Field(description="For the log.")] = None,
) -> Book:
    """One book.

    With *everything* the shop knows of it.
    """
    raise NotImplementedError


@operation(errors=(Sold,), deprecated=True)
@http.post("/books", status=201, location="/books/{id}")
async def add(draft: Draft) -> Book:
    """Add a book."""
    raise NotImplementedError


@http.put("/books/{id}/pair")
async def pair(id: UUID, pair: Pair, draft: Draft, note: str = "none") -> None:
    """Two models and a text: an object of three members."""


@http.post("/books/{id}/copies")
async def copies(id: int, draft: Draft, count: int, again: int = 1) -> Taken:
    """One model, whose members stand beside the others."""
    raise NotImplementedError


@http.get("/ticker")
async def ticker(since: int = 0) -> AsyncIterator[Book]:
    """Books as they come."""
    yield Book(id=since, title="")


@http.post("/import")
async def load(books: AsyncIterator[Draft]) -> int:
    """Read many."""
    return len([book async for book in books])


@operation(requires=("books.write",))
@http.delete("/books/{id}")
async def remove(id: int) -> None:
    """Remove a book."""


@http.get("/me")
async def me(who: Principal | None) -> str:
    """Who calls, if anybody."""
    return who.id if who else ""


EVERYTHING = (find, add, pair, copies, ticker, load, remove, me)


def phase(*functions: Any, **hooks: Iterable[Any]) -> tuple[Pipeline, Serving]:
    """A phase of these functions' operations that is only looked at."""
    module = ModuleType("shop")
    for function in functions:
        if function.__module__ != "shop.other":
            function.__module__ = "shop"
        setattr(module, function.__name__, function)
        function.__module__ = "shop"
    declared = {"covet_operations": operations_of(module), **hooks}
    serving = Serving(1, lambda hook: [("shop", each) for each in declared.get(hook, ())], {})
    pipeline = Pipeline()
    pipeline.assemble(serving)
    return pipeline, serving


def document(*functions: Any, **hooks: Iterable[Any]) -> dict[str, Any]:
    pipeline, serving = phase(*functions, **hooks)
    made = build(serving, pipeline, http.HttpConfig())
    found: dict[str, Any] = json.loads(encode(made))
    validate(found, cls=OpenAPIV31SpecValidator)
    return found


def at(made: dict[str, Any], route: str) -> Any:
    method, path = route.split(" ")
    return made["paths"][path][method.lower()]


def answer(made: dict[str, Any], route: str, status: int) -> Any:
    """A Response Object, its reference followed."""
    found = at(made, route)["responses"][str(status)]
    if "$ref" in found:
        found = made["components"]["responses"][found["$ref"].rpartition("/")[2]]
    return found


def problem(made: dict[str, Any], route: str, status: int) -> Any:
    return answer(made, route, status)["content"]["application/problem+json"]["schema"]


@pytest.fixture(scope="module")
def made() -> dict[str, Any]:
    return document(*EVERYTHING)


def ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def test_what_an_operation_is(made: dict[str, Any]) -> None:
    found = at(made, "GET /books/{id}")
    assert made["openapi"] == "3.1.1"
    assert made["info"] == {"title": "API", "version": "0.1.0"}
    assert found["operationId"] == "shop.find"
    assert found["summary"] == "One book."
    assert found["description"] == "With *everything* the shop knows of it."
    assert found["tags"] == ["catalogue"]
    assert at(made, "POST /books")["tags"] == ["shop"]
    assert at(made, "POST /books")["deprecated"] is True
    assert made["tags"] == [{"name": "catalogue"}, {"name": "shop"}]


def test_parameters(made: dict[str, Any]) -> None:
    assert at(made, "GET /books/{id}")["parameters"] == [
        {"name": "id", "in": "path", "required": True, "schema": {"type": "integer"}},
        {
            "name": "lang",
            "in": "query",
            "schema": {"type": "string", "enum": ["en", "fr"], "default": "en"},
        },
        {"name": "with", "in": "query", "schema": {"type": "array", "items": {"type": "integer"}}},
        {
            "name": "x-trace",
            "in": "header",
            "description": "For the log.",
            "schema": {"type": "string", "description": "For the log."},
        },
    ]


def test_bodies(made: dict[str, Any]) -> None:
    assert at(made, "POST /books")["requestBody"] == {
        "required": True,
        "content": {"application/json": {"schema": ref("Draft")}},
    }
    two = at(made, "PUT /books/{id}/pair")["requestBody"]["content"]["application/json"]["schema"]
    assert two == {
        "type": "object",
        "additionalProperties": False,
        "required": ["pair", "draft"],
        "properties": {
            "pair": ref("Pair"),
            "draft": ref("Draft"),
            "note": {"type": "string", "default": "none"},
        },
    }
    one = at(made, "POST /books/{id}/copies")["requestBody"]["content"]["application/json"]
    assert one["schema"]["required"] == ["title", "count"]
    assert set(one["schema"]["properties"]) == {"title", "tags", "count", "again"}


def test_answers(made: dict[str, Any]) -> None:
    book = answer(made, "GET /books/{id}", 200)
    assert book["content"] == {"application/json": {"schema": ref("Book")}}
    created = answer(made, "POST /books", 201)
    assert created["headers"]["Location"]["schema"] == {"type": "string", "format": "uri-reference"}
    assert answer(made, "PUT /books/{id}/pair", 204) == {"description": "No Content"}
    assert made["components"]["schemas"]["Book"]["properties"]["title"] == {
        "type": "string",
        "examples": ["Emma"],
    }


def test_streams(made: dict[str, Any]) -> None:
    out = answer(made, "GET /ticker", 200)["content"]
    assert out["application/x-ndjson"]["x-itemSchema"] == ref("Book")
    into = at(made, "POST /import")["requestBody"]
    assert into["required"] is True
    assert into["content"]["application/x-ndjson"]["x-itemSchema"] == ref("Draft")


class Forms:
    """Answers that are not simply JSON."""

    @http.get("/csv", media_type="text/csv")
    def csv(self) -> str:
        return ""

    @http.get("/png", media_type="image/png")
    def png(self) -> bytes:
        return b""

    @http.get("/hal", media_type="application/hal+json")
    def hal(self) -> Book: ...

    @http.get("/events", stream="events")
    async def events(self) -> AsyncIterator[Book]:
        yield Book(id=1, title="")

    @http.get("/typed-events")
    async def typed_events(self) -> AsyncIterator[http.Event[Book]]:
        yield http.Event(Book(id=1, title=""))

    @http.get("/chunks", media_type="text/plain")
    async def chunks(self) -> AsyncIterator[bytes]:
        yield b""

    @http.post("/either", status=201, location="/books/{id}")
    async def either(self) -> Book | http.Redirect: ...

    @http.get("/redirect")
    async def redirect(self) -> http.Redirect: ...

    @http.get("/file")
    async def file(self) -> http.File: ...

    @http.get("/content")
    async def content(self) -> http.Content: ...


def test_answers_of_every_form() -> None:
    made = document(covet_operations=operations_of(Forms()))

    def said(route: str, status: int = 200) -> Any:
        return answer(made, route, status).get("content")

    assert said("GET /csv") == {"text/csv": {"schema": {"type": "string"}}}
    assert said("GET /png") == {"image/png": {"schema": {}}}
    assert said("GET /hal") == {"application/hal+json": {"schema": ref("Book")}}
    for path in ("/events", "/typed-events"):
        assert said(f"GET {path}")["text/event-stream"]["x-itemSchema"] == ref("Book")
    assert said("GET /chunks") == {"text/plain": {"schema": {}}}
    assert said("POST /either", 201) == {"application/json": {"schema": ref("Book")}}
    for route in ("POST /either", "GET /redirect"):
        found = answer(made, route, 303)
        assert set(found["headers"]) == {"Location"}
        assert "content" not in found
    assert set(at(made, "GET /redirect")["responses"]) & {"200", "204"} == set()
    assert {"200", "206", "304", "404", "412", "416"} <= set(at(made, "GET /file")["responses"])
    for status in (200, 206):
        assert said("GET /file", status) == {"*/*": {"schema": {}}}
    assert said("GET /content") == {"*/*": {"schema": {}}}


def test_events() -> None:
    @http.get("/ticker", stream="events")
    async def ticks() -> AsyncIterator[Book]:
        yield Book(id=1, title="")

    content = answer(document(ticks), "GET /ticker", 200)["content"]
    assert content == {"text/event-stream": {"x-itemSchema": ref("Book")}}


def test_what_is_at_no_path() -> None:
    @http.get("/days/{day:date}")
    async def day(day: date) -> str: ...  # type: ignore[empty-body]

    made = document(day)
    assert problem(made, "GET /days/{day}", 404) == ref("NoSuchPath")
    code = made["components"]["schemas"]["NoSuchPath"]["properties"]["code"]
    assert code["const"] == "no-such-path"


def test_errors(made: dict[str, Any]) -> None:
    assert problem(made, "GET /books/{id}", 404) == ref("NoSuchBook")
    schema = made["components"]["schemas"]["NoSuchBook"]
    assert schema["properties"]["code"] == {"type": "string", "const": "no-such-book"}
    assert schema["properties"]["type"]["const"] == "/problems/no-such-book"
    assert schema["properties"]["book_id"] == {"type": "integer"}
    assert schema["required"] == ["type", "title", "status", "code", "book_id"]
    assert set(at(made, "GET /books/{id}")["responses"]) == {
        "200", "400", "404", "422", "500", "503", "504",
    }  # fmt: skip
    assert set(at(made, "POST /books")["responses"]) == {
        "201", "400", "408", "409", "413", "415", "422", "500", "503", "504",
    }  # fmt: skip
    assert at(made, "POST /books")["responses"]["422"] == {"$ref": "#/components/responses/Invalid"}
    assert "errors" in made["components"]["schemas"]["Malformed"]["properties"]
    assert set(at(made, "GET /me")["responses"]) == {"200", "500", "503", "504"}


def test_several_errors_of_one_status() -> None:
    @operation(errors=(Sold, Conflict), transaction=None)
    @http.post("/orders")
    async def order(id: int) -> None: ...

    schema = problem(document(order), "POST /orders", 409)
    assert schema["oneOf"] == [ref("Sold"), ref("Conflict")]
    assert schema["discriminator"]["mapping"] == {
        "sold": "#/components/schemas/Sold",
        "conflict": "#/components/schemas/Conflict",
    }


def test_errors_of_libraries_are_shown_as_what_they_are_mapped_to() -> None:
    class Full(Exception):
        pass

    @operation(errors=(Full,))
    @http.post("/orders")
    async def order(id: int) -> None: ...

    mapping = ErrorMapping(exception=Full, answer=Sold, detail="no")
    made = document(order, covet_error_mappings=(mapping,))
    assert problem(made, "POST /orders", 409) == ref("Sold")


class Tokens:
    schemes = ("basic", "bearer")

    async def authenticate(self, credentials: Credentials) -> Principal | None:
        return None


class Keys:
    security_schemes = {"key": {"type": "apiKey", "in": "header", "name": "x-key"}}

    async def authenticate(self, credentials: Credentials) -> Principal | None:
        return None


def test_who_may_call() -> None:
    made = document(remove, me, find, covet_authenticators=(Tokens(), Keys()))
    assert set(made["components"]["securitySchemes"]) == {"basic", "bearer", "key"}
    needed = ["books.write"]
    assert at(made, "DELETE /books/{id}")["security"] == [
        {"basic": needed},
        {"bearer": needed},
        {"key": needed},
    ]
    assert at(made, "GET /me")["security"][-1] == {}
    assert "WWW-Authenticate" in answer(made, "DELETE /books/{id}", 401)["headers"]


def test_a_bearer_token_is_assumed(made: dict[str, Any]) -> None:
    assert made["components"]["securitySchemes"] == {"bearer": {"type": "http", "scheme": "bearer"}}
    assert at(made, "DELETE /books/{id}")["security"] == [{"bearer": ["books.write"]}]
    assert "security" not in at(made, "GET /books/{id}")


def test_two_models_of_one_name_are_two_components() -> None:
    def module(name: str, kind: Any) -> Any:
        model = type("Thing", (BaseModel,), {"__annotations__": {"a": kind}, "__module__": name})

        async def make() -> Any: ...

        make.__annotations__["return"] = model
        make.__name__ = make.__qualname__ = name.replace(".", "_")
        return http.get(f"/{make.__name__}")(make)

    one, two = module("shop.one", int), module("shop.two", str)
    made, turned = document(one, two), document(two, one)
    names = {name for name in made["components"]["schemas"] if name.endswith("Thing")}
    assert names == {"shop__one__Thing", "shop__two__Thing"}
    assert made["components"] == turned["components"]


def test_an_error_and_a_model_of_one_name() -> None:
    model = type("Sold", (BaseModel,), {"__annotations__": {"a": int}, "__module__": "shop"})

    @operation(errors=(Sold,))
    @http.get("/sold")
    async def sold() -> Any: ...

    sold.__annotations__["return"] = model
    made = document(sold)
    assert answer(made, "GET /sold", 200)["content"]["application/json"]["schema"] == ref("Sold")
    name = problem(made, "GET /sold", 409)["$ref"].rpartition("/")[2]
    assert name.endswith("Sold")
    assert name != "Sold"
    assert made["components"]["schemas"][name]["properties"]["code"]["const"] == "sold"


def test_what_the_decorator_says() -> None:
    class Queued(BaseModel):
        ticket: str

    queued = http.DeclaredAnswer(
        description="It takes longer.", type=Queued, headers={"X-Queue": "Where it waits."}
    )
    shipped = http.Webhook(
        name="shipped", payload=Book, url="{$request.body#/url}", summary="It is on its way."
    )

    @http.openapi(
        operation_id="buy",
        description="At once, or later.",
        answers={202: queued},
        request_examples={"one": {"url": "https://example.org", "id": 1}},
        response_examples={"emma": {"id": 1, "title": "Emma"}},
        callbacks=(shipped,),
        external_docs="https://example.org/buy",
    )
    @http.post("/buy")
    async def buy(url: str, id: int) -> Book: ...  # type: ignore[empty-body]

    @http.openapi(hidden=True)
    @http.get("/secret")
    async def secret() -> str: ...  # type: ignore[empty-body]

    made = document(buy, secret)
    found = at(made, "POST /buy")
    assert list(made["paths"]) == ["/buy"]
    assert found["operationId"] == "buy"
    assert found["description"] == "At once, or later."
    assert found["externalDocs"] == {"url": "https://example.org/buy"}
    later = answer(made, "POST /buy", 202)
    assert later["content"]["application/json"]["schema"] == ref("Queued")
    assert later["headers"]["X-Queue"]["description"] == "Where it waits."
    assert found["requestBody"]["content"]["application/json"]["examples"] == {
        "one": {"value": {"url": "https://example.org", "id": 1}}
    }
    assert answer(made, "POST /buy", 200)["content"]["application/json"]["examples"]["emma"]
    call = found["callbacks"]["shipped"]["{$request.body#/url}"]["post"]
    assert call["requestBody"]["content"]["application/json"]["schema"] == ref("Book")


def test_parts_and_webhooks_of_plugins() -> None:
    class Part(http.OpenApiPart):
        def describe(self, description: http.Description) -> None:
            description.header("X-Served-By", {"type": "string"}, "Which instance.")
            description.error(RateLimited)
            description.parameter("x-tenant", "header", {"type": "string"}, required=True)
            description.parameter("accept", "header", {"type": "string"})

        def finish(self, document: dict[str, Any]) -> None:
            document["info"]["x-made"] = True

    hook = http.Webhook(name="restocked", payload=Book, description="Copies have come.")
    made = document(find, covet_http_openapi=(Part(), hook))
    assert made["info"]["x-made"] is True
    assert made["webhooks"]["restocked"]["post"]["description"] == "Copies have come."
    assert "X-Served-By" in answer(made, "GET /books/{id}", 200)["headers"]
    assert "Retry-After" in answer(made, "GET /books/{id}", 429)["headers"]
    names = [each["name"] for each in at(made, "GET /books/{id}")["parameters"]]
    assert names[-1] == "x-tenant"


def test_what_extensions_are_typed_with() -> None:
    class Part(http.OpenApiPart):
        def describe(self, description: http.Description) -> None:
            body = http.DescribedBody(description.want(Pair, "serialization"))
            description.answer(202, "Later.", "application/json", body)

    made = document(find, covet_http_openapi=(Part(),))
    assert answer(made, "GET /books/{id}", 202)["content"]["application/json"] == {
        "schema": ref("Pair")
    }
    assert not hasattr(http, "Nothing")


def test_interceptors_say_what_they_change() -> None:
    class Limiter:
        name, phase, after, before = "limiter", Phase.LIMIT, (), ()

        def bind(self, operation: Operation, binding: Any) -> Layer | None:
            return None

        def describe(self, description: Any) -> None:
            description.error(RateLimited)

    made = document(find, covet_interceptors=(Limiter(),))
    assert problem(made, "GET /books/{id}", 429) == ref("RateLimited")


def test_types_without_a_schema_do_not_prevent_the_document() -> None:
    class Strange:
        pass

    class Odd(BaseModel, arbitrary_types_allowed=True):
        what: Strange | None = None
        default: Any = Strange()

    @http.get("/odd")
    async def odd() -> Odd: ...  # type: ignore[empty-body]

    odd.__annotations__["return"] = Odd
    assert "Odd" in document(odd)["components"]["schemas"]


def test_two_routes_of_one_operation_have_identifiers_of_their_own() -> None:
    @http.get("/a/{id}")
    @http.get("/b/{id}")
    async def both(id: int) -> int: ...  # type: ignore[empty-body]

    made = document(both)
    ids = {at(made, f"GET /{name}/{{id}}")["operationId"] for name in "ab"}
    assert ids == {"shop.both", "shop.both GET /b/{id}"}


def test_the_same_operations_give_the_same_bytes(made: dict[str, Any]) -> None:
    assert json.dumps(document(*EVERYTHING)) == json.dumps(made)


# bad input 76
HOSTILE = ["<script>alert(1)</script>", "a'b\"c", "*/", "${x}", "{{x}}", "- a: b", "\u2028", "é"]

NAMES = st.from_regex(r"[a-z]{1,8}", fullmatch=True)
TYPES = st.recursive(
    st.sampled_from([int, str, float, bool, UUID, bytes, None, Book, Pair, Taken, Any]),
    lambda inner: st.one_of(
        st.builds(lambda kind: list[kind], inner),
        st.builds(lambda kind: dict[str, kind], inner),
        st.builds(lambda kind: kind | None if kind is not Any and kind is not None else Any, inner),
    ),
    max_leaves=3,
)


@settings(max_examples=40)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["get", "post", "put", "patch", "delete"]),
            NAMES,
            st.dictionaries(NAMES, TYPES, max_size=3),
            TYPES,
            st.sampled_from(HOSTILE),
        ),
        min_size=1,
        max_size=4,
        unique_by=lambda each: each[:2],
    )
)
def test_generated_operations_have_a_valid_document(routes: list[Any]) -> None:
    functions = []
    for number, (method, path, inputs, output, text) in enumerate(routes):
        plain = method in ("get", "delete")
        names = {f"p_{name}": str if plain else kind for name, kind in inputs.items()}
        scope: dict[str, Any] = {}
        exec(f"async def f{number}({', '.join(names)}): ...", scope)
        function = scope[f"f{number}"]
        function.__annotations__ = {**names, "return": output}
        function.__doc__ = f"{text}\n\n{text}"
        bound = getattr(http, method)(f"/{path}/<b>&'\"é")(function)
        functions.append(operation(tags=(text,))(bound))
    made = document(*functions)
    for method, path, *_ in routes:
        assert at(made, f"{method} /{path}/<b>&'\"é")["responses"]


def test_forms() -> None:
    @http.post("/signup")
    async def signup(
        name: Annotated[str, http.Form("full-name")], age: Annotated[int, http.Form()] = 0
    ) -> None: ...

    @http.post("/covers/{id}")
    async def cover(id: int, image: http.Upload, title: str = "") -> None: ...

    @http.post("/stream")
    async def stream(parts: http.Parts) -> None: ...

    made = document(
        signup, cover, stream, covet_providers=providers_of(http.Http(http.HttpConfig()))
    )
    content = at(made, "POST /signup")["requestBody"]["content"]
    assert set(content) == {"multipart/form-data", "application/x-www-form-urlencoded"}
    schema = content["multipart/form-data"]["schema"]
    assert schema["required"] == ["full-name"]
    assert set(schema["properties"]) == {"full-name", "age"}
    content = at(made, "POST /covers/{id}")["requestBody"]["content"]
    assert set(content) == {"multipart/form-data"}
    image = content["multipart/form-data"]["schema"]["properties"]["image"]
    assert image["contentMediaType"] == "application/octet-stream"
    content = at(made, "POST /stream")["requestBody"]["content"]
    assert content == {"multipart/form-data": {"schema": {"type": "object"}}}


class Price(BaseModel):
    above: float = 0
    below: Annotated[float, Field(le=1000)]


class Filters(BaseModel):
    author: str = Field("", description="Part of a name.")
    tags: set[str] = set()
    price: Price


class Visitor(BaseModel):
    session: str
    theme: str | None = None


def test_models_taken_apart() -> None:
    @http.get("/books")
    async def search(
        filters: Annotated[Filters, http.Query()],
        visitor: Annotated[Visitor, http.Cookie()],
        languages: Annotated[list[str], http.Header("accept-language")] = [],  # noqa: B006
        session: Annotated[str, http.Cookie("other")] = "none",
    ) -> str: ...  # type: ignore[empty-body]

    found = {
        (each["in"], each["name"]): each
        for each in at(document(search), "GET /books")["parameters"]
    }
    assert set(found) == {
        ("query", "author"), ("query", "tags"), ("query", "price.above"), ("query", "price.below"),
        ("cookie", "session"), ("cookie", "theme"), ("cookie", "other"),
        ("header", "accept-language"),
    }  # fmt: skip
    assert found["query", "author"]["description"] == "Part of a name."
    assert found["query", "tags"]["schema"]["type"] == "array"
    assert "required" not in found["query", "price.above"]
    assert found["query", "price.below"]["required"] is True
    assert found["query", "price.below"]["schema"]["maximum"] == 1000
    assert found["cookie", "session"]["required"] is True
    assert found["cookie", "theme"]["schema"] == {"type": "string"}
    assert found["cookie", "other"]["schema"]["default"] == "none"


def test_bodies_of_any_kind() -> None:
    @http.put("/cover")
    async def cover(image: Annotated[bytes, http.Body(("image/*", "text/svg"))]) -> None: ...

    @http.put("/blurb")
    async def blurb(text: Annotated[str, http.Body("text/plain")] = "") -> None: ...

    @http.post("/bulk")
    async def bulk(titles: Annotated[list[str], http.Body()]) -> int: ...  # type: ignore[empty-body]

    @http.post("/import")
    async def load(data: Annotated[AsyncIterator[bytes], http.Body("text/csv")]) -> None: ...

    @http.put("/raw")
    async def raw(data: bytes) -> None: ...

    made = document(cover, blurb, bulk, load, raw)
    assert at(made, "PUT /cover")["requestBody"] == {
        "required": True,
        "content": {"image/*": {"schema": {}}, "text/svg": {"schema": {}}},
    }
    assert "required" not in at(made, "PUT /blurb")["requestBody"]
    assert at(made, "PUT /blurb")["requestBody"]["content"]["text/plain"]["schema"] == {
        "type": "string"
    }
    items = at(made, "POST /bulk")["requestBody"]["content"]["application/json"]["schema"]
    assert items == {"type": "array", "items": {"type": "string"}}
    assert at(made, "POST /import")["requestBody"]["content"] == {"text/csv": {"schema": {}}}
    assert set(at(made, "PUT /raw")["requestBody"]["content"]) == {"application/octet-stream"}


class Yaml:
    media_types = ("application/yaml", "text/yaml")


def test_other_encodings_of_documents() -> None:
    @http.put("/image")
    async def image(data: bytes) -> None: ...

    made = document(add, image, covet_http_codecs=(Yaml(),))
    kinds = {"application/json", "application/yaml"}
    assert set(at(made, "POST /books")["requestBody"]["content"]) == {*kinds, "text/yaml"}
    assert set(answer(made, "POST /books", 201)["content"]) == {*kinds, "text/yaml"}
    assert problem(made, "POST /books", 406) == ref("NotAcceptable")
    assert set(at(made, "PUT /image")["requestBody"]["content"]) == {"application/octet-stream"}
    assert "406" not in at(made, "PUT /image")["responses"]


def test_types_in_paths_and_hosts(caplog: pytest.LogCaptureFixture) -> None:
    site = http.Group(host="{tenant}.example.com")

    @site.get("/files/{name:path}")
    async def file(tenant: str, name: str) -> str: ...  # type: ignore[empty-body]

    @http.get("/files/{other:path}")
    async def elsewhere(other: str) -> str: ...  # type: ignore[empty-body]

    made = document(file, elsewhere)
    found = at(made, "GET /files/{name}")
    assert [each["name"] for each in found["parameters"]] == ["name"]
    assert found["servers"] == [
        {"url": "//{tenant}.example.com", "variables": {"tenant": {"default": "tenant"}}}
    ]
    assert "/files/{other}" in made["paths"]
    again = http.get("/files/{name:path}")(elsewhere_of("name"))
    assert "operationId" in at(document(file, again), "GET /files/{name}")
    assert "is not in the OpenAPI document" in caplog.text


def elsewhere_of(name: str) -> Any:
    async def again(name: str) -> str: ...  # type: ignore[empty-body]

    return again


class BookOne(BaseModel):
    """What version 1 answers."""

    number: int


@http.downgrade_response("2", "1", Book)
def numbered(new: dict[str, Any]) -> BookOne:
    return BookOne(number=new["id"])


@http.post("/books", versions="*")
async def add_any(draft: Draft) -> list[Book]: ...  # type: ignore[empty-body]


async def test_the_document_of_a_version_is_served(web: Any) -> None:
    config = {"versions": {"by": "header", "known": [{"name": "1"}, {"name": "2"}]}}
    changes = vars(numbered)["__covet_version_changes__"]
    more = {"more": web.plugin_of(covet_http_version_changes=lambda self: changes)}
    async with web.serving(add_any, http=config, plugins=more) as service:
        one = (await service.ask("GET", "/openapi.json?version=1")).json
        newest = (await service.ask("GET", "/openapi.json")).json
        other = await service.ask("GET", "/openapi.json?version=3")
        twice = await service.ask("GET", "/openapi.json?version=1&version=2")
    assert set(one["components"]["schemas"]["BookOne"]["properties"]) == {"number"}
    assert "Book" in newest["components"]["schemas"]
    assert (other.status, twice.status) == (404, 404)
    assert other.json["detail"] == "the versions are 1, 2"


def test_what_rules_change_is_said() -> None:
    @http.get("/books", etag=True)
    async def books() -> list[Book]: ...  # type: ignore[empty-body]

    @http.post("/orders", idempotency="required")
    async def order(book: int) -> Book: ...  # type: ignore[empty-body]

    rules = http.Http(http.HttpConfig()).covet_interceptors()
    made = document(books, order, covet_interceptors=rules)
    assert answer(made, "GET /books", 304) == {"description": "The client has this answer already."}
    assert problem(made, "GET /books", 412) == ref("PreconditionFailed")
    assert "ETag" in answer(made, "GET /books", 200)["headers"]
    (key,) = at(made, "POST /orders")["parameters"]
    assert (key["name"], key["required"]) == ("Idempotency-Key", True)
    assert ref("KeyInUse") in problem(made, "POST /orders", 409)["oneOf"]


# Serving


async def test_it_is_served(web: Any) -> None:
    async with web.serving(*EVERYTHING[:2]) as service, service.connect() as client:
        whole = await client.ask("GET", "/openapi.json")
        etag = whole.headers["etag"]
        head = await client.ask("HEAD", "/openapi.json")
        refused = await client.ask("POST", "/openapi.json")
    assert whole.status == 200
    assert whole.headers["content-type"] == "application/json"
    assert whole.headers["cache-control"] == "no-cache"
    assert whole.headers["x-content-type-options"] == "nosniff"
    validate(whole.json, cls=OpenAPIV31SpecValidator)
    assert list(whole.json["paths"]) == ["/books/{id}", "/books"]
    assert (head.status, head.headers["etag"]) == (200, etag)
    assert refused.status == 405


async def test_those_who_have_the_document_get_304(web: Any) -> None:
    async with web.serving(find) as service:
        etag = (await service.ask("GET", "/openapi.json")).headers["etag"]
        async with service.connect() as client:
            await client.send(
                b"GET /openapi.json HTTP/1.1\r\nHost: a\r\nIf-None-Match: " + etag.encode()
                + b"\r\nConnection: close\r\n\r\n"
            )  # fmt: skip
            same = await client.until_closed()
    assert same.startswith(b"HTTP/1.1 304 ")
    assert same.endswith(b"\r\n\r\n")


async def test_it_can_be_turned_off(web: Any) -> None:
    async with web.serving(find, http={"openapi": {"path": ""}}) as service:
        assert (await service.ask("GET", "/openapi.json")).status == 404
        assert (await service.ask("GET", "/docs")).status == 404
    async with web.serving(find, http={"openapi": {"docs_path": ""}}) as service:
        assert (await service.ask("GET", "/openapi.json")).status == 200
        assert (await service.ask("GET", "/docs")).status == 404


async def test_it_can_be_kept_from_strangers(web: Any) -> None:
    async with web.serving(find, http={"openapi": {"requires": ["docs.read"]}}) as service:
        assert (await service.ask("GET", "/openapi.json")).status == 401
        assert (await service.ask("GET", "/docs")).status == 401
        assert (await service.ask("GET", "/docs/page.js")).status == 401


async def test_the_configuration_says_what_the_service_is(web: Any) -> None:
    says = {
        "path": "/spec/v1.json",
        "title": "Shop",
        "version": "2.1",
        "description": "Books.",
        "servers": ["https://shop.example"],
    }
    async with web.serving(find, http={"openapi": says}) as service:
        found = (await service.ask("GET", "/spec/v1.json")).json
    assert found["info"] == {"title": "Shop", "version": "2.1", "description": "Books."}
    assert found["servers"] == [{"url": "https://shop.example"}]


async def test_many_who_ask_first_have_it_made_once(
    web: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []

    def counted(*arguments: Any) -> dict[str, Any]:
        made.append(1)
        return build(*arguments)

    monkeypatch.setattr("covet_http._openapi._document.build", counted)
    bodies: set[bytes] = set()
    async with web.serving(find) as service:
        assert not made

        async def ask() -> None:
            bodies.add((await service.ask("GET", "/openapi.json")).body)

        async with anyio.create_task_group() as tasks:
            for _ in range(8):
                tasks.start_soon(ask)
    assert len(made) == len(bodies) == 1


class TitleConfig(PluginConfig):
    title: str


class Titled(Plugin[TitleConfig]):
    """Changes the document by its configuration."""

    def covet_http_openapi(self) -> Iterable[http.OpenApiPart]:
        title = self.config.title

        class Part(http.OpenApiPart):
            def finish(self, document: dict[str, Any]) -> None:
                document["info"]["title"] = title

        return [Part()]


async def test_a_reload_makes_another(web: Any) -> None:
    def assembly(title: str) -> Any:
        classes = {"operations": Operations, "http": http.Http, **web.servers}
        classes |= {"shop": web.plugin_of(find), "titled": Titled}
        tables = {"http": {"port": 0, "server": web.server, "linger": 0.0}}
        return assembly_of(classes, {**tables, "titled": {"title": title}})

    async def ask(etag: str = "none") -> Any:
        async with await anyio.connect_tcp("127.0.0.1", port) as stream:
            return await web.Client(stream).ask(
                "GET", "/openapi.json", headers={"If-None-Match": etag}
            )

    async with Kernel(assembly("one")).running() as kernel:
        port = int(kernel.require(http.HTTP).urls[0].rpartition(":")[2])
        first = await ask()
        await kernel.reload(assembly("two"))
        second = await ask(first.headers["etag"])
    assert first.json["info"]["title"] == "one"
    assert (second.status, second.json["info"]["title"]) == (200, "two")


@pytest.mark.parametrize("path", ["openapi.json", "/{x}", "/docs/", "/a b"])
def test_a_path_that_is_none_is_refused(path: str) -> None:
    with pytest.raises(ValueError):
        http.OpenApiConfig(path=path)
