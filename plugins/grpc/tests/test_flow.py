"""Large messages, slow readers, many calls at once, and the asynchronous client."""

from __future__ import annotations

from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from gzip import decompress
from struct import unpack_from
from typing import Any

import anyio
import grpc
import grpc.aio
import pytest
from grpc_served import EVERYWHERE, Served
from raw_client import Client, exchange, frame

BIG = 3_000_000

pytestmark = pytest.mark.parametrize("served", EVERYWHERE, indirect=True, scope="module")


def test_large_messages_go_both_ways(served: Served, channel: grpc.Channel) -> None:
    book = served.make("Book", id=1, title="x", cover=bytes(range(256)) * (BIG // 256))
    assert served.stub(channel, "Echo")(book).cover == book.cover


def test_a_slow_reader_holds_the_stream_up_and_nobody_else(served: Served) -> None:
    client = Client(served.port)
    with client:
        # 40 MB, of which the window of the stream lets 64 KiB pass.
        request = served.make("BlocksRequest", count=400, size=100_000)
        slow = client.call("/library.v1.Books/Blocks", frame(request.SerializeToString()))
        said = frame(served.make("SayRequest", text="a").SerializeToString())
        for _ in range(20):
            answered = client.answer(client.call("/library.v1.Books/Say", said))
            assert answered[b"grpc-status"] == b"0"
        # The handler is not far ahead of what can leave, however often others were served.
        assert sum(line.startswith("block ") for line in served.library.log) < 20
        assert len(client.answers[slow].body) == 65_535
        client.reset(slow)
        assert client.answer(client.call("/library.v1.Books/Say", said))[b"grpc-status"] == b"0"


def test_answers_are_compressed_for_who_takes_them(served: Served, channel: grpc.Channel) -> None:
    book = served.make("Book", id=1, title="long " * 10_000)
    for algorithm in (
        grpc.Compression.NoCompression,
        grpc.Compression.Gzip,
        grpc.Compression.Deflate,
    ):
        answer = served.stub(channel, "Echo")(book, compression=algorithm)
        assert answer.title == book.title
    # By bytes, to see what is sent.
    data = frame(served.make("Book", id=1, title="a" * 5000).SerializeToString())
    answered = exchange(
        served.port, "/library.v1.Books/Echo", [data], [(b"grpc-accept-encoding", b"identity,gzip")]
    )
    assert answered[b"grpc-encoding"] == b"gzip"
    flag, length = unpack_from(">BI", answered.body)
    assert (flag, length) == (1, len(answered.body) - 5)
    assert length < 200
    assert b"a" * 5000 in decompress(answered.body[5:])
    plain = exchange(served.port, "/library.v1.Books/Echo", [data])
    assert b"grpc-encoding" not in plain
    assert plain.body[:1] == b"\0"


def test_windows_that_are_opened_with_every_call_are_no_flood(served: Served) -> None:
    """As clients of gRPC do, whatever is answered."""
    said = frame(served.make("SayRequest", text="a").SerializeToString())
    with Client(served.port) as client:
        client.open_windows(1800)
        for _ in range(120):
            client.open_windows(6)
            answered = client.answer(client.call("/library.v1.Books/Say", said))
            assert answered[b"grpc-status"] == b"0"


def test_many_calls_share_a_connection(served: Served, channel: grpc.Channel) -> None:
    say = served.stub(channel, "Say")
    calls = [say.future(served.make("SayRequest", text=str(number))) for number in range(300)]
    assert [int(call.result().value) for call in calls] == list(range(300))


def test_the_asynchronous_client_does_all_of_it(served: Served) -> None:
    async def talk() -> None:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{served.port}") as channel:
            assert (
                await served.stub(channel, "GetBook")(served.make("GetBookRequest", id=1))
            ).id == 1
            books = served.stub(channel, "ListBooks")(served.make("ListBooksRequest", count=20))
            assert [book.id async for book in books] == list(range(1, 21))

            async def lines() -> AsyncIterator[Any]:
                for number in range(5):
                    yield served.make("ChatRequest", value=f"a{number}")

            answers = served.stub(channel, "Chat")(lines())
            assert [each.value async for each in answers] == [f"A{number}" for number in range(5)]
            talking = served.stub(channel, "Chat")()
            await talking.initial_metadata()
            await talking.write(served.make("ChatRequest", value="b"))
            assert (await talking.read()).value == "B"
            await talking.done_writing()
            assert await talking.code() is grpc.StatusCode.OK
            waiting = served.stub(channel, "Wait")(served.make("WaitRequest", name="aio"))
            waiting.cancel()
            assert await waiting.code() is grpc.StatusCode.CANCELLED

    # The client knows one event loop, and is not on that of the service.
    with ThreadPoolExecutor(1) as threads:
        threads.submit(anyio.run, talk, backend="asyncio").result(60)
