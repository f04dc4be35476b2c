"""Who waits is served in order, and no connection is lost, whoever is cancelled when."""

from __future__ import annotations

import random
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from covet_kernel.contracts import SqlConflictError, SqlError, SqlUnavailableError
from covet_kernel.testing import cancel_at_every_await
from covet_sql.driver import Pool, error_of


class Connection:
    """A connection to nothing."""

    def __init__(self) -> None:
        self.usable = True
        self.clean = True
        self.ended = False
        self.hangs = False

    async def restore(self) -> None:
        while self.hangs:
            await anyio.sleep(1)
        await anyio.lowlevel.checkpoint()
        self.clean = True

    def discard(self) -> None:
        assert not self.ended
        self.ended = True

    async def close(self) -> None:
        await anyio.lowlevel.checkpoint()
        self.discard()

    def abandon(self) -> None:
        self.usable = False


class Opener:
    """Opens connections, and remembers them."""

    def __init__(self) -> None:
        self.all: list[Connection] = []
        self.failures = 0

    async def __call__(self) -> Connection:
        await anyio.lowlevel.checkpoint()
        if self.failures:
            self.failures -= 1
            raise SqlUnavailableError("gone", sqlstate="08001")
        self.all.append(Connection())
        return self.all[-1]


def pool_of(size: int, opener: Opener | None = None, **options: Any) -> Pool[Connection]:
    return Pool(opener or Opener(), size, options.pop("acquire_timeout", 10.0), **options)


async def test_waiters_are_served_in_the_order_of_asking() -> None:
    pool, order = pool_of(1), []

    async def use(number: int) -> None:
        connection = await pool.acquire()
        order.append(number)
        pool.give_back(connection)

    connection = await pool.acquire()
    async with anyio.create_task_group() as tasks:
        for number in range(20):
            tasks.start_soon(use, number)
            while pool.waiting <= number:
                await anyio.lowlevel.checkpoint()
        pool.give_back(connection)
    assert order == list(range(20))
    await pool.close(1)


async def test_the_last_used_is_lent_first() -> None:
    pool = pool_of(3)
    three = [await pool.acquire() for _ in range(3)]
    for connection in three:
        pool.give_back(connection)
    assert await pool.acquire() is three[-1]


async def test_nobody_waits_for_ever() -> None:
    pool = pool_of(1, acquire_timeout=0.01)
    await pool.acquire()
    with pytest.raises(SqlConflictError):
        await pool.acquire()
    assert pool.waiting == 0


async def test_a_task_in_a_transaction_gets_no_second_connection() -> None:
    pool = pool_of(5)
    connection = await pool.acquire()
    pool.hold(connection)
    with pytest.raises(SqlError, match="test_a_task_in_a_transaction") as caught:
        await pool.acquire()
    assert caught.value.sqlstate == "25001"
    async with anyio.create_task_group() as tasks:

        async def other() -> None:
            pool.give_back(await pool.acquire())

        tasks.start_soon(other)
    pool.give_back(connection)
    pool.give_back(await pool.acquire())


async def test_where_that_is_allowed_it_may_not_wait_for_itself() -> None:
    pool = pool_of(2, nested=True)
    for _ in range(2):
        pool.hold(await pool.acquire())
    with pytest.raises(SqlError, match="would wait"):
        await pool.acquire()


async def test_the_report_says_who_has_a_connection() -> None:
    pool = pool_of(2)
    kept = await pool.acquire()
    (lease,) = pool.leases()
    assert "test_pool.py" in str(lease)
    assert "test_the_report_says_who_has_a_connection" in str(lease)
    pool.give_back(kept)
    assert pool.leases() == []


async def test_who_got_none_in_time_is_told_who_has_had_one_for_the_longest() -> None:
    pool = pool_of(2, acquire_timeout=0.01)

    async def forgetful() -> object:
        return await pool.acquire()

    kept = [await forgetful(), await pool.acquire()]
    with pytest.raises(SqlConflictError, match=r"of 2 in use one is for \d.*in forgetful"):
        await pool.acquire()
    for each in kept:
        pool.give_back(each)


async def test_of_one_that_was_handed_over_it_says_who_waited_for_it() -> None:
    pool = pool_of(1)
    kept = await pool.acquire()

    async def wait_for_it() -> None:
        connection = await pool.acquire()
        (lease,) = pool.leases()
        assert "in wait_for_it" in str(lease)
        pool.give_back(connection)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait_for_it)
        while not pool.waiting:
            await anyio.lowlevel.checkpoint()
        pool.give_back(kept)
        (lease,) = pool.leases()
        assert lease.where == []
    await pool.close(1)


async def test_whose_time_is_over_is_told_and_nobody_else() -> None:
    pool = pool_of(1, acquire_timeout=0.05)
    kept, late = await pool.acquire(), []

    async def wait(number: int) -> None:
        with pytest.raises(SqlConflictError, match="within"):
            await pool.acquire()
        late.append(number)

    async with anyio.create_task_group() as tasks:
        for number in range(3):
            tasks.start_soon(wait, number)
            await anyio.sleep(0.01)
    assert late == [0, 1, 2]
    pool.give_back(kept)
    pool.give_back(await pool.acquire())
    await pool.close(1)


async def test_who_has_left_takes_no_room_in_the_queue() -> None:
    pool = pool_of(1)
    kept = await pool.acquire()
    async with anyio.create_task_group() as tasks:
        for _ in range(100):
            tasks.start_soon(pool.acquire)
        while pool.waiting < 100:
            await anyio.lowlevel.checkpoint()
        tasks.cancel_scope.cancel()
    assert pool.waiting == 0
    assert len(pool._waiters) <= 32
    pool.give_back(kept)
    pool.give_back(await pool.acquire())
    await pool.close(1)


async def test_what_cannot_be_used_is_replaced() -> None:
    opener = Opener()
    pool = pool_of(1, opener)
    for spoil in ("usable", "clean"):
        connection = await pool.acquire()
        setattr(connection, spoil, False)
        pool.give_back(connection)
        assert connection.ended
        assert (pool.opened, pool.in_use) == (0, 0)
    connection = await pool.acquire()
    pool.give_back(connection)
    connection.usable = False
    assert await pool.acquire() is not connection
    assert connection.ended
    assert len(opener.all) == 4


async def test_what_is_left_in_one_is_undone_and_has_a_limit() -> None:
    pool = pool_of(1, restore_timeout=0.01)
    connection = await pool.acquire()
    connection.clean = False
    with anyio.CancelScope() as scope:
        scope.cancel()
        await pool.take_back(connection)
    assert pool.idle == [connection]
    connection = await pool.acquire()
    connection.clean, connection.hangs = False, True
    await pool.take_back(connection)
    assert connection.ended
    assert pool.opened == 0


async def test_old_and_unneeded_ones_are_closed() -> None:
    pool = pool_of(3, lifetime=0.0)
    connection = await pool.acquire()
    pool.give_back(connection)
    assert connection.ended
    pool = pool_of(3, idle_timeout=0.0)
    connection = await pool.acquire()
    pool.give_back(connection)
    pool.prune()
    assert connection.ended
    assert pool.opened == 0


async def test_one_that_cannot_be_opened_holds_nobody_up() -> None:
    opener = Opener()
    opener.failures = 3
    pool, outcomes = pool_of(1, opener), []

    async def use() -> None:
        try:
            pool.give_back(await pool.acquire())
            outcomes.append("had")
        except SqlUnavailableError:
            outcomes.append("gone")

    async with anyio.create_task_group() as tasks:
        for _ in range(9):
            tasks.start_soon(use)
    assert sorted(outcomes) == ["gone"] * 3 + ["had"] * 6
    assert pool.opened == len(pool.idle) == 1
    await pool.close(1)


async def test_closing_answers_who_waits_and_ends_who_stays() -> None:
    pool = pool_of(1)
    kept = await pool.acquire()
    async with anyio.create_task_group() as tasks:

        async def wait() -> None:
            with pytest.raises(SqlUnavailableError):
                await pool.acquire()

        tasks.start_soon(wait)
        while not pool.waiting:
            await anyio.lowlevel.checkpoint()
        await pool.close(0.01)
    assert not kept.usable
    pool.give_back(kept)
    assert kept.ended
    assert pool.opened == 0


async def test_cancelled_anywhere_nothing_is_lost() -> None:
    pool = pool_of(1)

    async def use() -> None:
        connection = await pool.acquire()
        try:
            connection.clean = False
            await anyio.lowlevel.checkpoint()
        finally:
            await pool.take_back(connection)

    async def both() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(use)
            tasks.start_soon(use)

    async def check() -> None:
        assert (pool.in_use, pool.waiting) == (0, 0)
        assert pool.opened == len(pool.idle)

    assert await cancel_at_every_await(both, check=check) >= 1
    await pool.close(1)


@given(seed=st.integers(0, 2**32))
@settings(max_examples=50, deadline=None)
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_after_any_storm_everything_is_idle(backend: str, seed: int) -> None:
    chance = random.Random(seed)

    async def main() -> None:
        opener = Opener()
        pool = pool_of(chance.randint(1, 4), opener)
        users: dict[Connection, int] = {}

        async def use(number: int, scope: anyio.CancelScope) -> None:
            with scope:
                connection = await pool.acquire()
                try:
                    assert users.setdefault(connection, number) == number
                    connection.clean = chance.random() < 0.7
                    for _ in range(chance.randrange(3)):
                        await anyio.lowlevel.checkpoint()
                    connection.usable = chance.random() < 0.9
                finally:
                    del users[connection]
                    await pool.take_back(connection)

        scopes = []
        async with anyio.create_task_group() as tasks:
            for number in range(30):
                scopes.append(scope := anyio.CancelScope())
                tasks.start_soon(use, number, scope)
                for _ in range(chance.randrange(3)):
                    await anyio.lowlevel.checkpoint()
                if chance.random() < 0.5:
                    chance.choice(scopes).cancel()
        assert (pool.in_use, pool.waiting) == (0, 0)
        assert pool.opened == len(pool.idle) <= pool.size
        await pool.close(1)
        assert all(connection.ended for connection in opener.all)

    anyio.run(main, backend=backend)


@pytest.mark.parametrize(
    ("sqlstate", "kind"),
    [
        ("23505", "SqlIntegrityError"),
        ("40001", "SqlConflictError"),
        ("55P03", "SqlConflictError"),
        ("08006", "SqlUnavailableError"),
        ("57P01", "SqlUnavailableError"),
        ("53300", "SqlUnavailableError"),
        ("57014", "SqlError"),
        ("42601", "SqlError"),
    ],
)
def test_errors_are_those_of_the_contract(sqlstate: str, kind: str) -> None:
    error = error_of(sqlstate, "words")
    assert type(error).__name__ == kind
    assert (error.sqlstate, str(error)) == (sqlstate, "words")
