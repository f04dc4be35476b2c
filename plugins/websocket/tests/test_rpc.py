"""Methods over one WebSocket: answers, errors, streams, and what ends calls."""

from __future__ import annotations

from typing import Any

import anyio
import channels_library as library
import pytest
from channels_served import PROTOCOLS, SERVERS, Peer, connected, serving, until
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from covet_websocket._encodings import ENCODINGS
from covet_websocket._errors import BadFrame
from covet_websocket._frames import CallFrame, ChannelFrame

ANN = {"authorization": "Bearer ann", "x-name": "Ann"}


def release(text: str) -> None:
    library.HELD[text].set()


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("protocol", ["", *PROTOCOLS])
async def test_methods_answer(server: str, protocol: str) -> None:
    async with serving(server) as client, connected(client, "/rpc", protocol) as peer:
        assert await peer.ask(id=1, method="add", params={"left": 1, "right": 2}) == {
            "id": 1, "result": 3,
        }  # fmt: skip
        assert await peer.ask(id="b", method="add", params={"left": 1}) == {"id": "b", "result": 2}
        said = {"kind": "said", "text": "hello"}
        # A lone model is the params themselves, and an id may be used again.
        assert await peer.ask(id=1, method="echo", params=said) == {"id": 1, "result": said}
        await peer.send(id=2, method="count", params={"to": 3})
        assert [await peer.receive() for _ in range(4)] == [
            {"id": 2, "next": 0}, {"id": 2, "next": 1}, {"id": 2, "next": 2}, {"id": 2, "done": True},
        ]  # fmt: skip
        failed = await peer.ask(id=3, method="add", params={"left": 13})
        assert failed["id"] == 3
        assert failed["error"].items() >= {
            "code": "sold-out", "status": 409, "detail": "nothing is left", "left": 2,
            "title": "Nothing is left",
        }.items()  # fmt: skip


async def test_errors_are_documents_as_over_http() -> None:
    async with serving() as client, connected(client) as peer:
        invalid = (await peer.ask(id=1, method="add", params={"left": "x"}))["error"]
        assert (invalid["status"], invalid["code"]) == (422, "invalid")
        assert invalid["errors"][0]["loc"] == ["params", "left"]
        missing = (await peer.ask(id=1, method="add"))["error"]
        assert missing["code"] == "invalid"
        extra = (await peer.ask(id=1, method="add", params={"left": 1, "more": 1}))["error"]
        assert extra["errors"][0]["type"] == "extra_forbidden"
        array = (await peer.ask(id=1, method="add", params=[1, 2]))["error"]
        assert array["code"] == "invalid"
        unknown = (await peer.ask(id=1, method="subtract", params={}))["error"]
        assert (unknown["status"], unknown["code"]) == (404, "unknown-method")
        broken = await peer.ask(id=1, method="broken")
        assert (broken["error"]["status"], broken["error"]["code"]) == (500, "internal")
        assert "secret" not in str(broken)
        stream = peer
        await stream.send(id=2, method="count", params={"to": 1, "fail": True})
        assert await peer.receive() == {"id": 2, "next": 0}
        assert (await peer.receive())["error"]["code"] == "sold-out"
        assert "counted" in library.EVENTS


async def test_every_call_is_authenticated_by_itself() -> None:
    async with serving() as client:
        async with connected(client) as peer:
            assert (await peer.ask(id=1, method="who"))["error"]["code"] == "unauthenticated"
        async with connected(client, headers={"authorization": "Bearer bob"}) as peer:
            assert (await peer.ask(id=1, method="who"))["error"]["code"] == "forbidden"
        async with connected(client, headers=ANN) as peer:
            library.EVENTS.clear()
            for each in range(2):
                assert await peer.ask(id=each, method="who") == {"id": each, "result": "ann"}
            assert library.EVENTS == ["ann asked"] * 2
            assert await peer.ask(id=5, method="called") == {"id": 5, "result": ["5", "Ann"]}


async def test_a_service_may_ask_for_credentials_before_it_answers() -> None:
    from covet_http.testing import HandshakeRefused

    async with serving(rpc={"anonymous": False}) as client:
        with pytest.raises(HandshakeRefused) as refused:
            async with connected(client):
                raise AssertionError("it was answered")
        assert refused.value.answer.status == 401
        async with connected(client, headers=ANN) as peer:
            assert (await peer.ask(id=1, method="who"))["result"] == "ann"


@pytest.mark.parametrize("server", SERVERS)
async def test_calls_run_beside_each_other(server: str) -> None:
    async with serving(server) as client, connected(client) as peer:
        for text in ("a", "b", "c"):
            await peer.send(id=text, method="later", params={"text": text})
        assert await peer.ask(id=1, method="add", params={"left": 1}) == {"id": 1, "result": 2}
        await until(lambda: len(library.HELD) == 3)
        for text in ("c", "a", "b"):
            release(text)
            assert await peer.receive() == {"id": text, "result": text}
        # Whoever has waited goes on reading.
        for each in range(10):
            await peer.send(id=each, method="later", params={"text": f"{each}"})
            await until(lambda each=each: f"{each}" in library.HELD)  # type: ignore[misc]
            release(f"{each}")
            assert await peer.receive() == {"id": each, "result": f"{each}"}


@pytest.mark.parametrize("server", SERVERS)
async def test_a_call_is_cancelled(server: str) -> None:
    async with serving(server) as client, connected(client) as peer:
        await peer.send(id=1, method="later", params={"text": "a"})
        await until(lambda: "a began" in library.EVENTS)
        await peer.send(id=1, cancel=True)
        assert (await peer.receive())["error"]["code"] == "cancelled"
        assert library.EVENTS[-1] == "a was cancelled"
        # Of what is over or never was, nothing is said.
        await peer.send(id=1, cancel=True)
        await peer.send(id="never", cancel=True)
        assert await peer.ask(id=1, method="add", params={"left": 1}) == {"id": 1, "result": 2}


async def test_the_caller_may_bring_a_deadline() -> None:
    async with serving() as client, connected(client) as peer:
        answer = await peer.ask(id=1, method="later", params={"text": "a"}, timeout=0.01)
        assert (answer["error"]["status"], answer["error"]["code"]) == (504, "deadline-exceeded")
        for wrong in (0, -1, "x", None):
            answer = await peer.ask(id=1, method="add", params={"left": 1}, timeout=wrong)
            if wrong is None:
                assert answer["result"] == 2
            else:
                assert answer["error"]["code"] == "bad-frame"


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("politely", [True, False])
async def test_a_client_that_leaves_ends_its_calls_as_their_policy_says(
    server: str, politely: bool
) -> None:
    async with serving(server) as client:
        async with connected(client) as peer:
            await peer.send(id=1, method="later", params={"text": "a"})
            await peer.send(id=2, method="surely", params={"text": "b"})
            await until(lambda: len(library.HELD) == 2)
            if not politely:
                await peer.session.connection.reset()
        await until(lambda: "a was cancelled" in library.EVENTS)
        assert "b was done" not in library.EVENTS
        release("b")
        await until(lambda: "b was done" in library.EVENTS)


async def test_an_id_is_used_once_at_a_time() -> None:
    async with serving() as client, connected(client) as peer:
        await peer.send(id=1, method="later", params={"text": "a"})
        await until(lambda: "a" in library.HELD)
        twice = await peer.ask(id=1, method="add", params={"left": 1})
        # With the id it would be the answer to the first.
        assert "id" not in twice
        assert (twice["error"]["code"], twice["error"]["call"]) == ("duplicate-id", 1)
        release("a")
        assert await peer.receive() == {"id": 1, "result": "a"}


async def test_only_so_many_calls_run_at_once() -> None:
    async with serving(rpc={"max_calls": 2}) as client, connected(client) as peer:
        for text in ("a", "b"):
            await peer.send(id=text, method="later", params={"text": text})
        refused = await peer.ask(id="c", method="later", params={"text": "c"})
        assert (refused["id"], refused["error"]["status"]) == ("c", 429)
        assert refused["error"]["code"] == "too-many-calls"
        await until(lambda: len(library.HELD) == 2)
        release("a")
        assert (await peer.receive())["result"] == "a"
        assert (await peer.ask(id="c", method="add", params={"left": 1}))["result"] == 2
        release("b")
        await peer.receive()


@pytest.mark.parametrize("server", SERVERS)
async def test_a_client_that_does_not_read_stops_streams_and_calls(server: str) -> None:
    http = {"websocket": {"max_queue_messages": 4}}
    async with serving(server, http=http) as client, connected(client) as peer:
        await peer.send(id=1, method="count", params={"to": 100_000})
        await until(lambda: len(library.EVENTS) > 3)
        before = -1
        while before != len(library.EVENTS):
            before = len(library.EVENTS)
            await anyio.sleep(0.05)
        assert before < 100_000
        for each in range(50):
            assert await peer.receive() == {"id": 1, "next": each}
        await peer.send(id=1, cancel=True)
        while "error" not in (found := await peer.receive()):
            assert "next" in found
        assert found["error"]["code"] == "cancelled"


BROKEN: list[Any] = [
    {}, {"id": 1}, {"method": "add"}, {"id": 1, "method": 7}, {"id": 1, "method": "x" * 300}, [], 7, None,
    {"id": 1.5, "method": "add"}, {"id": None, "method": "add"}, {"id": {}, "method": "add"},
    {"id": 1, "method": "add", "more": 1}, {"id": 2**60, "method": "add"}, {"id": 1, "cancel": False},
]  # fmt: skip


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_what_is_no_call_is_answered_without_an_id(protocol: str) -> None:
    async with serving() as client, connected(client, "/rpc", protocol) as peer:
        for each in BROKEN:
            await peer.send_value(each)
            answer = await peer.receive()
            assert "id" not in answer, each
            assert (answer["error"]["status"], answer["error"]["code"]) == (400, "bad-frame")
        assert (await peer.ask(id=1, method="add", params={"left": 1}))["result"] == 2


@pytest.mark.parametrize(("data", "code"), [("{", 1007), (b"{}", 1003), ("7", 1007)])
async def test_a_strict_service_closes(data: str | bytes, code: int) -> None:
    async with serving(rpc={"on_invalid": "close"}) as client, connected(client) as peer:
        await peer.session.send(data)
        assert (await peer.closed())[0] == code


# bad inputs 41 and 56
@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_hostile_params_are_refused(protocol: str) -> None:
    async with serving() as client, connected(client, "/rpc", protocol) as peer:
        start: Any = '{"id":1,"method":"echo","params":'
        deep, wide = "[", "9" * 5000
        hostile = [start + deep * 100_000, f"{start}{wide}}}", f"{start}NaN}}", start]
        if peer.packed:
            head = b"\x83\xa2id\x01\xa6method\xa4echo\xa6params"
            hostile = [
                head + b"\x91" * 100_000,
                head + b"\xdd\xff\xff\xff\xff",
                head + b"\xc1",
                head,
            ]
        for each in hostile:
            await peer.session.send(each)
            assert (await peer.receive())["error"]["status"] in (400, 422)
        assert (await peer.ask(id=1, method="add", params={"left": 1}))["result"] == 2


@pytest.mark.parametrize("name", PROTOCOLS)
@pytest.mark.parametrize("kind", [CallFrame, ChannelFrame])
@pytest.mark.once
def test_any_bytes_are_a_frame_or_none(name: str, kind: Any) -> None:
    encoding = ENCODINGS[name]
    reader = encoding.reader(kind)

    @settings(max_examples=300, suppress_health_check=list(HealthCheck))
    @given(st.binary(max_size=200))
    def check(data: bytes) -> None:
        given_data = data if name == "covet.msgpack" else data.decode("utf-8", "replace")
        try:
            frame = reader.read(given_data)
        except BadFrame as error:
            assert len(error.detail) <= 120
        else:
            assert isinstance(frame, kind)

    check()


async def test_several_clients_do_not_hear_each_other() -> None:
    async with serving() as client, connected(client) as one, connected(client) as other:

        async def ask(peer: Peer, base: int) -> None:
            for each in range(20):
                answer = await peer.ask(id=each, method="add", params={"left": base + each})
                assert answer == {"id": each, "result": base + each + 1}

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask, one, 100)
            tasks.start_soon(ask, other, 1000)


@pytest.mark.parametrize("server", SERVERS)
async def test_a_service_that_stops_answers_what_is_under_way(server: str) -> None:
    peers: list[Peer] = []
    async with anyio.create_task_group() as tasks:
        ready = anyio.Event()

        async def client_side() -> None:
            await ready.wait()
            (peer,) = peers
            await until(lambda: "a" in library.HELD)
            # Calls that come when it stops are refused, until the last one is answered.
            while "error" not in (await peer.ask(id=2, method="add", params={"left": 1})):
                await anyio.sleep(0.001)
            release("a")
            assert await peer.receive() == {"id": 1, "result": "a"}
            assert (await peer.closed())[0] == 1001

        tasks.start_soon(client_side)
        async with serving(server) as client:
            manager = connected(client)
            peer = await manager.__aenter__()
            peers.append(peer)
            await peer.send(id=1, method="later", params={"text": "a"})
            ready.set()
            await until(lambda: "a" in library.HELD)
        await manager.__aexit__(None, None, None)
