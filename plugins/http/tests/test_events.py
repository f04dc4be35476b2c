"""Server-sent events: what is sent, that nothing leaves its field, and how streams live and end."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable
from typing import Annotated, Any
from urllib.parse import quote

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

import covet_http as http
from covet_http import HTTP, Event, EventStreams, Http
from covet_kernel import Kernel, Plugin, PluginConfig
from covet_kernel.contracts import Operation
from covet_kernel.testing import assembly_of
from covet_operations import Conflict, Operations, operations_of

ENDED: list[str] = []
STARTED: list[str] = []


class Level(BaseModel):
    left: int


def parse(data: bytes) -> list[dict[str, Any]]:
    """The blocks of an event stream as a client sees them, comments included."""
    text = data.decode("utf-8").replace("\r\n", "\n").replace("\r", "\n")
    blocks: list[dict[str, Any]] = []
    block: dict[str, Any] = {}
    for line in text.split("\n")[:-1]:
        if not line:
            if block:
                blocks.append(block)
            block = {}
            continue
        name, _, value = line.partition(":")
        block.setdefault(name, []).append(value.removeprefix(" "))
    assert not block, "an event without its end"
    return blocks


@pytest.fixture(autouse=True)
def _nothing_ended() -> None:
    ENDED.clear()


@http.get("/levels/{to}", stream="events")
async def levels(to: int) -> AsyncIterator[Level]:
    try:
        for left in range(to):
            yield Level(left=left)
    finally:
        ENDED.append("levels")


@http.get("/ticker")
async def ticker(last: http.LastEventId = None) -> AsyncIterator[Event[Level] | Level]:
    first = int(last or 0) + 1
    yield Event(retry=2.5, comment="hello\nworld")
    yield Event(Level(left=first), id=first, event="level")
    yield Event(text="two\r\nlines\n")
    yield Level(left=0)


@http.get("/resumed")
async def resumed(
    last: Annotated[int, http.Header("last-event-id")] = -1,
) -> AsyncIterator[Event[int]]:
    yield Event(last + 1, id=last + 1)


@http.get("/quiet")
async def quiet(first: bool = True, fail: bool = False) -> AsyncIterator[Event[Any]]:
    STARTED.append("quiet")
    try:
        if first:
            yield Event({"is": "first"})
        await anyio.sleep(0.2 if fail else 3600)
        if fail:
            raise Conflict("too late")
    finally:
        ENDED.append("quiet")


@http.get("/refused", stream="events")
async def refused() -> AsyncIterator[int]:
    raise Conflict("not now")
    yield 0


FUNCTIONS = (levels, ticker, resumed, quiet, refused)


async def test_plain_items_are_the_data_of_events(web: Any) -> None:
    async with web.serving(*FUNCTIONS) as service, service.connect() as client:
        answer = await client.ask("GET", "/levels/2")
        assert answer.status == 200
        assert answer.headers["content-type"] == "text/event-stream"
        assert answer.headers["cache-control"] == "no-cache"
        assert answer.headers["x-accel-buffering"] == "no"
        assert answer.body == b'data: {"left":0}\n\ndata: {"left":1}\n\n'
        assert (await client.ask("GET", "/levels/0")).body == b""
        answer = await client.ask("HEAD", "/levels/9")
        assert (answer.status, answer.headers["content-type"]) == (200, "text/event-stream")


async def test_everything_an_event_can_say(web: Any) -> None:
    async with web.serving(*FUNCTIONS) as service:
        answer = await service.ask("GET", "/ticker", headers={"Last-Event-ID": "41"})
    assert parse(answer.body) == [
        {"": ["hello", "world"], "retry": ["2500"]},
        {"id": ["42"], "event": ["level"], "data": ['{"left":42}']},
        {"data": ["two", "lines", ""]},
        {"data": ['{"left":0}']},
    ]


async def test_a_client_goes_on_where_it_was(web: Any) -> None:
    async with web.serving(*FUNCTIONS) as service, service.connect() as client:
        for last, said in ({}, ["0"]), ({"Last-Event-ID": "6"}, ["7"]):
            answer = await client.ask("GET", "/resumed", headers=last)
            assert parse(answer.body) == [{"id": said, "data": said}]
        assert (await client.ask("GET", "/resumed", headers={"Last-Event-ID": "x"})).status == 422


async def test_failures(web: Any) -> None:
    async with web.serving(*FUNCTIONS) as service, service.connect() as client:
        answer = await client.ask("GET", "/refused")
        assert (answer.status, answer.json["detail"]) == (409, "not now")
        assert answer.headers["content-type"] == "application/problem+json"
        await client.send(b"GET /quiet?fail=1 HTTP/1.1\r\nHost: a\r\n\r\n")
        data = await client.until_closed()
    assert b"first" in data
    assert not data.endswith(b"0\r\n\r\n")
    assert b"too late" not in data


NASTY = ["\n", "\r", "\r\n", "\0", "a\ndata: b", "a\r\rid: 7", "\n\n", "a\r"]


@pytest.mark.parametrize("bad", NASTY)
def test_what_has_no_line_ends_refuses_them(bad: str) -> None:
    # bad input 60
    for arguments in ({"id": bad}, {"event": bad}):
        with pytest.raises(ValueError, match="no line ends"):
            Event(1, **arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("bad", [-1, float("nan"), float("inf")])
def test_retry_is_a_time(bad: float) -> None:
    with pytest.raises(ValueError, match="retry"):
        Event(1, retry=bad)


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"data": 1, "text": "x"},
        {"text": "\0"},
        {"comment": "\0"},
        {"text": "\ud800"},
        {"id": "\ud800"},
    ],
)
def test_what_is_no_event(arguments: dict[str, Any]) -> None:
    # bad input 60
    with pytest.raises(ValueError, match=r".+"):
        Event(**arguments)


def test_events_are_readable() -> None:
    assert repr(Event(1, id=2)) == "Event(data=1, id='2')"
    assert repr(Event(None)) == "Event()"


LINES = st.text(alphabet=st.sampled_from("ab: \r\n\té\u2028\x85"), max_size=12)


@given(
    st.one_of(st.none(), LINES), st.one_of(st.none(), LINES), st.one_of(st.none(), LINES),
    st.one_of(st.just(""), LINES), st.one_of(st.none(), st.floats(0, 1e6)),
)  # fmt: skip
def test_nothing_leaves_its_field(
    data: Any, comment: Any, id: Any, event: str, retry: float | None
) -> None:
    # bad input 60
    try:
        made: Event[Any] = Event(data, comment=comment, id=id, event=event, retry=retry)
    except ValueError:
        assert {*(id or ""), *event} & {"\r", "\n"}
        return
    raw = made.encode(lambda value: json.dumps(value).encode())
    [block] = parse(raw)
    expected: dict[str, Any] = {"data": [json.dumps(data)]}
    if comment is not None:
        expected[""] = comment.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    if id is not None:
        expected["id"] = [id]
    if event:
        expected["event"] = [event]
    if retry is not None:
        expected["retry"] = [str(round(retry * 1000))]
    assert {name: [v.lstrip(" ") for v in values] for name, values in block.items()} == {
        name: [v.lstrip(" ") for v in values] for name, values in expected.items()
    }


@given(LINES)
def test_text_is_the_same_behind_its_lines(text: str) -> None:
    # bad input 60
    [block] = parse(Event(text=text).encode(lambda value: b""))
    assert block == {"data": text.replace("\r\n", "\n").replace("\r", "\n").split("\n")}


@http.get("/said")
async def said(text: str) -> AsyncIterator[Event[str]]:
    yield Event(text, comment=text)
    yield Event(text=text)


@http.get("/named")
async def named(id: str = "", event: str = "") -> AsyncIterator[Event[int]]:
    yield Event(0)
    yield Event(1, id=id or None, event=event)


@pytest.mark.parametrize("bad", [each for each in NASTY if "\0" not in each])
async def test_what_a_client_says_stays_in_its_field_on_the_wire(entry: Any, bad: str) -> None:
    # bad input 60
    lines = bad.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    async with entry.serving(said, named) as service:
        answer = await service.ask("GET", f"/said?text={quote(bad)}")
        first, second = parse(answer.body)
        assert first == {"": lines, "data": [json.dumps(bad)]}
        assert second == {"data": lines}
        for field in ("id", "event"):
            async with service.connect() as client:
                await client.send(
                    f"GET /named?{field}={quote(bad)} HTTP/1.1\r\nHost: a\r\n\r\n".encode()
                )
                got = await client.until_closed()
            # It is cut off, as an answer that has begun and failed.
            assert b"id:" not in got
            assert b"event:" not in got
            assert got.count(b"data:") <= 1
            assert not got.endswith(b"0\r\n\r\n")


async def read_until(client: Any, found: bytes, count: int = 1) -> bytes:
    data: bytes = b""
    while data.count(found) < count:
        data += await client.stream.receive()
    return data


async def test_silence_is_broken(web: Any) -> None:
    config = {"event_keep_alive": 0.05}
    async with web.serving(*FUNCTIONS, http=config) as service, service.connect() as client:
        await client.send(b"GET /quiet HTTP/1.1\r\nHost: a\r\n\r\n")
        data = await read_until(client, b":\n\n", 3)
        assert data.index(b"first") < data.index(b":\n\n")
        assert ENDED == []


async def test_silence_before_the_first_event_is_broken_too(web: Any) -> None:
    config = {"event_keep_alive": 0.05}
    async with web.serving(*FUNCTIONS, http=config) as service, service.connect() as client:
        await client.send(b"GET /quiet?first=0 HTTP/1.1\r\nHost: a\r\n\r\n")
        data = await read_until(client, b":\n\n", 2)
        assert data.startswith(b"HTTP/1.1 200")
        # Then it is too late for a status.
        await client.stream.aclose()
        async with service.connect() as other:
            await other.send(b"GET /quiet?first=0&fail=1 HTTP/1.1\r\nHost: a\r\n\r\n")
            data = await other.until_closed()
            assert data.startswith(b"HTTP/1.1 200")
            assert not data.endswith(b"0\r\n\r\n")


async def test_no_comments_unless_there_is_silence(web: Any) -> None:
    longest = 0.0

    @http.get("/busy", stream="events")
    async def busy() -> AsyncIterator[int]:
        nonlocal longest
        longest, last = 0.0, anyio.current_time()
        for number in range(10):
            await anyio.sleep(0.05)
            longest, last = max(longest, anyio.current_time() - last), anyio.current_time()
            yield number

    async with web.serving(busy, http={"event_keep_alive": 0.3}) as service:
        # A machine that pauses for so long makes a silence itself; then once more.
        for _ in range(10):
            answer = await service.ask("GET", "/busy")
            if longest < 0.2:
                break
    assert parse(answer.body) == [{"data": [str(number)]} for number in range(10)]


async def test_a_deadline_ends_a_stream_that_is_kept_alive(web: Any) -> None:
    @http.get("/short", stream="events", deadline=0.4)
    async def short() -> AsyncIterator[int]:
        yield 1
        await anyio.sleep_forever()

    async with web.serving(short, http={"event_keep_alive": 0.05}) as service:
        async with service.connect() as client:
            await client.send(b"GET /short HTTP/1.1\r\nHost: a\r\n\r\n")
            data = await client.until_closed()
    # Cut, for the handler has not said that this is all.
    assert b":\n\n" in data
    assert not data.endswith(b"0\r\n\r\n")


async def test_off_means_off(web: Any) -> None:
    async with web.serving(*FUNCTIONS, http={"event_keep_alive": 0}) as service:
        async with service.connect() as client:
            await client.send(b"GET /quiet HTTP/1.1\r\nHost: a\r\n\r\n")
            await read_until(client, b"first")
            with anyio.move_on_after(0.3) as waited:
                await client.stream.receive()
            assert waited.cancelled_caught


async def streaming(web: Any, service: Any, path: str, first: bytes) -> Any:
    """A client that reads a stream, and outlives the service."""
    client = web.Client(await anyio.connect_tcp("127.0.0.1", service.port))
    await client.send(b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % path.encode())
    if first:
        await read_until(client, first)
    return client


async def test_a_stop_ends_streams_properly(web: Any) -> None:
    ends: dict[str, bytes] = {}

    async def rest(path: str, client: Any) -> None:
        ends[path] = await client.until_closed()
        await client.stream.aclose()

    STARTED.clear()
    with anyio.fail_after(8):
        async with anyio.create_task_group() as tasks, web.serving(*FUNCTIONS) as service:
            for path, first in ("/quiet", b"first"), ("/quiet?first=0", b""):
                tasks.start_soon(rest, path, await streaming(web, service, path, first))
            while len(STARTED) < 2:
                await anyio.sleep(0.01)
    assert ENDED == ["quiet", "quiet"]
    for data in ends.values():
        # The last event's end, and the end of the answer.
        assert b": the service is stopping\n\n" in data
        assert data.endswith(b"\r\n0\r\n\r\n")
    # One that had not begun begins, and ends: a refusal would keep clients away for good.
    assert ends["/quiet?first=0"].startswith(b"HTTP/1.1 200")


class ShopConfig(PluginConfig):
    number: int


class Shop(Plugin[ShopConfig]):
    """Reloaded with another configuration."""

    @http.get("/numbers")
    async def numbers(self) -> AsyncIterator[Event[int]]:
        try:
            yield Event(self.config.number, id=self.config.number)
            await anyio.sleep_forever()
        finally:
            ENDED.append(f"numbers {self.config.number}")

    def covet_operations(self) -> Iterable[Operation]:
        return operations_of(self)


async def test_a_reload_ends_streams_and_clients_come_back(web: Any) -> None:
    def assembly(number: int) -> Any:
        classes = {"operations": Operations, **web.servers, "http": Http, "shop": Shop}
        tables = {"http": {"port": 0, "server": web.server}, "shop": {"number": number}}
        return assembly_of(classes, tables)

    with anyio.fail_after(8):
        async with Kernel(assembly(1)).running() as kernel:
            port = int(kernel.require(HTTP).urls[0].rpartition(":")[2])
            async with await anyio.connect_tcp("127.0.0.1", port) as stream:
                client = web.Client(stream)
                await client.send(b"GET /numbers HTTP/1.1\r\nHost: a\r\n\r\n")
                assert b"id: 1\ndata: 1\n\n" in await read_until(client, b"data: 1")
                await kernel.reload(assembly(2))
                assert ENDED == ["numbers 1"]
                # The same connection, as a browser would, which has had a proper end.
                await read_until(client, b"0\r\n\r\n")
                await client.send(b"GET /numbers HTTP/1.1\r\nHost: a\r\n\r\n")
                await read_until(client, b"data: 2")


async def test_a_client_that_leaves_ends_the_stream(web: Any) -> None:
    async with web.serving(*FUNCTIONS, http={"event_keep_alive": 0.05}) as service:
        client = await streaming(web, service, "/quiet", b"first")
        await client.stream.aclose()
        with anyio.fail_after(5):
            while not ENDED:
                await anyio.sleep(0.01)


async def test_streams_that_begin_while_the_phase_ends() -> None:
    streams = EventStreams(0)
    asked: list[str] = []

    class Request:
        def cancel(self, cause: str) -> None:
            asked.append(cause)

    before: Any = Request()
    gone: Any = Request()
    streams.add(before)
    streams.add(gone)
    streams.discard(gone)
    streams.drain()
    assert asked == ["shutdown"]
    streams.add(gone)
    assert asked == ["shutdown", "shutdown"]


async def test_one_stream_that_cannot_be_kept_alive_is_no_trouble_to_others() -> None:
    streams = EventStreams(0.02)

    class Quiet:
        since = 0.0
        sent = 0

        async def interrupt(self) -> None:
            self.sent += 1
            if self is broken:
                raise OSError("gone")
            if self is stuck:
                await anyio.sleep_forever()

    broken, stuck, good = Quiet(), Quiet(), Quiet()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(streams.run)
        await anyio.wait_all_tasks_blocked()
        for each in (broken, stuck, good):
            streams.watch(each)
        with anyio.fail_after(5):
            while good.sent < 3:
                await anyio.sleep(0.01)
        for each in (broken, stuck, good):
            streams.forget(each)
        tasks.cancel_scope.cancel()
    assert broken.sent >= 2
