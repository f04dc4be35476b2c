"""Messages between websockets' protocol and the engine's, over connections in memory: the same whatever
they are, however they are cut up, and with and without compression.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from websocket_client import HANDSHAKE, Client, frame, protocol

from covet_engine import EngineConfig, EngineServer
from covet_http import CHANNEL, Channel, ChannelLimits, ServerOptions, WebSocketClosed

LIMITS = ChannelLimits(compression=True, compress_from=16)


@asynccontextmanager
async def echoing(limits: ChannelLimits = LIMITS, **config: Any) -> AsyncIterator[Any]:
    """An engine in memory whose WebSockets say what they hear; gives its listener."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        channel: Channel = scope["extensions"][CHANNEL]
        await channel.accept(None, [], limits)
        try:
            while True:
                message = await channel.receive()
                while not channel.offer(message):
                    await channel.drained()
        except WebSocketClosed:
            pass

    server = EngineServer(EngineConfig(**config))
    async with server.listen([], ServerOptions()) as listener:
        listener.begin(app)
        yield listener
        await listener.stop()


messages = st.lists(
    st.one_of(
        st.text(max_size=300),
        st.binary(max_size=300),
        st.builds(lambda some, times: some * times, st.binary(min_size=1, max_size=9), st.integers(1, 20_000)),
    ),
    max_size=6,
)  # fmt: skip
cuts = st.lists(st.integers(1, 70_000), min_size=1, max_size=6)


def pieces_of(data: bytes, sizes: list[int]) -> list[bytes]:
    """Cut bytes up by these sizes, again and again."""
    pieces, at, number = [], 0, 0
    while at < len(data):
        size = sizes[number % len(sizes)]
        pieces.append(data[at : at + size])
        at, number = at + size, number + 1
    return pieces or [b""]


@pytest.mark.parametrize("keeps", [False, True])
@pytest.mark.parametrize("deflate", [False, True])
def test_whatever_is_sent_comes_back(deflate: bool, keeps: bool) -> None:
    config = {"compress_keeps_out": keeps, "compress_keeps_in": keeps}

    async def talk(said: list[str | bytes], frames: list[int], reads: list[int]) -> None:
        async with echoing(**config) as listener:
            client = Client(listener.connect(), protocol(deflate=deflate))
            assert (await client.open()).status_code == 101
            assert ("sec-websocket-extensions" in client.response.headers) == deflate
            for message in said:
                data = message.encode() if isinstance(message, str) else message
                text = isinstance(message, str)
                parts = pieces_of(data, [max(each, len(data) // 50) for each in frames])
                for number, part in enumerate(parts):
                    last = number == len(parts) - 1
                    if number:
                        client.protocol.send_continuation(part, fin=last)
                    elif text:
                        client.protocol.send_text(part, fin=last)
                    else:
                        client.protocol.send_binary(part, fin=last)
                sent = b"".join(client.protocol.data_to_send())
                for piece in pieces_of(sent, [max(each, len(sent) // 50) for each in reads]):
                    await client.stream.send(piece)
                assert await client.receive() == message
            await client.close()

    @settings(
        max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
    )
    @given(messages, cuts, cuts)
    def check(said: list[str | bytes], frames: list[int], reads: list[int]) -> None:
        anyio.run(talk, said, frames, reads)

    check()


async def test_cancelled_at_each_await_nothing_is_lost() -> None:
    """A handler whose waits are cancelled, one after the other, and its messages that are not."""
    heard: list[str | bytes] = []
    cancelled = 0
    done = anyio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal cancelled
        channel: Channel = scope["extensions"][CHANNEL]
        limits = LIMITS.replaced(max_queue_bytes=1000)
        for attempt in range(2):
            with anyio.CancelScope() as scope_:
                if not attempt:
                    scope_.cancel()
                await channel.accept(None, [], limits)
        while len(heard) < 5:
            with anyio.move_on_after(0) as waiting:
                heard.append(await channel.receive())
            cancelled += waiting.cancelled_caught
            await anyio.lowlevel.checkpoint()
        while channel.offer(b"x" * 400):
            pass
        for wait in (channel.drained, channel.ping):
            with anyio.CancelScope() as scope_:
                scope_.cancel()
                await wait()
            assert scope_.cancelled_caught
        await channel.drained()
        assert await channel.ping() >= 0
        done.set()
        with pytest.raises(WebSocketClosed):
            await channel.receive()

    server = EngineServer(EngineConfig())
    async with server.listen([], ServerOptions()) as listener:
        listener.begin(app)
        client = Client(listener.connect(), protocol())
        await client.open()
        for number in range(5):
            await client.send(str(number))
            await anyio.lowlevel.checkpoint()
        with anyio.fail_after(30):
            while not done.is_set():
                with anyio.move_on_after(0.05):
                    await client.frame()
        assert heard == ["0", "1", "2", "3", "4"]
        assert cancelled
        await client.close()
        await listener.stop()


async def test_a_broadcast_is_one_call_and_names_those_without_room() -> None:
    members: list[Channel] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        channel: Channel = scope["extensions"][CHANNEL]
        await channel.accept(None, [], LIMITS.replaced(max_queue_bytes=10_000))
        members.append(channel)
        with pytest.raises(WebSocketClosed):
            await channel.receive()

    async with EngineServer(EngineConfig()).listen([], ServerOptions()) as listener:
        listener.begin(app)
        core = listener._core
        clients = []
        for number in range(20):
            client = Client(listener.connect(), protocol(deflate=number % 2 == 0))
            await client.open()
            clients.append(client)
        submits = core.counters.submits
        assert type(members[0]).broadcast(members, "to all " * 1000) == []
        assert core.counters.submits == submits + 1
        left_out = type(members[0]).broadcast(members, b"z" * 9000)
        # What is compressed takes less room.
        assert left_out == [each for number, each in enumerate(members) if number % 2]
        assert not members[1].offer(b"z" * 9000)
        assert members[0].offer(b"z")
        for number, client in enumerate(clients):
            assert await client.receive() == "to all " * 1000
            if number % 2 == 0:
                assert await client.receive() == b"z" * 9000
        assert members[1].offer(b"z" * 9000)
        members[3].close(1000, "")
        assert type(members[0]).broadcast(members[3:4], "x") == members[3:4]
        for number, client in enumerate(clients):
            if number != 3:
                await client.close()
            else:
                assert await client.ended() == (1000, "")
        await listener.stop()
        assert core.counters.messages_left_out == 10


async def test_a_client_that_is_early_is_heard_when_it_is_let_in() -> None:
    # bad input 59: data before the handshake is answered waits, within bounds
    let_in = anyio.Event()
    heard: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        channel: Channel = scope["extensions"][CHANNEL]
        await let_in.wait()
        await channel.accept(None, [], LIMITS)
        try:
            while True:
                heard.append(await channel.receive())
        except WebSocketClosed as closed:
            heard.append(closed.close_code)

    async with EngineServer(EngineConfig()).listen([], ServerOptions()) as listener:
        listener.begin(app)
        stream = listener.connect()
        await stream.send(HANDSHAKE + frame(0x81, b"early"))
        with anyio.move_on_after(0.1) as too_much:
            await stream.send(frame(0x82, bytes(10)) * 100_000)
        assert too_much.cancelled_caught
        let_in.set()
        with anyio.fail_after(30):
            while len(heard) < 3:
                await anyio.sleep(0.01)
        assert heard[:2] == ["early", bytes(10)]
        await stream.aclose()
        await listener.stop()


@pytest.mark.parametrize("wanted", [False, True])
async def test_compression_is_refused_where_the_limits_do_not_want_it(wanted: bool) -> None:
    async with echoing(LIMITS.replaced(compression=wanted)) as listener:
        client = Client(listener.connect(), protocol(deflate=True))
        await client.open()
        assert ("sec-websocket-extensions" in client.response.headers) == wanted
        await client.send("aaaa" * 1000)
        assert await client.receive() == "aaaa" * 1000
        await client.close()
