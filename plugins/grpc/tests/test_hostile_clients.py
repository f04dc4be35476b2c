"""Floods, windows and requests that are none, by calls: each is bounded, and harms nobody else."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import anyio
import anyio.to_thread
import pytest
from grpc_served import EVERYWHERE, Messages, Served, serving
from hostile_calls import (
    BLOCK_SIZE,
    Calls,
    Port,
    head_of,
    message,
    opened,
    path_of,
    status_of,
)
from raw_client import post
from services.http2 import CALM, PROTOCOL, REFUSED, Client, connected, frame, raw
from services.http2_hostile import broken, flooded, floods

# They are about servers, and no interpreter makes a difference.
pytestmark = pytest.mark.once

STREAMS = 20
FLOW_CONTROL, CLOSED, SIZE, CANCEL = 3, 5, 6, 8
DEADLINE_EXCEEDED = 4
FIELDS = [("content-type", "application/grpc"), ("te", "trailers")]
# What is wrong with these is seen sooner, and ends the whole connection too.
AT_ONCE = {
    "engine": {
        "made-to-reset-by-no-window": PROTOCOL, "made-to-reset-by-priority": PROTOCOL,
        "made-to-reset-by-more": CLOSED, "oversized": SIZE,
    },
    "hypercorn": {
        "made-to-reset-by-header": PROTOCOL, "made-to-reset-by-no-window": PROTOCOL,
        "made-to-reset-by-priority": PROTOCOL, "empty-headers": PROTOCOL,
    },
}  # fmt: skip


@dataclass
class Target:
    """A service to be hostile to."""

    server: str
    port: Port
    served: Served
    calls: Calls

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something is true in the service."""
        with anyio.fail_after(30):
            while not condition():
                await anyio.sleep(0.005)

    @asynccontextmanager
    async def unharmed(self) -> AsyncIterator[None]:
        """Somebody else is answered before and after what is done, and nothing is left of that."""
        async with connected(self.port) as bystander:
            await self._say(bystander)
            yield
            await self.until(lambda: self.calls.running == 0)
            await self._say(bystander)
            assert self.calls.most <= STREAMS + 2

    async def _say(self, bystander: Client) -> None:
        stream = await bystander.request(path_of("Say"), "POST", body=message(b"hi"), more=FIELDS)
        await bystander.until_over(stream)
        assert bystander.body[stream] == message(b"hi")
        assert bystander.trailers[stream] == [(b"grpc-status", b"0")]


@pytest.fixture(autouse=True)
def covet_leak_check() -> None:
    """The service is in a thread of its own, and closes its side of connections in its own time."""


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """Of clients: asyncio loses what a connection has brought before it broke."""
    return "trio"


def target_at(where: str, protos: Messages, **http: Any) -> Iterator[Target]:
    server = where.partition("/")[0]
    with serving(
        where, protos, classes={"calls": Calls}, http=http, **{server: {"max_streams": STREAMS}}
    ) as served:
        calls: Any = served.kernel.assembly.nodes["calls"].plugin
        yield Target(server, Port(served.port), served, calls)


@pytest.fixture(scope="module", params=EVERYWHERE)
def target(request: pytest.FixtureRequest, protos: Messages) -> Iterator[Target]:
    """With the limits that a service has by itself."""
    yield from target_at(request.param, protos)


@pytest.fixture(scope="module", params=EVERYWHERE)
def impatient(request: pytest.FixtureRequest, protos: Messages) -> Iterator[Target]:
    """One that waits half a second for its clients."""
    yield from target_at(request.param, protos, read_timeout=0.5, write_timeout=0.5)


@pytest.mark.parametrize("name", sorted(floods()))
async def test_floods_end_their_connection_and_no_other(target: Target, name: str) -> None:
    # bad input 27, 28, 29, 31
    async with target.unharmed():
        code = await flooded(target.port, floods(head_of("Wait"), message())[name])
    expected = {AT_ONCE[target.server].get(name, CALM)}
    if target.server == "hypercorn" and name.startswith("made-to-reset"):
        # More are open in one read than may be.
        expected.add(PROTOCOL)
    if name == "made-to-reset-by-more":
        # What comes behind the end of a stream that is answered by then is worse.
        expected.add(CLOSED)
    assert code in expected


async def test_calls_that_are_reset_are_cancelled(target: Target) -> None:
    # bad input 27
    calls = target.calls
    async with target.unharmed(), raw(target.port) as client:
        before = calls.cancelled
        streams = range(1, 2 * STREAMS, 2)
        await client.send(*(opened(n, "Wait") for n in streams))
        await target.until(lambda: calls.running == STREAMS)
        await client.send(*(frame(3, n, b"\0\0\0\x08") for n in streams))
        await target.until(lambda: calls.cancelled == before + STREAMS)


async def test_calls_that_are_reset_count_until_they_have_ended(target: Target) -> None:
    # bad input 27
    calls = target.calls
    async with target.unharmed(), raw(target.port) as client:
        streams = range(1, 2 * STREAMS, 2)
        await client.send(*(opened(n, "Stubborn") for n in streams))
        await target.until(lambda: calls.running == STREAMS)
        await client.send(*(frame(3, n, b"\0\0\0\x08") for n in streams))
        late = 2 * STREAMS + 1
        await client.send(opened(late, "Say"))
        try:
            assert await status_of(client, late) is None
            assert client.reset[late] == REFUSED
        finally:
            await anyio.to_thread.run_sync(target.served.portal.call, calls.release.set)
        await target.until(lambda: calls.running == 0)
        await client.send(opened(late + 2, "Say"))
        assert await status_of(client, late + 2) == 0


@pytest.mark.parametrize("name", ["x-much", "x-much-bin", "cookie"])
async def test_metadata_are_bounded_where_they_are_unpacked(target: Target, name: str) -> None:
    # bad input 30, bad input 63
    more = [(name, "a=b")] * 5000 if name == "cookie" else [(name, "A" * 3900)] * 2000
    async with target.unharmed():
        said = target.calls.said
        async with raw(target.port) as client:
            block = client.block([*head("Say"), *more])
            assert len(block) < 16_000
            await client.send(frame(1, 1, block, 0x4), frame(0, 1, message(), 0x1))
            await client.until_over(1)
            assert client.status.get(1) == 431 or client.goaway == CALM
        assert target.calls.said == said


async def test_metadata_of_all_calls_together_are_bounded(target: Target) -> None:
    # bad input 30: of calls that wait, one limit for each would be no limit
    async with target.unharmed(), raw(target.port) as client:
        large = [*head("Wait"), *[("x-much", "y" * 3900)] * 7]
        streams = range(1, 2 * STREAMS, 2)
        for n in streams:
            # Behind the first one each of them is a few bytes.
            await client.send(frame(1, n, client.block(large), 0x4), frame(0, n, message(), 0x1))
        while len(client.reset) < STREAMS - 9:
            await client.step()
        assert set(client.reset.values()) == {REFUSED}
        await target.until(lambda: target.calls.running == STREAMS - len(client.reset))


async def test_a_stream_that_nobody_reads_is_given_up(impatient: Target) -> None:
    # bad input 21, 30
    calls = impatient.calls
    async with impatient.unharmed(), raw(impatient.port) as client:
        before = calls.blocks
        await client.send(frame(4, 0, b"\0\x04\0\0\0\0"))  # windows of nothing
        await client.send(*(opened(n, "Blocks", b"\0" * 5) for n in (1, 3, 5)))
        while len(client.reset) < 3:
            await client.step()
        assert client.reset == {1: CANCEL, 3: CANCEL, 5: CANCEL}
        # What waits for a client is about what its window may be, and not what a handler can make.
        assert calls.blocks - before < 3 * 3 * 65_536 // BLOCK_SIZE
        # The connection is as good as before.
        await client.send(frame(4, 0, b"\0\x04\0\0\xff\xff"), opened(7, "Say"))
        assert await status_of(client, 7) == 0


async def test_windows_of_one_byte_give_no_endless_stream(target: Target) -> None:
    # bad input 31
    async with target.unharmed():
        before = target.calls.blocks
        async with raw(target.port) as client:
            await client.send(frame(4, 0, b"\0\x04\0\0\0\1"), opened(1, "Blocks", b"\0" * 5))
            while not client.closed:
                await client.send_if_open(frame(8, 1, b"\0\0\0\x01") * 50)
                await client.step()
            assert client.goaway == CALM
        assert target.calls.blocks - before < 3 * 65_536 // BLOCK_SIZE


async def test_a_window_that_overflows_ends_the_stream(target: Target) -> None:
    # bad input 31
    async with target.unharmed(), raw(target.port) as client:
        await client.send(opened(1, "Blocks", b"\0" * 5))
        await client.until_over(1)
        widest = (2**31 - 1 - 65_535).to_bytes(4, "big")
        await client.send(
            frame(8, 1, widest), frame(4, 0, b"\0\x04" + (200_000).to_bytes(4, "big"))
        )
        while not (1 in client.reset or client.closed):
            await client.step()
        assert FLOW_CONTROL in (client.reset.get(1), client.goaway)


@pytest.mark.parametrize("trailers", [False, True])
async def test_a_call_is_as_long_as_it_says(target: Target, trailers: bool) -> None:
    # bad input 33
    calls = target.calls
    body = message(b"0123456789")
    async with target.unharmed():
        said, complete = calls.said, calls.complete
        for method in ("Say", "Collect"):
            for length in (len(body) - 1, len(body) + 1, 5 * len(body)):
                async with raw(target.port) as client:
                    block = client.block([*head(method), ("content-length", str(length))])
                    await client.send(frame(1, 1, block, 0x4), frame(0, 1, body, not trailers))
                    if trailers:
                        await client.send(frame(1, 1, client.block([("x-sum", "1")]), 0x5))
                    assert await status_of(client, 1) is None
                    assert PROTOCOL in (client.reset.get(1), client.goaway)
    assert (calls.said - said, calls.complete - complete) == (1, 0), "none but the bystander"


BEHIND_THE_END = {
    "data": lambda client: frame(0, 1, message(), 0x1),
    "call": lambda client: frame(1, 1, client.block(head("Wait")), 0x5),
    "trailers": lambda client: frame(1, 1, client.block([("grpc-status", "0")]), 0x5),
}


@pytest.mark.parametrize("what", BEHIND_THE_END)
async def test_nothing_comes_behind_the_trailers(target: Target, what: str) -> None:
    # bad input 33
    calls = target.calls
    async with target.unharmed(), raw(target.port) as client:
        began = calls.began
        await client.send(opened(1, "Wait", flags=0))
        await client.send(frame(1, 1, client.block([("x-sum", "1")]), 0x5))
        await target.until(lambda: calls.began > began)
        await client.send(BEHIND_THE_END[what](client))
        assert await status_of(client, 1) is None
        assert CLOSED in (client.reset.get(1), client.goaway)


BAD_TRAILERS = {
    "pseudo": [(":path", path_of("Say"))],
    "line-end": [("grpc-status", "0\r\ny: z")],
    "upper-case": [("Grpc-Status", "0")],
    "transfer-encoding": [("transfer-encoding", "chunked")],
    "connection": [("connection", "close")],
}


@pytest.mark.parametrize("name", BAD_TRAILERS)
async def test_bad_trailers_leave_a_stream_incomplete(target: Target, name: str) -> None:
    # bad input 32, 33
    async with target.unharmed():
        complete = target.calls.complete
        async with raw(target.port) as client:
            await client.send(opened(1, "Collect", flags=0))
            await client.send(frame(1, 1, client.block(BAD_TRAILERS[name]), 0x5))
            assert await status_of(client, 1) is None
            assert PROTOCOL in (client.reset.get(1), client.goaway)
        assert target.calls.complete == complete


async def test_what_trailers_say_of_a_call_is_dropped(target: Target) -> None:
    # bad input 33, bad input 63
    said = [("grpc-status", "7"), ("grpc-timeout", "1n"), ("grpc-encoding", "br"), ("host", "evil")]
    async with target.unharmed(), raw(target.port) as client:
        await client.send(opened(1, "Collect", message() * 3, flags=0))
        await client.send(frame(1, 1, client.block(said), 0x5))
        assert await status_of(client, 1) == 0
        assert client.fields[1] == [("grpc-status", "0")]


async def test_requests_that_are_none_reach_nobody(target: Target) -> None:
    # bad input 32, 33, 34
    async with target.unharmed():
        said = target.calls.said
        for name, fields in broken(path_of("Say")).items():
            async with raw(target.port) as client:
                block = client.block([*fields, *FIELDS])
                await client.send(frame(1, 1, block, 0x4), frame(0, 1, message(), 0x1))
                assert await status_of(client, 1) is None, name
                assert PROTOCOL in (client.reset.get(1), client.goaway), name
        assert target.calls.said == said


async def test_tunnels_and_upgrades_are_not_spoken(target: Target) -> None:
    # bad input 34
    async with target.unharmed():
        said = target.calls.said
        async with raw(target.port) as client:
            block = client.block([(":method", "CONNECT"), (":authority", "a:80"), *FIELDS])
            await client.send(frame(1, 1, block, 0x5))
            await client.until_over(1)
            assert client.status.get(1) == 501 or client.reset.get(1) == PROTOCOL
        async with raw(target.port) as client:
            block = client.block(
                [
                    (":method", "CONNECT"), (":protocol", "websocket"), *head("Say")[1:4],
                    ("sec-websocket-version", "13"),
                ]
            )  # fmt: skip
            await client.send(frame(1, 1, block, 0x4))
            await client.until_over(1)
            assert client.status[1] == 403
        upgrade = {
            "content-type": "application/grpc", "connection": "Upgrade, HTTP2-Settings",
            "upgrade": "h2c", "http2-settings": "AAMAAABk",
        }  # fmt: skip
        status, fields, _ = post(target.served.port, path_of("Say"), message(), upgrade)
        assert (status, "upgrade" in fields) == (505, False)
        assert target.calls.said == said


async def test_a_message_that_never_comes_is_not_waited_for(impatient: Target) -> None:
    # bad input 21, bad input 63
    complete = impatient.calls.complete
    # A length, and nothing of what it announces.
    begun = b"\0\0\0\x10\0"
    async with impatient.unharmed(), raw(impatient.port) as client:
        await client.send(opened(1, "Say", begun, flags=0))
        assert await status_of(client, 1) is None
        assert client.status[1] == 408
        await client.send(opened(3, "Say"))
        assert await status_of(client, 3) == 0
        # A stream in may take as long as its caller gives it.
        for stream, method in ((5, "Collect"), (7, "Repeat")):
            block = client.block([*head(method), ("grpc-timeout", "300m")])
            await client.send(frame(1, stream, block, 0x4), frame(0, stream, begun))
            assert await status_of(client, stream) == DEADLINE_EXCEEDED
    assert impatient.calls.complete == complete


@pytest.mark.parametrize("method", ["Collect", "Repeat"])
async def test_a_stream_in_may_pause_for_longer_than_a_body(impatient: Target, method: str) -> None:
    async with impatient.unharmed(), raw(impatient.port) as client:
        await client.send(frame(1, 1, head_of(method), 0x4))
        await client.until_over(1)
        assert client.status[1] == 200
        for late in (3, 5):
            # So long does it say nothing.
            await client.send(opened(late, "Say", b"", flags=0))
            assert await status_of(client, late) is None
            assert client.status[late] == 408
            await client.send(frame(0, 1, message()))
        await client.send(frame(0, 1, b"", 0x1))
        assert await status_of(client, 1) == 0


def head(method: str) -> list[tuple[str, str]]:
    """The headers of a call."""
    return [
        (":method", "POST"), (":scheme", "http"), (":authority", "a"), (":path", path_of(method)),
        *FIELDS,
    ]  # fmt: skip
