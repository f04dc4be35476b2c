"""Answers in parts: put together they are what graphql-core puts together, whoever waits for what."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import anyio
import graphql_shop as shop
import pytest
from graphql import (
    ExperimentalIncrementalExecutionResults,
    GraphQLResolveInfo,
    VariableValues,
    build_schema,
    experimental_execute_incrementally,
    get_variable_values,
    parse,
    print_schema,
    validate,
)
from graphql_serving import ask, serving, until
from hypothesis import given, settings
from hypothesis import strategies as st
from test_execution import SCHEMA, awaited, root_of, same, selection

from covet_graphql._accept import takes_parts
from covet_graphql._documents import Document
from covet_graphql._incremental import IncrementalRun
from covet_graphql._schema import Served
from covet_http.testing import Client
from covet_kernel.contracts import Binding, Call, Operation

PARTED = build_schema(print_schema(SCHEMA))
SERVED = Served(PARTED, {}, {}, {}, [])
SERVED.allow_parts()
CALLER = Call(Operation(name="t", handler=print), Binding(protocol="t", address=""))
VALUES = {"s": False, "i": True, "d": True}


class Parted:
    """The messages of one answer, put together as a client does, with what may not happen looked for."""

    def __init__(self) -> None:
        self.data: Any = None
        self.errors: list[Any] = []
        self.failed: list[tuple[str | int, ...]] = []
        self.pending: dict[str, list[str | int]] = {}
        self.messages = 0
        self.has_next = True

    def take(self, message: dict[str, Any]) -> None:
        assert self.has_next, "something came behind the end"
        self.messages += 1
        self.has_next = message.get("hasNext", False)
        if self.messages == 1:
            self.data = message["data"]
            self.errors += message.get("errors", ())
        else:
            assert set(message) & {"pending", "incremental", "completed"}
        for each in message.get("pending", ()):
            assert each["id"] not in self.pending
            self.pending[each["id"]] = each["path"]
        for each in message.get("incremental", ()):
            path = [*self.pending[each["id"]], *each.get("subPath", ())]
            place = self._at(path)
            self.errors += each.get("errors", ())
            if "items" in each:
                place += each["items"]
            else:
                _add(place, each["data"])
        for each in message.get("completed", ()):
            path = self.pending.pop(each["id"])
            if "errors" in each:
                self.errors += each["errors"]
                self.failed.append(tuple(path))
        assert self.has_next == bool(self.pending)

    def _at(self, path: list[str | int]) -> Any:
        place = self.data
        for key in path:
            place = place[key]
        return place


def _add(place: dict[str, Any], data: dict[str, Any]) -> None:
    for key, value in data.items():
        assert key not in place, "it was there already"
        place[key] = value


def test_what_is_sent_twice_is_found() -> None:
    parted = Parted()
    parted.take({"data": {"a": 1}, "pending": [{"id": "0", "path": []}], "hasNext": True})
    with pytest.raises(AssertionError, match="already"):
        parted.take({"incremental": [{"id": "0", "data": {"a": 1}}], "hasNext": True})


def shown(failures: Any) -> list[dict[str, Any]]:
    return [{"path": path} for _, _, path in failures]


async def in_parts(text: str, root: Any, most: int = 1000, seconds: float = 60) -> Parted:
    parsed = parse(text)
    document = Document(text, parsed, SERVED, 10)
    assert document.incremental
    operation = document.operations[0]
    values = get_variable_values(PARTED, operation.variable_definitions or (), VALUES)
    assert isinstance(values, VariableValues)
    plan = document.plan(operation, SERVED, values, incremental=True)
    run = IncrementalRun(SERVED, plan, values, CALLER, most=most, show=shown)
    found = Parted()
    data, more = await run.first(root)
    found.take({"data": data, "errors": shown(run.failures), **more})

    async def send(message: dict[str, Any]) -> None:
        await anyio.lowlevel.checkpoint()
        found.take(json.loads(json.dumps(message)))

    if more:
        await run.rest(send, seconds)
    return found


def resolved(source: Any, info: GraphQLResolveInfo[Any]) -> Any:
    return source.get(info.field_name)


async def expected(text: str, root: Any) -> Parted:
    found = Parted()
    result: Any = experimental_execute_incrementally(
        PARTED, parse(text), root, variable_values=VALUES, field_resolver=resolved
    )
    if hasattr(result, "__await__"):
        result = await result
    if isinstance(result, ExperimentalIncrementalExecutionResults):
        found.take(dict(result.initial_result.formatted))
        async for each in result.subsequent_results:
            found.take(dict(each.formatted))
    else:
        found.take(result.formatted)
    return found


def deferring(text: str, dice: Random) -> str:
    """The same document, with some of it deferred and streamed."""
    words = text.split(" ")
    labels = iter(range(1000))

    def directive(name: str) -> str:
        more = dice.choice(["", "", f'(label: "l{next(labels)}")', "(if: $d)", "(if: false)"])
        if name == "stream":
            more = dice.choice(["", "(initialCount: 1)", "(initialCount: 2, if: $d)"])
        return f"@{name}{more}"

    made: list[str] = []
    for place, word in enumerate(words):
        made.append(word)
        before = words[place - 1] if place else ""
        if (before == "on" and place > 1 and words[place - 2] == "...") or word == "...F":
            if dice.random() < 0.6:
                made.append(directive("defer"))
        elif word in ("many", "all", "items", "kids", "grid") and dice.random() < 0.4:
            made.append(directive("stream"))
    return " ".join(made)


def same_in_any_order(ours: Any, theirs: Any) -> bool:
    """Whether two answers are the same, but for the order of keys: it is that in which they came."""

    def ordered(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: ordered(value[key]) for key in sorted(value)}
        return [ordered(each) for each in value] if isinstance(value, list) else value

    return same(ordered(ours), ordered(theirs))


def question(dice: Random) -> str:
    body = deferring(selection(dice, "Query"), dice)
    extra = deferring(selection(dice, "Query"), dice)
    text = (
        "query($s: Boolean!, $i: Boolean!, $d: Boolean!)"
        " { a: __typename @skip(if: $s) @include(if: $i) b: __typename @include(if: $d)"
        f" ...Q @defer ... @defer {extra} }} fragment Q on Query {body}"
    )
    if "...F" in text:
        text += f" fragment F on Node {selection(dice, 'Node', 3)}"
    return text


@pytest.mark.once
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("share", [0.0, 0.2])
@settings(max_examples=20)
@given(seed=st.integers(0, 2**64))
def test_parts_make_the_answer_of_graphql_core(backend: str, share: float, seed: int) -> None:
    dice = Random(seed)
    text, data = question(dice), root_of(dice)
    if validate(SERVED.schema, parse(text)):
        return
    theirs = anyio.run(expected, text, data)
    later = {key: awaited(each, dice, share) for key, each in data.items()}
    ours = anyio.run(in_parts, text, later, backend=backend)
    if not theirs.failed and not ours.failed:
        assert same_in_any_order(ours.data, theirs.data), text
    assert bool(ours.errors) == bool(theirs.errors), text
    if not share:
        assert sorted(map(str, ours.failed)) == sorted(map(str, theirs.failed)), text


def book(number: int) -> dict[str, Any]:
    return {"id": number, "name": str(number), "ok": True, "kids": [{"id": number}]}


@pytest.mark.parametrize("most", [1, 3, 1000])
async def test_there_are_so_many_parts_and_the_rest_comes_with_what_is_around_it(most: int) -> None:
    root = {"many": [book(each) for each in range(200)]}
    text = "{ many { id ... @defer { name kids @stream { id } } } }"
    found = await in_parts(text, root, most)
    whole = [{key: each[key] for key in ("id", "name", "kids")} for each in root["many"]]
    assert found.data == {"many": whole}
    assert found.messages == (3 if most == 1000 else 2)


async def test_fields_of_one_object_in_many_places_count_as_parts_too() -> None:
    root = {"many": [book(each) for each in range(200)]}
    sent: list[dict[str, Any]] = []

    class Noting(Parted):
        def take(self, message: dict[str, Any]) -> None:
            sent.append(message)
            super().take(message)

    document = Document(
        text := "{ ... @defer { many { name } } many { id } }", parse(text), SERVED, 10
    )
    values = VariableValues({}, {})
    plan = document.plan(document.operations[0], SERVED, values, incremental=True)
    run = IncrementalRun(SERVED, plan, values, CALLER, most=5, show=shown)
    data, more = await run.first(root)
    found = Noting()
    found.take({"data": data, **more})

    async def send(message: dict[str, Any]) -> None:
        found.take(message)

    await run.rest(send, 60)
    assert len(sent[1]["incremental"]) == 5
    assert sent[1]["incremental"][0] == {
        "id": "0", "subPath": ["many", 0], "data": {"name": "0"},
    }  # fmt: skip
    assert found.data == {"many": [{"id": each, "name": str(each)} for each in range(200)]}


async def test_a_streamed_list_waits_for_its_client() -> None:
    taken = 0

    class Counted(dict[str, Any]):
        def __getitem__(self, key: str) -> Any:
            return super().__getitem__(key)

        def get(self, key: str, default: Any = None) -> Any:
            nonlocal taken
            taken += key == "name"
            return super().get(key, default)

    items = [Counted(id=each, name=str(each), __typename="Node") for each in range(500)]
    text = "{ many @stream(initialCount: 2) { name next { id } } }"
    document = Document(text, parse(text), SERVED, 10)
    values = VariableValues({}, {})
    plan = document.plan(document.operations[0], SERVED, values, incremental=True)
    run = IncrementalRun(SERVED, plan, values, CALLER, most=5, show=shown)
    data, _ = await run.first({"many": items})
    assert len(data["many"] if data else ()) == 2
    seen: list[tuple[int, int]] = []

    async def send(message: dict[str, Any]) -> None:
        got = sum(len(each["items"]) for each in message.get("incremental", ()))
        seen.append((got, taken))
        await anyio.wait_all_tasks_blocked()

    await run.rest(send, 60)
    assert [got for got, _ in seen] == [50] * 9 + [48]
    # Behind what is being sent nothing has been begun.
    assert all(begun <= 2 + 50 * (place + 1) for place, (_, begun) in enumerate(seen))


class Never:
    def __await__(self) -> Any:
        return anyio.sleep_forever().__await__()


async def test_what_is_not_there_in_time_is_said_to_have_failed() -> None:
    root = {"one": {"id": 1, "name": Never(), "ok": True}, "many": [{"id": Never()}, book(1)]}
    text = "{ one { id ... @defer { name } ... @defer { ok } } many @stream { id } }"
    found = await in_parts(text, root, seconds=0.05)
    assert found.data["one"]["ok"]
    assert found.failed == [("one",), ("many",)]
    assert [each["extensions"]["code"] for each in found.errors] == ["deadline-exceeded"] * 2


async def test_a_receiver_that_fails_ends_everything() -> None:
    text = "{ one { ... @defer { name } ... @defer { ok } } }"
    document = Document(text, parse(text), SERVED, 10)
    values = VariableValues({}, {})
    plan = document.plan(document.operations[0], SERVED, values, incremental=True)
    run = IncrementalRun(SERVED, plan, values, CALLER, most=5, show=shown)
    await run.first({"one": {"name": Never(), "ok": True}})

    async def send(message: dict[str, Any]) -> None:
        raise ConnectionError

    with pytest.raises(ConnectionError):
        await run.rest(send, 60)


# Over the wire.

PIECES = "multipart/mixed"
QUERY = """{ books(count: 3) { id ... on Book @defer(label: "more") { title author { name } } } }"""
WHOLE = [
    {"id": each, "title": f"Book {each}", "author": {"name": f"Author {each}"}} for each in range(3)
]


def messages(body: bytes) -> list[dict[str, Any]]:
    start, *pieces, end = body.replace(b"\r\n-----\r\n", b"\r\n---\r\n--").split(b"\r\n---\r\n")
    assert (start, end) == (b"", b"--")
    found = []
    for each in pieces:
        head, _, document = each.partition(b"\r\n\r\n")
        assert head == b"Content-Type: application/json; charset=utf-8"
        found.append(json.loads(document))
    return found


async def post(client: Client, query: str, accept: str = PIECES) -> Any:
    return await client.post("/graphql", json={"query": query}, headers={"accept": accept})


async def test_parts_over_http(server: str) -> None:
    async with serving(server=server, incremental=True) as client:
        answer = await post(client, QUERY, "multipart/mixed;incrementalSpec=v0.2, application/json")
        assert answer.status == 200
        assert answer.headers["content-type"] == 'multipart/mixed; boundary="-"'
        got = messages(answer.body)
        assert got[0]["data"] == {"books": [{"id": 0}, {"id": 1}, {"id": 2}]}
        assert got[0]["pending"][1] == {"id": "1", "path": ["books", 1], "label": "more"}
        found = Parted()
        for each in got:
            found.take(each)
        assert found.data == {"books": WHOLE}
        assert not found.has_next
        # What all of them need has been loaded in one call.
        assert shop.LOADED == [[0, 1, 2]]
        for accept in ("application/json", "multipart/mixed;deferSpec=20220824, application/json"):
            answer = await post(client, QUERY, accept)
            assert answer.json() == {"data": {"books": WHOLE}}
        for query in ("{ who }", "{ who ... @defer(if: false) { who } }"):
            answer = await post(client, query)
            assert answer.json() == {"data": {"who": ""}}
        assert (await post(client, "{ nobody ... @defer { who } }")).status == 200


async def test_parts_are_not_taken_unless_the_configuration_says_so() -> None:
    async with serving() as client:
        found = await ask(client, QUERY)
        assert "Unknown directive '@defer'" in found["errors"][0]["message"]


async def test_errors_of_parts_are_those_of_the_registry(server: str) -> None:
    query = "{ who ... @defer { books(count: 1) { broken } } ... @defer { book(id: 0) { id } } }"
    async with serving(server=server, incremental=True) as client:
        found = Parted()
        for each in messages((await post(client, query)).body):
            found.take(each)
    assert found.data == {"who": "", "book": None}
    assert {each["extensions"]["code"] for each in found.errors} == {"internal", "no-such-book"}
    assert "1234" not in json.dumps(found.errors)
    assert found.failed == [()]


async def test_a_client_that_leaves_ends_what_was_deferred(server: str) -> None:
    async with serving(server=server, incremental=True) as client:
        asked = {"query": "{ who ... @defer { slow(seconds: 3600) } }"}
        headers = {"accept": PIECES}
        async with client.stream("POST", "/graphql", json=asked, headers=headers) as answer:
            async for _ in answer:
                break
            await until(lambda: shop.STARTED == ["slow"])
        await until(lambda: shop.ENDED == ["slow"])


async def test_parts_as_events_and_over_a_socket(server: str) -> None:
    async with serving(server=server, incremental=True) as client:
        found = Parted()
        async with client.stream("POST", "/graphql/stream", json={"query": QUERY}) as answer:
            events = [each async for each in answer.events()]
        assert [each.event for each in events[-2:]] == ["next", "complete"]
        for each in events[:-1]:
            found.take(json.loads(each.data))
        assert found.data == {"books": WHOLE}
        found = Parted()
        async with client.websocket("/graphql", subprotocols=("graphql-transport-ws",)) as socket:
            await socket.send_json({"type": "connection_init"})
            await socket.receive_json()
            await socket.send_json({"type": "subscribe", "id": "1", "payload": {"query": QUERY}})
            while (message := await socket.receive_json())["type"] == "next":
                found.take(message["payload"])
        assert message == {"type": "complete", "id": "1"}
        assert found.data == {"books": WHOLE}


@given(st.text(alphabet='mulipart/xed;=,"qv0.2 incrementalSpecdefer*', max_size=80) | st.text())
def test_any_accept_says_whether_parts_are_taken(line: str) -> None:
    assert takes_parts(line) in (True, False)


@pytest.mark.parametrize(
    ("line", "takes"),
    [
        ("multipart/mixed", True),
        ('application/json, Multipart/Mixed; incrementalSpec="v0.2"', True),
        ("multipart/mixed;incrementalSpec=v0.1", False),
        ("multipart/mixed;deferSpec=20220824", False),
        ("multipart/mixed;q=0", False),
        ("*/*", False),
    ],
)
def test_who_takes_parts(line: str, takes: bool) -> None:
    assert takes_parts(line) is takes
