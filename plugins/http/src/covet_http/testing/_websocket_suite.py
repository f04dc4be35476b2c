"""What every server has to do with WebSockets: a suite over its own handshake and frames."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    contextmanager,
)
from types import MappingProxyType
from typing import Any

import anyio
import anyio.lowlevel

from covet_http._group import get, websocket
from covet_http._request import Request
from covet_http._websocket._closed import WebSocketClosed
from covet_http._websocket._socket import WebSocket, broadcast
from covet_http.testing._client import Client
from covet_http.testing._frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    deflated,
    frame_of,
)
from covet_http.testing._run import run_service
from covet_http.testing._websocket import HandshakeRefused, WebSocketSession
from covet_kernel import Plugin
from covet_operations import Conflict, Unauthenticated, operation

_COMPRESSED = 4
_MANY = 200


class Heard:
    """What handlers of one test have said of themselves."""

    def __init__(self) -> None:
        self.lines: list[Any] = []
        self._some = anyio.Event()

    def say(self, line: Any) -> None:
        self.lines.append(line)
        self._some.set()

    async def until(self, line: Any) -> None:
        """Return when it has been said."""
        with anyio.fail_after(30):
            while line not in self.lines:
                self._some = anyio.Event()
                await self._some.wait()


heard = Heard()


@websocket("/echo", subprotocols=("chat.2", "chat.1"))
async def echo(socket: WebSocket) -> None:
    await socket.accept(headers=[("x-answer", "yes")])
    async for message in socket:
        await socket.send(message)
    heard.say(("closed", socket.close_code, socket.close_reason))


@websocket("/rooms/{room}")
async def room(socket: WebSocket, request: Request, room: int, name: str = "") -> None:
    if room == 4:
        raise Conflict("this room is full")
    await socket.accept()
    await socket.send_json({"room": room, "name": name, "cookies": dict(request.cookies)})


@websocket("/asked")
async def asked(socket: WebSocket) -> None:
    request = socket.request

    def said() -> list[Any]:
        known = [request.method, request.path, request.client, request.secure, str(request.caller)]
        return [*known, request.headers["x-said"], dict(request.query), dict(request.cookies)]

    answers = [said()]
    await socket.accept()
    answers.append(said())
    async for _ in socket:
        answers.append(said())
        await socket.send_json(answers)


@websocket("/members")
@operation(anonymous=False)
async def members(socket: WebSocket) -> None:
    heard.say("let in")
    await socket.accept()


@websocket("/fails")
async def fails(socket: WebSocket) -> None:
    await socket.accept()
    raise Conflict("not any more")


@websocket("/breaks")
async def breaks(socket: WebSocket) -> None:
    await socket.accept()
    raise Unauthenticated("go")


@websocket("/silent")
async def silent(socket: WebSocket) -> None:
    heard.say("silent")


@websocket("/kinds")
async def kinds(socket: WebSocket) -> None:
    await socket.accept()
    await socket.send(await socket.receive_text())
    await socket.send(await socket.receive_bytes())
    await socket.send_json(await socket.receive_json())
    socket.close(4001, "enough")
    with _raised(WebSocketClosed):
        await socket.send("late")
    with _raised(WebSocketClosed):
        await socket.receive()


@websocket("/flood")
async def flood(socket: WebSocket) -> None:
    await socket.accept()
    count = 0
    while socket.try_send(b"x" * 1000):
        count += 1
    heard.say(("flooded", count, socket.queued > 0, socket.buffered > 0))
    await socket.drained()
    heard.say("drained")
    await socket.send("end")


@websocket("/full")
async def full(socket: WebSocket) -> None:
    await socket.accept()
    try:
        while True:
            await socket.send(b"x" * 1000)
    except WebSocketClosed as closed:
        heard.say(("full", closed.close_code))


@websocket("/pinged")
async def pinged(socket: WebSocket) -> None:
    await socket.accept()
    try:
        heard.say(("ping", await socket.ping() >= 0))
    except WebSocketClosed:
        heard.say("ping failed")
        raise
    await socket.send("answered")


@websocket("/waits")
async def waits(socket: WebSocket) -> None:
    await socket.accept()
    try:
        await anyio.sleep_forever()
    finally:
        heard.say("cancelled")


@websocket("/broken")
async def broken(socket: WebSocket) -> None:
    await socket.accept()
    try:
        await socket.receive()
    except WebSocketClosed as closed:
        heard.say(("broken", closed.close_code))
        raise


class Room:
    """Whoever is in it."""

    def __init__(self) -> None:
        self.members: list[WebSocket] = []


lobby = Room()


@websocket("/lobby")
async def enter(socket: WebSocket) -> None:
    await socket.accept()
    lobby.members.append(socket)
    heard.say(("entered", len(lobby.members)))
    try:
        async for message in socket:
            heard.say(("left out", len(broadcast(lobby.members, message))))
    finally:
        lobby.members.remove(socket)


@get("/plain")
async def plain() -> str:
    return "plain"


HANDLERS: tuple[Callable[..., Any], ...] = (
    echo, room, asked, members, fails, breaks, silent, kinds, flood, full, pinged, waits, broken, enter, plain,
)  # fmt: skip


class WebSocketSuite:
    """Subclass it as ``Test...`` and say which server, or implement `service`.

    Attributes:
        server: The id of the server plugin.
        plugins: Classes in place of those that are installed, by id.
        tables: Configuration of plugins besides ``http``, by id.
        heard: What the suite's handlers say of themselves, for tests that a server adds.
    """

    server: str = "auto"
    plugins: Mapping[str, type[Plugin[Any]]] = MappingProxyType({})
    tables: Mapping[str, Mapping[str, Any]] = MappingProxyType({})
    heard = heard

    def service(
        self, config: Mapping[str, Any] | None = None, **http: Any
    ) -> AbstractAsyncContextManager[Client]:
        """A service of the suite's handlers around the block, and a client of it.

        Args:
            config: The ``websocket`` table.
            http: The rest of ``[plugins.http]``.
        """
        # Servers look at their clocks as often as the shortest of these asks for.
        tables = {
            **self.tables,
            "http": {"read_timeout": 0.2, **http, "websocket": dict(config or {})},
        }
        return run_service(*HANDLERS, server=self.server, config=tables, plugins=self.plugins)

    @asynccontextmanager
    async def opened(
        self, path: str, config: Mapping[str, Any] | None = None, **parts: Any
    ) -> AsyncIterator[WebSocketSession]:
        """One WebSocket of a service of its own."""
        heard.lines.clear()
        lobby.members.clear()
        async with self.service(config) as client, client.websocket(path, **parts) as socket:
            yield socket

    async def refused(self, path: str, status: int, **parts: Any) -> Any:
        """The problem document of a handshake that has to be refused."""
        heard.lines.clear()
        async with self.service() as client:
            with _raised(HandshakeRefused) as raised:
                async with client.websocket(path, **parts):
                    pass
            answer = raised[0].answer
            assert answer.status == status, answer
            # The service is as well as before.
            async with client.websocket("/echo") as socket:
                await socket.send("x")
                assert await socket.receive() == "x"
            return answer.json()

    # The handshake.

    async def test_messages_come_back_whole(self) -> None:
        async with self.opened("/echo") as socket:
            assert socket.headers["x-answer"] == "yes"
            for message in ("", "a", "ü€🎉", b"", b"\x00\xff", "x" * 125, "x" * 126, "y" * 65_536):
                await socket.send(message)
                assert await socket.receive() == message

    async def test_many_messages_keep_their_order(self) -> None:
        async with self.opened("/echo") as socket:
            frames = [frame_of(TEXT, b"%d" % number) for number in range(_MANY)]
            await socket.connection.send(b"".join(frames))
            assert [await socket.receive() for _ in frames] == [str(n) for n in range(_MANY)]

    async def test_a_subprotocol_is_chosen_by_the_server(self) -> None:
        async with self.opened("/echo", subprotocols=("x", "chat.1", "chat.2")) as socket:
            assert socket.subprotocol == "chat.2"
        async with self.opened("/echo", subprotocols=("x",)) as socket:
            assert socket.subprotocol is None

    async def test_inputs_come_from_the_handshake(self) -> None:
        parts = {"params": {"name": "Ada"}, "headers": {"cookie": "a=1"}}
        async with self.opened("/rooms/3", **parts) as socket:
            given = await socket.receive_json()
            assert given == {"room": 3, "name": "Ada", "cookies": {"a": "1"}}
            with _raised(WebSocketClosed):
                await socket.receive()
            assert socket.close_code == 1000

    async def test_the_handshake_can_be_asked_for_as_long_as_there_is_a_websocket(self) -> None:
        parts = {"params": {"name": "Ada"}, "headers": {"cookie": "a=1", "x-said": "this"}}
        async with self.opened("/asked", **parts) as socket:
            await socket.send("once")
            await socket.receive_json()
            await socket.send("again")
            answers = await socket.receive_json()
        first = answers[0]
        assert answers == [first] * 4
        assert first[5:] == ["this", {"name": "Ada"}, {"a": "1"}]

    async def test_a_refusal_is_answered_as_over_http(self) -> None:
        assert (await self.refused("/rooms/4", 409))["detail"] == "this room is full"
        assert (await self.refused("/rooms/x", 422))["code"] == "invalid"
        assert (await self.refused("/nowhere", 404))["code"] == "no-such-path"
        assert (await self.refused("/silent", 403))["code"] == "forbidden"

    async def test_the_chain_runs_before_the_answer(self) -> None:
        assert (await self.refused("/members", 401))["code"] == "unauthenticated"
        assert "let in" not in heard.lines

    async def test_foreign_pages_are_refused(self) -> None:
        for origin in ("https://evil.example", "null", "http://localhost.evil.example", "https://"):
            headers = {"origin": origin, "cookie": "session=victim"}
            assert (await self.refused("/echo", 403, headers=headers))["code"] == "forbidden"

    async def test_own_and_allowed_pages_are_let_in(self) -> None:
        allowed = {"origins": ["https://*.shop.example"]}
        for origin in ("http://localhost", "https://localhost", "https://www.shop.example"):
            async with self.opened("/echo", allowed, headers={"origin": origin}) as socket:
                await socket.send("x")
                assert await socket.receive() == "x"

    async def test_a_request_without_a_handshake(self) -> None:
        async with self.service() as client:
            answer = await client.get("/echo")
            assert answer.status == 426
            assert answer.headers["upgrade"] == "websocket"
            assert (await client.get("/plain")).json() == "plain"

    async def test_there_may_be_so_many_at_once(self) -> None:
        async with self.service({"max_connections": 1}) as client:
            async with client.websocket("/echo") as socket:
                with _raised(HandshakeRefused) as raised:
                    async with client.websocket("/echo"):
                        pass
                assert raised[0].answer.status == 503
                await socket.send("still")
                assert await socket.receive() == "still"
            heard.lines.clear()

    # Messages.

    async def test_kinds_of_messages(self) -> None:
        async with self.opened("/kinds") as socket:
            await socket.send("text")
            assert await socket.receive() == "text"
            await socket.send(b"bytes")
            assert await socket.receive() == b"bytes"
            await socket.send_json({"a": [1]})
            assert await socket.receive_json() == {"a": [1]}
            with _raised(WebSocketClosed):
                await socket.receive()
            assert (socket.close_code, socket.close_reason) == (4001, "enough")

    async def test_another_kind_closes(self) -> None:
        async with self.opened("/kinds") as socket:
            await socket.send(b"bytes")
            await self.closed(socket, 1003)

    async def test_what_is_no_json_closes(self) -> None:
        async with self.opened("/kinds") as socket:
            await socket.send("text")
            await socket.send(b"bytes")
            await socket.send("{")
            await socket.receive()
            await socket.receive()
            await self.closed(socket, 1007)

    async def test_fragments_are_one_message(self) -> None:
        async with self.opened("/echo") as socket:
            euro = "€".encode()
            await socket.send_frame(TEXT, euro[:1], final=False)
            await socket.send_frame(PING, b"in between")
            await socket.send_frame(CONTINUATION, euro[1:2], final=False)
            await socket.send_frame(CONTINUATION, euro[2:])
            assert await socket.receive() == "€"
            assert socket.pongs == [b"in between"]
            await socket.send_frame(BINARY, b"", final=False)
            await socket.send_frame(CONTINUATION, b"x")
            assert await socket.receive() == b"x"

    async def test_bytes_may_come_one_by_one(self) -> None:
        async with self.opened("/echo") as socket:
            data = frame_of(TEXT, b"slowly") + frame_of(PING, b"p") + frame_of(BINARY, b"z" * 300)
            await socket.connection.send(data, split=1)
            assert await socket.receive() == "slowly"
            assert await socket.receive() == b"z" * 300

    async def test_what_comes_before_the_answer_waits_for_it(self) -> None:
        heard.lines.clear()
        async with self.service() as client, client.websocket("/echo", early=b"") as socket:
            await socket.close()
        async with self.service() as client:
            early = frame_of(TEXT, b"early")
            async with client.websocket("/echo", early=early) as socket:
                assert await socket.receive() == "early"

    # The queue.

    async def test_a_queue_has_an_end(self) -> None:
        config = {"max_queue_messages": 10, "max_queue_bytes": 1_000_000}
        async with self.opened("/flood", config) as socket:
            await self.flooded(socket, 10)

    async def flooded(self, socket: WebSocketSession, least: int) -> None:
        """A queue that has been filled is emptied, and then goes on.

        Args:
            socket: Of the handler that does it.
            least: Messages that go into the queue; more may be on their way.
        """
        while True:
            message = await socket.receive()
            if isinstance(message, str):
                break
            assert message == b"x" * 1000
        assert message == "end"
        said, count, queued, buffered = heard.lines[0]
        assert said == "flooded"
        assert count >= least
        assert queued
        assert buffered
        assert heard.lines[1:] == ["drained"]

    async def test_a_queue_has_an_end_in_bytes(self) -> None:
        async with self.opened("/flood", {"max_queue_bytes": 5500}) as socket:
            await self.flooded(socket, 5)

    async def test_a_slow_reader_can_be_closed(self) -> None:
        config = {"max_queue_messages": 10, "when_full": "close"}
        async with self.opened("/full", config) as socket:
            await heard.until(("full", 1013))
            await self.closed(socket, 1013)

    async def test_a_broadcast_reaches_everybody_who_has_room(self) -> None:
        heard.lines.clear()
        lobby.members.clear()
        async with self.service() as client:  # noqa: SIM117
            async with (
                client.websocket("/lobby") as first,
                client.websocket("/lobby", deflate=True) as second,
                client.websocket("/lobby") as third,
            ):
                await heard.until(("entered", 3))
                await first.send("to all")
                await second.send(b"\x01")
                for each in (first, second, third):
                    assert {await each.receive(), await each.receive()} == {"to all", b"\x01"}
                assert heard.lines.count(("left out", 0)) == 2

    # The end.

    async def closed(self, socket: WebSocketSession, code: int) -> None:
        """The server closes with this code, and ends the connection."""
        async for _ in socket:
            pass
        assert socket.close_code == code, (socket.close_code, socket.close_reason)
        await socket.ended()

    async def test_the_client_closes(self) -> None:
        async with self.opened("/echo") as socket:
            await socket.send("last")
            assert await socket.receive() == "last"
            await socket.close(4000, "bye")
            assert socket.close_code == 4000
            await heard.until(("closed", 4000, "bye"))
            await socket.ended()

    async def test_the_client_closes_without_a_code(self) -> None:
        async with self.opened("/echo") as socket:
            await socket.send_frame(CLOSE)
            await heard.until(("closed", 1005, ""))

    async def test_the_client_vanishes(self) -> None:
        async with self.opened("/broken") as socket:
            await socket.connection.reset()
            await heard.until(("broken", 1006))
            socket.close_code = 1006

    async def test_an_error_has_its_code(self) -> None:
        async with self.opened("/fails") as socket:
            await self.closed(socket, 1008)
            assert socket.close_reason == "conflict"

    async def test_a_handler_that_goes_on_is_cancelled(self) -> None:
        async with self.opened("/waits", {"close_timeout": 0.05}) as socket:
            await socket.close()
            await heard.until("cancelled")

    async def test_a_stop_closes_all(self) -> None:
        heard.lines.clear()
        async with AsyncExitStack() as stack, anyio.create_task_group() as tasks:
            async with self.service() as client:
                socket = await stack.enter_async_context(client.websocket("/echo"))
                # Stopping waits for the client's answer, which somebody has to give.
                tasks.start_soon(self.closed, socket, 1001)
            assert ("closed", 1001, "") in heard.lines

    # Bad input.

    async def test_bad_frames(self) -> None:
        async with self.service() as client:
            for frame, codes in BAD_FRAMES:
                async with client.websocket("/echo") as socket:
                    await socket.connection.send(frame)
                    async for _ in socket:
                        pass
                    assert socket.close_code in codes, (frame[:16], socket.close_code)
                    await socket.ended()


class WebSocketServerSuite(WebSocketSuite):
    """The same with what only a server of covet's own can do: pings, compression and all limits."""

    async def test_a_client_may_close_in_the_middle_of_a_message(self) -> None:
        async with self.opened("/echo") as socket:
            begun = frame_of(TEXT, b"never", final=False)
            closing = frame_of(CLOSE, b"\x0f\xa0bye")
            await socket.connection.send(begun + closing + frame_of(CONTINUATION, b"whole"))
            await self.closed(socket, 4000)
            await heard.until(("closed", 4000, "bye"))

    async def test_a_handler_can_ping(self) -> None:
        async with self.opened("/pinged") as socket:
            assert await socket.receive() == "answered"
            assert len(socket.pings) == 1
            assert ("ping", True) in heard.lines

    async def test_a_ping_of_one_that_is_closed(self) -> None:
        async with self.opened("/pinged") as socket:
            socket.answers_pings = False
            assert (await socket.frame())[0] == PING
            await socket.close()
            await heard.until("ping failed")

    async def test_silence_is_broken_by_pings(self) -> None:
        async with self.opened("/echo", {"ping_interval": 0.05}) as socket:
            while len(socket.pings) < 2:
                await socket.frame()

    async def test_who_does_not_answer_pings_is_given_up(self) -> None:
        config = {"ping_interval": 0.05, "ping_timeout": 0.05}
        async with self.opened("/broken", config) as socket:
            await heard.until(("broken", 1006))
            await socket.ended()
            socket.close_code = 1006

    async def test_who_does_not_answer_a_close_is_not_waited_for(self) -> None:
        async with self.opened("/fails", {"close_timeout": 0.05}) as socket:
            # Nothing is sent, not even the end of what is.
            while await socket.connection.receive():
                pass
            socket.close_code = 1006

    async def test_compressed_messages(self) -> None:
        config = {"compression": True, "compress_from": 0}
        async with self.opened("/echo", config, deflate=True) as socket:
            assert socket.deflates
            for message in ("", "a" * 1000, b"\x00" * 70_000):
                await socket.send(message)
                assert await socket.receive() == message
                data = message.encode() if isinstance(message, str) else message
                kind = TEXT if isinstance(message, str) else BINARY
                await socket.send_frame(kind, deflated(data), reserved=_COMPRESSED)
                assert await socket.receive() == message

    async def test_compression_has_to_be_wanted_by_both(self) -> None:
        async with self.opened("/echo", deflate=True) as socket:
            assert not socket.deflates
        async with self.opened("/echo", {"compression": True}) as socket:
            assert not socket.deflates

    async def test_odd_offers_of_compression_are_passed_over(self) -> None:
        for offer in ODD_OFFERS:
            headers = {"sec-websocket-extensions": offer}
            async with self.opened("/echo", {"compression": True}, headers=headers) as socket:
                assert not socket.deflates, offer
                await socket.send("x")
                assert await socket.receive() == "x"

    async def test_bombs(self) -> None:
        config = {"compression": True, "max_message_bytes": 100_000}
        bomb = deflated(bytes(10_000_000))
        half = len(bomb) // 2
        in_two = frame_of(BINARY, bomb[:half], final=False, reserved=_COMPRESSED) + frame_of(
            CONTINUATION, bomb[half:]
        )
        exact = deflated(bytes(100_000))
        after = frame_of(BINARY, exact, final=False, reserved=_COMPRESSED) + frame_of(
            CONTINUATION, b"", final=False
        )
        for data in (frame_of(BINARY, bomb, reserved=_COMPRESSED), in_two):
            async with self.opened("/echo", config, deflate=True) as socket:
                await socket.connection.send(data)
                await self.closed(socket, 1009)
        async with self.opened("/echo", config, deflate=True) as socket:
            await socket.connection.send(after + frame_of(CONTINUATION, b""))
            assert await socket.receive() == bytes(100_000)
        async with self.opened("/echo", config, deflate=True) as socket:
            await socket.send_frame(BINARY, b"\xff" * 50, reserved=_COMPRESSED)
            async for _ in socket:
                pass
            assert socket.close_code in {1002, 1007}

    async def test_a_message_may_be_so_long(self) -> None:
        config = {"max_message_bytes": 1000}
        async with self.opened("/echo", config) as socket:
            await socket.send(b"x" * 1000)
            assert await socket.receive() == b"x" * 1000
            await socket.send(b"x" * 1001)
            await self.closed(socket, 1009)
        async with self.opened("/echo", config) as socket:
            await socket.send_frame(TEXT, b"x" * 1000, final=False)
            await socket.send_frame(CONTINUATION, b"x")
            await self.closed(socket, 1009)

    async def test_a_message_may_have_so_many_fragments(self) -> None:
        async with self.opened("/echo", {"max_fragments": 3}) as socket:
            await socket.send_frame(TEXT, b"x", final=False)
            await socket.send_frame(CONTINUATION, b"x", final=False)
            await socket.send_frame(CONTINUATION, b"x")
            assert await socket.receive() == "xxx"
            await socket.send_frame(TEXT, b"x", final=False)
            for _ in range(3):
                await socket.send_frame(CONTINUATION, b"x", final=False)
            await self.closed(socket, 1009)

    async def test_a_message_has_to_come_in_time(self) -> None:
        for data in (
            frame_of(BINARY, b"xx", announced=1000),
            frame_of(TEXT, b"x", final=False),
            frame_of(TEXT, b"x")[:1],
            frame_of(TEXT, b"x")[:3],
        ):
            async with self.opened("/echo", {"message_timeout": 0.05}) as socket:
                await socket.connection.send(data)
                await self.closed(socket, 1002)

    async def test_floods_of_control_frames(self) -> None:
        for flood in (
            frame_of(PING, b"x") * 50,
            frame_of(PONG, b"x") * 50,
            frame_of(TEXT, b"", final=False) + frame_of(CONTINUATION, b"", final=False) * 50,
        ):
            async with self.opened("/echo", {"max_control_frames": 20}) as socket:
                await socket.connection.send(flood)
                await self.closed(socket, 1008)

    async def test_broken_handshakes(self) -> None:
        async with self.service() as client:
            for method, headers, status in BROKEN_HANDSHAKES:
                lines = {**HANDSHAKE, **headers}
                fields = "".join(f"{name}: {value}\r\n" for name, value in lines.items() if value)
                head = f"{method} /echo HTTP/1.1\r\nhost: localhost\r\n{fields}\r\n"
                async with client.connect() as connection:
                    await connection.send(head.encode("latin-1"))
                    answer = await connection.answer()
                    assert answer.status in status, (headers, answer)
                    if "sec-websocket-version" in headers:
                        assert answer.headers["sec-websocket-version"] == "13"
            async with client.websocket("/echo", subprotocols=("constructor",)) as socket:
                assert socket.subprotocol is None

    async def test_a_client_that_reads_nothing_is_given_up(self) -> None:
        heard.lines.clear()
        config = {"max_queue_bytes": 300_000}
        async with (
            self.service(config, write_timeout=0.2, keep_alive_timeout=0.2) as client,
            client.websocket("/full") as socket,
        ):
            await heard.until(("full", 1006))
            await socket.ended()
            socket.close_code = 1006


HANDSHAKE = {
    "upgrade": "websocket",
    "connection": "keep-alive, Upgrade",
    "sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA==",
    "sec-websocket-version": "13",
}
"""The fields of a sound one."""

BROKEN_HANDSHAKES: tuple[tuple[str, Mapping[str, str], set[int]], ...] = (
    ("POST", {"content-length": "0"}, {400}),
    ("PUT", {}, {400}),
    ("GET", {"connection": "keep-alive"}, {400, 426}),
    ("GET", {"connection": ""}, {400, 426}),
    ("GET", {"sec-websocket-key": ""}, {400}),
    ("GET", {"sec-websocket-key": "AAAA"}, {400}),
    ("GET", {"sec-websocket-key": "!" * 24}, {400}),
    ("GET", {"sec-websocket-version": ""}, {426}),
    ("GET", {"sec-websocket-version": "8"}, {426}),
    ("GET", {"sec-websocket-version": "13, 8"}, {426}),
    ("GET", {"sec-websocket-protocol": "b" + " " * 20_000 + "x"}, {400}),
    ("GET", {"sec-websocket-protocol": "\xfc"}, {400}),
    ("GET", {"sec-websocket-protocol": "a, , b"}, {400}),
    ("GET", {"sec-websocket-protocol": "a/b"}, {400}),
)
"""What is no handshake: method, other fields than those of a sound one, and its statuses."""

ODD_OFFERS = (
    "permessage-deflate; server_max_window_bits=99",
    "permessage-deflate; client_max_window_bits=07",
    "permessage-deflate; server_no_context_takeover=1",
    "permessage-deflate; unknown",
    "permessage-deflate; client_max_window_bits; client_max_window_bits",
    "x-webkit-deflate-frame",
    "permessage-deflate; ;",
    "=",
    "a" * 5000,
)
"""Extensions that a server does not take."""

BAD_FRAMES = (
    (frame_of(TEXT, b"x", mask=False), {1002}),
    (frame_of(3, b"x"), {1002}),
    (frame_of(0xB, b"x"), {1002}),
    (frame_of(TEXT, b"x", reserved=_COMPRESSED), {1002}),
    (frame_of(TEXT, b"x", reserved=1), {1002}),
    (frame_of(PING, b"x" * 126), {1002}),
    (frame_of(PING, b"x", final=False), {1002}),
    (frame_of(CONTINUATION, b"x"), {1002}),
    (frame_of(TEXT, b"x", final=False) + frame_of(TEXT, b"y"), {1002}),
    (frame_of(CLOSE, b"\x03"), {1002}),
    (frame_of(CLOSE, b"\x03\xed"), {1002}),
    (frame_of(CLOSE, b"\x03\xe8\xff"), {1002, 1007}),
    (frame_of(TEXT, b"\xff"), {1007}),
    (frame_of(TEXT, b"\xe2", final=False) + frame_of(CONTINUATION, b"\x28"), {1007}),
    (frame_of(TEXT, b"\xe2\x82"), {1007}),
    (frame_of(BINARY, b"", announced=(1 << 20) + 1000), {1009}),
    (frame_of(BINARY, b"", announced=(1 << 64) - 1), {1002, 1009}),
    (frame_of(BINARY, deflated(bytes(1 << 22)), reserved=_COMPRESSED), {1002}),
)
"""What nobody may send, and the codes that it may be closed with."""


@contextmanager
def _raised(kind: type[BaseException]) -> Iterator[list[Any]]:
    """The block raises this; what it was is in the list then."""
    found: list[Any] = []
    try:
        yield found
    except kind as error:
        found.append(error)
    else:
        raise AssertionError(f"{kind.__name__} was not raised")
