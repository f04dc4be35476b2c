"""What no HTTP/2 client should send: each is bounded, counted, and harms nobody else, by every server."""

from __future__ import annotations

import contextlib
from itertools import pairwise
from typing import Any, ClassVar

import anyio
import anyio.lowlevel
import hpack
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from services.http2 import (
    BLOCK,
    CALM,
    PREFACE,
    PROTOCOL,
    PSEUDO,
    REFUSED,
    Calls,
    Client,
    body_of,
    connected,
    echo,
    frame,
    hello,
    raw,
)
from services.http2_hostile import broken, flood, floods
from services.http2_suite import Http2Suite

BEHIND_THE_END = {
    "data": lambda client: frame(0, 1, b"y", 0x1),
    "request": lambda client: frame(1, 1, client.block(PSEUDO), 0x5),
    "trailers": lambda client: frame(1, 1, client.block([("x", "a")]), 0x5),
}
BAD_TRAILERS = {
    "pseudo": [(":path", "/b")],
    "line-end": [("x", "1\r\ny: z")],
    "upper-case": [("X", "1")],
    "transfer-encoding": [("transfer-encoding", "chunked")],
    "connection": [("connection", "close")],
}
BEHIND = PREFACE + frame(4, 0)
NO_PREFACES = {
    "behind-a-request": (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" + BEHIND, 200, 505),
    "another-target": (BEHIND.replace(b"*", b"/x"), 505),
    "another-version": (BEHIND.replace(b"2.0", b"3.7"), 505),
    "no-version-of-ours": (BEHIND.replace(b"2.0", b"1.2"), 505),
    "with-fields": (BEHIND.replace(b"0\r\n\r", b"0\r\nHost: u@h\r\n\r"), 505),
    "http-1": (BEHIND.replace(b"2.0", b"1.1"), 400),
}


class Http2BadInputSuite(Http2Suite):
    """Floods, broken requests, and bytes that are no HTTP/2.

    Attributes:
        at_once: Floods for which the server's library ends the whole connection at the first frame,
            which is safe too, and sooner; each with the code it says.
    """

    at_once: ClassVar[dict[str, int]]

    @pytest.mark.parametrize("name", sorted(floods()))
    async def test_floods_end_their_connection_and_no_other(self, name: str) -> None:
        # bad input 27, 28, 29, 31
        calls = Calls()

        async def application(scope: Any, receive: Any, send: Any) -> None:
            with calls.one():
                await echo(scope, receive, send)

        async with self.serve(application) as listener, connected(listener) as bystander:
            assert (await bystander.ask())[0] == 200
            await flood(listener, floods()[name], code=self.at_once.get(name, CALM))
            assert (await bystander.ask())[0] == 200
            assert calls.most <= 102
            assert calls.running == 0
            self.counted(listener, http2_floods=name not in self.at_once)

    async def test_what_a_conversation_needs_is_no_flood(self) -> None:
        async with self.serve(echo) as listener, connected(listener) as client:
            for n in range(0, 400, 4):
                await client.stream.send(frame(2, n + 1001, b"\0\0\0\0\x10") * 2)
                client.h2.ping(b"12345678")
                stream = await client.request()
                client.h2.reset_stream(stream, 8)
                await client.flush()
                assert (await client.ask())[0] == 200
            assert client.goaway is None
            self.counted(listener, http2_floods=0)

    async def test_calls_that_were_reset_count_until_they_have_ended(self) -> None:
        # bad input 27
        calls = Calls()
        release = anyio.Event()

        async def stubborn(scope: Any, receive: Any, send: Any) -> None:
            with calls.one():
                await release.wait()

        async with self.serve(stubborn, config={"max_streams": 10}) as listener:
            async with connected(listener) as client:
                for n in range(1, 11):
                    stream = await client.request()
                    while calls.running < n:
                        await anyio.lowlevel.checkpoint()
                    client.h2.reset_stream(stream, 8)
                    await client.flush()
                for _ in range(5):
                    stream = await client.request()
                    await client.until_over(stream)
                    assert client.reset[stream] == REFUSED
                assert calls.running == calls.all == 10
                self.counted(listener, http2_refused=5)
                release.set()
                while calls.running:
                    await anyio.lowlevel.checkpoint()
                with anyio.fail_after(30):
                    stream = await client.request()
                    while calls.all != 11:
                        await anyio.lowlevel.checkpoint()

    async def test_headers_of_all_streams_together_are_bounded(self) -> None:
        # bad input 30: the cap of one block, times all streams, times all connections, would be no cap
        calls = Calls()
        release = anyio.Event()

        async def stubborn(scope: Any, receive: Any, send: Any) -> None:
            with calls.one():
                await release.wait()
                await hello(scope, receive, send)

        async with self.serve(stubborn, max_header_bytes=4096) as listener:
            async with raw(listener) as client:
                large = [*PSEUDO, ("a", "x" * 3500)]
                for stream in range(1, 41, 2):
                    # Behind the first one each of them is a few bytes.
                    await client.send(frame(1, stream, client.block(large), 0x5))
                while len(client.reset) < 20 - 8:
                    await client.step()
                assert set(client.reset.values()) == {REFUSED}
                while calls.running < 8:
                    await anyio.lowlevel.checkpoint()
                assert calls.all == 8
                # It is the large ones that are too much, not the many.
                small = range(41, 61, 2)
                await client.send(*(frame(1, n, client.block(PSEUDO), 0x5) for n in small))
                while calls.running < 18:
                    await anyio.lowlevel.checkpoint()
                release.set()
                await client.until_over(1)
                await client.until_over(59)
                for stream in range(61, 101, 2):
                    await client.send(frame(1, stream, client.block(large), 0x5))
                    await client.until_over(stream)
                    assert client.status[stream] == 200

    async def test_a_window_of_one_byte_gives_no_endless_stream(self) -> None:
        # bad input 31
        async def application(scope: Any, receive: Any, send: Any) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"x" * 100_000})

        async with self.serve(application) as listener, raw(listener) as client:
            request = frame(1, 1, client.block(PSEUDO), 0x5)
            await client.send(frame(4, 0, b"\0\x04\0\0\0\1"), request)
            while not client.closed:
                await client.send_if_open(frame(8, 1, b"\0\0\0\x01") * 50)
                await client.step()
            client.closed = False  # there may be more to read where nothing more is taken
            await client.until_closed()
            assert client.goaway == CALM
            self.counted(listener, http2_floods=1)

    @pytest.mark.parametrize("name", sorted(broken()))
    async def test_broken_requests_reach_nobody(self, name: str) -> None:
        # bad input 32, 33, 34, 35, 36
        calls = Calls()

        async def application(scope: Any, receive: Any, send: Any) -> None:
            with calls.one():
                await hello(scope, receive, send)

        async with self.serve(application) as listener, raw(listener) as client:
            await client.send(frame(1, 1, client.block(broken()[name]), 0x5))
            await client.until_over(1)
            assert PROTOCOL in (client.reset.get(1), client.goaway)
            assert calls.all == 0
            if client.goaway is None:
                await client.send(frame(1, 3, client.block(PSEUDO), 0x5))
                await client.until_over(3)
                assert client.status[3] == 200

    async def test_plain_connect_is_not_spoken(self) -> None:
        # bad input 34
        async with self.serve(echo) as listener, raw(listener) as client:
            block = client.block([(":method", "CONNECT"), (":authority", "a:80")])
            await client.send(frame(1, 1, block, 0x5))
            await client.until_over(1)
            assert client.status[1] == 501

    async def test_an_upgrade_to_http2_is_not_spoken(self) -> None:
        # bad input 34: what follows the body is no HTTP/2 either
        fields = (
            b"Host: a\r\nConnection: Upgrade, HTTP2-Settings\r\n"
            b"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABk"
        )
        async with self.serve(echo) as listener, listener.connect() as stream:
            await stream.send(b"POST /a HTTP/1.1\r\n%b\r\nContent-Length: 4\r\n\r\nbody" % fields)
            answer = b""
            with anyio.fail_after(30):
                while b" body" not in answer:
                    answer += await stream.receive()
                assert answer.startswith(b"HTTP/1.1 200 ")
                await stream.send(PREFACE)
                while b"HTTP/1.1 505 " not in answer:
                    answer += await stream.receive()

    @pytest.mark.parametrize("trailers", [False, True])
    @pytest.mark.parametrize("sent", [0, 3, 7])
    async def test_a_body_that_is_not_as_long_as_it_says(self, sent: int, trailers: bool) -> None:
        # bad input 33
        complete: list[Any] = []
        async with self.serve(_whole(complete)) as listener, raw(listener) as client:
            block = client.block([*PSEUDO, ("content-length", "5")])
            await client.send(frame(1, 1, block, 0x4), frame(0, 1, b"x" * sent, not trailers))
            if trailers:
                await client.send(frame(1, 1, client.block([("x-sum", "1")]), 0x5))
            await client.until_over(1)
            assert PROTOCOL in (client.reset.get(1), client.goaway)
            assert complete == []

    @pytest.mark.parametrize("what", BEHIND_THE_END)
    async def test_nothing_comes_behind_the_trailers(self, what: str) -> None:
        # bad input 33
        bodies = []
        release = anyio.Event()

        async def application(scope: Any, receive: Any, send: Any) -> None:
            bodies.append(await body_of(receive))
            await release.wait()
            await hello(scope, receive, send)

        async with self.serve(application) as listener, raw(listener) as client:
            await client.send(frame(1, 1, client.block(PSEUDO), 0x4), frame(0, 1, b"x"))
            await client.send(frame(1, 1, client.block([("x-sum", "1")]), 0x5))
            await client.send(BEHIND_THE_END[what](client))
            await client.until_over(1)
            assert 5 in (client.reset.get(1), client.goaway)
            release.set()
            if client.goaway is None:
                await client.send(frame(1, 3, client.block(PSEUDO), 0x5))
                await client.until_over(3)
                assert client.status == {3: 200}
                assert bodies == [b"x", b""]

    @pytest.mark.parametrize("name", BAD_TRAILERS)
    async def test_bad_trailers_leave_a_body_incomplete(self, name: str) -> None:
        # bad input 32, 33
        await self.refuses_trailers(BAD_TRAILERS[name])

    async def refuses_trailers(self, trailers: list[tuple[str, str]]) -> None:
        """Nobody is told that a body with such trailers is whole."""
        complete: list[Any] = []
        async with self.serve(_whole(complete)) as listener, raw(listener) as client:
            await client.send(frame(1, 1, client.block(PSEUDO), 0x4), frame(0, 1, b"x"))
            await client.send(frame(1, 1, client.block(trailers), 0x5))
            await client.until_over(1)
            assert PROTOCOL in (client.reset.get(1), client.goaway)
            assert complete == []

    async def test_trailers_are_not_headers(self) -> None:
        # bad input 33
        said = [("host", "evil"), ("authorization", "x"), ("cookie", "a=b")]
        await self.passes_over_trailers(said)

    async def passes_over_trailers(self, said: list[tuple[str, str]]) -> None:
        """A request with such trailers is answered, and nobody sees them."""

        async def application(scope: Any, receive: Any, send: Any) -> None:
            assert await body_of(receive) == b"x"
            assert [name for name, _ in scope["headers"]] == [b"host"]
            await hello(scope, receive, send)

        async with self.serve(application) as listener, raw(listener) as client:
            await client.send(frame(1, 1, client.block(PSEUDO), 0x4), frame(0, 1, b"x"))
            await client.send(frame(1, 1, client.block(said), 0x5))
            await client.until_over(1)
            assert client.status == {1: 200}

    async def test_garbage_ends_the_connection(self) -> None:
        pieces = (
            b"\0" * 100, frame(5, 1, b"x" * 10, 0x4), frame(9, 1, b"x", 0x4),
            frame(1, 2, BLOCK, 0x5),
        )  # fmt: skip
        async with self.serve(echo) as listener:
            for garbage in pieces:
                async with raw(listener) as client:
                    await client.send(garbage)
                    await client.until_closed()

    @pytest.mark.parametrize("piece", [0, 1])
    @pytest.mark.parametrize("case", NO_PREFACES)
    async def test_http2_begins_only_with_its_preface(self, case: str, piece: int) -> None:
        # bad input 16, 34
        data, *statuses = NO_PREFACES[case]
        answers = b""
        async with self.serve(hello) as listener, listener.connect() as stream:

            async def send() -> None:
                with contextlib.suppress(anyio.BrokenResourceError):
                    for at in range(0, len(data), piece or len(data)):
                        await stream.send(data[at : at + (piece or len(data))])
                        await anyio.lowlevel.checkpoint()

            with anyio.fail_after(30):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(send)
                    with contextlib.suppress(anyio.EndOfStream):
                        while True:
                            answers += await stream.receive()
        found = [int(each[:3]) for each in answers.split(b"HTTP/1.1 ")[1:]]
        assert found == statuses
        assert answers.startswith(b"HTTP/1.1")
        assert b"\x00\x00" not in answers

    @settings(
        max_examples=25,
        deadline=None,
        suppress_health_check=[
            HealthCheck.function_scoped_fixture,
            HealthCheck.differing_executors,
        ],
    )
    @given(cuts=st.lists(st.integers(1, 3600), max_size=30))
    async def test_the_outcome_is_the_same_however_the_bytes_are_split(
        self, cuts: list[int]
    ) -> None:
        # bad input 29, 30
        data = _conversation()
        bounds = [0, *sorted({each for each in cuts if each < len(data)}), len(data)]
        async with self.serve(echo) as listener, listener.connect() as stream:
            client = Client(stream)
            for _ in range(4):
                number = client.h2.get_next_available_stream_id()
                client.h2.send_headers(number, PSEUDO, end_stream=True)
            client.h2.data_to_send()  # the bytes below say it, and more
            for begin, end in pairwise(bounds):
                await stream.send(data[begin:end])
            with anyio.fail_after(30):
                while not {1, 3, 5, 7} <= client.ended:
                    await client.step()
            assert set(client.status.values()) == {200}
            assert client.body[1] == b"2 POST / host=a "
            assert client.body[3] == b"2 POST / host=a|cookie=a=1; b=2 body"
            assert client.body[5] == b"2 POST / host=a|x-large=" + b"l" * 3000 + b" abcd"
            assert client.body[7] == b"2 POST / host=a|content-length=3 xyz"


def _whole(complete: list[Any]) -> Any:
    """An application that notes a body that has come to its end."""

    async def application(scope: Any, receive: Any, send: Any) -> None:
        last: Any = {"more_body": True}
        while last.get("more_body"):
            last = await receive()
        complete.extend([last] * (last["type"] == "http.request"))

    return application


def _conversation() -> bytes:
    """Requests of every shape, in bytes."""
    encoder = hpack.Encoder()

    def block(*more: tuple[str, str]) -> bytes:
        return bytes(encoder.encode([*PSEUDO, *more]))

    # Blocks refer to those before them: they are made in the order they are sent in.
    frames = [PREFACE, frame(4, 0), frame(1, 1, block(), 0x5)]
    crumbs = block(("cookie", "a=1"), ("cookie", "b=2"))
    frames += [frame(1, 3, crumbs, 0x4), frame(0, 3, b"body", 0x1)]
    large = block(("x-large", "l" * 3000))
    frames += [
        frame(1, 5, large[:100]),
        frame(9, 5, large[100:2000]),
        frame(9, 5, large[2000:], 0x4),
    ]
    frames += [frame(6, 0, b"12345678"), frame(0, 5, b"\x03abcd\0\0\0", 0x8), frame(0, 5, b"", 0x1)]
    frames += [
        frame(1, 7, block(("content-length", "3")), 0x4),
        frame(0, 7, b"x"),
        frame(0, 7, b"yz"),
    ]
    frames += [frame(1, 7, bytes(encoder.encode([("x-sum", "1")])), 0x5)]
    return b"".join(frames)
