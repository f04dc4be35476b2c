"""Typed channels: messages in both directions, what is none of them, and acknowledgements."""

from __future__ import annotations

from typing import Any

import anyio
import channels_library as library
import pytest
from channels_served import PROTOCOLS, SERVERS, Peer, connected, serving, until

from covet_http.testing import HandshakeRefused

BEARER = {"authorization": "Bearer ann"}


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("protocol", ["", *PROTOCOLS])
async def test_messages_are_of_their_types(server: str, protocol: str) -> None:
    async with serving(server) as client, connected(client, "/rooms/blue", protocol) as peer:
        assert peer.session.subprotocol == (protocol or None)
        assert await peer.ask(message={"kind": "said", "text": "hello"}) == {
            "message": {"room": "blue", "text": "hello"}
        }
        moved = await peer.ask(message={"kind": "moved", "x": 2})
        assert moved["message"]["text"] == "at 2.0"
        await peer.send(message={"kind": "said", "text": "bye"})
        assert await peer.closed() == (1000, "")


async def test_the_favourite_encoding_of_a_client_that_offers_both_is_ours() -> None:
    async with (
        serving() as client,
        client.websocket("/rooms/blue", subprotocols=("covet.msgpack", "covet.json")) as session,
    ):
        assert session.subprotocol == "covet.json"


async def test_a_handshake_is_refused_before_it_is_answered() -> None:
    async with serving() as client:
        for path, headers, status, code in (
            ("/rooms/nowhere", {}, 404, "no-such-room"),
            ("/private", {}, 401, "unauthenticated"),
            ("/private", {"authorization": "Bearer eve"}, 401, "unauthenticated"),
            ("/private", {"authorization": "Bearer bob"}, 403, "forbidden"),
            # bad input 59
            ("/rooms/blue", {"origin": "https://elsewhere.example"}, 403, "forbidden"),
            ("/rpc", {"origin": "https://elsewhere.example"}, 403, "forbidden"),
            ("/rpc", {"authorization": "Bearer eve"}, 401, "unauthenticated"),
        ):
            with pytest.raises(HandshakeRefused) as refused:
                async with connected(client, path, headers=headers):
                    raise AssertionError("it was answered")
            answer = refused.value.answer
            assert (answer.status, answer.json()["code"]) == (status, code), path
        async with connected(client, "/private", headers=BEARER) as peer:
            assert await peer.receive() == {"message": {"room": "private", "text": "ann"}}


WRONG: list[tuple[Any, int | None, str]] = [
    ({"id": 1, "message": {"kind": "said"}}, 1, "invalid"),
    ({"id": "a", "message": {"kind": "other"}}, "a", "invalid"),
    ({"message": {"kind": "said", "text": "x" * 101}}, None, "invalid"),
    ({"message": 7}, None, "invalid"),
    ({"id": 1}, 1, "bad-frame"),
    ({"ack": True}, None, "bad-frame"),
    ({"id": 1, "ack": True, "message": {"kind": "said", "text": "x"}}, 1, "bad-frame"),
    ({"id": 1, "message": {}, "more": 1}, None, "bad-frame"),
    ({"id": 1.5, "message": {}}, None, "bad-frame"),
    ({"id": "", "message": {}}, None, "bad-frame"),
    ({"id": "x" * 129, "message": {}}, None, "bad-frame"),
    ([], None, "bad-frame"),
    (7, None, "bad-frame"),
    (None, None, "bad-frame"),
]


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_what_is_no_message_is_answered_with_an_error(protocol: str) -> None:
    async with serving() as client, connected(client, "/rooms/blue", protocol) as peer:
        for frame, name, code in WRONG:
            await peer.send_value(frame)
            answer = await peer.receive()
            assert answer.get("id") == name, frame
            assert answer["error"]["code"] == code, frame
            assert answer["error"]["status"] == (422 if code == "invalid" else 400)
        # It goes on as if nothing had been.
        assert (await peer.ask(message={"kind": "said", "text": "on"}))["message"]["text"] == "on"


async def test_faults_are_named_and_values_are_not() -> None:
    async with serving() as client, connected(client, "/rooms/blue") as peer:
        answer = await peer.ask(message={"kind": "moved", "x": "a secret"})
        assert answer["error"]["errors"] == [
            {
                "loc": ["message", "moved", "x"],
                "msg": "Input should be a valid number, unable to parse string as a number",
                "type": "float_parsing",
            }
        ]
        assert "secret" not in str(answer)


REFUSED = ("bad-frame", "wrong-encoding", "invalid", "malformed")

JSON: list[str | bytes] = [
    "", "{", "[" * 100_000, '{"message":' * 50_000, '{"message":NaN}', '{"message":{"kind":"moved","x":1e999}}',
    '{"message":"\\ud800"}', '{"message":{"kind":"moved","x":%s}}' % ("9" * 5000), b"{}", b"\xff",
    '{"message":{"kind":"said","text":' + "[" * 10_000,
]  # fmt: skip


# bad inputs 41 and 56
async def test_hostile_json_is_refused() -> None:
    async with serving() as client, connected(client, "/rooms/blue") as peer:
        for each in JSON:
            await peer.session.send(each)
            answer = await peer.receive()
            assert answer["error"]["code"] in REFUSED, each[:80]
            assert len(str(answer)) < 1000


PACKED: list[str | bytes] = [
    b"", b"\xc1", b"\x91" * 100_000, b"\x81\xa7message" + b"\x91" * 100_000, b"\x81\xa7message\xdd\xff\xff\xff\xff",
    b"\x81\xa7message\xdf\xff\xff\xff\xff", b"\x81\xa7message\xc6\xff\xff\xff\xff",
    b"\x81\xa7message\xc7\x01\x05a", b"\x81\xa7message\xd4\x00\x00", b"\x81\xa7message\xa2\xff\xff",
    b"\x81\xa7message\x82\xa4kind\xa5moved\xa1x\xcb\x7f\xf0" + bytes(6), "{}",
]  # fmt: skip


# bad inputs 41 and 56
async def test_hostile_message_pack_is_refused() -> None:
    async with serving() as client, connected(client, "/rooms/blue", "covet.msgpack") as peer:
        for each in PACKED:
            await peer.session.send(each)
            answer = await peer.receive()
            assert answer["error"]["code"] in REFUSED, each[:80]
            assert len(str(answer)) < 1000


@pytest.mark.parametrize(
    ("data", "code"),
    [(b"{}", 1003), ("{", 1007), ("{}", 1007), ('{"message":{"text":7}}', 1008)],
)
async def test_a_strict_channel_closes(data: str | bytes, code: int) -> None:
    async with serving() as client, connected(client, "/strict") as peer:
        await peer.session.send(data)
        assert (await peer.closed())[0] == code


async def test_errors_of_the_handler_close_with_their_code() -> None:
    async with serving() as client, connected(client, "/rooms/blue") as peer:
        await peer.send(id=7, message={"kind": "said", "text": "fail"})
        assert await peer.closed() == (1008, "sold-out")


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_messages_are_acknowledged_when_they_are_dealt_with(protocol: str) -> None:
    async with serving() as client, connected(client, "/rooms/blue", protocol) as peer:
        await peer.send(id="m1", message={"kind": "said", "text": "one"})
        assert (await peer.receive())["message"]["text"] == "one"
        assert await peer.receive() == {"id": "m1", "ack": True}
        await peer.send(id=2, message={"kind": "said", "text": "bye"})
        assert await peer.receive() == {"id": 2, "ack": True}
        assert await peer.closed() == (1000, "")


async def test_the_client_acknowledges() -> None:
    async with serving() as client, connected(client, "/asking/3") as peer:
        asked = [await peer.receive() for _ in range(3)]
        assert [each["id"] for each in asked] == [1, 2, 3]
        # Messages that come meanwhile wait for who takes them.
        await peer.send(message={"text": "meanwhile"})
        for each in reversed(asked):
            await peer.send(id=each["id"], ack=True)
        await peer.send(id=99, ack=True)
        assert (await peer.receive())["message"]["text"] == "meanwhile"
        assert sorted(library.EVENTS) == [f"{each} acknowledged" for each in range(3)]


async def test_what_is_not_acknowledged_is_told() -> None:
    async with serving() as client:
        library.TIMEOUTS[0] = 0.01
        async with connected(client, "/asking/2") as peer:
            await until(lambda: len(library.EVENTS) == 2)
            assert sorted(library.EVENTS) == ["0 not acknowledged", "1 not acknowledged"]
            # One that comes late is none any more.
            await peer.receive()
            await peer.send(id=1, ack=True)
            await peer.receive()
            assert (await peer.ask(message={"text": "on"}))["message"]["text"] == "on"


async def test_only_so_many_messages_wait_to_be_acknowledged() -> None:
    async with (
        serving(max_unacknowledged=2) as client,
        connected(client, "/asking/5") as peer,
    ):
        open_ids = [(await peer.receive())["id"] for _ in range(2)]
        with pytest.raises(TimeoutError), anyio.fail_after(0.05):
            await peer.session.connection.receive()
        seen = list(open_ids)
        while open_ids:
            await peer.send(id=open_ids.pop(0), ack=True)
            if len(seen) < 5:
                open_ids.append((await peer.receive())["id"])
                seen.append(open_ids[-1])
        assert seen == [1, 2, 3, 4, 5]
        await until(lambda: len(library.EVENTS) == 5)


async def test_who_waits_for_an_acknowledgement_hears_of_the_end() -> None:
    async with serving() as client:
        async with connected(client, "/asking/2") as peer:
            await peer.receive()
        await until(lambda: True)
        assert not any("acknowledged" in each for each in library.EVENTS)


@pytest.mark.parametrize("server", SERVERS)
async def test_a_handshake_whose_answer_is_cancelled_is_answered_all_the_same(server: str) -> None:
    async with serving(server) as client, connected(client, "/hasty") as peer:
        assert (await peer.ask(message={"text": "on"}))["message"]["text"] == "on"


@pytest.mark.parametrize("limit", [64])
async def test_a_frame_that_is_too_long_closes(limit: int) -> None:
    # bad input 55
    http = {"websocket": {"max_message_bytes": limit}}
    async with serving(http=http) as client, connected(client, "/rooms/blue") as peer:
        await peer.send(message={"kind": "said", "text": "x" * 80})
        assert (await peer.closed())[0] == 1009


async def said(peer: Peer) -> Any:
    """The next message in a room, behind what the room says of itself."""
    while "message" not in (frame := await peer.receive()):
        assert frame["room"] == "all"
    return frame["message"]


async def test_connections_are_in_rooms_whatever_their_encoding() -> None:
    async with (
        serving() as client,
        connected(client, "/together", "covet.json") as one,
        connected(client, "/together", "covet.msgpack") as other,
    ):
        for each in (one, other):
            # Who is heard has joined.
            await each.send(message={"text": "here"})
            while await said(each) != {"text": "here"}:
                pass
        await other.send(message={"text": "to all"})
        for each in (one, other):
            while await said(each) != {"text": "to all"}:
                pass
