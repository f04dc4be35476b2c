"""Requests over the arena: they are what was sent, they outlive it, and their ends are told."""

from __future__ import annotations

import gc
import json
from collections.abc import AsyncIterator
from typing import Annotated, Any

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given
from hypothesis import strategies as st
from memory import Memory, memory, request
from pydantic import BaseModel

import covet_http as http
from covet_engine._core import Core
from covet_engine._request import EngineRequest, RequestOverError
from covet_kernel import Plugin
from covet_kernel.contracts import Call, Interceptor, Layer, Operation, Phase
from covet_operations import Conflict, NotFound, Provider, operation, provider, providers_of


class Number(BaseModel):
    n: int


class Kept:
    """Requests a handler has kept."""

    requests: list[http.Request] = []


@http.get("/echo/{one}/{two}")
def echo(one: str, two: str, request: http.Request) -> dict[str, Any]:
    return {
        "one": one,
        "two": two,
        "method": request.method,
        "path": request.path,
        "query": {name: request.query[name] for name in request.query},
        "raw": request.query_string.decode(),
        "headers": dict(request.headers),
        "client": request.client,
        "length": request.declared_length(),
    }


async def test_a_request_is_what_was_sent() -> None:
    async with memory(echo) as engine:
        answer = await engine.ask(
            "/echo/a%20b/%C3%A9?q=1&r=a%26b&q=2",
            headers="X-A: one\r\nx-b:\t two \r\nX-A: three\r\n",
        )
        assert answer.status == 200
        assert json.loads(answer.body) == {
            "one": "a b",
            "two": "é",
            "method": "GET",
            "path": "/echo/a%20b/%C3%A9",
            "query": {"q": ["1", "2"], "r": "a&b"},
            "raw": "q=1&r=a%26b&q=2",
            "headers": {"host": "localhost", "x-a": "one, three", "x-b": "two"},
            "client": None,
            "length": None,
        }


async def test_head_is_answered_by_get_and_knows_its_method() -> None:
    seen = []

    @http.get("/it")
    def it(request: http.Request) -> str:
        seen.append(request.method)
        return "body"

    async with memory(it) as engine:
        connection = engine.connect()
        answer = await connection.ask("/it", "HEAD")
        assert (answer.status, answer.headers["content-length"], answer.body) == (200, "6", b"")
        assert (await connection.ask("/it")).body == b'"body"'
        assert seen == ["HEAD", "GET"]


NAME = st.from_regex(r"X-[A-Za-z0-9!#$%&'*+.^_`|~-]{1,20}", fullmatch=True)
VALUE = st.from_regex(r"[\x21-\x7e\x80-\xff]([\x20-\x7e\x80-\xff]{0,30}[\x21-\x7e\x80-\xff])?", fullmatch=True)  # fmt: skip
BLANK = st.sampled_from(["", " ", "\t", " \t "])


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@given(st.lists(st.tuples(NAME, BLANK, VALUE, BLANK), max_size=10))
def test_header_fields_are_what_was_sent(
    backend: str, fields: list[tuple[str, str, str, str]]
) -> None:
    seen: list[Any] = []

    @http.get("/it")
    def it(request: http.Request) -> None:
        seen.extend(request.raw_headers)
        for name, value in seen:
            same = [each for each in seen if each[0] == name]
            if len(same) == 1:
                assert request.header(name) == value
            else:
                with pytest.raises(http.Malformed):
                    request.header(name)
        assert request.header(b"x-never-there-because-it-is-long") is None

    async def main() -> None:
        lines = "".join(f"{name}:{a}{value}{b}\r\n" for name, a, value, b in fields)
        async with memory(it) as engine:
            assert (await engine.ask("/it", headers=lines)).status == 204

    anyio.run(main, backend=backend)
    assert seen == [
        (b"host", b"localhost"),
        *((name.lower().encode(), value.encode("latin-1")) for name, _, value, _ in fields),
    ]


# What outlives the answer.


async def test_a_request_that_is_kept_keeps_its_head() -> None:
    @http.post("/keep/{name}")
    def keep(name: str, given: Number, request: http.Request) -> None:
        Kept.requests.append(request)

    @http.get("/keep/{name}")
    async def keep_later(name: str, request: http.Request) -> None:
        await anyio.lowlevel.checkpoint()
        Kept.requests.append(request)

    Kept.requests = []
    async with memory(keep, keep_later) as engine:
        connection = engine.connect()
        for n in range(20):
            assert (
                await connection.ask(f"/keep/{n}?q={n}", "POST", b'{"n": 1}', f"X-N: {n}\r\n")
            ).status == 204
            assert (await connection.ask(f"/keep/{n}?q={n}", headers=f"X-N: {n}\r\n")).status == 204
        await engine.settle()
        for place, kept in enumerate(Kept.requests):
            number = str(place // 2)
            assert kept.path == f"/keep/{number}"
            assert kept.path_values == [number]
            assert kept.query == {"q": number}
            assert kept.header(b"x-n") == number.encode()
            assert kept.method == ("GET" if place % 2 else "POST")
            assert kept.client is None
            assert isinstance(kept, EngineRequest)
            with pytest.raises(RequestOverError):
                await kept.read()
            with pytest.raises(RequestOverError):
                await kept.send(b"late")
            kept.cancel("client")
        with pytest.raises(RequestOverError):
            _ = Kept.requests[0].buffered
        assert (await connection.ask("/keep/x")).status == 204
    assert Kept.requests[0].path == "/keep/0"
    Kept.requests = []


async def test_a_request_that_nobody_keeps_is_gone_at_once() -> None:
    @http.get("/it/{n}")
    def it(n: int, request: http.Request) -> int:
        return n

    @http.get("/later/{n}")
    async def later(n: int, request: http.Request) -> int:
        await anyio.lowlevel.checkpoint()
        return n

    def alive() -> int:
        return sum(1 for each in gc.get_objects() if isinstance(each, EngineRequest))

    async with memory(it, later) as engine:
        connection = engine.connect()
        gc.collect()
        gc.disable()
        # Tests before this one may have kept some: a failure's traceback holds the request.
        before = alive()
        try:
            for n in range(20):
                assert (await connection.ask(f"/it/{n}")).body == b"%d" % n
                assert (await connection.ask(f"/later/{n}")).body == b"%d" % n
            await engine.settle()
            assert alive() - before <= 2
        finally:
            gc.enable()


async def test_a_task_that_outlives_its_call_keeps_the_request() -> None:
    seen = []

    async with anyio.create_task_group() as tasks:
        released = anyio.Event()

        async def after(request: http.Request) -> None:
            await released.wait()
            seen.append((request.path, request.header(b"x-a")))

        @http.get("/it")
        async def it(request: http.Request) -> None:
            tasks.start_soon(after, request)

        async with memory(it) as engine:
            connection = engine.connect()
            await connection.ask("/it", headers="X-A: first\r\n")
            for _ in range(50):
                await connection.ask("/nowhere", headers="X-A: other\r\n")
            released.set()
            await engine.settle()
    assert seen == [("/it", b"first")]


# Bodies.


@http.post("/number")
def number(given: Number) -> int:
    return given.n


@http.post("/maybe")
def maybe(given: Number | None = None) -> int:
    return given.n if given is not None else -1


@http.post("/raw")
async def raw(request: http.Request) -> str:
    pieces = []
    while piece := await request.read():
        pieces.append(piece)
    assert await request.read() == b""
    return f"{sum(map(len, pieces))} {b''.join(pieces)[:5].decode()}"


CHUNKED = "Transfer-Encoding: chunked\r\n"


async def test_bodies() -> None:
    async with memory(number, maybe, raw) as engine:
        connection = engine.connect()
        assert (await connection.ask("/number", "POST", b'{"n": 5}')).body == b"5"
        assert (await connection.ask("/number", "POST", b'{"n": "x"}')).status == 422
        assert (await connection.ask("/number", "POST", b"{")).status == 400
        assert (await connection.ask("/number", "POST", b"")).status in (400, 422)
        assert (await connection.ask("/maybe", "POST", b"")).body == b"-1"
        assert (await connection.ask("/raw", "POST", b"")).body == b'"0 "'
        assert (await connection.ask("/raw", "POST", b"hello world")).body == b'"11 hello"'
        text = "Content-Type: text/plain\r\n"
        assert (await connection.ask("/number", "POST", b"{}", text)).status == 415
        twice = "Content-Type: application/json\r\nContent-Type: application/json\r\n"
        assert (await connection.ask("/number", "POST", b'{"n": 5}', twice)).status == 400
        plus = "Content-Type: application/problem+json; charset=utf-8\r\n"
        assert (await connection.ask("/number", "POST", b'{"n": 5}', plus)).body == b"5"
        chunked = f"Content-Type: application/json\r\n{CHUNKED}"
        head = f"POST /number HTTP/1.1\r\nHost: localhost\r\n{chunked}\r\n".encode()
        await connection.send(head + b'4\r\n{"n"\r\n3\r\n: 7\r\n1\r\n}\r\n0\r\n\r\n')
        assert (await connection.answer()).body == b"7"


async def test_a_body_that_comes_bit_by_bit() -> None:
    async with memory(raw, number) as engine:
        connection = engine.connect()
        data = request("/raw", "POST", b"x" * 3000)
        for at in range(0, len(data), 100):
            await connection.send(data[at : at + 100])
            await engine.settle(5)
        assert (await connection.answer()).body == b'"3000 xxxxx"'
        await connection.send(request("/number", "POST", b'{"n": 5}')[:-3])
        await engine.settle()
        assert connection.drain() == 0
        await connection.send(b" 5}"[-3:])
        assert (await connection.answer()).status in (200, 400)


async def test_a_large_body_is_pulled() -> None:
    """As much as is read, and the client has to wait with the rest."""
    release = anyio.Event()

    @http.post("/slow")
    async def slow(request: http.Request) -> int:
        size = len(await request.read())
        await release.wait()
        while piece := await request.read():
            size += len(piece)
        return size

    async with memory(slow) as engine:
        connection = engine.connect()
        total = 4_000_000
        left = request("/slow", "POST", b"x" * total)
        for _ in range(200):
            left = left[connection.send_now(left) :]
            await anyio.lowlevel.checkpoint()
        assert len(left) > total // 2
        release.set()
        await connection.send(left)
        assert (await connection.answer()).body == b"%d" % total


async def test_a_body_over_the_limit() -> None:
    async with memory(number, http={"max_body_bytes": 1000}) as engine:
        body = b'{"n": 5' + b" " * 2000 + b"}"
        assert (await engine.ask("/number", "POST", body)).status == 413
        assert (await engine.ask("/number", "POST", b'{"n": 5}')).status == 200


# Ends.


async def test_typed_and_untyped_errors(caplog: pytest.LogCaptureFixture) -> None:
    @operation(errors=(NotFound,))
    @http.get("/typed")
    def typed() -> None:
        raise NotFound("no such thing")

    @http.get("/typed-later")
    async def typed_later() -> None:
        await anyio.lowlevel.checkpoint()
        raise Conflict("not now")

    @http.get("/bug")
    def bug() -> None:
        raise ValueError("secret")

    async with memory(typed, typed_later, bug) as engine:
        connection = engine.connect()
        answer = await connection.ask("/typed")
        assert (answer.status, answer.headers["content-type"]) == (404, "application/problem+json")
        assert b"no such thing" in answer.body
        assert (await connection.ask("/typed-later")).status == 409
        answer = await connection.ask("/bug")
        assert answer.status == 500
        assert b"secret" not in answer.body
    assert "secret" in caplog.text


async def test_created_with_a_location_and_no_content() -> None:
    @http.post("/numbers", status=201, location="/numbers/{n}")
    def create(given: Number) -> Number:
        return given

    @http.delete("/numbers/{n}")
    def remove(n: int) -> None:
        pass

    async with memory(create, remove) as engine:
        connection = engine.connect()
        answer = await connection.ask("/numbers", "POST", b'{"n": 7}')
        assert (answer.status, answer.headers["location"]) == (201, "/numbers/7")
        assert answer.body == b'{"n":7}'
        answer = await connection.ask("/numbers/7", "DELETE")
        assert (answer.status, answer.body) == (204, b"")
        assert "content-length" not in answer.headers


async def test_a_deadline() -> None:
    seen: list[float] = []

    @operation(deadline=5)
    @http.get("/slow")
    async def slow(request: http.Request) -> None:
        seen.append(request.deadline - anyio.current_time())
        await anyio.sleep_forever()

    async with memory(slow) as engine:
        connection = engine.connect()
        await connection.send(request("/slow"))
        await engine.until(lambda: seen)
        assert 4 < seen[0] <= 5.1
        await engine.settle()
        assert connection.drain() == 0
        engine.pass_time(6)
        answer = await connection.answer()
        assert answer.status == 504
        assert (await connection.ask("/nowhere")).status == 404


async def test_a_deadline_within_task_groups() -> None:
    ended: list[str] = []

    async def child(name: str) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            ended.append(name)

    @operation(deadline=5)
    @http.get("/slow")
    async def slow() -> None:
        async with anyio.create_task_group() as outer:
            outer.start_soon(child, "outer")
            async with anyio.create_task_group() as inner:
                inner.start_soon(child, "inner")
                await anyio.sleep_forever()

    async with memory(slow) as engine:
        connection = engine.connect()
        await connection.send(request("/slow"))
        await engine.settle()
        engine.pass_time(6)
        assert (await connection.answer()).status == 504
        assert sorted(ended) == ["inner", "outer"]


async def test_a_deadline_made_tighter_on_the_way_in() -> None:
    class Tighter:
        name = "tighter"
        phase = Phase.LIMIT
        after = before = ()

        def bind(self, operation: Operation, binding: Any) -> Layer:
            def tighten(call: Call) -> None:
                call.deadline = min(call.deadline, anyio.current_time() + 1)

            return Layer(before=tighten)

    class Tight(Plugin[None]):
        def covet_interceptors(self) -> list[Interceptor]:
            return [Tighter()]

    @http.get("/slow")
    async def slow() -> None:
        await anyio.sleep_forever()

    async with memory(slow, tight=Tight) as engine:
        connection = engine.connect()
        await connection.send(request("/slow"))
        await engine.settle()
        engine.pass_time(1.5)
        assert (await connection.answer()).status == 504


async def test_a_client_that_leaves() -> None:
    ended: list[str] = []

    def waiting(policy: Any) -> Any:
        async def handler(request: http.Request) -> None:
            try:
                await release.wait()
            except anyio.get_cancelled_exc_class():
                ended.append(f"{policy} cancelled by {request.cause}")
                raise
            ended.append(f"{policy} told {request.disconnected}")

        handler.__name__ = policy
        return operation(on_disconnect=policy)(http.get(f"/{policy}")(handler))

    release = anyio.Event()
    async with memory(*map(waiting, ("cancel", "finish", "notify"))) as engine:
        connections = [engine.connect() for _ in range(3)]
        for connection, policy in zip(connections, ("cancel", "finish", "notify"), strict=True):
            await connection.send(request(f"/{policy}"))
        await engine.settle()
        for connection in connections:
            connection.leave()
        await engine.settle()
        assert ended == ["cancel cancelled by disconnect"]
        release.set()
        await engine.settle()
        assert sorted(ended[1:]) == ["finish told True", "notify told True"]
        assert not engine.core.live
        assert int(engine.core.counters.in_flight) == 0


async def test_a_client_that_leaves_within_its_body() -> None:
    ended: list[str] = []

    @operation(on_disconnect="finish")
    @http.post("/it")
    async def it(request: http.Request) -> None:
        try:
            while await request.read():
                pass
        finally:
            ended.append(str(request.cause))

    async with memory(it) as engine:
        connection = engine.connect()
        await connection.send(request("/it", "POST", b"x" * 200_000)[:150_000])
        await engine.settle()
        connection.leave()
        await engine.settle()
        assert ended == ["disconnect"]
        assert int(engine.core.counters.in_flight) == 0


class App: ...


class PerConnection: ...


class PerCall: ...


class Providers(Plugin[None]):
    """A provider of each scope, each needing the wider one."""

    opened: list[str] = []

    def covet_providers(self) -> tuple[Provider, ...]:
        return providers_of(self)

    @provider(scope="app")
    async def app(self) -> AsyncIterator[App]:
        self.opened.append("app")
        yield App()

    @provider(scope="connection")
    async def per_connection(self, outer: App) -> AsyncIterator[PerConnection]:
        self.opened.append("connection")
        yield PerConnection()
        self.opened.append("connection closed")

    @provider(scope="call")
    async def per_call(self, outer: PerConnection) -> AsyncIterator[PerCall]:
        self.opened.append("call")
        yield PerCall()
        self.opened.append("call closed")


async def test_providers_of_every_scope() -> None:
    @http.get("/it")
    def it(given: PerCall) -> str:
        return type(given).__name__

    Providers.opened = []
    async with memory(it, providers=Providers) as engine:
        for _ in range(2):
            assert (await engine.ask("/it")).body == b'"PerCall"'
    opened = Providers.opened
    assert opened[:3] == ["app", "connection", "call"]
    assert opened.count("app") == 1
    assert opened.count("call closed") == opened.count("connection closed") == 2


async def test_arguments_are_annotated() -> None:
    @http.get("/search")
    def search(q: str, limit: Annotated[int, http.Query("n")] = 10) -> str:
        return f"{q} {limit}"

    async with memory(search) as engine:
        assert (await engine.ask("/search?q=a&n=5")).body == b'"a 5"'
        assert (await engine.ask("/search?q=a")).body == b'"a 10"'
        assert (await engine.ask("/search?q=a&q=b")).status == 400
        assert (await engine.ask("/search")).status == 422


async def test_an_engine_that_is_no_more_is_safe_to_use(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[Memory] = []

    @http.get("/it")
    def it() -> None:
        pass

    async with memory(it) as engine:
        kept.append(engine)
        assert (await engine.ask("/it")).status == 204
    core: Core = kept[0].core
    core.chunk(1, b"late")
    core.flush()
    core.close()
    with pytest.raises(ValueError, match="released"):
        _ = core.arena[0]
