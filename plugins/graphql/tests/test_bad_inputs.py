"""What clients send that mean ill, over sockets, to both servers: rows 55 to 62 of the bad inputs."""

from __future__ import annotations

import gc
import json
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio
import graphql_shop as shop
import pytest
from graphql_bad import DOCUMENTS
from graphql_hostile import HOSTILE, Count
from graphql_serving import listening, until
from graphql_wire import (
    GONE,
    PATH,
    PROTOCOL,
    STREAM,
    TOKEN,
    Wire,
    ask,
    closed,
    get,
    keep_closed,
    post,
    request,
    subscribe,
)

from covet_graphql import _sse
from covet_http import WebSocketClosed
from covet_http.testing import Connection

ENDLESS = "subscription { arrivals(pause: 3600) { id } }"
BLOBS = "subscription { blobs }"
FLOOD = 1000
BAD_REQUESTS = 300


@pytest.fixture(autouse=True)
def _nothing_sent() -> None:
    Count.clear()


@asynccontextmanager
async def wire(server: str, **config: Any) -> AsyncIterator[Wire]:
    async with listening(server, *HOSTILE, **config) as url:
        yield Wire(url)


# Documents.


@pytest.mark.once
async def test_documents_are_refused_whatever_carries_them(server: str) -> None:
    # bad input 62
    async with wire(server) as service, service.connect() as connection, service.open() as session:
        for name, text in DOCUMENTS.items():
            by_post = await post(connection, {"query": text})
            assert by_post.status == 400, name
            errors = by_post.json()["errors"]
            assert "data" not in by_post.json()
            if name.startswith("repeated"):
                continue  # it takes a while to find out, whatever carries them
            if len(text) < 8000:
                assert (await get(connection, text)).json() == by_post.json(), name
            as_events = await post(connection, {"query": text}, STREAM)
            assert as_events.status == 200
            event, _, rest = as_events.text.partition("\ndata: ")
            assert event == "event: next"
            assert json.loads(rest.partition("\n\n")[0])["errors"] == errors, name
            if len(text) < 1_000_000:
                await subscribe(session, "1", text)
                found = await session.receive_json()
                assert (found["type"], found["payload"]) == ("error", errors), name
        assert (await post(connection, {"query": "{ who }"})).json() == {"data": {"who": ""}}
        await subscribe(session, "1", "{ who }")
        assert (await session.receive_json())["type"] == "next"
    assert (shop.STARTED, shop.LOADED, shop.TICKS) == ([], [], [])


WITHIN = {
    "inline fragments": "{ " + "... { " * 180 + "who" + " }" * 180 + " }",
    "fragments": "{ ...F0 } "
    + " ".join(f"fragment F{each} on Query {{ ...F{each + 1} }}" for each in range(180))
    + " fragment F180 on Query { who }",
    "fields": "{ " + "who " * 29 + "... { who } }",
}


async def test_documents_within_the_limits_are_answered(server: str) -> None:
    # bad input 62
    async with wire(server) as service, service.connect() as connection:
        for name, text in WITHIN.items():
            answer = await post(connection, {"query": text})
            assert answer.json() == {"data": {"who": ""}}, name


ORDER = "mutation($l: [LineInput!]!) { placeOrder(lines: $l) { note } }"
NESTED = "[" * 1000 + "]" * 1000
BODY = '{"query": "{ who }", '
BODIES = [
    f'{BODY} "variables": {{"a": {NESTED}}}}}',
    '{"query": "query($a: Float!) { slow(seconds: $a) }", "variables": {"a": 1e999}}',
    '{"query": "{ who }", "variables": {"a": "\\ud800"}}',
    f'{BODY} "extensions": {{"persistedQuery": {NESTED}}}}}',
    f'{BODY} "extensions": {{"persistedQuery": {{"sha256Hash": "{"0" * 100_000}"}}}}}}',
    f'{{"query": "query($a: Int) {{ who }}", "variables": {{"a": {"9" * 5000}}}}}',
    json.dumps({"query": ORDER, "variables": {"l": [{"bookId": "x" * 100}] * 5000}}),
    json.dumps([{"query": "mutation { tick }"}] * 1000),
    '{"query": "{ who }"',
    "\0" * 1000,
]  # fmt: skip


async def test_bodies_are_refused(server: str) -> None:
    # bad input 62
    async with wire(server) as service, service.connect() as connection:
        for body in BODIES:
            accept = "accept: application/graphql-response+json"
            answer = await ask(connection, "POST", PATH, accept, body=body.encode())
            assert answer.status == 400, body[:100]
            assert "data" not in answer.json()
            assert len(answer.body) < 10_000
        assert await service.who()
    assert shop.TICKS == []


UPLOAD = (
    b'--a\r\nContent-Disposition: form-data; name="operations"\r\n\r\n'
    b'{"query": "mutation { tick }"}\r\n--a\r\nContent-Disposition: form-data; name="map"\r\n\r\n{}\r\n--a--\r\n'
)
FORMS = [
    ("multipart/form-data; boundary=a", UPLOAD),
    ("application/x-www-form-urlencoded", b"query=mutation%20%7B%20tick%20%7D"),
    ("text/plain", b'{"query": "mutation { tick }"}'),
    ("text/plain; application/json", b'{"query": "mutation { tick }"}'),
]


async def test_no_page_of_another_site_changes_anything(server: str) -> None:
    # bad input 62: what a browser sends without asking the service first
    page = ("origin: https://evil.example", "cookie: session=1", "sec-fetch-site: cross-site")
    async with wire(server, max_batch=1) as service, service.connect() as connection:
        for content_type, body in FORMS:
            for target in (PATH, STREAM):
                fields = (*page, f"content-type: {content_type}")
                answer = await ask(connection, "POST", target, *fields, body=body)
                assert answer.status == 415, (content_type, target)
        assert (await get(connection, "mutation { tick }")).status == 405
        assert (await get(connection, "mutation { tick }", STREAM)).status == 400
        shown = f"{PATH}?query=mutation%7Btick%7D&query=%7Bwho%7D"
        assert (await ask(connection, "GET", shown)).status == 400
        opening = request(
            "GET", PATH, *page, "connection: Upgrade", "upgrade: websocket",
            "sec-websocket-version: 13", "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==",
            f"sec-websocket-protocol: {PROTOCOL}",
        )  # fmt: skip
        # bad input 59
        async with service.connect() as another:
            await another.send(opening)
            assert (await another.answer()).status == 403
    assert shop.TICKS == []


# Sockets.

START = {"id": "1", "payload": {"query": ENDLESS}}
INIT = {"type": "connection_init"}
BEGIN = {"type": "subscribe", **START}
LONG = "\N{FIRE}" * 64
BROKEN: list[tuple[list[Any], int]] = [
    ([{"type": "start", **START}], 4400),
    ([BEGIN], 4401),
    ([INIT, INIT], 4429),
    ([INIT, BEGIN, BEGIN], 4409),
    ([INIT, {**BEGIN, "id": LONG}, {**BEGIN, "id": LONG}], 4409),
    ([INIT, {**BEGIN, "id": LONG * 5}], 4400),
    ([INIT, {**BEGIN, "id": 1}], 4400),
    ([INIT, {**BEGIN, "payload": None}], 4400),
    ([INIT, {"type": "complete"}], 4400),
    ([INIT, {"type": "connection_terminate"}], 4400),
    ([INIT, '{"type": "ping", "payload": "\\ud800"}'], 4400),
    ([INIT, f'{{"type": "ping", "payload": {NESTED}}}'], 4400),
    ([INIT, b"\xff\xfe"], 4400),
    ([b"\0" * 1000], 4400),
    (["x" * 1_100_000], 1009),
]  # fmt: skip


async def test_a_socket_that_breaks_the_protocol_is_closed(server: str) -> None:
    # bad input 61
    async with wire(server) as service:
        for messages, code in BROKEN:
            async with service.open(init=False) as session:
                for each in messages:
                    await session.send(each if isinstance(each, str | bytes) else json.dumps(each))
                assert await closed(session) == code, messages
        for offered in ("graphql-ws", "graphql-ws, soap"):
            # The older protocol: its clients begin without a greeting.
            async with service.open(offered, init=False) as session:
                await session.send_json({"type": "start", **START})
                assert await closed(session) == 4406
        assert await service.who()


async def test_frames_that_break_websocket_close_the_socket(server: str) -> None:
    # bad inputs 55, 56 and 59
    frames = [
        (b"\x81\x85\0\0\0\0\xff\xfe\xfd\xfc\xfb", {1007}),  # text that is no UTF-8
        (b"\x81\x02{}", {1002}),  # not masked
        (b"\xc1\x80\0\0\0\0", {1002}),  # compressed, which nobody has agreed on
        (
            b"\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\0",
            {1002, 1009},
        ),  # longer than there are lengths
        (b"\x80\x80\0\0\0\0", {1002}),  # goes on with nothing
        (b"\x01\x80\0\0\0\0" + b"\0\x80\0\0\0\0" * 5000, {1008, 1006}),  # more than is read
    ]
    async with wire(server) as service:
        for data, codes in frames:
            async with service.open() as session:
                await subscribe(session, "1", ENDLESS)
                await session.receive()
                with suppress(*GONE):  # it was enough already
                    await session.connection.send(data)
                assert await closed(session) in codes, data[:20]
        await until(lambda: len(shop.ENDED) == len(frames))
        assert await service.who()


async def test_who_does_not_greet_is_not_waited_for(server: str) -> None:
    # bad input 61
    async with wire(server, init_timeout=0.05) as service:
        async with service.open(init=False) as silent:
            assert await closed(silent) == 4408
        async with service.open(init=False) as busy:
            with pytest.raises(WebSocketClosed):
                while True:
                    await busy.send_json({"type": "ping"})
                    await busy.receive()
            assert busy.close_code == 4408


@pytest.mark.once
async def test_thousands_of_subscriptions_on_one_socket(server: str) -> None:
    # bad input 61
    async with wire(server, max_subscriptions=50) as service, service.open() as session:
        refused: list[Any] = []

        async def listen() -> None:
            while len(refused) < FLOOD - 50:
                message = await session.receive_json()
                if message["type"] == "error":
                    refused.append(message["payload"][0]["extensions"]["code"])

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listen)
            for each in range(FLOOD):
                await subscribe(session, str(each), ENDLESS)
                if each % 500 == 250:
                    assert await service.who()
        assert set(refused) == {"too-many-operations"}
        assert shop.ENDED == []
    await until(lambda: shop.ENDED == ["arrivals"] * 50)


async def test_who_begins_and_stops_at_full_speed_has_no_more_than_others(server: str) -> None:
    # bad input 61
    rounds = 200
    begin = {"type": "subscribe", "payload": {"query": "subscription { slowToEnd }"}}
    async with wire(server, max_subscriptions=3) as service, service.open() as session:
        for each in range(rounds):
            await session.send_json({"id": f"a{each}", **begin})
            await session.send_json({"id": f"a{each}", "type": "complete"})
        await session.send_json({"type": "ping"})
        assert await session.receive_json() == {"type": "pong"}
        await until(lambda: Count.open == 0)
        assert Count.most <= 3
        assert Count.ended <= rounds
        # Neither has it fewer.
        for each in range(3):
            await session.send_json({"id": str(each), **begin})
        await until(lambda: Count.open == 3)


async def test_a_name_that_is_stopped_is_free_at_once(server: str) -> None:
    # bad input 61
    async with wire(server) as service, service.open() as session:
        for _ in range(50):
            await subscribe(session, "1", "{ who }")
            await session.send_json({"id": "1", "type": "complete"})
        await subscribe(session, "last", "{ who }")
        got = [await session.receive_json()]
        while got[-1] != {"id": "last", "type": "complete"}:
            got.append(await session.receive_json())
        assert {each["type"] for each in got} == {"next", "complete"}


async def test_who_never_reads_stops_what_it_asked_for(server: str) -> None:
    # bad input 61
    options = {"write_timeout": 0.3}
    async with wire(server, http=options) as service:
        async with service.open() as session:
            keep_closed(session.connection)
            for each in range(3):
                await subscribe(session, str(each), BLOBS)
            await until(lambda: Count.open == 3)
            # The source waits while there is no room.
            assert await service.who()
            await until(lambda: Count.ended == 3)
        assert Count.sent < 1000
        async with service.connect() as connection:
            keep_closed(connection)
            await connection.send(
                request("POST", STREAM, body=json.dumps({"query": BLOBS}).encode())
            )
            await until(lambda: Count.open == 1)
            await until(lambda: Count.ended == 4)
        assert Count.sent < 2000


async def test_who_asks_on_and_never_reads_is_cut_off(server: str) -> None:
    # bad input 61
    async with wire(server, http={"write_timeout": 0.3}) as service, service.open() as session:
        keep_closed(session.connection)
        message = {"type": "ping", "payload": {"a": "x" * 50_000}}
        with anyio.fail_after(60), pytest.raises(anyio.BrokenResourceError):
            while True:
                await session.send_json(message)
        assert await service.who()


# Streams of events.


async def test_nothing_of_a_text_becomes_a_field_of_an_event(server: str) -> None:
    # bad input 60
    async with wire(server) as service, service.connect() as connection:
        answer = await post(connection, {"query": "subscription { texts }"}, STREAM)
        events = [each.split("\n") for each in answer.text.split("\n\n") if each]
        assert [each[0] for each in events] == ["event: next", "event: next", "event: complete"]
        assert all(len(each) == 2 for each in events)
        first = json.loads(events[0][1].removeprefix("data: "))
        assert first == {"data": {"texts": "a\nevent: evil\r\rid: 1\0\u2028"}}


async def test_what_cannot_be_written_ends_one_operation(
    server: str, caplog: pytest.LogCaptureFixture
) -> None:
    # bad input 61: a lone surrogate is no text that could be sent
    query = 'subscription { texts(text: "surrogate") }'
    async with wire(server) as service:
        async with service.connect() as connection, service.open() as session:
            answer = await post(connection, {"query": query}, STREAM)
            assert answer.text.count("event: next") == 2
            assert '"code":"internal"' in answer.text
            await subscribe(session, "1", query)
            assert (await session.receive_json())["type"] == "next"
            failed = await session.receive_json()
            assert failed["payload"][0]["extensions"] == {"code": "internal"}
            await subscribe(session, "1", "{ who }")
            assert (await session.receive_json())["type"] == "next"
        assert await service.who()
    assert "Traceback" not in answer.text


async def reserve(connection: Connection) -> str:
    answer = await ask(connection, "PUT", STREAM)
    assert answer.status == 201
    return answer.text


async def begin(connection: Connection, token: str, name: Any, query: str = ENDLESS) -> int:
    body = json.dumps({"query": query, "extensions": {"operationId": name}}).encode()
    return (await ask(connection, "POST", STREAM, f"{TOKEN}: {token}", body=body)).status


@pytest.fixture
def few_unread(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(_sse, "_MOST_UNREAD", 5)
    return 5


async def test_of_streams_that_nobody_reads_the_oldest_go(server: str, few_unread: int) -> None:
    # bad input 61
    async with wire(server, max_subscriptions=20) as service, service.connect() as connection:
        tokens = [await reserve(connection) for _ in range(few_unread)]
        assert [await begin(connection, tokens[0], f"o{each}") for each in range(12)] == [
            *[202] * 10,
            *[429] * 2,
        ]
        assert await begin(connection, tokens[0], "o1") == 409
        for wrong in (None, 7, "", "x" * 300, [1]):
            assert await begin(connection, tokens[0], wrong) == 400
        tokens.append(await reserve(connection))
        assert await begin(connection, tokens[0], "a") == 404
        for token in tokens[1:]:
            assert await begin(connection, token, "a") == 202
        for token in ("", "x", "\xff" * 100):
            assert await begin(connection, token, "a") == 404
        async with service.connect() as reader:
            # Whoever reads at once keeps what was reserved.
            token = await reserve(connection)
            await reader.send(request("GET", f"{STREAM}?token={token}"))
            assert (await reader.head()).status == 200
            for _ in range(2 * few_unread):
                await reserve(connection)
            assert await begin(connection, token, "a", "{ who }") == 202
            data = b""
            while b"event: complete" not in data:
                data += await reader.piece()
            assert [await begin(connection, token, f"o{each}") for each in range(21)] == [
                *[202] * 20,
                429,
            ]


async def test_a_stream_that_is_not_read_in_time_ends_with_all_that_is_on_it(server: str) -> None:
    # bad input 61
    async with wire(server, init_timeout=0.2) as service, service.connect() as connection:
        token = await reserve(connection)
        while await begin(connection, token, "a", "subscription { slowToEnd }") != 404:
            await anyio.sleep(0.01)
        await until(lambda: Count.open == 0)


# Floods.


@pytest.mark.once
async def test_a_flood_of_bad_requests_leaves_nothing(server: str) -> None:
    # bad input 62
    texts = [text for text in DOCUMENTS.values() if len(text) < 300]
    bad = [
        request("POST", PATH, body=json.dumps({"query": f"{text} # {number}"}).encode())
        for number, text in enumerate(texts)
    ]

    async with wire(server) as service:

        async def flood(requests: int) -> None:
            async with service.connect() as connection:
                for number in range(0, requests, 10):
                    await connection.send(
                        b"".join(bad[each % len(bad)] for each in range(number, number + 10))
                    )
                    for _ in range(10):
                        answer = await connection.answer("POST")
                        assert (answer.status, "data" in answer.json()) == (200, False)

        async def all_at_once(requests: int) -> None:
            with anyio.fail_after(100):
                async with anyio.create_task_group() as tasks:
                    for _ in range(4):
                        tasks.start_soon(flood, requests // 4)
                    for _ in range(5):
                        assert await service.who()

        await all_at_once(60)
        gc.collect()
        tracemalloc.start()
        try:
            await all_at_once(BAD_REQUESTS)
            gc.collect()
            assert tracemalloc.get_traced_memory()[0] < 1_000_000
        finally:
            tracemalloc.stop()
