"""Workers that are killed, each at another of their steps; a process of its own.

A step is what is asked of the database, or what a step of the saga does. Prints how many there were,
if the saga was over in spite of it: all of its steps done in order, or all of them undone in reverse.
"""

from __future__ import annotations

import logging
import sys
from json import loads
from pathlib import Path
from typing import Any

import anyio
from services.crashes import Killer, Steps, kill_everywhere
from services.databases import PLUGINS

from covet_kernel.contracts import SQL
from covet_kernel.testing import run_kernel
from covet_sagas import RefusedError, Saga, Sagas, SagasConfig, Step
from covet_sagas._runner import Counts, Runner
from covet_sagas._store import Store
from covet_sagas._tables import make_ready
from covet_sql.queue import Doorbell


class Place:
    """Where all of it happens.

    Args:
        plugin: Who provides the database.
        table: Its configuration, as JSON.
        folder: For files.
        fails: ``"yes"`` if the last step refuses.
    """

    def __init__(self, plugin: str, table: str, folder: str, fails: str) -> None:
        self._classes = {plugin: PLUGINS[plugin]}
        self._tables = {plugin: loads(table)}
        self._folder = Path(folder)
        self._calls = self._folder / "calls"
        self._end = self._folder / "end"
        self._fails = fails == "yes"
        self._killer = Killer(0)
        one, two = Step("one", self.note("one"), undo=self.note("-one")), self.local()
        self._saga = Saga("s", list[str], one, two, Step("three", self.last, attempts=100))

    def note(self, name: str) -> Any:
        """A step that adds a line to a file."""

        async def run(attempt: Any) -> None:
            with self._calls.open("a") as file:
                file.write(f"{name} {attempt.key}\n")
            self._killer.step()

        return run

    def local(self) -> Step[list[str]]:
        """A step whose effect is in the database."""

        async def run(attempt: Any) -> None:
            await attempt.session.execute("INSERT INTO effects VALUES (1)")

        async def undo(attempt: Any) -> None:
            await attempt.session.execute("INSERT INTO effects VALUES (-1)")

        return Step("two", run, undo=undo, local=True, attempts=100)

    async def last(self, attempt: Any) -> None:
        if self._fails:
            raise RefusedError("no")
        await self.note("three")(attempt)

    async def work(self, number: int) -> None:
        """Work at the saga; killed at a step, if there is one of that number."""
        self._killer = Killer(number)
        async with run_kernel(self._classes, self._tables, directory=self._folder) as kernel:
            plain = kernel.require(SQL)
            sagas = Sagas(1000, Doorbell())
            if number:
                await make_ready(plain, make=True)
                for table in ("covet_sagas", "covet_saga_log"):
                    await plain.execute(f"DELETE FROM {table}")
                await plain.execute("DROP TABLE IF EXISTS effects")
                await plain.execute("CREATE TABLE effects (n INTEGER)")
                self._calls.write_text("")
                self._end.write_text(await sagas.start(plain, self._saga, []))
            # As if the lease of the one before were over.
            await plain.execute("UPDATE covet_sagas SET due = 0")
            store = Store(Steps(plain, self._killer), 30)  # type: ignore[arg-type]
            log = logging.getLogger("crashing")
            for held in await store.take(["s"], 1):
                runner = Runner(store, SagasConfig(), Counts(), log, self._saga, held)
                await runner.work(anyio.Event())
            if not number:
                status = await sagas.status(plain, self._end.read_text())
                assert status is not None
                rows = await plain.fetch_all("SELECT n FROM effects")
                effects = sorted(row["n"] for row in rows)
                assert status.state == ("undone" if self._fails else "done"), status
                assert effects == ([-1, 1] if self._fails else [1]), effects

    def check(self) -> None:
        """Each at least once, in order, and by one key."""
        lines = self._calls.read_text().splitlines()
        expected = ["one", "-one"] if self._fails else ["one", "three"]
        assert [line.split()[0] for line in dict.fromkeys(lines)] == expected, lines


place = Place(*sys.argv[1:])
print(kill_everywhere(place.work, place.check))
