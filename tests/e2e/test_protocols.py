"""One operation, every protocol: five operations in one kernel, over HTTP, topics and framed TCP.

The table is that of the operations' own tests; here sockets, broker and database are real.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import pytest
from e2e.protocols.bed import TRANSPORTS, bed, until
from e2e.protocols.web import CUT_OFF
from operations_testbed.cases import BAD, EMMA, GOOD, ORDER, forever
from operations_testbed.client import Refused
from operations_testbed.shop import NoSuchBook

from covet_kernel.contracts import SQL

pytestmark = pytest.mark.usefixtures("server")

PLACED = {"key": "o1", "customer": "ann", "copies": 2}


@pytest.fixture(params=TRANSPORTS)
def transport(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("case", GOOD)
async def test_answers(tmp_path: Path, transport: str, case: str) -> None:
    step, expected = GOOD[case]
    async with bed(tmp_path, transport) as made:
        assert await step(made) == expected
        await made.ended()
        assert made.log[0].startswith("begin shop.")
        assert made.log[-1] == "end NoneType"


@pytest.mark.parametrize("case", BAD)
async def test_errors(tmp_path: Path, transport: str, case: str) -> None:
    step, expected = BAD[case]
    async with bed(tmp_path, transport) as made:
        with pytest.raises(Refused) as caught:
            await step(made)
        assert caught.value.document | expected == caught.value.document
        # Whatever refused the call, the observer saw it begin and end, and nothing was kept.
        assert [line[:4] for line in made.log if line.startswith(("begin", "end"))] == [
            "begi",
            "end ",
        ]
        assert made.log[-1] != "end NoneType"
        assert await made.orders() == []
        assert await made.stock(1) == 3


async def test_the_chain_is_the_same_everywhere(tmp_path: Path) -> None:
    """Every case of the table, over every transport of one kernel: the same phases in one order."""
    async with bed(tmp_path) as made:
        for name, (step, _) in {**GOOD, **BAD}.items():
            seen = []
            for client in made.clients.values():
                made.client = client
                made.steps.clear()
                made.log.clear()
                # What a case leaves behind must not be met by the next transport.
                await made.kernel.require(SQL).execute("delete from orders")
                await made.kernel.require(SQL).execute("update books set stock = 3 where id = 1")
                with suppress(Refused):
                    await step(made)
                await made.ended()
                seen.append(list(made.steps))
            assert seen[0] == seen[1] == seen[2], name
            assert len(seen[0]) > 2, name


async def test_the_phases_stand_in_order(tmp_path: Path, transport: str) -> None:
    async with bed(tmp_path, transport) as made:
        assert await made.client.call("place_order", ORDER, token="ann") == PLACED
        assert made.steps == [
            "recover",
            "observe",
            "limit",
            "authenticate who",
            "authorize who",
            "validate who args",
            "transact who args tx",
            "/transact",
            "/validate",
            "/authorize",
            "/authenticate",
            "/limit",
            "/observe",
            "/recover",
        ]


@pytest.mark.parametrize(
    ("token", "data", "refused_by", "error"),
    [
        ("", ORDER, "authenticate", "Unauthenticated"),
        ("eve", {"lines": "?"}, "authenticate", "Unauthenticated"),
        ("bob", {"lines": "?"}, "authorize", "Forbidden"),
        ("ann", {"lines": "?"}, "validate", "Invalid"),
    ],
)
async def test_who_calls_is_asked_before_what_is_asked(
    tmp_path: Path, transport: str, token: str, data: Any, refused_by: str, error: str
) -> None:
    async with bed(tmp_path, transport) as made:
        with pytest.raises(Refused) as caught:
            await made.client.call("place_order", data, token=token)
        assert caught.value.kind == error.lower()
        entered = [step.partition(" ")[0] for step in made.steps if not step.startswith("/")]
        left = [step for step in made.steps if step.startswith("/")]
        phases = ["recover", "observe", "limit", "authenticate", "authorize", "validate"]
        assert entered == phases[: phases.index(refused_by)]
        assert left == [f"/{phase} {error}" for phase in reversed(entered)]


async def test_limit_stands_before_authentication(tmp_path: Path, transport: str) -> None:
    async with bed(tmp_path, transport) as made:
        made.close_limit()
        with pytest.raises(Refused) as caught:
            await made.client.call("get_book", {"id": 1}, token="eve")
        assert caught.value.kind == "rate_limited"
        assert caught.value.document["retry_after"] == 1.5
        assert made.log == ["begin shop.get_book", "end RateLimited"]


async def test_unexpected_exceptions_say_nothing(
    tmp_path: Path, transport: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def bug() -> None:
        raise ValueError("password is hunter2")

    async with bed(tmp_path, transport) as made:
        made.probe.pause = bug
        with pytest.raises(Refused) as caught:
            await made.client.call("get_book", {"id": 1})
    assert caught.value.kind == "internal"
    assert "hunter2" not in str(caught.value.document)
    (record,) = [each for each in caplog.records if each.exc_info]
    assert "shop.get_book" in record.getMessage()


async def test_a_constraint_of_the_database_is_a_conflict(tmp_path: Path, transport: str) -> None:
    async with bed(tmp_path, transport) as made:
        await made.client.call("place_order", ORDER, token="ann")
        with pytest.raises(Refused) as caught:
            await made.client.call("place_order", ORDER, token="ann")
        assert caught.value.kind == "conflict"
        assert "orders.key" not in str(caught.value.document)
        assert await made.stock(1) == 1


async def test_failed_encoding_rolls_back(tmp_path: Path, transport: str) -> None:
    async with bed(tmp_path, transport) as made:
        made.probe.unencodable = True
        with pytest.raises(Refused) as caught:
            await made.client.call("place_order", ORDER, token="ann")
        assert caught.value.kind == "internal"
        assert await made.orders() == []
        assert await made.stock(1) == 3


async def test_past_its_deadline_a_call_is_rolled_back(tmp_path: Path, transport: str) -> None:
    async with bed(tmp_path, transport, operations={"deadline": 0.1}) as made:
        made.probe.pause = forever
        with pytest.raises(Refused) as caught:
            await made.client.call("place_order", ORDER, token="ann")
        assert caught.value.kind == "deadline_exceeded"
        assert made.log == ["begin shop.place_order", "cancelled", "end Cancelled"]
        assert made.steps[7:9] == [
            "/transact cancelled by deadline",
            "/validate cancelled by deadline",
        ]
        assert await made.orders() == []
        assert await made.stock(1) == 3
        made.probe.pause = None
        assert await made.client.call("place_order", ORDER, token="ann") == PLACED


async def test_past_its_deadline_a_stream_in_is_rolled_back(tmp_path: Path, transport: str) -> None:
    async with bed(tmp_path, transport, operations={"deadline": 0.1}) as made:
        made.probe.pause = forever
        with pytest.raises(Refused) as caught:
            await made.client.upload("import_books", [EMMA] * 3, token="ann")
        assert caught.value.kind == "deadline_exceeded"
        assert await made.stock(1) == 3


@pytest.mark.parametrize("transport", ["topic", "framed"])
async def test_a_stream_past_its_callers_deadline_is_no_clean_end(
    tmp_path: Path, transport: str
) -> None:
    """Over HTTP callers have no deadline of their own but to leave."""
    async with bed(tmp_path, transport) as made:
        made.probe.pause = forever
        data = {"book_id": 1}
        with pytest.raises(Refused) as caught:
            async with made.client.stream("watch_stock", data, timeout=0.1) as items:
                assert await anext(items) == EMMA
                await anext(items)
        assert caught.value.kind == "deadline_exceeded"
        assert made.log[-3:] == ["cancelled", "watched", "end Cancelled"]


VANISHING: dict[str, tuple[str, dict[str, Any], list[Any]]] = {
    "order": ("place_order", ORDER, []),
    "stream out": ("watch_stock", {"book_id": 1}, []),
    "stream in": ("import_books", {}, [EMMA, EMMA]),
}


@pytest.mark.parametrize("case", VANISHING)
async def test_a_caller_that_vanishes_takes_its_call_along(
    tmp_path: Path, transport: str, case: str
) -> None:
    name, data, items = VANISHING[case]
    async with bed(tmp_path, transport) as made:
        made.probe.pause = forever
        with anyio.fail_after(20):
            async with made.client.vanishing(name, data, token="ann", items=items):
                if items:
                    await until(lambda: "transact who tx" in made.steps)
                else:
                    await made.probe.reached.wait()
        await made.ended()
        assert made.log[-1] == "end Cancelled"
        assert "/recover cancelled by disconnect" in made.steps
        assert "/transact cancelled by disconnect" in made.steps
        assert ("cancelled" in made.log) is (not items)
        assert ("watched" in made.log) is (name == "watch_stock")
        assert await made.orders() == []
        assert await made.stock(1) == 3
        # Nothing is stuck: the writer is free for the next.
        made.probe.pause = None
        assert await made.client.call("place_order", ORDER, token="ann") == PLACED


async def test_a_stream_stays_inside_the_chain(tmp_path: Path, transport: str) -> None:
    go = anyio.Event()
    async with bed(tmp_path, transport) as made:
        made.probe.pause = go.wait
        async with made.client.stream("watch_stock", {"book_id": 1}) as items:
            assert await anext(items) == EMMA
            await made.probe.reached.wait()
            assert made.log == ["begin shop.watch_stock", "watching"]
            go.set()
            assert [item async for item in items] == [EMMA, EMMA]
        await made.ended()
        assert made.log[2:] == ["watched", "end NoneType"]


async def test_a_stream_that_fails_midway_is_no_clean_end(tmp_path: Path, transport: str) -> None:
    async def fail() -> None:
        raise NoSuchBook("sold", book_id=2)

    seen: list[Any] = []
    async with bed(tmp_path, transport) as made:
        made.probe.pause = fail
        with pytest.raises(Refused) as caught:
            async with made.client.stream("watch_stock", {"book_id": 2}) as items:
                while True:
                    seen.append((await anext(items))["id"])
        assert seen == [2]
        assert caught.value.kind == (CUT_OFF if transport == "http" else "not_found")
        assert made.log[-1] == "end NoSuchBook"
        # The next call on this client is none the worse for it.
        made.probe.pause = None
        assert await made.client.call("get_book", {"id": 1}) == EMMA


async def test_a_caller_that_leaves_a_stream_closes_it(tmp_path: Path, transport: str) -> None:
    async with bed(tmp_path, transport) as made:
        made.probe.pause = forever
        async with made.client.stream("watch_stock", {"book_id": 1}) as items:
            assert await anext(items) == EMMA
            await made.probe.reached.wait()
        await made.ended()
        assert made.log[-3:] == ["cancelled", "watched", "end Cancelled"]


async def test_a_bad_item_undoes_those_before_it(tmp_path: Path, transport: str) -> None:
    async with bed(tmp_path, transport) as made:
        with pytest.raises(Refused) as caught:
            await made.client.upload(
                "import_books", [EMMA, EMMA, {**EMMA, "stock": -1}], token="ann"
            )
        (fault,) = caught.value.document["errors"]
        assert fault["loc"] == [2, "stock"]
        assert await made.stock(1) == 3
        await made.client.upload("import_books", [EMMA, EMMA], token="ann")
        assert await made.stock(1) == 9


async def test_calls_over_all_transports_at_once_share_one_database(tmp_path: Path) -> None:
    async with bed(tmp_path) as made:
        await made.kernel.require(SQL).execute("update books set stock = 30 where id = 1")
        lines = [{"book_id": 1, "quantity": 1}]
        kept: list[str] = []
        refused: list[str] = []

        async def order(transport: str, number: int) -> None:
            key = f"{transport}-{number}"
            try:
                await made.clients[transport].call(
                    "place_order", {"key": key, "lines": lines}, token="ann"
                )
            except Refused as error:
                assert error.document["code"] == "out-of-stock"
                refused.append(key)
            else:
                kept.append(key)

        async with anyio.create_task_group() as tasks:
            for number in range(12):
                for transport in TRANSPORTS:
                    tasks.start_soon(order, transport, number)
        assert len(kept) == 30
        assert len(refused) == 6
        assert await made.orders() == sorted(kept)
        assert await made.stock(1) == 0
