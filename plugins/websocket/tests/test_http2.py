"""Channels, methods and rooms over HTTP/2 (RFC 8441), on both servers."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from channels_served import PROTOCOLS, SERVERS, Peer, connected, serving
from services.http2_websockets import websocket

from covet_http.testing import Client, HandshakeRefused

pytestmark = pytest.mark.once


def over_http2(client: Client) -> Client:
    client.websocket = partial(websocket, client)  # type: ignore[method-assign]
    return client


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.mark.parametrize("protocol", ["", *PROTOCOLS])
async def test_a_channel(server: str, protocol: str) -> None:
    async with (
        serving(server, http2=True) as client,
        connected(over_http2(client), "/rooms/blue", protocol) as peer,
    ):
        assert peer.session.subprotocol == (protocol or None)
        for text in ("hello", "x" * 100):
            answer = await peer.ask(message={"kind": "said", "text": text})
            assert answer == {"message": {"room": "blue", "text": text}}
        assert (await peer.ask(id=1, message={"kind": "said"}))["error"]["code"] == "invalid"
        await peer.send(id=2, message={"kind": "said", "text": "bye"})
        assert await peer.receive() == {"id": 2, "ack": True}
        assert await peer.closed() == (1000, "")


async def test_a_handshake_is_refused(server: str) -> None:
    async with serving(server, http2=True) as client:
        for path, status in (("/rooms/nowhere", 404), ("/private", 401)):
            with pytest.raises(HandshakeRefused) as refused:
                async with connected(over_http2(client), path):
                    raise AssertionError("it was answered")
            assert refused.value.answer.status == status


async def test_a_handshake_whose_answer_is_cancelled_is_answered_all_the_same(server: str) -> None:
    async with serving(server, http2=True) as client:
        async with connected(over_http2(client), "/hasty") as peer:
            assert (await peer.ask(message={"text": "on"}))["message"]["text"] == "on"


async def test_methods(server: str) -> None:
    async with serving(server, http2=True) as client, connected(over_http2(client)) as peer:
        await peer.send(id=1, method="later", params={"text": "a"})
        await peer.send(id=2, method="count", params={"to": 2})
        found: list[Any] = [await peer.receive() for _ in range(3)]
        assert found == [{"id": 2, "next": 0}, {"id": 2, "next": 1}, {"id": 2, "done": True}]
        await peer.send(id=1, cancel=True)
        assert (await peer.receive())["error"]["code"] == "cancelled"


async def test_members_of_a_room_by_either_version(server: str) -> None:
    async with serving(server, http2=True) as client:
        plain = partial(Client.websocket, client)
        async with (
            connected(over_http2(client), "/together", "covet.msgpack") as one,
            plain("/together") as session,
        ):
            other = Peer(session)
            for each in (one, other):
                # Who is heard has joined.
                await each.send(message={"text": "here"})
                await heard(each, "here")
            await other.send(message={"text": "to all"})
            for each in (one, other):
                await heard(each, "to all")


async def heard(peer: Peer, text: str) -> None:
    while (await peer.receive()).get("message") != {"text": text}:
        pass
