"""Cancelled at every await: either committed and answered, or rolled back and refused."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Generator
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint
from operations_testbed.database import Database
from operations_testbed.plain import PlainCall, Service, plain

from covet_kernel.contracts import SQL, SqlSession
from covet_operations import Cancelled, Lane, Provider, operation, provider


class Cut:
    """Runs a coroutine and calls ``act`` at its n-th wait."""

    def __init__(
        self, coroutine: Coroutine[Any, Any, Any], number: int, act: Callable[[], None]
    ) -> None:
        self._coroutine, self._number, self._act = coroutine, number, act
        self.waits = 0

    def __await__(self) -> Generator[Any, Any, Any]:
        step: Callable[[Any], Any] = self._coroutine.send
        given: Any = None
        while True:
            try:
                trap = step(given)
            except StopIteration as stop:
                return stop.value
            self.waits += 1
            if self.waits == self._number:
                self._act()
            try:
                step, given = self._coroutine.send, (yield trap)
            except BaseException as error:
                step, given = self._coroutine.throw, error


class Desk:
    """Made per call; counts how many are open."""

    open = 0


@provider(scope="call")
async def a_desk(db: SqlSession) -> AsyncIterator[Desk]:
    Desk.open += 1
    try:
        await checkpoint()
        yield Desk()
        await checkpoint()
    finally:
        Desk.open -= 1


@operation(effect="idempotent", transaction="write")
@plain()
async def order(db: SqlSession, desk: Desk, quantity: int) -> int:
    with anyio.move_on_after(60):
        await db.execute("update books set stock = stock - ? where id = 1", [quantity])
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(checkpoint)
    return int(await db.fetch_value("select stock from books where id = 1"))


def service(db: Database) -> Service:
    return Service(order, provided={SQL: db}, providers=[Provider(make=a_desk)])


def check(db: Database, answered: bool) -> None:
    assert db.journal in ([], ["begin", "commit"], ["begin", "rollback"])
    assert (db.journal[-1:] == ["commit"]) == answered
    assert db._db.in_transaction is False
    stock = db._db.execute("select stock from books where id = 1").fetchone()[0]
    assert stock == (1 if answered else 3)
    assert Desk.open == 0


@pytest.mark.parametrize("driver", ["run", "watched", "lane"])
async def test_call_cancelled_at_every_await(driver: str) -> None:
    outcomes = []
    number = 1
    while True:
        db = Database()
        endpoint, call = service(db).call()
        call.document = b'{"quantity": 2}'

        async def run(call: PlainCall = call, endpoint: Any = endpoint) -> Any:
            if driver == "lane":
                return await lane.run(endpoint, call)
            return await endpoint.run(
                call, watch=anyio.sleep_forever if driver == "watched" else None
            )

        async with Lane() as lane:
            cut = Cut(run(), number, lambda call=call: call.cancel("client"))  # type: ignore[misc]
            try:
                assert await cut == b"1"
                answered = True
            except Cancelled:
                answered = False
            check(db, answered)
            # The lane lives on, and the next call is not cancelled.
            endpoint, call = service(db).call()
            call.document = b'{"quantity": 0}'
            assert await lane.run(endpoint, call) == (b"1" if answered else b"3")
        db.close()
        outcomes.append(answered)
        if cut.waits < number:
            break
        number += 1
    assert number > 5
    # Once it commits it commits: no cancellation after the first answer is a refusal.
    assert outcomes == sorted(outcomes)
    assert False in outcomes


async def test_task_cancelled_from_outside_at_every_await() -> None:
    number = 1
    while True:
        db = Database()
        endpoint, call = service(db).call()
        call.document = b'{"quantity": 2}'
        answered = False
        with anyio.CancelScope() as scope:
            cut = Cut(endpoint.run(call), number, scope.cancel)
            await cut
            answered = True
        check(db, answered or db.journal[-1:] == ["commit"])
        db.close()
        if cut.waits < number:
            break
        number += 1
    assert number > 5
