"""WebSockets as a service declares them: what is checked at the start, reloads, and what is counted."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Annotated, Any

import anyio
import pytest

import covet_http as http
from covet_http import Http, WebSocketClosed
from covet_http.testing import HandshakeRefused, client_of, run_service
from covet_hypercorn import Hypercorn
from covet_kernel import ConfigurationError, Kernel, Plugin
from covet_kernel.contracts import Metric, Principal
from covet_kernel.testing import assembly_of
from covet_operations import NotFound, Operations, operation, provider
from covet_operations import operations_of as operations

SERVER = "hypercorn"


@http.websocket("/echo")
async def echo(socket: http.WebSocket) -> None:
    await socket.accept()
    async for message in socket:
        await socket.send(message)


class Echoing(Plugin[None]):
    @http.websocket("/echo")
    async def echo(self, socket: http.WebSocket) -> None:
        await socket.accept()
        async for message in socket:
            await socket.send(message)

    def covet_operations(self) -> Any:
        return operations(self)


def assembly(served: type[Http] = Http, **config: Any) -> Any:
    classes = {"operations": Operations, SERVER: Hypercorn, "http": served, "echoing": Echoing}
    return assembly_of(classes, {"http": {"port": 0, "server": SERVER, "linger": 0.0, **config}})


async def test_a_reload_closes_them_and_takes_others() -> None:
    async with Kernel(assembly()).running() as kernel:
        async with (
            client_of(kernel) as client,
            client.websocket("/echo") as socket,
            anyio.create_task_group() as tasks,
        ):
            await socket.send("before")
            assert await socket.receive() == "before"
            tasks.start_soon(kernel.reload, assembly(websocket={"max_message_bytes": 10}))
            with pytest.raises(WebSocketClosed):
                await socket.receive()
            assert socket.close_code == 1012
        async with client_of(kernel) as client, client.websocket("/echo") as socket:
            await socket.send("after")
            assert await socket.receive() == "after"
            await socket.send("x" * 11)
            with pytest.raises(WebSocketClosed):
                await socket.receive()
            assert socket.close_code == 1009


async def test_what_is_counted() -> None:
    found: list[Metric] = []

    class Counting(Http):
        def covet_metrics(self) -> Iterable[Metric]:
            return found

        def __init__(self, config: Any) -> None:
            super().__init__(config)
            found.extend(super().covet_metrics())

    def read() -> dict[tuple[str, ...], float]:
        return {
            (metric.name.removeprefix("http."), *labels): value
            for metric in found
            for labels, value in metric.read()
        }

    async with (
        Kernel(assembly(Counting, websocket={"max_connections": 1})).running() as kernel,
        client_of(kernel) as client,
    ):
        async with client.websocket("/echo") as socket:
            assert read()["websockets",] == 1
            with pytest.raises(HandshakeRefused):
                async with client.websocket("/echo"):
                    pass
            await socket.close(4321)
            await socket.ended()
        counted = read()
    assert counted["websockets",] == 0
    assert counted["websockets.closed", "3000"] == 1
    assert counted["websockets.crowded",] == 1


opened: list[str] = []


class Session:
    pass


@provider(scope="connection")
async def session() -> AsyncIterator[Session]:
    opened.append("in")
    yield Session()
    opened.append("out")


@http.websocket("/session")
async def in_session(socket: http.WebSocket, session: Session) -> None:
    await socket.accept()
    await socket.send(str(len(opened)))


books = http.Group("/shelves/{shelf}", requires=("books:read",))


@books.websocket("/feed")
async def feed(socket: http.WebSocket, shelf: int, who: Principal) -> None:
    await socket.accept()


async def test_scopes_of_providers() -> None:
    opened.clear()
    async with run_service(in_session, session, server=SERVER) as client:
        async with client.websocket("/session") as socket:
            assert await socket.receive() == "1"
            await socket.ended()
        assert opened == ["in", "out"]


async def test_groups_have_them() -> None:
    async with run_service(feed, server=SERVER) as client:
        with pytest.raises(HandshakeRefused) as refused:
            async with client.websocket("/shelves/3/feed"):
                pass
    assert refused.value.answer.status == 401


async def test_every_handshake_has_an_id() -> None:
    config = {"http": {"request_id": {}}}
    async with (
        run_service(echo, server=SERVER, config=config) as client,
        client.websocket("/echo") as socket,
    ):
        assert len(socket.headers["x-request-id"]) == 32


async def test_a_deadline_is_that_of_the_handshake() -> None:
    @http.websocket("/slow", deadline=0.05)
    async def slow(socket: Any) -> None:
        await anyio.sleep_forever()

    slow.__annotations__["socket"] = http.WebSocket
    async with run_service(slow, server=SERVER) as client:
        with pytest.raises(HandshakeRefused) as refused:
            async with client.websocket("/slow"):
                pass
    assert refused.value.answer.status == 504


def declared(**changes: Any) -> Any:
    """A function that is bound in some way."""

    async def handler(socket: http.WebSocket) -> None:
        raise NotFound

    return http.websocket(changes.pop("path", "/a"), **changes)(handler)


@http.websocket("/plain")
def plain(socket: http.WebSocket) -> None: ...


@http.websocket("/returns")
async def returns(socket: http.WebSocket) -> int:
    return 1


@http.websocket("/body")
async def body(
    socket: http.WebSocket, given: Annotated[bytes, http.Body("text/plain")]
) -> None: ...


@http.websocket("/transaction")
@operation(transaction="write")
async def transaction(socket: http.WebSocket) -> None: ...


@http.get("/get")
async def get(socket: http.WebSocket) -> None: ...


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (plain, "make it 'async def'"),
        (returns, "what a handler returns is not sent"),
        (transaction, "would hold its transaction"),
        (get, "HandshakeRequest"),
        (declared(subprotocols=("a b",)), "'a b' is no name of a subprotocol"),
        (declared(origins=("shop.example",)), "is no origin"),
        (declared(max_message_bytes=0), "messages of 0 bytes"),
        (declared(path="/{name}"), "has no such parameter"),
    ],
)
async def test_what_cannot_be_served_is_said_at_the_start(function: Any, said: str) -> None:
    function.__annotations__["socket"] = http.WebSocket
    with pytest.raises(BaseException) as caught:
        async with run_service(function, server=SERVER):
            pass
    assert said in _all_of(caught.value)


async def test_two_of_one_path_are_in_each_others_way() -> None:
    @http.websocket("/rooms/{a}")
    async def first(socket: Any, a: str) -> None: ...

    @http.websocket("/rooms/{b}")
    async def second(socket: Any, b: str) -> None: ...

    for each in (first, second):
        each.__annotations__.update(socket=http.WebSocket, a=str, b=str)
    with pytest.raises(BaseException) as caught:
        async with run_service(first, second, server=SERVER):
            pass
    assert "COVET-HTTP-ROUTE-CONFLICT" in _all_of(caught.value)


def _all_of(error: BaseException) -> str:
    if isinstance(error, BaseExceptionGroup):
        return "\n".join(_all_of(each) for each in error.exceptions)
    return f"{error} {_all_of(error.__cause__) if error.__cause__ else ''}"


def test_a_path_has_to_be_one() -> None:
    with pytest.raises(ConfigurationError):
        http.websocket("echo")
    with pytest.raises(ConfigurationError):
        http.websocket(echo)  # type: ignore[arg-type]
