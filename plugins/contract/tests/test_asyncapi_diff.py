"""Which changes of an AsyncAPI document break who sends or listens, which may, and which do not."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from asyncapi_shop import Shop, documents
from edits import edited
from hypothesis import given, settings
from hypothesis import strategies as st

from covet_contract._asyncapi._diff import compare, compare_documents
from covet_operations import Finding

pytestmark = pytest.mark.once

Document = dict[str, Any]
Edit = Callable[[Document], Any]


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Document:
    text = documents(tmp_path_factory.mktemp("old"), Shop)["asyncapi.json"]
    found: Document = json.loads(text)
    return found


def compared(one: Document, two: Document) -> list[Finding]:
    return [*compare_documents(one, two)]


def placed(d: Document) -> Any:
    return d["components"]["schemas"]["Placed"]


def wanted(d: Document) -> Any:
    return d["channels"]["orders.place"]["messages"]["Wanted"]


def receive(d: Document) -> Any:
    return d["operations"]["shop.place_order"]


def reference(*parts: str) -> Document:
    return {"$ref": "#/" + "/".join(parts)}


def add_message(d: Document, channel: str, operation: str) -> None:
    d["channels"][channel]["messages"]["More"] = {"name": "More", "payload": {"type": "string"}}
    d["operations"][operation]["messages"].append(
        reference("channels", channel, "messages", "More")
    )


CHANGES: dict[str, tuple[Edit, str, str, str]] = {
    "channel": (
        lambda d: (
            d["channels"].pop("orders-changes"),
            d["operations"].pop("send-orders-changes"),
        ),
        "channel-removed",
        "breaking",
        "orders/changes: the channel is gone",
    ),
    "new channel": (
        lambda d: d["channels"].update(more={"address": "more", "messages": {}}),
        "channel-added",
        "compatible",
        "more",
    ),
    "address": (
        lambda d: d["channels"]["orders-changes"].update(address="orders/all"),
        "address-changed",
        "breaking",
        "its address was 'orders/changes' and is 'orders/all'",
    ),
    "protocol": (
        lambda d: d["channels"]["rooms-room"].update(bindings={"mqtt": {}}),
        "protocol-changed",
        "breaking",
        "it was ws and is mqtt",
    ),
    "sends no more": (
        lambda d: d["operations"].pop("hear"),
        "sending-removed",
        "breaking",
        "send /rooms/{room}",
    ),
    "takes no more": (
        lambda d: d["operations"].pop("shop.place_order"),
        "receiving-removed",
        "breaking",
        "receive orders.place",
    ),
    "sends now": (
        lambda d: d["operations"].update(
            told={"action": "send", "channel": reference("channels", "orders.place")}
        ),
        "sending-added",
        "compatible",
        "send orders.place",
    ),
    "takes now": (
        lambda d: d["operations"].update(
            told={"action": "receive", "channel": reference("channels", "orders-changes")}
        ),
        "receiving-added",
        "compatible",
        "receive orders/changes",
    ),
    "a message that is sent is gone": (
        lambda d: d["operations"]["hear"].update(messages=[]),
        "output-message-removed",
        "breaking",
        "send /rooms/{room} Photo",
    ),
    "a message that is taken is gone": (
        lambda d: d["operations"]["say"].update(messages=[]),
        "input-message-removed",
        "breaking",
        "receive /rooms/{room} Said",
    ),
    "another message is sent": (
        lambda d: add_message(d, "orders-changes", "send-orders-changes"),
        "output-message-added",
        "risky",
        "More: the message is new",
    ),
    "another message is taken": (
        lambda d: add_message(d, "orders.place", "shop.place_order"),
        "input-message-added",
        "compatible",
        "More: the message is new",
    ),
    "content type": (
        lambda d: d["channels"]["rooms-room"]["messages"]["Photo"].update(contentType="image/webp"),
        "content-type-changed",
        "breaking",
        "its content type was image/png and is image/webp",
    ),
    "a message that is taken asks for more": (
        lambda d: d["components"]["schemas"]["Wanted"].update(required=["lines", "customer"]),
        "input-member-required",
        "breaking",
        "receive orders.place Wanted customer: it is new, and has to be given",
    ),
    "headers": (
        lambda d: d["components"]["schemas"]["Trace"].update(required=["trace", "span"]),
        "input-member-required",
        "breaking",
        "header span",
    ),
    "a payload is taken that was not said": (
        lambda d: d["channels"]["rooms-room"]["messages"]["Said"].pop("payload"),
        "input-type-widened",
        "compatible",
        "it was string and is anything",
    ),
    "no answer": (
        lambda d: receive(d).pop("reply"),
        "reply-removed",
        "breaking",
        "there is no answer any more",
    ),
    "an answer": (
        lambda d: d["operations"]["hear"].update(
            reply={"channel": reference("channels", "orders.placed")}
        ),
        "reply-added",
        "compatible",
        "there is an answer now",
    ),
    "answers elsewhere": (
        lambda d: receive(d)["reply"]["address"].update(location="$message.header#/back"),
        "reply-address-changed",
        "breaking",
        "answers went to $message.header#/reply-to and go to $message.header#/back",
    ),
    "a permission": (
        lambda d: receive(d)["x-requires"].append("admin"),
        "security-tightened",
        "breaking",
        "the permission 'admin' is required now",
    ),
    "credentials": (
        lambda d: d["operations"]["say"].update(security=receive(d)["security"]),
        "security-tightened",
        "breaking",
        "credentials are required now",
    ),
    "no credentials": (
        lambda d: (receive(d).pop("security"), receive(d).pop("x-requires")),
        "security-loosened",
        "compatible",
        "no credentials are required any more",
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_found(old: Document, name: str) -> None:
    edit, code, severity, words = CHANGES[name]
    new = copy.deepcopy(old)
    edit(new)
    (each,) = compared(old, new)
    assert (each.code, each.severity.value) == (code, severity)
    assert words in f"{each.subject}: {each.problem}"


def test_what_is_sent_and_answered_is_read_by_others(old: Document) -> None:
    new = copy.deepcopy(old)
    placed(new)["required"].remove("id")
    found = {(each.code, each.subject) for each in compared(old, new)}
    # One model, four uses: read at three of them, and taken at one.
    assert found == {
        ("output-member-optional", "send orders.placed Placed id"),
        ("input-member-optional", "receive orders.placed Placed id"),
        ("output-member-optional", "send orders/changes Change id"),
        ("output-member-optional", "receive orders.place reply Placed id"),
    }
    assert {each.place for each in compared(old, new)} == {
        "/components/schemas/Placed/properties/id"
    }


HARMLESS: dict[str, Edit] = {
    "nothing": lambda d: None,
    "words": lambda d: d["info"].update(title="Another", version="9"),
    "the name of an operation": lambda d: d["operations"].update(spoken=d["operations"].pop("say")),
    "the name of a channel": lambda d: (
        d["channels"].update(place=d["channels"].pop("orders.place")),
        receive(d).update(
            channel=reference("channels", "place"),
            messages=[reference("channels", "place", "messages", "Wanted")],
        ),
    ),
    "where a message stands": lambda d: (
        d["components"].update(messages={"Wanted": wanted(d)}),
        d["channels"]["orders.place"]["messages"].update(
            Wanted=reference("components", "messages", "Wanted")
        ),
    ),
    "messages that are all of the channel": lambda d: d["operations"]["send-orders-changes"].pop(
        "messages"
    ),
    "a format that is named": lambda d: wanted(d).update(
        payload={
            "schemaFormat": "application/schema+json;version=draft-07",
            "schema": wanted(d)["payload"],
        }
    ),
}


@pytest.mark.parametrize("name", HARMLESS)
def test_what_is_no_change(old: Document, name: str) -> None:
    new = copy.deepcopy(old)
    HARMLESS[name](new)
    assert compared(old, new) == []


@settings(max_examples=40)
@given(st.data())
def test_any_edit_of_a_document_can_be_compared(old: Document, data: st.DataObject) -> None:
    """Whatever is cut out of a document or put into it: no traceback, and no change of itself."""
    new = edited(old, data)
    assert compared(new, copy.deepcopy(new)) == []
    assert all(each.problem for each in compared(old, new))
    assert all(each.problem for each in compared(new, old))


@pytest.mark.parametrize("text", ["", "[]", '{"asyncapi": "2.6.0"}', '{"asyncapi": 3}', "[" * 9999])
def test_what_is_no_document_is_refused(text: str) -> None:
    good = '{"asyncapi": "3.0.0"}'
    assert [*compare(good, good)] == []
    with pytest.raises(ValueError):
        [*compare(good, text)]


def test_declarations_that_are_gone_break(old: Document, tmp_path: Path) -> None:
    class Less(Shop):
        def covet_channels(self) -> Any:
            return [*super().covet_channels()][1:]

    new = json.loads(documents(tmp_path, Less)["asyncapi.json"])
    (each,) = compared(old, new)
    assert each.code == "sending-removed"
    assert each.breaks == "listeners, to whom nothing comes any more"
