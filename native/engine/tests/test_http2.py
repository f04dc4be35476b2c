"""HTTP/2 on the engine: what every server does with it, and what is the engine's own."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from http2_serving import OnEngine
from services.http2 import NO_ERROR, PREFACE, PSEUDO, connected, echo, frame, held, raw, slow_echo
from services.http2_suite import LARGEST, Http2ServerSuite

from covet_engine import _library, _plugin

pytest.importorskip("covet_engine._native", reason="the library is not built")


class TestEngine(OnEngine, Http2ServerSuite):
    aborted = 200

    async def test_an_answer_without_a_body_ends_with_its_head(self) -> None:
        async def application(scope: Any, receive: Any, send: Any) -> None:
            fields = [(b"grpc-status", b"12"), (b"connection", b"close"), (b"Keep-Alive", b"1")]
            await send({"type": "http.response.start", "status": 200, "headers": fields})
            await send({"type": "http.response.body", "body": b""})

        async with self.serve(application) as listener, raw(listener) as client:
            await client.send(frame(1, 1, client.block(PSEUDO), 0x5))
            await client.until_over(1)
            assert client.frames[-1][:2] == (1, 0x5)
            names = [name for name, _ in client.fields[1]]
            assert names == [":status", "grpc-status", "content-length", "date"]

    async def test_many_slow_applications_hold_back_no_other_stream(self) -> None:
        release = anyio.Event()
        async with self.serve(slow_echo(release)) as listener, connected(listener) as client:
            await client.ask()
            slow = [await client.request("/slow", "POST", body=None) for _ in range(40)]
            for each in slow:
                for size in (16_384, 16_384, 16_384, 16_383):
                    while client.h2.outbound_flow_control_window < size:
                        await client.step()  # the connection's window is no limit for all of them
                    client.h2.send_data(each, b"x" * size)
                await client.flush()
            for _ in range(5):
                assert (await client.ask("/", "POST", body=b"z" * 16_000))[0] == 200
            # None gets more than its window until it takes what it has.
            assert [client.h2.local_flow_control_window(each) for each in slow] == [0] * len(slow)
            release.set()
            for each in slow:
                client.h2.end_stream(each)
            await client.flush()
            await client.until_over(*slow)
            assert {client.body[each].count(b"x") for each in slow} == {65_535}

    async def test_more_requests_than_may_be_in_flight_wait_for_their_turn(self) -> None:
        async with self.serve(echo, config={"max_in_flight": 2}) as listener:
            async with connected(listener) as client:
                streams = [await client.request(f"/{n}", "POST", body=b"b") for n in range(50)]
                await client.until_over(*streams)
                assert {client.status[each] for each in streams} == {200}

    async def test_stop_says_goaway_twice_and_answers(self) -> None:
        application, started, release = held()
        async with self.serve(application) as listener, raw(listener) as client:
            async with connected(listener) as idle:
                await client.send(frame(1, 1, client.block(PSEUDO), 0x5))
                await started.wait()
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(listener.stop)
                    while not client.goaways:
                        await client.step()
                    # One that was on its way is still answered.
                    await client.send(frame(1, 3, client.block(PSEUDO), 0x5))
                    while len(client.goaways) < 2:
                        await client.step()
                    assert client.goaways == [(LARGEST, NO_ERROR), (3, NO_ERROR)]
                    await client.send(frame(1, 5, client.block(PSEUDO), 0x5))
                    await idle.until_closed()
                    assert idle.goaway == NO_ERROR
                    release.set()
                    await client.until_closed()
                assert client.status == {1: 200, 3: 200}

    async def test_without_its_library_http1_is_spoken_and_that_is_said_once(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        ffi, lib = _library.load()
        monkeypatch.setattr(_plugin, "load", lambda: _library.Library(ffi, Without(lib)))
        _library.say_without_http2.cache_clear()
        for _ in range(2):
            async with self.serve(echo) as listener, listener.connect() as stream:
                await stream.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                assert (await stream.receive()).startswith(b"HTTP/1.1 200 ")
                await stream.send(PREFACE)
                assert (await stream.receive()).startswith(b"HTTP/1.1 505 ")
        said = [each.getMessage() for each in caplog.records]
        assert len(said) == 1
        assert "libnghttp2" in said[0]


class Without:
    """The library as it is where libnghttp2 is missing."""

    def __init__(self, lib: Any) -> None:
        self._lib = lib

    def __getattr__(self, name: str) -> Any:
        return getattr(self._lib, name)

    def cv_engine_new(self, options: Any) -> Any:
        wanted, options.http2 = options.http2, 0
        engine = self._lib.cv_engine_new(options)
        options.http2 = wanted
        return engine
