"""What is refused before anything starts, and how it is said."""

from __future__ import annotations

import socket
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from types import SimpleNamespace
from typing import Annotated, Any

import fastapi
import pytest
from pydantic import BaseModel, BeforeValidator, Json

import covet_http as http
from covet_http._plugin import _tell, choose_server
from covet_kernel import ConfigurationError
from covet_operations import NotFound, operation


class Book(BaseModel):
    id: int
    title: str


@dataclass
class Pair:
    id: int


def leaves(group: BaseException) -> list[BaseException]:
    if isinstance(group, BaseExceptionGroup):
        return [leaf for inner in group.exceptions for leaf in leaves(inner)]
    return [group]


async def refused(web: Any, *functions: Any, **more: Any) -> list[ConfigurationError]:
    with pytest.raises((ConfigurationError, ExceptionGroup)) as caught:
        async with web.serving(*functions, **more):
            pass
    found = leaves(caught.value)
    assert all(isinstance(each, ConfigurationError) for each in found), found
    return found  # type: ignore[return-value]


@http.get("/books/{key}")
async def unnamed(id: int) -> Book: ...  # type: ignore[empty-body]


@http.get("/books")
async def model_in_query(book: Book) -> Book: ...  # type: ignore[empty-body]


@http.post("/books/{book}")
async def model_in_path(book: Book) -> Book: ...  # type: ignore[empty-body]


@operation(effect="write")
@http.get("/books")
async def write_by_get() -> Book: ...  # type: ignore[empty-body]


@http.post("/books", location="/books/{isbn}")
async def unknown_field(title: str) -> Book: ...  # type: ignore[empty-body]


@http.post("/books", location="https://evil.example/{id}")
async def foreign_location(title: str) -> Book: ...  # type: ignore[empty-body]


@http.post("/books", location="//evil.example/{id}")
async def schemeless_location(title: str) -> Book: ...  # type: ignore[empty-body]


@http.post("/books", location="/books/{id}")
async def unknown_result(title: str) -> dict[str, int]: ...  # type: ignore[empty-body]


@http.post("/books", status=404)
async def failing_status(title: str) -> Book: ...  # type: ignore[empty-body]


@http.post("/books", status=204)
async def body_without_body(title: str) -> Book: ...  # type: ignore[empty-body]


@http.get("/books")
async def stream_in_by_get(items: AsyncIterator[Book]) -> Book: ...  # type: ignore[empty-body]


@http.get("/books")
async def bad_header(x: Annotated[str, http.Header("a b")]) -> Book: ...  # type: ignore[empty-body]


@http.get("/books")
async def models_in_query(books: list[Book]) -> Book: ...  # type: ignore[empty-body]


@http.get("/books")
async def mapping_in_query(filters: dict[str, int] | None = None) -> Book: ...  # type: ignore[empty-body]


@http.post("/books")
async def models_in_header(books: Annotated[list[Book], http.Header()]) -> Book: ...  # type: ignore[empty-body]


@http.get("/books")
async def marker_for_default(x: str = http.Header("x")) -> Book: ...  # type: ignore[assignment, empty-body]


@http.get("/books")
async def marker_class_for_default(x: str = http.Cookie) -> Book: ...  # type: ignore[assignment, empty-body]


@http.get("/books")
async def query_of_fastapi(page: int = fastapi.Query(1)) -> Book: ...  # type: ignore[empty-body]


@http.get("/books")
async def provider_of_fastapi(page: Annotated[int, fastapi.Depends(int)]) -> Book: ...  # type: ignore[empty-body]


class Impossible(NotFound):
    http_status = 200


@operation(errors=(Impossible,))
@http.get("/books")
async def impossible_error() -> Book: ...  # type: ignore[empty-body]


TEXTS = ('prices={"x":1}', "ids=[2,3]", 'sizes=[{"id":2}]', "words=ab")


class Filters(BaseModel):
    sizes: Json[list[Pair]] = []
    words: Annotated[dict[str, int], BeforeValidator(lambda text: dict.fromkeys(text, 1))] = {}


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (
            models_in_query,
            "'books' is a collection of models, which no text of the query stands for,",
        ),
        (
            mapping_in_query,
            "'filters' is a dict, which no text of the query stands for, and GET has",
        ),
        (models_in_header, "'books' is a collection of models, which no text of the header stands"),
        (
            marker_for_default,
            "'x' has http.Header for a default; a marker stands in its annotation",
        ),
        (marker_class_for_default, "'x' has http.Cookie for a default; a marker stands in"),
        (
            query_of_fastapi,
            "'page' is marked with FastAPI's Query, which is not read here: take Ann",
        ),
        (
            provider_of_fastapi,
            "'page' is marked with FastAPI's Depends, which is not read here: wri",
        ),
        (impossible_error, "Impossible has http_status 200; an error's is between 400 and 599"),
        (unnamed, "the path /books/{key} names 'key', but the handler has no such parameter (id)"),
        (model_in_query, "'book' is a model, and GET has no body to take it from"),
        (model_in_path, "the path parameter 'book' has to be a single plain value"),
        (write_by_get, "is declared 'write'"),
        (unknown_field, "names 'isbn', which is no field of the result (id, title)"),
        (foreign_location, "has to be a path on this server"),
        (schemeless_location, "has to be a path on this server"),
        (unknown_result, "needs a result with named fields"),
        (failing_status, "a success is between 200 and 299"),
        (body_without_body, "status 204 has no body"),
        (stream_in_by_get, "GET has no body to stream in"),
        (bad_header, "which is no header name"),
    ],
)
async def test_what_cannot_be_served_is_refused(web: Any, function: Any, says: str) -> None:
    errors = await refused(web, function)
    assert says in "\n".join(each.problem for each in errors)


async def test_two_routes_in_one_place(web: Any) -> None:
    @http.get("/books/{id}")
    async def one(id: int) -> Book: ...  # type: ignore[empty-body]

    @http.get("/books/{number}")
    async def two(number: int) -> Book: ...  # type: ignore[empty-body]

    (error,) = await refused(web, one, two)
    assert error.code == "COVET-HTTP-ROUTE-CONFLICT"
    assert "shop.one (shop)" in error.problem
    assert "shop.two (shop)" in error.problem


def handler() -> None: ...


@pytest.mark.parametrize("path", ["books", handler])
def test_a_bad_path_is_refused_where_it_is_written(path: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        http.get(path)
    assert caught.value.code == "COVET-HTTP-PATH-INVALID"


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("status_code", "a route has no argument 'status_code': say it with status="),
        ("response_model", "say it with the return annotation"),
        ("requires", r"say it with @operation\(requires=...\)"),
        ("cach", "a route has no argument 'cach': it takes status, .*, cache, etag, "),
    ],
)
def test_arguments_that_no_route_has_are_refused_where_they_are_written(
    name: str, says: str
) -> None:
    with pytest.raises(TypeError, match=says):
        http.post("/books", **{name: "x"})  # type: ignore[arg-type]


async def test_what_reads_texts_by_itself_may_be_anything(web: Any) -> None:
    @http.get("/books")
    async def search(
        prices: Json[dict[str, int]],
        ids: Json[list[int]],
        filters: Annotated[Filters, http.Query()],
    ) -> list[Any]:
        return [prices, ids, len(filters.sizes), filters.words]

    async with web.serving(search) as service:
        answer = await service.ask("GET", "/books?" + "&".join(TEXTS))
    assert answer.json == [{"x": 1}, [2, 3], 1, {"a": 1, "b": 1}]


async def test_a_port_in_use(web: Any) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        (error,) = await refused(web, http={"port": port})
    assert error.code == "COVET-HTTP-PORT-IN-USE"
    assert str(port) in error.problem
    assert "--set plugins.http.port" in error.fix


@pytest.mark.parametrize("host", ["no-such-host.invalid", "203.0.113.7", "a b"])
async def test_a_host_that_is_not_ours(web: Any, host: str) -> None:
    (error,) = await refused(web, http={"host": host})
    assert error.code == "COVET-HTTP-HOST-UNKNOWN"


async def test_a_port_is_free_again_after_a_failed_start(web: Any) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    await refused(web, unnamed, http={"port": port})
    async with web.serving(http={"port": port}) as service:
        assert (await service.ask("GET", "/")).status == 404


def points(**values: str) -> dict[str, list[EntryPoint]]:
    group = "covet.http_servers"
    return {name: [EntryPoint(name, value, group)] for name, value in values.items()}


class Unfit:
    @classmethod
    def unusable(cls) -> str:
        return "it needs another planet"


FIT, ABSENT, UNFIT = "covet_http:Http", "covet_nowhere:Server", f"{__name__}:Unfit"


@pytest.mark.parametrize(
    ("wanted", "servers", "chosen"),
    [
        ("auto", points(hypercorn=FIT, engine=FIT), "engine"),
        ("auto", points(hypercorn=FIT, other=FIT), "hypercorn"),
        ("auto", points(other=FIT), "other"),
        ("auto", points(engine=ABSENT, hypercorn=FIT), "hypercorn"),
        ("auto", points(engine=UNFIT, hypercorn=FIT), "hypercorn"),
        ("hypercorn", points(hypercorn=FIT, engine=FIT), "hypercorn"),
        # The portable server is not imported for the question.
        ("auto", points(hypercorn=ABSENT), "hypercorn"),
    ],
)
def test_which_server_is_chosen(
    wanted: str, servers: dict[str, list[EntryPoint]], chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, __name__, SimpleNamespace(Unfit=Unfit))
    assert choose_server(wanted, servers) == chosen


@pytest.mark.parametrize(
    ("wanted", "servers", "problem"),
    [
        ("hypercron", points(hypercorn=FIT), "'hypercron' is not installed"),
        ("auto", {}, "no HTTP server is installed"),
        ("auto", points(a=FIT, b=FIT), "no HTTP server is installed that 'auto' could take"),
        ("auto", points(engine=UNFIT), "it needs another planet"),
        ("engine", points(engine=UNFIT, hypercorn=FIT), "cannot run here: it needs another planet"),
        ("engine", points(engine=ABSENT, hypercorn=FIT), "covet_nowhere"),
    ],
)
def test_which_server_is_refused(
    wanted: str, servers: dict[str, list[EntryPoint]], problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, __name__, SimpleNamespace(Unfit=Unfit))
    with pytest.raises(ConfigurationError, match=problem) as caught:
        choose_server(wanted, servers)
    assert caught.value.code == "COVET-HTTP-SERVER-UNKNOWN"
    assert caught.value.valid == ("auto", *sorted(servers))


def test_passing_a_server_over_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    _tell.cache_clear()
    servers = points(engine=ABSENT, hypercorn=FIT)
    assert choose_server("auto", servers) == choose_server("auto", servers) == "hypercorn"
    (line,) = (record.getMessage() for record in caplog.records)
    assert line.startswith("the HTTP server 'engine' is not used: covet_nowhere:Server")


async def test_an_unknown_server(web: Any) -> None:
    (error,) = await refused(web, http={"server": "hypercron"})
    assert error.code == "COVET-HTTP-SERVER-UNKNOWN"
    assert "Did you mean 'hypercorn'?" in error.fix
