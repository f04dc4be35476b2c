"""Reads and writes in every order: what was written before somebody asked is always seen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from covet_kernel.contracts import SqlError
from covet_sql.cache import QueryCache
from covet_sql.cache._catalogue import Catalogue

TABLES = ("a", "b")
TEXTS = {"a": "SELECT v FROM a", "b": "SELECT v FROM b", "ab": "SELECT v FROM a, b"}


async def settle() -> None:
    """Let everybody go as far as they can; anyio's own way polls, ten times a second."""
    for _ in range(15):
        await anyio.lowlevel.checkpoint()


class Script:
    """A database whose queries take a look, and arrive, when they are told to."""

    dialect = "sqlite"

    def __init__(self) -> None:
        self.cache = QueryCache(self)  # type: ignore[arg-type]
        self.cache._catalogue = Catalogue(frozenset(TABLES))
        self.cache._catalogue_until = float("inf")
        self.versions = dict.fromkeys(TABLES, 0)
        self.ended = dict.fromkeys(TABLES, 0)
        self.under_way: list[tuple[anyio.Event, anyio.Event]] = []
        self.writing: list[tuple[str, int]] = []
        self.asking: list[anyio.CancelScope] = []
        self.leading: list[anyio.CancelScope] = []
        self.fail = False
        self.answered = 0

    async def run(self, tables: str, scope: anyio.CancelScope) -> dict[str, int]:
        self.leading.append(scope)
        looks, arrives = anyio.Event(), anyio.Event()
        self.under_way.append((looks, arrives))
        await looks.wait()
        seen = {table: self.versions[table] for table in tables}
        await arrives.wait()
        if self.fail:
            raise SqlError("refused")
        return seen

    async def ask(self, tables: str) -> None:
        floor = {table: self.ended[table] for table in tables}
        with anyio.CancelScope() as scope:
            self.asking.append(scope)
            try:
                found = await self.cache.fetch(
                    tables, TEXTS[tables], 1e9, lambda: self.run(tables, scope)
                )
            except SqlError:
                assert self.fail
            else:
                assert all(floor[table] <= found[table] for table in tables), (floor, found)
                assert all(found[table] <= self.versions[table] for table in tables)
            self.answered += 1

    def step(self, what: str, number: int, start: Callable[..., None]) -> None:
        if what == "ask":
            start(self.ask, sorted(TEXTS)[number % 3])
        elif what == "write":
            table = TABLES[number % 2]
            self.versions[table] += 1
            self.writing.append((table, self.versions[table]))
        elif what == "end" and self.writing:
            table, version = self.writing.pop(number % len(self.writing))
            self.cache.invalidate([table])
            self.ended[table] = max(self.ended[table], version)
        elif what == "cancel" and self.asking:
            self.asking.pop(number % len(self.asking)).cancel()
        elif what in ("look", "arrive") and self.under_way:
            looks, arrives = self.under_way[number % len(self.under_way)]
            (looks if what == "look" else arrives).set()

    async def finish(self) -> None:
        """Let everything arrive."""
        while self.under_way:
            for looks, arrives in self.under_way:
                looks.set()
                arrives.set()
            self.under_way.clear()
            await settle()


STEPS = st.tuples(
    st.sampled_from(["ask", "ask", "ask", "look", "arrive", "write", "end", "cancel"]),
    st.integers(0, 7),
)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_in_any_order(backend: str) -> None:
    @settings(max_examples=100, deadline=None)
    @given(st.lists(STEPS, max_size=40), st.booleans())
    def run(steps: list[tuple[str, int]], fail: bool) -> None:
        async def main() -> None:
            script = Script()
            script.fail = fail
            async with anyio.create_task_group() as tasks:
                for what, number in steps:
                    script.step(what, number, tasks.start_soon)
                    await settle()
                await script.finish()
            assert not script.cache._flights
            assert not script.cache._under_way
            assert script.cache.size >= 0
            kept = script.cache._entries
            assert script.cache.size == sum(entry.size for entry in kept.values())
            assert set().union(*script.cache._keys.values()) == set(kept)

        anyio.run(main, backend=backend)

    run()


async def test_followers_outlive_their_leader() -> None:
    script = Script()
    async with anyio.create_task_group() as tasks:
        for _ in range(5):
            tasks.start_soon(script.ask, "a")
        await settle()
        assert len(script.under_way) == 1
        for leader in (1, 2):
            script.leading[-1].cancel()
            await settle()
            assert len(script.under_way) == leader + 1  # one of those who waited leads the next
        await script.finish()
    assert script.answered == 3
    assert (script.cache.misses, script.cache.joined) == (3, 2)


async def test_who_asks_after_a_write_does_not_join_who_asked_before() -> None:
    script = Script()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(script.ask, "a")
        await settle()
        script.step("look", 0, tasks.start_soon)
        await settle()
        script.step("write", 0, tasks.start_soon)
        script.step("end", 0, tasks.start_soon)
        tasks.start_soon(script.ask, "a")
        await settle()
        assert len(script.under_way) == 2
        await script.finish()
    assert len(script.cache) == 1
    assert script.cache._entries["a"].result == {"a": 1}


async def test_a_schema_that_changes_while_it_is_read_is_read_again() -> None:
    class Changing:
        dialect = "sqlite"
        cache: Any = None
        reads = 0

        async def fetch_all(self, sql: str) -> list[dict[str, Any]]:
            await anyio.lowlevel.checkpoint()
            if "pragma" not in sql:
                self.reads += 1
                if self.reads <= self.changes:
                    self.cache.clear()
                return [{"name": "a", "plain": 1, "opaque": 0}]
            return []

        def __init__(self, changes: int) -> None:
            self.changes = changes

    async def answer() -> int:
        return 1

    for changes, tables in ((2, {"a"}), (9, {"*"})):
        database: Any = Changing(changes)
        cache = database.cache = QueryCache(database)
        assert await cache.fetch("a", TEXTS["a"], 60, answer) == 1
        assert cache._entries["a"].tables == tables
