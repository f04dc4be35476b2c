"""What is in doubt is ended as was decided, when that can be done, and not by anybody else's."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import psycopg
import pytest
from services import mariadb, postgres
from services.pair import BANK, SHOP, STOCK, TAKE, Pair, transfer
from services.process import ServerProcess

from covet_kernel.contracts import SqlError, SqlUnavailableError
from covet_sql.cache import cached
from covet_twophase import TWO_PHASE, HeuristicError, InDoubtError, TwoPhasePlugin, _file

pytestmark = pytest.mark.once

FOREIGN = f"covet-{'f' * 16}-{'e' * 16}-1"


@pytest.fixture(scope="module")
def own_servers() -> Iterator[dict[str, Any]]:
    """Servers that may be stopped, and that keep what they have promised."""
    with (
        postgres.own_server(("max_prepared_transactions", "16")) as shop,
        mariadb.own_server(("innodb-flush-log-at-trx-commit", "1")) as bank,
    ):
        mariadb.run(bank.url, "CREATE DATABASE bank")
        Pair(Path(), shop.url, mariadb.with_database(bank.url, "bank")).fill()
        yield {"shop": shop, "bank": bank}


@pytest.fixture
def places(own_servers: dict[str, ServerProcess], tmp_path: Path) -> Iterator[Pair]:
    """Databases of theirs."""
    shop: Any = own_servers["shop"]
    bank: Any = own_servers["bank"]
    pair = Pair(tmp_path, shop.url, mariadb.with_database(bank.url, "bank"))
    pair.refill()
    yield pair
    pair.clear()


@pytest.mark.parametrize(
    ("down", "at"), [("bank", "all prepared"), ("shop", "decided"), ("bank", "decided")]
)
async def test_a_server_that_is_killed_behind_its_promise_gets_its_commit(
    places: Pair, own_servers: dict[str, ServerProcess], down: str, at: str
) -> None:
    server = own_servers[down]

    def reached(point: str) -> None:
        if point == at:
            server.stop(server.at_once)

    async with places.coordinator(reached, stuck_after=0.001) as two_phase:
        try:
            tx = await transfer(two_phase)
            assert tx.pending == {down}
            assert list(two_phase.recovery.doubts) == [(tx.id, down)]
            assert two_phase.log.decisions == {tx.id: {down}}
            await anyio.sleep(0.002)
            assert two_phase.recovery.stuck()[0].startswith(f"transaction {tx.id} on {down}: ")
        finally:
            server.start()
        await places.resolved(two_phase)
        assert two_phase.log.decisions == {}
        assert two_phase.recovery.stuck() == []
        assert two_phase.counts.recovered == {"commit": 1}
        assert places.amounts() == (STOCK - 1, STOCK + 1)


async def test_a_server_that_is_killed_before_the_decision_is_rolled_back(
    places: Pair, own_servers: dict[str, ServerProcess]
) -> None:
    server = own_servers["shop"]

    def reached(point: str) -> None:
        if point == "all prepared":
            server.stop(server.at_once)
            raise ZeroDivisionError

    async with places.coordinator(reached) as two_phase:
        try:
            with pytest.raises(ZeroDivisionError):
                await transfer(two_phase)
        finally:
            server.start()
        await places.resolved(two_phase)
        assert two_phase.counts.recovered == {"roll back": 1}
        assert places.amounts() == (STOCK, STOCK)
        two_phase.reached = lambda point: None
        await transfer(two_phase)


async def test_a_server_that_is_killed_while_it_is_to_promise_undoes_the_other(
    places: Pair, own_servers: dict[str, ServerProcess]
) -> None:
    server = own_servers["bank"]

    async with places.coordinator() as two_phase:
        with pytest.raises(SqlUnavailableError):
            async with two_phase.transaction() as tx:
                await (await tx.session(SHOP)).execute(TAKE, (1, 1))
                await (await tx.session(BANK)).execute(TAKE, (-1, 1))
                server.stop(server.at_once)
        server.start()
        await places.resolved(two_phase)
        assert places.amounts() == (STOCK, STOCK)


async def test_what_others_have_prepared_is_not_touched(pair: Pair) -> None:
    names = [FOREIGN, "anything", f"covet-{'f' * 16}"]
    with psycopg.connect(pair.shop, autocommit=True) as client:
        for name in names:
            client.execute(f"BEGIN; PREPARE TRANSACTION '{name}'".encode())
    for text in (*(f"'{name}'" for name in names), "X'ff00',X'fe',7"):
        mariadb.run(
            pair.bank, f"XA START {text}", f"INSERT INTO accounts VALUES ({len(text)}, 0)",
            f"XA END {text}", f"XA PREPARE {text}",
        )  # fmt: skip
    try:
        async with pair.coordinator() as two_phase:
            await transfer(two_phase)
            for name in ("shop", "bank"):
                assert await two_phase.recovery.resolve(name)
            assert two_phase.recovery.foreign == {"shop": 1, "bank": 1}
            assert two_phase.recovery.doubts == {}
        with psycopg.connect(pair.shop) as client:
            rows = client.execute(b"SELECT gid FROM pg_prepared_xacts").fetchall()
        assert sorted(row[0] for row in rows) == sorted(names)
        assert len(mariadb.run(pair.bank, "XA RECOVER")) == len(names) + 1
    finally:
        mariadb.run(pair.bank, "XA ROLLBACK X'ff00',X'fe',7")


async def test_a_part_that_somebody_else_has_ended_is_told(pair: Pair) -> None:
    def reached(point: str) -> None:
        if point == "decided":
            (name, *_) = pair.prepared()
            with psycopg.connect(pair.shop, autocommit=True) as client:
                client.execute(f"ROLLBACK PREPARED '{name}'".encode())

    async with pair.coordinator(reached) as two_phase:
        with pytest.raises(HeuristicError, match="perhaps by rolling it back") as caught:
            await transfer(two_phase)
        assert caught.value.databases == ("shop",)
        assert two_phase.counts.heuristic == 1
        assert two_phase.log.decisions == {}
        assert pair.amounts() == (STOCK, STOCK + 1)


async def test_a_full_disk_rolls_back_what_could_not_be_decided(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = _file._write

    def full(descriptor: int, data: bytes) -> None:
        write(descriptor, data[:10])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    async with pair.coordinator() as two_phase:
        monkeypatch.setattr(_file, "_write", full)
        with pytest.raises(SqlUnavailableError, match="No space left") as caught:
            await transfer(two_phase)
        assert caught.value.sqlstate == "58030"
        monkeypatch.undo()
        await pair.resolved(two_phase)
        assert pair.amounts() == (STOCK, STOCK)
        await transfer(two_phase)
    assert pair.amounts() == (STOCK - 1, STOCK + 1)


async def test_what_the_disk_may_have_is_left_prepared_until_that_is_known(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(descriptor: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    async with pair.coordinator() as two_phase:
        monkeypatch.setattr(_file.os, "fsync", broken)
        with pytest.raises(InDoubtError):
            await transfer(two_phase)
        with pytest.raises(SqlUnavailableError, match="nothing was committed"):
            await transfer(two_phase, account=2)
        for name in ("shop", "bank"):
            await two_phase.recovery.resolve(name)
        await two_phase.recovery.mend()
        doubtful = {
            name
            for name in pair.prepared()
            if name[:-2].endswith(next(iter(two_phase.log.doubtful)))
        }
        assert len(doubtful) == 2
        monkeypatch.undo()
        await two_phase.recovery.mend()
        await pair.resolved(two_phase)
        assert pair.amounts() == (STOCK, STOCK)
        await transfer(two_phase)


async def test_a_process_takes_over_what_another_has_left(pair: Pair) -> None:
    async with pair.coordinator() as first:
        async with pair.coordinator() as second:
            assert first.log.coordinator != second.log.coordinator
            await transfer(first)
            await transfer(second)
            # As if the second had been killed between the phases.
            second.recovery.active.add("d" * 16)
            branch = f"covet-{second.log.coordinator}-{'d' * 16}-1"
            with psycopg.connect(pair.shop, autocommit=True) as client:
                client.execute(
                    b"BEGIN; UPDATE accounts SET amount = 0 WHERE id = 2;"
                    + f"PREPARE TRANSACTION '{branch}'".encode()
                )
            await second.log.decide("d" * 16, ["shop"])
            await first.recovery.resolve("shop")
            assert pair.prepared() == [branch]
        await first.recovery.mend()
        await pair.resolved(first)
        assert pair.amounts(2)[0] == 0
        assert first.counts.recovered == {"commit": 1}


class Refusing:
    """A database whose branch cannot be ended."""

    def __init__(self, branch: str, error: SqlError) -> None:
        self.branch = branch
        self.error = error

    async def prepared(self) -> list[Any]:
        from covet_sql.driver import PreparedBranch

        return [PreparedBranch(self.branch, None)]

    async def end_prepared(self, branch: str, *, commit: bool) -> bool:
        raise self.error


@pytest.mark.parametrize(
    ("state", "left", "heuristic"), [("42501", True, 0), ("08006", True, 0), ("XA100", False, 1)]
)
async def test_what_cannot_be_ended_is_tried_again(
    pair: Pair, state: str, left: bool, heuristic: int
) -> None:
    kind = SqlUnavailableError if state == "08006" else SqlError
    async with pair.coordinator(interval=60.0) as two_phase:
        recovery = two_phase.recovery
        await two_phase.log.decide("d" * 16, ["shop"])
        branch = f"covet-{two_phase.log.coordinator}-{'d' * 16}-1"
        recovery._databases = {"shop": Refusing(branch, kind("no", sqlstate=state))}
        assert await recovery.resolve("shop") is not left
        assert two_phase.counts.heuristic == heuristic
        assert bool(two_phase.log.decisions) == left


async def test_results_that_are_kept_go_with_what_is_committed_later(pair: Pair) -> None:
    read = "SELECT amount FROM accounts WHERE id = 1"

    def reached(point: str) -> None:
        if point == "decided":
            mariadb.kill_all(pair.bank)

    async with pair.kernel(interval=60.0) as kernel:
        two_phase: Any = kernel.require(TWO_PHASE)
        kept = cached(kernel.require(BANK), seconds=600)
        handed_over: list[Any] = []
        hand_over = two_phase.recovery.hand_over
        two_phase.reached = reached
        two_phase.recovery.hand_over = lambda *given: handed_over.append(given)
        tx = await transfer(two_phase)
        assert tx.pending == {"bank"}
        assert await kept.fetch_value(read) == STOCK
        hand_over(*handed_over[0])
        await pair.resolved(two_phase)
        assert await kept.fetch_value(read) == STOCK + 1


async def test_what_is_seen_of_it(pair: Pair) -> None:
    async with pair.kernel() as kernel:
        two_phase: Any = kernel.require(TWO_PHASE)
        await transfer(two_phase)
        metrics = {
            each.name: dict(each.read())
            for _, each in kernel.assembly.declared("covet_metrics")
            if each.name.startswith("twophase.")
        }
        assert metrics["twophase.transactions"][("committed",)] == 1
        assert metrics["twophase.in_doubt"] == {("shop",): 0, ("bank",): 0}
        (check,) = [
            each
            for _, each in kernel.assembly.declared("covet_health_checks")
            if each.name == "twophase.in_doubt"
        ]
        await check.check()
        two_phase.recovery.hand_over("d" * 16, "shop", "commit", "no answer")
        two_phase.recovery.doubts["d" * 16, "shop"].since = 0.0
        with pytest.raises(RuntimeError, match="no answer"):
            await check.check()
        two_phase.log._failure = OSError(errno.EIO, "broken")
        with pytest.raises(RuntimeError, match="cannot be written"):
            await check.check()
        two_phase.log._failure = None


def test_a_plugin_that_is_named_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="named twice"):
        TwoPhasePlugin.config_type(databases=("a", "a"))
