"""What every server that speaks HTTP/2 has to do: requests and answers, windows, slow ends, polite ends."""

from __future__ import annotations

import json
import logging
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
import trustme
from anyio.streams.tls import TLSStream
from services.http2 import (
    NO_ERROR,
    PREFACE,
    PSEUDO,
    Client,
    body_of,
    connected,
    echo,
    frame,
    held,
    hello,
    raw,
    slow_echo,
)

from covet_http import Application, HttpServer, ServerOptions, StreamAbortedError, TlsConfig

GOAWAY = b"\x00\x00\x08\x07"
LARGEST = 2**31 - 1


class Http2Suite:
    """How a suite of HTTP/2 serves, in memory. A server's tests subclass it."""

    def make(self, **config: Any) -> HttpServer:
        """The server with such a table of its own.

        Args:
            config: Of the table; ``http2``, ``max_streams`` and ``access_log`` are known to all.
        """
        raise NotImplementedError

    @asynccontextmanager
    async def serve(
        self, application: Application, *, config: dict[str, Any] | None = None, **options: Any
    ) -> AsyncIterator[Any]:
        """A listener for an application."""
        server = self.make(**{"http2": True, **(config or {})})
        async with server.listen([], ServerOptions(**{"linger": 0.05, **options})) as listener:
            listener.begin(application)
            yield listener

    def counted(self, listener: Any, **expected: int) -> None:
        """Compare with what the server counts, if it does: by the names of the engine's counters."""


class Http2ServerSuite(Http2Suite):
    """Requests and answers.

    Attributes:
        aborted: What the access log says of an answer whose handler gave it up with 504.
        unwanted: Codes that may reset a stream whose body nobody wants any more.
    """

    aborted: int
    unwanted: frozenset[int] = frozenset({NO_ERROR})

    async def test_requests_and_answers(self) -> None:
        async with self.serve(echo) as listener, connected(listener) as client:
            crumbs = [("cookie", "a=1"), ("x", "y"), ("cookie", "b=2")]
            status, body = await client.ask("/a?b", "POST", body=b"xyz", more=crumbs)
            assert (status, body) == (200, b"2 POST /a host=a|x=y|cookie=a=1; b=2 xyz")
            stream = await client.request(method="HEAD")
            await client.until_over(stream)
            assert (client.status[stream], client.body.get(stream, b"")) == (200, b"")
            streams = [await client.request(f"/{n}") for n in range(20)]
            await client.until_over(*streams)
            assert [client.body[each].split()[2] for each in streams] == [
                b"/%d" % n for n in range(20)
            ]
            self.counted(listener, http2_connections=1)

    async def test_http1_goes_on_beside_it(self) -> None:
        async with self.serve(echo) as listener, listener.connect() as stream:
            await stream.send(b"P")  # which HTTP/2 begins with as well
            await stream.send(b"UT /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n!")
            assert (await stream.receive()).startswith(b"HTTP/1.1 200 ")
            self.counted(listener, http2_connections=0)

    async def test_without_it_the_preface_is_a_bad_request(self) -> None:
        async with self.serve(echo, config={"http2": False}) as listener:
            async with listener.connect() as stream:
                await stream.send(PREFACE)
                assert (await stream.receive()).startswith(b"HTTP/1.1 505 ")

    @pytest.mark.parametrize("size", [20_000, 300_000])
    async def test_large_bodies_in_both_directions(self, size: int) -> None:
        async with self.serve(echo) as listener, connected(listener) as client:
            stream = await client.request("/", "POST", body=None)
            left = size
            while left:
                room = min(client.h2.local_flow_control_window(stream), 16_384, left)
                if room:
                    client.h2.send_data(stream, b"x" * room, end_stream=room == left)
                    left -= room
                    await client.flush()
                else:
                    await client.step()
            await client.until_over(stream)
            assert client.body[stream].count(b"x") == size

    async def test_a_body_is_read_while_the_answer_streams(self) -> None:
        """Both directions at once, as gRPC has it, with trailers behind them."""

        async def application(scope: Any, receive: Any, send: Any) -> None:
            assert "http.response.trailers" in scope["extensions"]
            await send(
                {"type": "http.response.start", "status": 200, "headers": [], "trailers": True}
            )
            await send({"type": "http.response.body", "body": b"ready", "more_body": True})
            while True:
                message = await receive()
                await send(
                    {"type": "http.response.body", "body": message["body"], "more_body": True}
                )
                if not message["more_body"]:
                    break
            await send({"type": "http.response.body", "body": b"."})
            status = [(b"grpc-status", b"0"), (b"Grpc-Message", b"fine")]
            await send({"type": "http.response.trailers", "headers": status})

        async with self.serve(application) as listener, connected(listener) as client:
            for _ in range(3):
                stream = await client.request("/", "POST", body=None, more=[("te", "trailers")])
                expected = b"ready"
                while client.body.get(stream) != expected:
                    await client.step()
                for piece in (b"one", b"two", b"three"):
                    client.h2.send_data(stream, piece)
                    await client.flush()
                    expected += piece
                    while client.body[stream] != expected:
                        await client.step()
                client.h2.end_stream(stream)
                await client.flush()
                await client.until_over(stream)
                assert client.body[stream] == expected + b"."
                assert client.trailers[stream] == [
                    (b"grpc-status", b"0"),
                    (b"grpc-message", b"fine"),
                ]
                assert stream not in client.reset

    async def test_a_body_that_does_not_come_is_answered_408(self) -> None:
        # bad input 21
        async with self.serve(echo, read_timeout=0.05) as listener:
            async with connected(listener) as client:
                for body in (b"", b"some of it"):
                    stream = await client.request("/", "POST", body=None)
                    if body:
                        client.h2.send_data(stream, body)
                        await client.flush()
                    await client.until_over(stream)
                    assert client.status[stream] == 408
                assert (await client.ask())[0] == 200

    async def test_a_body_that_nobody_waits_for_need_not_come(self) -> None:
        application, _, release = held()

        async def by_path(scope: Any, receive: Any, send: Any) -> None:
            await (application if scope["path"] == "/busy" else echo)(scope, receive, send)

        async with self.serve(by_path, read_timeout=0.05) as listener:
            async with connected(listener) as client:
                busy = await client.request("/busy", "POST", body=None)
                for _ in range(2):
                    late = await client.request("/", "POST", body=None)
                    await client.until_over(late)
                    assert client.status[late] == 408
                release.set()
                await client.until_over(busy)
                assert client.status[busy] == 200

    async def test_a_conversation_may_pause(self) -> None:
        """Once the answer has begun; before that other bodies of the connection are not waited for."""

        async def talk(scope: Any, receive: Any, send: Any) -> None:
            if scope["path"] != "/talk":
                await echo(scope, receive, send)
                return

            async def listen() -> None:
                while True:
                    message = await receive()
                    piece = {"body": message["body"], "more_body": message["more_body"]}
                    await begun.wait()
                    await send({"type": "http.response.body", **piece})
                    if not message["more_body"]:
                        break

            begun = anyio.Event()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(listen)
                await anyio.lowlevel.checkpoint()  # it waits when the answer begins
                await send({"type": "http.response.start", "status": 200, "headers": []})
                await send({"type": "http.response.body", "body": b"", "more_body": True})
                begun.set()

        async with self.serve(talk, read_timeout=0.3) as listener:
            async with connected(listener) as client:
                talking = await client.request("/talk", "POST", body=None)
                while talking not in client.status:
                    await client.step()
                for said in (b"one", b"two"):
                    # So long does it say nothing.
                    late = await client.request("/", "POST", body=None)
                    await client.until_over(late)
                    assert client.status[late] == 408
                    client.h2.send_data(talking, said)
                    await client.flush()
                    while not client.body.get(talking, b"").endswith(said):
                        await client.step()
                client.h2.end_stream(talking)
                await client.flush()
                await client.until_over(talking)
                assert client.status[talking] == 200
                assert client.body[talking] == b"onetwo"
                assert talking not in client.reset

    async def test_trailers_are_looked_at_as_heads_are(self) -> None:
        # bad input 39
        async def with_trailers(scope: Any, receive: Any, send: Any) -> None:
            said = {"/end": (b"x", b"1\r\ny: z"), "/name": (b"x y", b"1"), "/": (b"X-Sum", b"1")}
            head = {"type": "http.response.start", "status": 200, "headers": [], "trailers": True}
            await send(head)
            await send({"type": "http.response.body", "body": b"item"})
            await send({"type": "http.response.trailers", "headers": [said[scope["path"]]]})

        async with self.serve(with_trailers) as listener, connected(listener) as client:
            for path in ("/end", "/name"):
                stream = await client.request(path)
                await client.until_over(stream)
                assert client.reset[stream] == 2
            stream = await client.request("/")
            await client.until_over(stream)
            assert client.trailers == {stream: [(b"x-sum", b"1")]}

    async def test_streams_that_end_in_trailers_are_released(self) -> None:
        async def with_trailers(scope: Any, receive: Any, send: Any) -> None:
            await send(
                {"type": "http.response.start", "status": 200, "headers": [], "trailers": True}
            )
            await send({"type": "http.response.body", "body": b"item"})
            await send({"type": "http.response.trailers", "headers": [(b"grpc-status", b"0")]})

        async with self.serve(with_trailers) as listener, connected(listener) as client:
            for _ in range(1100):
                stream = await client.request()
                await client.until_over(stream)
                assert client.trailers.pop(stream) == [(b"grpc-status", b"0")]
            assert len(client.ended) == 1100
            assert client.goaway is None

    async def test_a_client_that_waits_to_be_asked_for_the_body(self) -> None:
        async with self.serve(echo) as listener, connected(listener) as client:
            stream = await client.request("/", "POST", body=None, more=[("expect", "100-continue")])
            while stream not in client.interim:
                await client.step()
            client.h2.send_data(stream, b"now", end_stream=True)
            await client.flush()
            await client.until_over(stream)
            assert client.body[stream].endswith(b" now")
            assert client.interim[stream] == 100

    async def test_who_is_answered_without_its_body_is_not_asked_for_it(self) -> None:
        async with self.serve(hello) as listener, connected(listener) as client:
            waits = ("expect", "100-Continue")
            stream = await client.request("/", "POST", body=None, more=[waits])
            await client.until_over(stream)
            assert (client.status[stream], client.interim) == (200, {})
            # One that does not wait is not told either, nor is one that has sent it by then.
            assert (await client.ask("/", "POST", body=b"now", more=[waits]))[0] == 200
            assert client.interim == {}

    async def test_a_slow_application_holds_back_no_other_stream(self) -> None:
        release = anyio.Event()
        async with self.serve(slow_echo(release)) as listener, connected(listener) as client:
            await client.ask()  # the connection's window is known with the answer
            slow = await client.request("/slow", "POST", body=None)
            for _ in range(3):
                client.h2.send_data(slow, b"x" * 16_384)
            for _ in range(1000):
                client.h2.send_data(slow, b"y")
            await client.flush()
            for _ in range(20):
                assert (await client.ask("/", "POST", body=b"z" * 16_000))[0] == 200
            # It gets no more than its window until it takes what it has.
            assert client.h2.local_flow_control_window(slow) == 65_535 - 3 * 16_384 - 1000
            release.set()
            client.h2.end_stream(slow)
            await client.flush()
            await client.until_over(slow)
            assert client.body[slow].count(b"x") == 3 * 16_384

    async def test_a_slow_reader_holds_back_no_other_stream_and_is_given_up(self) -> None:
        # bad input 21, 30
        given_up, returned = anyio.Event(), anyio.Event()

        async def application(scope: Any, receive: Any, send: Any) -> None:
            if scope["path"] == "/":
                await echo(scope, receive, send)
                return
            scope["extensions"]["covet.disconnect"]["subscribe"](given_up.set)
            try:
                await send({"type": "http.response.start", "status": 200, "headers": []})
                await send(
                    {"type": "http.response.body", "body": b"x" * 200_000, "more_body": True}
                )
                await send({"type": "http.response.body", "body": b"x" * 200_000})
            finally:
                returned.set()

        async with self.serve(application, write_timeout=0.2) as listener:
            async with connected(listener, reads=False) as client:
                stream = await client.request("/much")
                while len(client.body.get(stream, b"")) < 65_535:
                    await client.step()
                client.h2.increment_flow_control_window(65_535)
                await client.flush()
                assert (await client.ask())[0] == 200
                await client.until_over(stream)
                assert client.reset[stream] == 8
                await given_up.wait()
                await returned.wait()
                assert (await client.ask())[0] == 200
            self.counted(listener, write_timeouts=1)

    async def test_a_stream_is_paused_until_its_client_reads(self) -> None:
        sent = 0

        async def application(scope: Any, receive: Any, send: Any) -> None:
            nonlocal sent
            await send({"type": "http.response.start", "status": 200, "headers": []})
            for _ in range(100):
                await send({"type": "http.response.body", "body": b"x" * 10_000, "more_body": True})
                sent += 10_000
            await send({"type": "http.response.body", "body": b""})

        async with self.serve(application) as listener, connected(listener, reads=False) as client:
            stream = await client.request()
            while len(client.body.get(stream, b"")) < 65_535:
                await client.step()
            for _ in range(200):
                await anyio.lowlevel.checkpoint()
            # A window, what waits in the server, and one piece beyond it.
            assert sent <= 65_535 + 64 * 1024 + 20_000
            client.reads = True
            client.h2.increment_flow_control_window(LARGEST - 65_535)
            client.h2.increment_flow_control_window(LARGEST - 65_535, stream)
            await client.flush()
            await client.until_over(stream)
            assert len(client.body[stream]) == 1_000_000

    async def test_a_head_that_does_not_come_ends_the_connection(self) -> None:
        # bad input 21
        async with self.serve(echo, keep_alive_timeout=0.1) as listener, raw(listener) as client:
            await client.send(frame(1, 1, client.block(PSEUDO), 0x5)[:-1])
            await client.until_closed()
            assert client.goaway == NO_ERROR
            self.counted(listener, header_timeouts=1)

    async def test_an_idle_connection_is_ended_with_a_word(self) -> None:
        async with self.serve(echo, keep_alive_timeout=0.1) as listener:
            async with connected(listener) as client:
                assert (await client.ask())[0] == 200
                await client.until_closed()
                assert client.goaway == NO_ERROR
                self.counted(listener, idle_timeouts=1)

    async def test_an_application_that_fails(self) -> None:
        async def application(scope: Any, receive: Any, send: Any) -> None:
            start: dict[str, Any] = {"type": "http.response.start", "status": 200, "headers": []}
            half = {"type": "http.response.body", "body": b"half", "more_body": True}
            path = scope["path"]
            if path == "/begun":
                await send(start)
                await send(half)
            elif path == "/less":
                await send({**start, "headers": [(b"content-length", b"10")]})
                await send(half)
            elif path == "/field":
                await send({**start, "headers": [(b"x", b"a\r\nb: c")]})
            elif path == "/twice":
                await send(start)
                await send(start)
            elif path == "/late":
                await send({"type": "http.response.body", "body": b""})
            elif path == "/odd":
                raise KeyError

        async with self.serve(application) as listener, connected(listener) as client:
            for path in ("/", "/field", "/odd", "/twice", "/late"):
                assert (await client.ask(path))[0] == 500, path
            for path in ("/begun", "/less"):
                stream = await client.request(path)
                await client.until_over(stream)
                assert client.reset[stream] == 2
            self.counted(listener, aborted=2)

    async def test_a_stream_that_is_reset_cancels_its_call(self) -> None:
        begun: list[str] = []
        gone: list[str] = []

        async def application(scope: Any, receive: Any, send: Any) -> None:
            begun.append(scope["path"])
            over = anyio.Event()
            scope["extensions"]["covet.disconnect"]["subscribe"](over.set)
            await over.wait()
            gone.append(scope["path"])
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"nobody reads this"})

        async with self.serve(application) as listener:
            async with connected(listener) as client:
                stream = await client.request("/one")
                while begun != ["/one"]:
                    await anyio.lowlevel.checkpoint()
                client.h2.reset_stream(stream)
                await client.flush()
                while gone != ["/one"]:
                    await anyio.lowlevel.checkpoint()
                await client.request("/two")
                while begun != ["/one", "/two"]:
                    await anyio.lowlevel.checkpoint()
            with anyio.fail_after(30):
                while gone != ["/one", "/two"]:
                    await anyio.lowlevel.checkpoint()
            self.counted(listener, http2_resets=1)

    async def test_the_body_of_a_reset_stream_is_not_complete(self) -> None:
        bodies = []

        async def application(scope: Any, receive: Any, send: Any) -> None:
            bodies.append(await body_of(receive))

        async with self.serve(application) as listener, connected(listener) as client:
            stream = await client.request("/", "POST", body=None)
            client.h2.send_data(stream, b"half")
            await client.flush()
            await client.ask("/other")
            client.h2.reset_stream(stream)
            await client.flush()
            with anyio.fail_after(30):
                while len(bodies) < 2:
                    await anyio.lowlevel.checkpoint()
            assert sorted(bodies) == [b"", b"half"]

    async def test_answering_before_the_body_has_come_harms_nobody(self) -> None:
        application, started, release = held()

        async def by_path(scope: Any, receive: Any, send: Any) -> None:
            await (application if scope["path"] == "/held" else hello)(scope, receive, send)

        async with self.serve(by_path) as listener, connected(listener) as client:
            neighbour = await client.request("/held")
            await started.wait()
            upload = await client.request("/", "POST", body=None)
            await client.until_over(upload)
            # The rest is not wanted (RFC 9113, 8.1); what is on its way counts against no window.
            for _ in range(70):
                await client.stream.send(frame(0, upload, b"x" * 16_000))
            while upload not in client.reset:
                await client.step()
            assert client.reset[upload] in self.unwanted
            release.set()
            await client.until_over(neighbour)
            assert client.status == {upload: 200, neighbour: 200}

    async def test_the_access_log_says_what_ended_an_answer(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO, logger="covet.http.access")
        begun = anyio.Event()

        async def by_path(scope: Any, receive: Any, send: Any) -> None:
            if scope["path"] == "/":
                await hello(scope, receive, send)
                return
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"begun", "more_body": True})
            if scope["path"] == "/late":
                raise StreamAbortedError("its time is over", 504)
            begun.set()
            while (await receive())["type"] != "http.disconnect":
                pass

        async with self.serve(by_path, config={"access_log": True}) as listener:
            async with connected(listener) as client:
                await client.ask("/")
                await client.until_over(await client.request("/late"))
                left = await client.request("/left")
                await begun.wait()
                client.h2.reset_stream(left)
                await client.flush()
                while len(caplog.records) < 3:
                    await anyio.lowlevel.checkpoint()
        lines = [json.loads(each.getMessage()) for each in caplog.records]
        seen = [(each["target"], each["http"], each["status"], each["bytes"]) for each in lines]
        assert seen == [
            ("/", "2", 200, 2),
            ("/late", "2", self.aborted, 5),
            ("/left", "2", 499, 5),
        ]

    async def test_a_pause_holds_requests_until_the_next_phase(self) -> None:
        async with self.serve(echo) as listener, connected(listener) as client:
            await listener.pause()
            streams = [await client.request(f"/{n}", "POST", body=b"b") for n in range(3)]
            for _ in range(20):
                await anyio.lowlevel.checkpoint()
            assert not client.status
            listener.begin(hello)
            await client.until_over(*streams)
            assert [client.body[each] for each in streams] == [b"ok"] * 3

    async def test_stop_says_goaway_and_answers(self) -> None:
        application, started, release = held()
        async with self.serve(application) as listener, connected(listener) as client:
            async with connected(listener) as idle:
                stream = await client.request()
                await started.wait()
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(listener.stop)
                    data = b""
                    while GOAWAY not in data:
                        data = await client.stream.receive()
                    await idle.until_closed()
                    assert idle.goaway == NO_ERROR
                    release.set()
                    answered = b""
                    try:
                        while True:
                            answered += await client.stream.receive()
                    except anyio.EndOfStream:
                        pass
                assert b"ok" in answered
                assert stream == 1

    async def test_an_endless_stream_does_not_keep_the_service_from_stopping(self) -> None:
        ended = anyio.Event()

        async def endless(scope: Any, receive: Any, send: Any) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"x", "more_body": True})
            while (await receive())["type"] != "http.disconnect":
                pass
            ended.set()

        async with self.serve(endless) as listener, connected(listener) as client:
            stream = await client.request()
            while stream not in client.body:
                await client.step()
            with anyio.move_on_after(0.1):
                await listener.stop()
            # Past its deadline the listener is left, and everybody who is there is cut.
            assert not ended.is_set()

    async def test_clients_choose_it_over_tls(self, tmp_path: Path) -> None:
        authority = trustme.CA()
        path = tmp_path / "both.pem"
        issued = authority.issue_cert("localhost")
        issued.private_key_and_cert_chain_pem.write_to_path(str(path))
        seen = []

        async def application(scope: Any, receive: Any, send: Any) -> None:
            seen.append((scope["http_version"], scope["scheme"]))
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"x" * 300_000})

        async with self.serve(application, tls=TlsConfig(certificate=path)) as listener:
            for protocols in (["h2", "http/1.1"], ["http/1.1"], []):
                context = ssl.create_default_context()
                authority.configure_trust(context)
                if protocols:
                    context.set_alpn_protocols(protocols)
                with anyio.fail_after(30):
                    stream = await TLSStream.wrap(
                        listener.connect(), hostname="localhost", ssl_context=context
                    )
                    if "h2" in protocols:
                        client = Client(stream)
                        status, body = await client.ask()
                        assert (status, len(body)) == (200, 300_000)
                        await listener.pause()
                        waits = await client.request()
                        await anyio.lowlevel.checkpoint()
                        listener.begin(application)
                        await client.until_over(waits)
                    else:
                        await stream.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                        answer = b""
                        while len(answer) < 300_000:
                            answer += await stream.receive()
                        assert answer.startswith(b"HTTP/1.1 200 ")
                        await stream.send(PREFACE)  # it has not chosen that
                        while b"HTTP/1.1 505 " not in answer:
                            answer += await stream.receive()
                    await stream.transport_stream.aclose()
        assert seen == [("2", "https"), ("2", "https"), ("1.1", "https"), ("1.1", "https")]
