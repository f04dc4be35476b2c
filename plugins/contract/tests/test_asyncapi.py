"""The AsyncAPI document: what it says, and that others can read it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from asyncapi_shop import CHANGES, PLACED, Placed, Room, Shop, documents
from npm_judge import judged as judged_by_npm
from pydantic import ValidationError

import covet_http as http
import covet_websocket as websocket
from covet_http import Http
from covet_hypercorn import Hypercorn
from covet_kernel import ConfigurationError, Plugin
from covet_kernel.contracts import Operation
from covet_operations import (
    ContractAction,
    ContractChannel,
    ContractMessage,
    Topic,
    operation,
    operations_of,
)
from covet_websocket import WebSockets


class Nothing(Plugin[None]): ...


class Basic:
    schemes = ("basic",)
    security_schemes = {"key": {"type": "apiKey", "in": "header", "name": "x-key"}}

    async def authenticate(self, credentials: Any) -> None: ...


class Keys(Plugin[None]):
    def covet_authenticators(self) -> Iterable[Any]:
        return (Basic(),)


class Desk(Plugin[None]):
    def covet_operations(self) -> Iterable[Operation]:
        return operations_of(self)

    @websocket.channel("/desk")
    async def desk(self, connection: websocket.Connection[int, str]) -> None: ...


@pytest.fixture
def document(tmp_path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(documents(tmp_path, Shop)["asyncapi.json"])
    return found


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What the parser of AsyncAPI's own people finds in a good document and in a bad one."""
    text = documents(tmp_path_factory.mktemp("good"), Shop, Keys)["asyncapi.json"]
    bad = text.replace('"action": "receive"', '"action": "take"', 1)
    channels = documents(
        tmp_path_factory.mktemp("channels"),
        http=Http,
        hypercorn=Hypercorn,
        websocket=WebSockets,
        desk=Desk,
    )["asyncapi.json"]
    found: list[dict[str, Any]] = judged_by_npm("asyncapi.mjs", [text, bad, channels])
    return found


@pytest.mark.once
def test_another_program_reads_it(judged: list[dict[str, Any]]) -> None:
    good, bad, channels = judged
    assert good["errors"] == []
    assert good["parsed"]
    assert sorted(good["operations"]) == [
        "count-orders",
        "hear",
        "say",
        "send-orders-changes",
        "send-orders.placed",
        "shop.place_order",
    ]
    assert bad["errors"], "it finds nothing wrong with anything"
    assert channels["errors"] == []
    assert len(channels["operations"]) == 2


def test_a_topic_has_one_channel_whoever_uses_it(document: dict[str, Any]) -> None:
    channel = document["channels"]["orders.placed"]
    assert channel["address"] == "orders.placed"
    assert channel["messages"] == {
        "Placed": {"name": "Placed", "payload": {"$ref": "#/components/schemas/Placed"}}
    }
    sent = document["operations"]["send-orders.placed"]
    assert sent == {
        "action": "send",
        "channel": {"$ref": "#/channels/orders.placed"},
        "summary": "An order was placed.",
        "messages": [{"$ref": "#/channels/orders.placed/messages/Placed"}],
    }
    assert document["operations"]["count-orders"]["x-deprecated"] is True


def test_answers_go_where_the_message_says(document: dict[str, Any]) -> None:
    operation = document["operations"]["shop.place_order"]
    assert operation["reply"] == {
        "address": {"location": "$message.header#/reply-to"},
        "channel": {"$ref": "#/channels/orders.place-reply"},
        "messages": [{"$ref": "#/channels/orders.place-reply/messages/Placed"}],
    }
    assert document["channels"]["orders.place-reply"]["address"] is None
    assert operation["security"] == [{"$ref": "#/components/securitySchemes/bearer"}]
    assert operation["x-requires"] == ["orders:write"]
    headers = document["channels"]["orders.place"]["messages"]["Wanted"]["headers"]
    assert headers == {"$ref": "#/components/schemas/Trace"}


def test_answers_on_the_same_channel(document: dict[str, Any]) -> None:
    channel = document["channels"]["rooms-room"]
    assert channel["messages"].keys() == {"Said", "Heard", "Photo"}
    # What is no part of the address is none of its parameters.
    assert channel["parameters"] == {"room": {"enum": ["lobby", "cellar"]}}
    assert channel["bindings"] == {"ws": {}}
    assert document["operations"]["say"]["reply"]["channel"] == {"$ref": "#/channels/rooms-room"}


def test_answers_at_another_topic(tmp_path: Path) -> None:
    class Asking(Plugin[None]):
        def covet_channels(self) -> Iterable[Any]:
            for address in ("answers", "nowhere"):
                yield ContractChannel(
                    address=f"questions.{address}",
                    operations=(
                        ContractAction(
                            name=address,
                            action="send",
                            messages=(ContractMessage(name="Question", payload=str),),
                            replies=(ContractMessage(name="Answer", payload=int),),
                            reply_address=address,
                        ),
                    ),
                )
            yield Topic("answers", str).received()

    document = json.loads(documents(tmp_path, Asking)["asyncapi.json"])
    assert document["channels"]["answers"]["messages"].keys() == {"str", "Answer"}
    reply = document["operations"]["nowhere"]["reply"]["channel"]
    assert document["channels"][reply["$ref"].rpartition("/")[2]]["address"] == "nowhere"


def test_schemas_are_of_the_dialect(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    change = document["channels"]["orders-changes"]["messages"]["Change"]["payload"]
    assert change["discriminator"] == "kind"
    assert schemas["Cancelled"]["properties"]["size"]["items"] == [
        {"type": "integer"},
        {"type": "string"},
    ]


def test_the_schemes_are_those_of_the_authenticators(tmp_path: Path) -> None:
    document = json.loads(documents(tmp_path, Shop, Keys)["asyncapi.json"])
    assert document["components"]["securitySchemes"] == {
        "key": {"type": "httpApiKey", "in": "header", "name": "x-key"},
        "basic": {"type": "http", "scheme": "basic"},
    }


def test_it_is_made_the_same_each_time(tmp_path: Path) -> None:
    config = {"title": "Shop", "version": "2", "description": "Books."}
    one, two = (documents(tmp_path, Shop, config=config) for _ in range(2))
    assert one == two
    assert json.loads(one["asyncapi.json"])["info"] == config


def test_websockets_are_channels(tmp_path: Path) -> None:
    class Chat(Plugin[None]):
        def covet_operations(self) -> Iterable[Operation]:
            return operations_of(self)

        @operation(name="chat.room", requires=("chat",), tags=("chat",))
        @http.websocket("/rooms/{room}")
        async def room(self, socket: http.WebSocket, room: Room, token: str = "") -> None:
            """Talk."""

        @operation(name="chat.echo")
        @http.websocket("/echo")
        async def echo(self, socket: http.WebSocket) -> None: ...

        @operation(name="chat.inside")
        @http.openapi(hidden=True)
        @http.websocket("/inside")
        async def inside(self, socket: http.WebSocket) -> None: ...

        def covet_channels(self) -> Iterable[Any]:
            # Who knows what is said there says it instead.
            messages = (ContractMessage(name="Echo", payload=str),)
            actions = (ContractAction(name="echo", action="send", messages=messages),)
            yield ContractChannel(address="/echo", protocol="ws", operations=actions)

        def covet_permissions(self) -> Iterable[str]:
            return ("chat",)

    plugins = {"http": Http, "hypercorn": Hypercorn, "keys": Keys, "chat": Chat}
    text = documents(tmp_path, **plugins)["asyncapi.json"]
    document = json.loads(text)
    assert {each["address"] for each in document["channels"].values()} == {
        "/rooms/{room}",
        "/echo",
    }
    room = document["channels"]["rooms-room"]
    assert room["parameters"] == {"room": {"enum": ["lobby", "cellar"]}}
    assert room["bindings"] == {"ws": {}}
    assert document["operations"].keys() == {"echo", "chat.room", "chat.room.send"}
    assert document["operations"]["chat.room"]["x-requires"] == ["chat"]
    assert document["operations"]["chat.room"]["tags"] == [{"name": "chat"}]


def test_without_channels_there_is_no_document(tmp_path: Path) -> None:
    assert documents(tmp_path, Nothing) == {}


def test_two_messages_of_one_name_are_refused(tmp_path: Path) -> None:
    class Other(Plugin[None]):
        def covet_channels(self) -> Iterable[Any]:
            yield Topic("orders.placed", int, name="Placed").sent("again")

    with pytest.raises(ConfigurationError, match="COVET-CONTRACT-MESSAGE-TWICE"):
        documents(tmp_path, Shop, Other)


def test_a_topic_writes_and_reads_what_it_declares() -> None:
    placed = Placed(id=1, lines=[])
    body = PLACED.encode(placed)
    assert json.loads(body) == {"kind": "placed", "id": 1, "lines": [], "note": None}
    assert PLACED.decode(body) == placed
    assert CHANGES.decode(b'{"kind": "cancelled", "id": 2}').id == 2
    with pytest.raises(ValidationError):
        PLACED.decode(b"{")
    with pytest.raises(ValidationError):
        PLACED.encode("no order")  # type: ignore[arg-type]
    assert repr(CHANGES) == "Topic('orders/changes', Change)"
