"""The proof: five operations over three transports, with one chain, the same errors and deadlines."""

from __future__ import annotations

from collections.abc import AsyncIterator

import anyio
import pytest
from operations_testbed.bed import TRANSPORTS, Bed, bed
from operations_testbed.cases import BAD, EMMA, GOOD, ORDER, forever, watch
from operations_testbed.client import Refused

# Seconds: enough for a handler to have begun on a busy machine.
SOON = 1.0


@pytest.fixture(params=TRANSPORTS)
def transport(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("case", GOOD)
async def test_answers(transport: str, case: str) -> None:
    step, expected = GOOD[case]
    async with bed(transport) as made:
        assert await step(made) == expected
        assert made.log[0].startswith("begin shop.")
        assert made.log[-1] == "end NoneType"


@pytest.mark.parametrize("case", BAD)
async def test_errors(transport: str, case: str) -> None:
    step, expected = BAD[case]
    async with bed(transport) as made:
        with pytest.raises(Refused) as caught:
            await step(made)
        assert caught.value.document | expected == caught.value.document
        # Whatever refused the call, the observer saw it begin and end, and nothing was kept.
        assert [line for line in made.log if line.startswith(("begin", "end"))][
            -1
        ] != "end NoneType"
        assert made.db.journal[1:] in ([], ["rollback"])
        assert await made.stock(1) == 3


async def test_faults_are_told_apart_and_values_are_not_echoed(transport: str) -> None:
    async with bed(transport) as made:
        lines = [{"book_id": "hunter2", "quantity": 0}]
        with pytest.raises(Refused) as caught:
            await made.client.call("place_order", {"key": "k", "lines": lines}, token="ann")
        faults = caught.value.document["errors"]
        assert [fault["loc"][-3:] for fault in faults] == [
            ["lines", 0, "book_id"],
            ["lines", 0, "quantity"],
        ]
        assert {"loc", "msg", "type"} == set(faults[0])
        assert "hunter2" not in str(caught.value.document)


async def test_unknown_inputs_are_refused_in_messages(transport: str) -> None:
    async with bed(transport) as made:
        with pytest.raises(Refused) as caught:
            await made.client.call("place_order", {**ORDER, "cupon": "x"}, token="ann")
        assert caught.value.document["errors"][0]["type"] == "extra_forbidden"


async def test_unexpected_exceptions_say_nothing(
    transport: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def bug() -> None:
        raise ValueError("password is hunter2")

    async with bed(transport) as made:
        made.probe.pause = bug
        with pytest.raises(Refused) as caught:
            await made.client.call("get_book", {"id": 1})
    assert caught.value.kind == "internal"
    assert "hunter2" not in str(caught.value.document)
    (record,) = caplog.records
    assert "shop.get_book" in record.getMessage()
    assert record.exc_info is not None


async def test_constraint_becomes_a_conflict(transport: str) -> None:
    async with bed(transport) as made:
        await made.client.call("place_order", ORDER, token="ann")
        with pytest.raises(Refused) as caught:
            await made.client.call("place_order", ORDER, token="ann")
        assert caught.value.kind == "conflict"
        assert "orders.key" not in str(caught.value.document)
        assert made.db.journal == ["begin", "commit", "begin", "rollback"]


async def test_limit_stands_before_authentication(transport: str) -> None:
    async with bed(transport) as made:
        made.limit.closed = True
        with pytest.raises(Refused) as caught:
            await made.client.call("get_book", {"id": 1}, token="eve")
        assert caught.value.document["retry_after"] == 1.5
        assert made.log == ["begin shop.get_book", "end RateLimited"]


@pytest.mark.parametrize("who", ["caller", "default"])
async def test_deadline(transport: str, who: str) -> None:
    options = {"deadline": SOON} if who == "default" else {}
    async with bed(transport, **options) as made:
        made.probe.pause = forever
        with pytest.raises(Refused) as caught:
            await made.client.call(
                "place_order", ORDER, token="ann", timeout=None if options else SOON
            )
        assert caught.value.kind == "deadline_exceeded"
        assert made.db.journal == ["begin", "rollback"]
        assert await made.stock(1) == 3
        assert made.log == ["begin shop.place_order", "cancelled", "end Cancelled"]
        made.probe.pause = None
        assert await made.client.call("get_book", {"id": 1}) == EMMA


async def test_deadline_of_the_caller_does_not_extend_the_default(transport: str) -> None:
    async with bed(transport, deadline=SOON) as made:
        made.probe.pause = forever
        with pytest.raises(Refused) as caught:
            await made.client.call("get_book", {"id": 1}, timeout=60)
        assert caught.value.kind == "deadline_exceeded"


async def test_disconnect_cancels_and_rolls_back(transport: str) -> None:
    async with bed(transport) as made:
        made.probe.pause = forever
        async with made.client.abandoned("place_order", ORDER, token="ann") as flight:
            await made.probe.reached.wait()
            flight.leave()
        assert flight.result.kind == "cancelled"
        assert made.db.journal == ["begin", "rollback"]
        assert await made.stock(1) == 3


async def test_disconnect_during_commit_commits_and_answers(transport: str) -> None:
    async with bed(transport) as made:
        committing, go = anyio.Event(), anyio.Event()

        async def commit() -> None:
            committing.set()
            await go.wait()

        made.db.in_commit = commit
        async with made.client.abandoned("place_order", ORDER, token="ann") as flight:
            await committing.wait()
            flight.leave()
            await anyio.wait_all_tasks_blocked()
            go.set()
        assert flight.result == {"key": "o1", "customer": "ann", "copies": 2}
        assert made.db.journal == ["begin", "commit"]
        assert await made.stock(1) == 1


async def test_failed_commit_is_the_answer(transport: str) -> None:
    async with bed(transport) as made:
        made.db.fail_commit = True
        with pytest.raises(Refused) as caught:
            await made.client.call("place_order", ORDER, token="ann")
        assert caught.value.kind == "conflict"
        assert "10.0.0.7" not in str(caught.value.document)
        assert await made.stock(1) == 3


async def test_failed_encoding_rolls_back(transport: str, caplog: pytest.LogCaptureFixture) -> None:
    async with bed(transport) as made:
        made.probe.unencodable = True
        with pytest.raises(Refused) as caught:
            await made.client.call("place_order", ORDER, token="ann")
        assert caught.value.kind == "internal"
        assert made.db.journal == ["begin", "rollback"]
        assert len(caplog.records) == 1


async def test_stream_stays_inside_the_chain(transport: str) -> None:
    async with bed(transport) as made:
        async with made.client.stream("watch_stock", {"book_id": 1}) as items:
            assert await anext(items) == EMMA
            assert made.log == ["begin shop.watch_stock", "watching"]
            assert made.db.journal == ["begin"]
            assert [item async for item in items] == [EMMA, EMMA]
        assert made.log[2:] == ["watched", "end NoneType"]
        assert made.db.journal == ["begin", "commit"]


async def test_failure_after_the_first_item_is_no_end(transport: str) -> None:
    async def fail() -> None:
        await made.db.execute("delete from books where id = 2")

    async with bed(transport) as made:
        made.probe.pause = fail
        with pytest.raises(Refused) as caught:
            await watch(made, 2)
        assert caught.value.document["book_id"] == 2
        assert made.log[-1] == "end NoSuchBook"


async def test_leaving_a_stream_closes_the_generator(transport: str) -> None:
    async with bed(transport) as made:
        made.probe.pause = forever
        async with made.client.stream("watch_stock", {"book_id": 1}) as items:
            assert await anext(items) == EMMA
            await made.probe.reached.wait()
        assert made.log[-3:] == ["cancelled", "watched", "end Cancelled"]
        assert made.db.journal == ["begin", "rollback"]


async def test_stream_in_is_one_transaction(transport: str) -> None:
    async with bed(transport) as made:
        await made.client.upload("import_books", [EMMA] * 5, token="ann")
        assert made.db.journal == ["begin", "commit"]
        assert await made.stock(1) == 18


async def test_calls_do_not_see_each_others_context(transport: str) -> None:
    async with bed(transport) as made:
        await made.client.call("get_book", {"id": 1})
        await made.client.call("get_book", {"id": 2})
        seen = [line for line in made.log if line.startswith("who was")]
        assert seen == ["who was nobody", "who was nobody"]


async def chains(made: Bed) -> AsyncIterator[list[str]]:
    for step, _ in GOOD.values():
        made.log.clear()
        await step(made)
        yield [line for line in made.log if line.startswith(("begin", "end"))]


async def test_the_chain_is_the_same_everywhere() -> None:
    seen = []
    for transport in TRANSPORTS:
        async with bed(transport) as made:
            seen.append([lines async for lines in chains(made)])
    assert seen[0] == seen[1] == seen[2]
    assert all(len(lines) == 2 for lines in seen[0])
