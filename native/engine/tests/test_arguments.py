"""Arguments that the engine reads along with the head are what Python makes of the same request."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Annotated, Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from memory import Memory, memory
from portable import portable

import covet_http as http
from covet_engine._arguments import arguments_of
from covet_engine._request import EngineRequest

LIMIT = 6


@http.get("/numbers/{first}/{second}")
def numbers(first: int, second: int, third: int = 3, fourth: int | None = None) -> list[int | None]:
    return [first, second, third, fourth]


@http.get("/texts/{first}")
def texts(
    first: str,
    q: str,
    accented: Annotated[str | None, http.Query("é")] = None,
    torn: Annotated[str, http.Query("a b&=")] = "",
) -> list[str | None]:
    return [first, q, accented, torn]


@http.get("/mixed/{id}")
def mixed(id: int, q: str = "none", limit: int = 10) -> dict[str, int | str]:
    return {"id": id, "q": q, "limit": limit}


@http.get("/not/{id}")
def neither(id: int, exact: bool = False) -> list[int]:
    return [id, exact]


OPERATIONS = (numbers, texts, mixed, neither)

# What tears at a query: separators, escapes whole and broken, and digits that are none.
TEXT = st.one_of(
    st.sampled_from(
        ["", "0", "7", "007", "42", "-1", "+1", "%2B1", "1_0", "1e5", "9" * 18, "9" * 19, "%31", "a+b",
         "some%20words", "%", "%4", "%zz", "%00", "%C3%A9", "%C3", "%ED%A0%80", "%26", "%3D", "%25",
         "%2520", "%%20", "a=b", "a;b=1", "x" * 15, "x" * 16, "x" * 70, "null", "%D9%A1", "1 "]
    ),
    st.text("aé%&=+;01 /", max_size=6).map(lambda text: "".join(map(_sent, text))),
)  # fmt: skip
NAMES = st.one_of(
    st.sampled_from(
        ["q", "limit", "third", "fourth", "%C3%A9", "a%20b%26%3D", "a+b%26%3d", "%71", "lim%69t", "", "x"]
    ),
    TEXT,
)  # fmt: skip
PAIR = st.one_of(NAMES, st.tuples(NAMES, TEXT).map("=".join))
QUERY = st.lists(PAIR, max_size=8).map("&".join)
SEGMENT = TEXT.filter(lambda text: text and "/" not in text and "?" not in text and " " not in text)
PATH = st.one_of(
    st.tuples(SEGMENT, SEGMENT).map(lambda two: f"/numbers/{two[0]}/{two[1]}"),
    SEGMENT.map(lambda one: f"/texts/{one}"),
    SEGMENT.map(lambda one: f"/mixed/{one}"),
    SEGMENT.map(lambda one: f"/not/{one}"),
)
TARGET = st.tuples(PATH, QUERY).map(lambda two: f"{two[0]}?{two[1]}".replace(" ", "%20"))


def _sent(letter: str) -> str:
    return letter if letter.isascii() else "%C3%A9"


def looked_at(engine: Memory, check: Callable[[EngineRequest], object]) -> list[object]:
    """What ``check`` finds in each request from now on, before it is answered."""
    found: list[object] = []
    targets: Any = engine.listener._pool.targets

    def watched(target: Any) -> Any:
        def make(handle: int, at: int, size: int, flags: int) -> Any:
            exchange = target(handle, at, size, flags)
            found.append(check(exchange))
            return exchange

        return make

    engine.listener._pool.targets = [watched(each) for each in targets]
    return found


def fault(request: EngineRequest) -> str:
    """Why what was read ahead is not what Python finds, or was not read though all of it is plain."""
    ahead, plain = request.ahead(), expected(request)
    if plain is None:
        return "" if ahead is None else f"{request.path} {request.query_string!r}: {ahead}"
    if ahead is None:
        texts = [*request.query, *(each for each in plain if isinstance(each, str))]
        fits = all(len(each.encode()) < 16 for each in texts)
        return f"{request.path} {request.query_string!r}: {plain}" if fits else ""
    missing, *values = ahead
    found = [
        None if missing & 1 << number else value.decode() if isinstance(value, bytes) else value
        for number, value in enumerate(values)
    ]
    return "" if found == plain else f"{request.path} {request.query_string!r}: {found}"


def expected(request: EngineRequest) -> list[int | str | None] | None:
    """The values if all of them are plain, ``None`` for the absent ones, and ``None`` if one is not."""
    arguments = arguments_of(request.route)
    if arguments is None:
        return None
    try:
        query = request.query
    except http.Malformed:
        return None
    found: list[int | str | None] = []
    for each in request.route.ahead:
        text = query.get(each.query) if each.path is None else request.path_values[each.path]
        if isinstance(text, list):
            return None
        if each.kind == "int" and text is not None:
            if not (text.isascii() and text.isdecimal() and len(text) < 19):
                return None
            found.append(int(text))
        else:
            found.append(text)
    return found


@given(st.lists(TARGET, min_size=1, max_size=10))
def test_they_are_what_python_makes_of_them(targets: list[str]) -> None:
    # bad input 41
    async def main() -> None:
        async with memory(*OPERATIONS, http={"max_query_params": LIMIT}) as engine:
            wrong = looked_at(engine, fault)
            connection = engine.connect()
            for target in targets:
                if connection.closed:
                    connection = engine.connect()
                answer = await connection.ask(target)
                if answer.closes:
                    await connection.until_closed()
                status, _, body = await portable(engine.application, "GET", target)
                assert (answer.status, answer.body) == (status, body)
            assert not any(wrong)

    anyio.run(main)


def laid_out() -> Iterator[tuple[Any, bool]]:
    def shape(*kinds: str, name: str = "q") -> Any:
        ahead = [
            SimpleNamespace(kind=kind, path=None, query=f"{name}{at}")
            for at, kind in enumerate(kinds)
        ]
        return SimpleNamespace(ahead=ahead)

    yield shape(), False
    yield shape(*["int"] * 15), True
    yield shape(*["int"] * 16), False
    yield shape(*["str"] * 7), True
    yield shape(*["str"] * 8), False
    yield shape("str", *["int"] * 13), True
    yield shape("str", *["int"] * 14), False
    yield shape("str", name="n" * 254), True
    yield shape("str", name="é" * 127), True
    yield shape("str", name="é" * 128), False


@pytest.mark.parametrize(("route", "fits"), list(laid_out()))
def test_what_does_not_fit_is_left_to_python(route: Any, fits: bool) -> None:
    assert (arguments_of(route) is not None) is fits


async def test_a_request_has_nothing_ahead_where_a_choice_was_made() -> None:
    @http.Group(host="a.example.com").get("/chosen/{id}")
    def chosen(id: int) -> int:
        return id

    @http.get("/chosen/{id}")
    def other(id: int) -> int:
        return -id

    async with memory(chosen, other) as engine:
        ahead = looked_at(engine, EngineRequest.ahead)
        client = engine.connect()
        for host, answer in ("a.example.com", b"5"), ("b.example.com", b"-5"):
            await client.send(f"GET /chosen/5 HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            assert (await client.answer()).body == answer
        assert ahead == [None, None]
