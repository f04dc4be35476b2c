"""The test client: requests, streams, connections and faults, in memory, on each server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from pydantic import BaseModel

import covet_http as http
from covet_http.testing import Answer, Disconnected, RequestParts, WireError, run_service
from covet_kernel.testing import cancel_at_every_await, run_kernel
from covet_operations import NotFound, operation


class Book(BaseModel):
    id: int
    title: str


@http.get("/books/{id}")
def find(id: int, q: str = "", tag: list[str] | None = None) -> list[Any]:
    if id == 404:
        raise NotFound("no such book")
    return [id, q, tag]


@http.post("/books", status=201)
async def add(book: Book) -> Book:
    await anyio.lowlevel.checkpoint()
    return book


@http.get("/seen")
def seen(request: http.Request) -> dict[str, str]:
    return dict(request.headers)


@http.get("/login")
def login(request: http.Request) -> str:
    request.response.set_cookie("session", "abc", secure=False)
    request.response.set_cookie("narrow", "1", secure=False, path="/books")
    request.response.set_cookie("guarded", "1")
    return "in"


@http.get("/logout")
def logout(request: http.Request) -> str:
    request.response.set_cookie("session", "", secure=False, max_age=0)
    return "out"


@http.post("/echo")
async def echo(request: http.Request) -> list[Any]:
    body = b"".join([piece async for piece in pieces_of(request)])
    return [request.headers.get("content-type"), body.decode("latin-1")]


async def pieces_of(request: http.Request) -> AsyncIterator[bytes]:
    while piece := await request.read():
        yield piece


class Seen:
    """What the endless stream has done."""

    made = 0
    ended = 0
    cancelled = 0


@http.get("/endless")
async def endless() -> AsyncIterator[str]:
    try:
        while True:
            Seen.made += 1
            yield "x" * 1000
    finally:
        Seen.ended += 1


@http.get("/count/{to}")
async def count(to: int) -> AsyncIterator[int]:
    for number in range(to):
        yield number


@http.get("/cut")
async def cut() -> AsyncIterator[int]:
    yield 1
    await anyio.lowlevel.checkpoint()
    raise ValueError("in the middle")


@http.post("/sum")
async def total(numbers: AsyncIterator[int]) -> int:
    found = 0
    async for number in numbers:
        found += number
    return found


@http.get("/wait")
async def wait() -> None:
    try:
        await anyio.sleep_forever()
    finally:
        Seen.cancelled += 1


@operation(deadline=0.01)
@http.get("/late")
async def late() -> None:
    await anyio.sleep_forever()


OPERATIONS = (find, add, seen, login, logout, echo, endless, count, cut, total, wait, late)


@pytest.fixture
def service(http_server: str) -> Any:
    return run_service(*OPERATIONS, server=http_server)


async def test_requests_and_answers(service: Any) -> None:
    async with service as client:
        answer = await client.get("/books/1", params={"q": "a b&c", "tag": ["x", "y"]})
        assert answer.status == 200
        assert answer.json() == [1, "a b&c", ["x", "y"]]
        assert answer.headers["Content-Type"] == answer.headers["content-type"]
        assert (answer.method, answer.path) == ("GET", "/books/1?q=a+b%26c&tag=x&tag=y")
        answer = await client.post("/books", json={"id": 1, "title": "Emma"})
        assert (answer.status, answer.json()) == (201, {"id": 1, "title": "Emma"})
        answer = await client.get("/books/404")
        assert answer.status == 404
        assert answer.problem["detail"] == "no such book"
        with pytest.raises(AssertionError, match="no problem"):
            _ = (await client.get("/books/1")).problem
        head = await client.head("/books/1")
        assert (head.status, head.body) == (200, b"")
        assert int(head.headers["content-length"]) > 0
        assert (await client.options("/books/1")).headers["allow"] == "GET, HEAD, OPTIONS"
        assert (await client.delete("/books/1")).status == 405
        assert (await client.put("/books/1")).status == 405
        assert (await client.patch("/books/1")).status == 405
        # One after the other they share a connection.
        assert client.opened == 1
        assert client.idle == 1


async def test_what_a_request_says_about_itself(http_server: str) -> None:
    options: Any = {"host": "shop.test", "headers": {"X-All": "1", "X-Some": "a"}}
    async with run_service(seen, server=http_server, client=options) as client:
        found = (await client.get("/seen", headers={"x-some": "b"})).json()
        assert found == {"host": "shop.test", "x-all": "1", "x-some": "b"}
        with pytest.raises(ValueError, match="line end"):
            await client.get("/seen", headers={"x": "a\r\nb: c"})
        with pytest.raises(ValueError, match="slash"):
            await client.get("seen")
        with pytest.raises(ValueError, match="one of them"):
            await client.post("/seen", json=1, content=b"1")


async def test_bodies(service: Any) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for piece in (b"one ", b"", b"two ", b"three" * 5000):
            await anyio.lowlevel.checkpoint()
            yield piece

    async with service as client:
        answer = await client.post("/echo", content="é")
        assert answer.json() == [None, "é".encode().decode("latin-1")]
        answer = await client.post("/echo", content=pieces())
        assert answer.json() == [None, "one two " + "three" * 5000]
        answer = await client.post("/echo", data={"a": 1, "b": ["x y", True], "c": None})
        assert answer.json() == ["application/x-www-form-urlencoded", "a=1&b=x+y&b=true&c="]
        answer = await client.post(
            "/echo",
            data={"title": "Emma"},
            files={
                "cover": ('a"b.png', b"\x89PNG", "image/png"),
                "more": [b"one", ("2.txt", "two")],
            },
        )
        kind, body = answer.json()
        boundary = kind.partition("; boundary=")[2]
        assert [part.split("\r\n") for part in body.split(f"--{boundary}")[1:]] == [
            ["", 'Content-Disposition: form-data; name="title"', "", "Emma", ""],
            [
                "",
                'Content-Disposition: form-data; name="cover"; filename="a%22b.png"',
                "Content-Type: image/png",
                "",
                "\x89PNG",
                "",
            ],
            [
                "",
                'Content-Disposition: form-data; name="more"; filename="more"',
                "Content-Type: application/octet-stream",
                "",
                "one",
                "",
            ],
            [
                "",
                'Content-Disposition: form-data; name="more"; filename="2.txt"',
                "Content-Type: application/octet-stream",
                "",
                "two",
                "",
            ],
            ["--", ""],
        ]
        answer = await client.post("/echo", files={"a": ("a", pieces())})
        assert answer.json()[1].count("three") == 5000


async def test_a_body_that_fails_to_be_made_is_the_tests_failure(service: Any) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"one"
        raise LookupError("no more")

    async with service as client:
        with pytest.raises(LookupError):
            await client.post("/echo", content=pieces())
        assert client.idle == 0


async def test_both_directions_at_once(service: Any) -> None:
    send, receive = anyio.create_memory_object_stream[bytes](10)
    async with service as client:
        headers = {"content-type": "application/x-ndjson"}
        parts: RequestParts = {"content": receive, "headers": headers}
        async with anyio.create_task_group() as tasks:

            async def ask() -> None:
                assert (await client.post("/sum", **parts)).json() == 6

            tasks.start_soon(ask)
            for number in (1, 2, 3):
                await send.send(b"%d\n" % number)
            send.close()
        receive.close()


async def test_cookies_are_kept_and_sent_where_they_belong(service: Any) -> None:
    async with service as client:
        client.cookies.set("own", "1")
        await client.get("/login")
        # Without TLS no cookie is taken that is for TLS only.
        assert {each.name for each in client.cookies} == {"own", "session", "narrow"}
        assert client.cookies.get("session") == "abc"
        assert (await client.get("/seen")).json()["cookie"] == "own=1; session=abc"
        await client.get("/logout")
        assert (await client.get("/seen")).json()["cookie"] == "own=1"


async def test_redirects_are_followed_on_demand_and_on_one_origin(http_server: str) -> None:
    def fixed() -> list[Any]:
        return [
            http.redirect("/a", "/b"),
            http.redirect("/b", "/books/7", status=303, methods=("POST", "GET")),
            http.redirect("/away", "https://evil.test/", external=True),
            http.redirect("/round", "/about"),
            http.redirect("/about", "/round"),
        ]

    from covet_kernel import Plugin

    class Fixed(Plugin[None]):
        def covet_http_fixed(self) -> list[Any]:
            return fixed()

    async with run_service(find, Fixed, server=http_server) as client:
        assert (await client.get("/a")).status == 308
        assert (await client.get("/a", follow_redirects=True)).json()[0] == 7
        answer = await client.post("/b", json={"id": 1}, follow_redirects=True)
        assert (answer.method, answer.json()[0]) == ("GET", 7)
        with pytest.raises(WireError, match="another origin"):
            await client.get("/away", follow_redirects=True)
        with pytest.raises(WireError, match="redirects"):
            await client.get("/round", follow_redirects=True)


async def test_several_at_once_have_a_connection_each(service: Any) -> None:
    async with service as client:
        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(client.post, "/books")
        assert client.opened == client.idle == 5


async def test_pipelined_requests_on_a_connection_of_ones_own(service: Any) -> None:
    async with service as client, client.connect() as connection:
        await connection.send(
            client.encode("GET", "/books/1")
            + client.encode("POST", "/books", json={"id": 2, "title": "b"})
            + client.encode("HEAD", "/books/3")
            + client.encode("GET", "/books/404")
        )
        answers = [await connection.answer(each) for each in ("GET", "POST", "HEAD", "GET")]
        assert [each.status for each in answers] == [200, 201, 200, 404]
        assert connection.used == 4
        await connection.send_eof()
        assert await connection.until_closed() == b""


async def test_a_request_split_at_every_byte(service: Any) -> None:
    async with service as client:
        answer = await client.post("/books", json={"id": 1, "title": "Emma"}, split=1)
        assert answer.status == 201


async def test_streams_are_read_as_they_come(service: Any) -> None:
    async with service as client:
        async with client.stream("GET", "/count/3") as answer:
            assert answer.status == 200
            assert [line async for line in answer.lines()] == ["0", "1", "2"]
            assert answer.complete
        assert client.idle == 1
        async with client.stream("GET", "/books/1") as answer:
            assert await answer.read() == b'[1,"",null]'
        with pytest.raises(AssertionError, match="no server-sent events"):
            async with client.stream("GET", "/count/3") as answer:
                answer.events()


async def test_a_client_that_does_not_read_holds_the_stream_back(service: Any) -> None:
    Seen.made = Seen.ended = 0
    async with service as client:
        async with client.stream("GET", "/endless") as answer:
            await settled(lambda: Seen.made)
            held = Seen.made
            await settled(lambda: Seen.made)
            assert Seen.made == held < 1000
            size = 0
            async for piece in answer:
                size += len(piece)
                if size > 500_000:
                    break
            assert Seen.made > held
        # Left before its end: the server learns that the client is gone.
        with anyio.fail_after(10):
            while not Seen.ended:
                await anyio.lowlevel.checkpoint()
        assert client.idle == 0


async def settled(read: Any) -> None:
    """Until a number no longer changes."""
    last = -1
    while read() != last:
        last = read()
        for _ in range(50):
            await anyio.lowlevel.checkpoint()


async def test_a_stream_that_is_cut_is_an_error(service: Any) -> None:
    async with service as client:
        with pytest.raises(WireError, match="cut off"):
            await client.get("/cut")
        with pytest.raises(WireError, match="cut off"):
            async with client.stream("GET", "/cut") as answer:
                await answer.read()


@pytest.mark.parametrize("after", [0, 1, 10, 60, 90, 100_000])
async def test_a_client_that_leaves_in_the_middle_of_its_request(service: Any, after: int) -> None:
    async with service as client:
        with pytest.raises(Disconnected):
            await client.post("/echo", content=b"x" * 200_000, disconnect_after=after)
        assert client.idle == 0
        # Nobody else suffers.
        assert (await client.get("/books/1")).status == 200


async def test_a_client_that_leaves_while_it_is_answered(service: Any) -> None:
    Seen.cancelled = 0
    async with service as client:
        async with client.connect() as connection:
            await connection.send(client.encode("GET", "/wait"))
            await connection.turns(20)
            await connection.reset()
            with anyio.fail_after(10):
                while not Seen.cancelled:
                    await anyio.lowlevel.checkpoint()


async def test_a_request_may_be_cancelled_at_every_await(service: Any) -> None:
    async with service as client:

        async def check() -> None:
            # What is left waiting is fit for use, and what was broken off is gone.
            assert (await client.get("/books/1")).json() == [1, "", None]
            assert client.idle == 1

        book = {"id": 1, "title": "Emma"}
        assert (
            await cancel_at_every_await(lambda: client.post("/books", json=book), check=check) > 3
        )
        assert await cancel_at_every_await(lambda: read_some(client), check=check) > 3


async def read_some(client: Any) -> None:
    async with client.stream("GET", "/count/3") as answer:
        assert [line async for line in answer.lines()] == ["0", "1", "2"]


async def test_a_server_that_does_not_answer_in_time(http_server: str) -> None:
    async with run_service(*OPERATIONS, server=http_server, client={"timeout": 0.01}) as client:
        with pytest.raises(TimeoutError):
            await client.get("/wait")
        assert client.idle == 0


async def test_deadlines_pass_as_ever(service: Any) -> None:
    async with service as client:
        assert (await client.get("/late")).status == 504


async def test_each_answer_is_shown_to_whoever_asked(http_server: str) -> None:
    shown: list[Answer] = []
    async with run_service(find, server=http_server, client={"on_answer": shown.append}) as client:
        await client.get("/books/1")
        await client.get("/books/404")
    assert [each.status for each in shown] == [200, 404]
    assert repr(shown[0]) == "<Answer 200 to GET /books/1>"


async def test_a_connection_that_the_server_closed_while_idle_is_not_used(http_server: str) -> None:
    config = {"http": {"keep_alive_timeout": 0.5}}
    async with run_service(find, server=http_server, config=config) as client:
        assert (await client.get("/books/1")).status == 200
        (waiting,) = client._idle
        assert await waiting.until_closed() == b""
        assert (await client.get("/books/2")).status == 200
        assert client.opened == 2


async def test_too_many_connections_are_refused(http_server: str) -> None:
    config = {"http": {"max_connections": 1}}
    async with run_service(find, server=http_server, config=config) as client:
        async with client.connect():
            with pytest.raises(ConnectionRefusedError):
                await client.get("/books/1")


async def test_a_stopping_service_answers_and_closes(http_server: str) -> None:
    released = anyio.Event()

    @http.get("/held")
    async def held() -> str:
        await released.wait()
        return "held"

    async with run_service(held, server=http_server) as client:
        async with client.connect() as idle, client.connect() as busy:
            await busy.send(client.encode("GET", "/held"))
            await busy.turns(20)
            async with anyio.create_task_group() as tasks:
                listener = client.kernel.require(http.HTTP).listener
                assert listener is not None
                tasks.start_soon(listener.stop)
                await busy.turns(20)
                released.set()
                answer = await busy.answer()
                assert answer.json() == "held"
                assert answer.headers["connection"] == "close"
                assert await busy.until_closed() == b""
                assert await idle.until_closed() == b""


def test_a_source_that_is_none_is_refused() -> None:
    async def main() -> None:
        with pytest.raises(TypeError, match="no operation"):
            async with run_service(object()):
                pass

        def undecorated() -> None: ...

        with pytest.raises(TypeError, match=r"undecorated.*neither an operation nor a provider"):
            async with run_service(undecorated):
                pass

    anyio.run(main)


async def test_no_client_without_a_service_or_a_listener_in_memory() -> None:
    from covet_http.testing import client_of

    async with run_kernel({}) as kernel:
        with pytest.raises(LookupError):
            client_of(kernel)
