"""Operations over WebSockets: graphql-transport-ws, and clients that do not keep to it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import graphql_shop as shop
import pytest
from graphql_serving import serving, until
from hypothesis import given, settings
from hypothesis import strategies as st

from covet_graphql._socket import _credentials
from covet_http import WebSocketClosed
from covet_http.testing import WebSocketSession

PROTOCOL = ("graphql-transport-ws",)
ARRIVALS = "subscription { arrivals { id } }"
ENDLESS = "subscription { arrivals(pause: 3600) { id } }"


@asynccontextmanager
async def socket(
    server: str = "auto", init: Any = None, subprotocols: tuple[str, ...] = PROTOCOL, **config: Any
) -> AsyncIterator[WebSocketSession]:
    async with (
        serving(server=server, **config) as client,
        client.websocket("/graphql", subprotocols=subprotocols) as session,
    ):
        if init is not False:
            await session.send_json({"type": "connection_init", **(init or {})})
            assert await session.receive_json() == {"type": "connection_ack"}
        yield session


async def subscribe(session: WebSocketSession, name: str, query: str) -> None:
    await session.send_json({"id": name, "type": "subscribe", "payload": {"query": query}})


async def closed(session: WebSocketSession) -> tuple[int | None, str]:
    with pytest.raises(WebSocketClosed):
        while True:
            await session.receive()
    return session.close_code, session.close_reason


async def test_a_conversation(server: str) -> None:
    async with socket(server) as session:
        assert session.subprotocol == PROTOCOL[0]
        await session.send_json({"type": "ping", "payload": {"a": 1}})
        assert await session.receive_json() == {"type": "pong", "payload": {"a": 1}}
        await session.send_json({"type": "ping"})
        assert await session.receive_json() == {"type": "pong"}
        await session.send_json({"type": "pong"})
        await subscribe(session, "1", ARRIVALS)
        for each in range(2):
            assert await session.receive_json() == {
                "type": "next", "id": "1", "payload": {"data": {"arrivals": {"id": each}}},
            }  # fmt: skip
        assert await session.receive_json() == {"type": "complete", "id": "1"}
        await subscribe(session, "1", "{ who }")  # the name is free again
        assert await session.receive_json() == {
            "type": "next", "id": "1", "payload": {"data": {"who": ""}},
        }  # fmt: skip
        assert await session.receive_json() == {"type": "complete", "id": "1"}
        await subscribe(session, "2", "{ nobody }")
        refused = await session.receive_json()
        assert (refused["type"], refused["id"]) == ("error", "2")
        assert refused["payload"][0]["extensions"]["code"] == "graphql-invalid"
        await subscribe(session, "3", "subscription { arrivals(count: 0, fail: true) { id } }")
        failed = await session.receive_json()
        assert failed["payload"] == [
            {"message": "nothing arrives any more", "extensions": {"code": "sold-out"}}
        ]


async def test_a_client_ends_an_operation(server: str) -> None:
    async with socket(server) as session:
        await subscribe(session, "a", ENDLESS)
        await session.receive_json()
        await session.send_json({"id": "a", "type": "complete"})
        await session.send_json({"id": "never", "type": "complete"})
        await until(lambda: shop.ENDED == ["arrivals"])
        await subscribe(session, "a", "{ who }")
        assert (await session.receive_json())["type"] == "next"


@pytest.mark.parametrize("politely", [True, False])
async def test_a_client_that_leaves_ends_its_sources(server: str, politely: bool) -> None:
    async with serving(server=server) as client:
        async with client.websocket("/graphql", subprotocols=PROTOCOL) as session:
            await session.send_json({"type": "connection_init"})
            for name in ("a", "b"):
                await subscribe(session, name, ENDLESS)
            for _ in range(3):
                await session.receive_json()
            if not politely:
                await session.connection.reset()
        await until(lambda: shop.ENDED == ["arrivals"] * 2)


BROKEN: list[tuple[list[Any], int]] = [
    ([{"id": "1", "type": "subscribe", "payload": {"query": ARRIVALS}}], 4401),
    ([{"id": "1", "type": "start", "payload": {"query": ARRIVALS}}], 4400),
    ([{"type": "connection_init"}, {"type": "connection_init"}], 4429),
    (["{"], 4400),
    (["[]"], 4400),
    (["7"], 4400),
    ([{"type": ["subscribe"]}], 4400),
    ([{"type": "connection_init"}, {"type": "next", "id": "1"}], 4400),
    ([{"type": "connection_init"}, {"type": "subscribe", "payload": {"query": "{ who }"}}], 4400),
    ([{"type": "connection_init"}, {"type": "subscribe", "id": "", "payload": {}}], 4400),
    ([{"type": "connection_init"}, {"type": "subscribe", "id": "x" * 300, "payload": {}}], 4400),
    ([{"type": "connection_init"}, {"type": "subscribe", "id": "1"}], 4400),
    ([{"type": "connection_init"}, {"type": "subscribe", "id": "1", "payload": {"query": 7}}], 4400),
    ([{"type": "connection_init"}, {"type": "complete", "id": 7}], 4400),
    (
        [
            {"type": "connection_init"},
            *[{"id": "1", "type": "subscribe", "payload": {"query": ENDLESS}}] * 2,
        ],
        4409,
    ),
]  # fmt: skip


async def test_a_client_that_breaks_the_protocol_is_shut_out() -> None:
    # bad input 61
    async with serving() as client:
        for messages, code in BROKEN:
            async with client.websocket("/graphql", subprotocols=PROTOCOL) as session:
                for each in messages:
                    await session.send(each if isinstance(each, str) else json.dumps(each))
                found, reason = await closed(session)
                assert found == code, messages
                assert reason


async def test_a_client_of_another_protocol_is_told_so() -> None:
    # bad input 61: the older one begins without a greeting
    for offered in (("graphql-ws",), ()):
        async with socket(init=False, subprotocols=offered) as session:
            assert (await closed(session))[0] == 4406


async def test_a_client_that_does_not_greet_is_not_waited_for(server: str) -> None:
    # bad input 61
    async with socket(server, init=False, init_timeout=0.01) as session:
        await session.send_json({"type": "ping"})
        assert (await closed(session))[0] == 4408


async def test_operations_of_one_socket_are_bounded(server: str) -> None:
    # bad input 61
    async with socket(server, max_subscriptions=3) as session:
        for each in range(300):
            await subscribe(session, str(each), ENDLESS)
        got = [await session.receive_json() for _ in range(300)]
        refused = [each for each in got if each["type"] == "error"]
        assert len(refused) == 297
        assert refused[0]["payload"][0]["extensions"]["code"] == "too-many-operations"
    await until(lambda: shop.ENDED == ["arrivals"] * 3)


async def test_what_is_shown_behind_the_handshake_counts_if_nothing_was_before() -> None:
    for header, said, expected in (
        (None, "Bearer late", "Bearer late"),
        ("Bearer early", "Bearer late", "Bearer early"),
        (None, None, None),
    ):
        headers = {"authorization": header} if header else {}
        async with (
            serving() as client,
            client.websocket("/graphql", subprotocols=PROTOCOL, headers=headers) as session,
        ):
            payload = {"authorization": said} if said else None
            await session.send_json({"type": "connection_init", "payload": payload})
            await session.receive_json()
            await subscribe(session, "1", "{ named }")
            got = await session.receive_json()
            assert got["payload"] == {"data": {"named": expected}}


async def test_a_page_of_another_site_cannot_open_one() -> None:
    async with serving() as client:
        headers = {"origin": "https://evil.example"}
        raw = await client.get(
            "/graphql",
            headers={
                **headers, "upgrade": "websocket", "connection": "Upgrade",
                "sec-websocket-version": "13", "sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA==",
            },
        )  # fmt: skip
        assert raw.status == 403


async def test_events_come_in_their_order_while_others_are_asked_for() -> None:
    async with socket() as session:
        await subscribe(session, "1", "subscription { arrivals(count: 300) { id } }")
        await subscribe(session, "2", "{ who }")
        got = [await session.receive_json() for _ in range(303)]
        events = [each for each in got if (each["id"], each["type"]) == ("1", "next")]
        assert [each["payload"]["data"]["arrivals"]["id"] for each in events] == [*range(300)]


@settings(max_examples=40)
@given(
    st.none()
    | st.text()
    | st.dictionaries(
        st.sampled_from(["authorization", "Authorization", "a"]),
        st.none() | st.integers() | st.text(),
    )
)
def test_any_greeting_is_read(payload: Any) -> None:
    found = _credentials(payload)
    assert found is None or isinstance(found.value, str)
