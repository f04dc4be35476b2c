"""Blocks over two databases happen on both or on neither."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from services.pair import BANK, SHOP, STOCK, TAKE, Pair, transfer

from covet_kernel.contracts import SQL, SqlConflictError, SqlError, SqlIntegrityError
from covet_sql import run_again
from covet_twophase import TwoPhaseTransaction


async def test_a_block_is_committed_on_both(pair: Pair) -> None:
    async with pair.coordinator() as two_phase:
        tx = await transfer(two_phase, 7)
        assert pair.amounts() == (STOCK - 7, STOCK + 7)
        assert pair.prepared() == []
        assert tx.pending == frozenset()
        assert (two_phase.counts.committed, two_phase.counts.one_phase) == (1, 0)
        assert two_phase.log.decisions == {}


async def test_a_block_that_raises_is_on_neither(pair: Pair) -> None:
    async with pair.coordinator() as two_phase:
        with pytest.raises(ZeroDivisionError):
            async with two_phase.transaction() as tx:
                await (await tx.session(SHOP)).execute(TAKE, (1, 1))
                await (await tx.session(BANK)).execute(TAKE, (-1, 1))
                raise ZeroDivisionError
        assert pair.amounts() == (STOCK, STOCK)
        assert pair.prepared() == []
        assert two_phase.counts.rolled_back == 1


@pytest.mark.parametrize("database", [SHOP, BANK], ids=["shop", "bank"])
async def test_a_statement_that_is_refused_undoes_both(pair: Pair, database: Any) -> None:
    async with pair.coordinator() as two_phase:
        with pytest.raises(SqlIntegrityError):
            async with two_phase.transaction() as tx:
                for each in (SHOP, BANK):
                    await (await tx.session(each)).execute(TAKE, (1, 1))
                await (await tx.session(database)).execute("INSERT INTO accounts VALUES (1, 0)")
        assert pair.amounts() == (STOCK, STOCK)


async def test_a_database_that_cannot_prepare_undoes_both(pair: Pair) -> None:
    async with pair.coordinator() as two_phase:
        with pytest.raises(SqlError) as caught:
            async with two_phase.transaction() as tx:
                shop = await tx.session(SHOP)
                await (await tx.session(BANK)).execute(TAKE, (-1, 1))
                await shop.execute("CREATE TEMPORARY TABLE t (a INTEGER)")
                await shop.execute(TAKE, (1, 1))
        assert caught.value.sqlstate == "0A000"
        await pair.settled()
        assert pair.amounts() == (STOCK, STOCK)
        async with two_phase.transaction() as tx:
            # The connections are as good as before.
            for each in (SHOP, BANK):
                session = await tx.session(each)
                assert await session.fetch_value("SELECT count(*) AS n FROM accounts") == 2


async def test_an_error_that_was_caught_on_postgresql_undoes_both(pair: Pair) -> None:
    async with pair.coordinator() as two_phase:
        with pytest.raises(SqlError) as caught:
            async with two_phase.transaction() as tx:
                shop = await tx.session(SHOP)
                await (await tx.session(BANK)).execute(TAKE, (-1, 1))
                with pytest.raises(SqlIntegrityError):
                    await shop.execute("INSERT INTO accounts VALUES (1, 0)")
        assert caught.value.sqlstate == "25P02"
        await pair.settled()
        assert pair.amounts() == (STOCK, STOCK)


async def test_savepoints_and_many_rows_are_as_in_any_transaction(pair: Pair) -> None:
    async with pair.coordinator() as two_phase:
        async with two_phase.transaction() as tx:
            for each in (SHOP, BANK):
                session = await tx.session(each)
                await session.execute_many("INSERT INTO accounts VALUES (?, ?)", [(3, 30), (4, 40)])
                with pytest.raises(SqlIntegrityError):
                    async with session.transaction() as inner:
                        await inner.execute("UPDATE accounts SET amount = 0")
                        await inner.execute("INSERT INTO accounts VALUES (1, 0)")
                assert [
                    row["amount"] async for row in session.stream("SELECT amount FROM accounts")
                ]
        assert (pair.amounts(1), pair.amounts(4)) == ((STOCK, STOCK), (40, 40))
        await transfer(two_phase, 5, 4)
        assert pair.amounts(4) == (35, 45)


@pytest.mark.parametrize("database", [SHOP, BANK], ids=["shop", "bank"])
async def test_one_database_is_committed_in_one_phase(pair: Pair, database: Any) -> None:
    async with pair.coordinator() as two_phase:
        async with two_phase.transaction() as tx:
            await (await tx.session(database)).execute(TAKE, (1, 1))
        assert sum(pair.amounts()) == 2 * STOCK - 1
        with pytest.raises(ZeroDivisionError):
            async with two_phase.transaction() as tx:
                await (await tx.session(database)).execute(TAKE, (1, 1))
                raise ZeroDivisionError
        assert sum(pair.amounts()) == 2 * STOCK - 1
        assert (two_phase.counts.committed, two_phase.counts.one_phase) == (0, 1)


@pytest.mark.parametrize("readers", [[SHOP], [BANK], [SHOP, BANK]], ids=["shop", "bank", "both"])
async def test_what_only_reads_needs_no_second_phase(pair: Pair, readers: list[Any]) -> None:
    async with pair.coordinator() as two_phase:
        size = two_phase.log.size
        async with two_phase.transaction() as tx:
            for each in (SHOP, BANK):
                session = await tx.session(each, read_only=each in readers)
                assert (
                    await session.fetch_value("SELECT amount FROM accounts WHERE id = 1") == STOCK
                )
                if each not in readers:
                    await session.execute(TAKE, (1, 1))
                else:
                    with pytest.raises(SqlError):
                        async with session.transaction() as inner:
                            await inner.execute(TAKE, (1, 1))
        assert sum(pair.amounts()) == 2 * STOCK - (2 - len(readers))
        assert two_phase.counts.one_phase == 1
        assert two_phase.log.size == size


async def test_a_session_is_the_same_for_the_whole_block(pair: Pair) -> None:
    async with pair.coordinator() as two_phase:
        async with two_phase.transaction() as tx:
            shop = await tx.session(SHOP, isolation="serializable")
            assert await tx.session(SHOP, isolation="serializable") is shop
            with pytest.raises(SqlError, match="was begun with read_only=False") as caught:
                await tx.session(SHOP)
            assert caught.value.sqlstate == "25001"
            level = await shop.fetch_value("SELECT current_setting('transaction_isolation') AS l")
            assert level == "serializable"
            with pytest.raises(
                LookupError, match=r"these do: sql\.database/shop, sql\.database/bank"
            ):
                await tx.session(SQL)
            with pytest.raises(SqlError, match="is not an isolation level"):
                await tx.session(BANK, isolation="none")
        with pytest.raises(SqlError, match="has ended"):
            await tx.session(SHOP)
        with pytest.raises(SqlError):
            await shop.fetch_value("SELECT 1")


async def test_what_conflicted_is_done_again(pair: Pair) -> None:
    async with pair.coordinator() as two_phase:
        tried = 0

        async def work(tx: TwoPhaseTransaction) -> int:
            nonlocal tried
            tried += 1
            for each in (SHOP, BANK):
                await (await tx.session(each)).execute(TAKE, (1, 1))
            if tried < 3:
                raise SqlConflictError("another was in the way", sqlstate="40001")
            return tried

        assert await run_again(two_phase.transaction, work) == 3
    assert pair.amounts() == (STOCK - 1, STOCK - 1)


async def test_it_belongs_to_the_task_that_began_it(pair: Pair) -> None:
    async with pair.coordinator() as two_phase:
        async with two_phase.transaction() as tx:

            async def another() -> None:
                with pytest.raises(SqlError, match="belongs to the task"):
                    await tx.session(SHOP)

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(another)


async def test_many_at_once_share_the_log(pair: Pair) -> None:
    async with pair.coordinator() as two_phase:

        async def some(account: int) -> None:
            for _ in range(5):
                await transfer(two_phase, 1, account)

        async with anyio.create_task_group() as tasks:
            for account in (1, 2):
                tasks.start_soon(some, account)
        assert pair.amounts(1) == pair.amounts(2) == (STOCK - 5, STOCK + 5)
        assert two_phase.counts.committed == 10


async def test_a_deadlock_on_mariadb_that_was_caught_is_not_committed(pair: Pair) -> None:
    """The server goes on as if the branch was open, though it has undone it."""
    async with pair.coordinator() as two_phase:
        met = anyio.Event()
        outcomes: list[str] = []

        async def one(first: int, second: int) -> None:
            try:
                async with two_phase.transaction() as tx:
                    bank = await tx.session(BANK)
                    await (await tx.session(SHOP)).execute(TAKE, (1, first))
                    await bank.execute(TAKE, (-1, first))
                    if met.is_set():
                        second_has_it.set()
                    met.set()
                    await second_has_it.wait()
                    try:
                        await bank.execute(TAKE, (-1, second))
                    except SqlError as error:
                        assert error.sqlstate == "40001"
            except SqlError as error:
                outcomes.append(error.sqlstate)
            else:
                outcomes.append("committed")

        second_has_it = anyio.Event()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(one, 1, 2)
            await met.wait()
            tasks.start_soon(one, 2, 1)
        assert sorted(outcomes) == ["25P02", "committed"]
        await pair.settled()
        shop = [pair.amounts(account)[0] for account in (1, 2)]
        bank = [pair.amounts(account)[1] for account in (1, 2)]
        assert sum(shop) == 2 * STOCK - 1
        assert sum(bank) == 2 * STOCK + 2
