"""The results of one database's queries: bounded, and dropped when what they were read from changes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable, Iterable
from time import monotonic
from typing import TYPE_CHECKING, Any

import anyio

from covet_kernel.contracts import SqlError
from covet_sql.cache._catalogue import Catalogue, read_catalogue
from covet_sql.cache._key import copied, weigh
from covet_sql.cache._tables import ANY, Touched, touched

if TYPE_CHECKING:
    from covet_kernel.contracts import SqlDatabase

SCHEMA_AGE = 60.0
"""Seconds after which the schema is read anew, for what other processes have made of it."""
TEXTS = 2000
ROOM = 1 << 22
LONG = 100_000
"""Texts whose tables are remembered, their characters together, and those of one."""
SHARE = 8
"""A result that takes more than one part in so many of the room is not kept."""
TRIES = 3
"""How often the schema is read when it changes meanwhile."""


class Entry:
    """A result that is kept.

    Attributes:
        result: As the driver gave it.
        size: Bytes, about.
        tables: What it depends on.
        since: When it was asked for, by the monotonic clock.
    """

    __slots__ = ("result", "since", "size", "tables")

    def __init__(self, result: Any, size: int, tables: frozenset[str], since: float) -> None:
        self.result = result
        self.size = size
        self.tables = tables
        self.since = since


class Flight:
    """A query that is under way, for everybody who asks for the same meanwhile.

    Attributes:
        landed: Is set when it is over.
        result: What it gave, if it has.
        error: What the database refused it with.
        stale: Something was written meanwhile, so that what it reads may be old.
        arrived: Whether it has given a result; else its leader was cancelled, or worse.
    """

    __slots__ = ("arrived", "error", "landed", "result", "since", "stale", "tables")

    def __init__(self, tables: frozenset[str]) -> None:
        self.landed = anyio.Event()
        self.result: Any = None
        self.arrived = False
        self.error: SqlError | None = None
        self.stale = False
        self.tables = tables
        self.since = monotonic()


class QueryCache:
    """Results of queries, the least recently used of which leave first.

    Nothing in it suspends but `fetch`. A result is kept only if nothing that it depends on was
    written between the moment it was asked for and the moment it arrived, and is dropped by the
    next write. So whoever asks after a write has ended never gets what was there before it.

    Args:
        database: The driver's own, which is asked for the schema.
        entries: How many results are kept.
        size: How many bytes they may take, about.

    Attributes:
        size: The bytes that those kept take, about.
        hits: Queries answered from it.
        joined: Queries that waited for the same one that was under way.
        misses: Queries that ran.
        bypassed: Queries that ran because their caller has to see what it has written.
        invalidated: Results dropped by a write.
        evicted: Results dropped to make room.
        on_write: Is told of the tables that this process has written to, to tell others.
    """

    def __init__(
        self, database: SqlDatabase, *, entries: int = 10_000, size: int = 64 << 20
    ) -> None:
        self._database = database
        self._most = entries
        self._room = size
        self._entries: OrderedDict[Hashable, Entry] = OrderedDict()
        self._keys: dict[str, set[Hashable]] = {}
        self._flights: dict[Hashable, Flight] = {}
        self._under_way: set[Flight] = set()
        self._touched: dict[str, Touched] = {}
        self._texts = 0
        self._catalogue: Catalogue | None = None
        self._catalogue_until = 0.0
        self._schema = 0
        self._reading = anyio.Lock()
        self.size = 0
        self.hits = self.joined = self.misses = self.bypassed = 0
        self.invalidated = self.evicted = 0
        self.on_write: Callable[[frozenset[str]], None] | None = None

    def __len__(self) -> int:
        return len(self._entries)

    def touched_by(self, text: str) -> Touched:
        """The tables of a statement, found out once for each text."""
        found = self._touched.get(text)
        if found is None:
            found = touched(text, self._database.dialect)
            self._texts += len(text)
            if self._texts > ROOM or len(self._touched) >= TEXTS:
                self._touched.clear()
                self._texts = len(text)
            if len(text) <= LONG:
                self._touched[text] = found
        return found

    def written_by(self, text: str) -> frozenset[str]:
        """The tables that a statement writes."""
        return self.touched_by(text).writes

    # Reading

    async def fetch(
        self, key: Hashable, text: str, seconds: float, run: Callable[[], Awaitable[Any]]
    ) -> Any:
        """A result, from here or by running the query, once for all who ask at the same time.

        Args:
            key: What tells it from all others.
            text: The query.
            seconds: How old a result may be.
            run: Runs it.

        Raises:
            SqlError: The database refuses, or the statement is none whose result can be kept.
        """
        catalogue: Catalogue | None = None
        while True:
            now = monotonic()
            entry = self._entries.get(key)
            if entry is not None and now - entry.since < seconds:
                self._entries.move_to_end(key)
                self.hits += 1
                return copied(entry.result)
            flight = self._flights.get(key)
            if flight is None or now - flight.since >= seconds:
                catalogue = self._known_schema(now) or catalogue
                if catalogue is not None:
                    return await self._lead(key, text, catalogue, run)
                catalogue = await self._schema_now()
                continue  # somebody else may have asked meanwhile, and even been answered
            await flight.landed.wait()
            if flight.arrived:
                self.joined += 1
                return copied(flight.result)
            if (error := flight.error) is not None:
                self.joined += 1
                raise type(error)(str(error), sqlstate=error.sqlstate) from error
            # Its leader was cancelled: one of those who waited leads the next.
            catalogue = None

    async def _lead(
        self, key: Hashable, text: str, catalogue: Catalogue, run: Callable[[], Awaitable[Any]]
    ) -> Any:
        flight = self._flights[key] = Flight(catalogue.read_from(self.touched_by(text).reads))
        self._under_way.add(flight)
        self.misses += 1
        try:
            flight.result = await run()
            flight.arrived = True
        except SqlError as error:
            flight.error = error
            raise
        finally:
            self._under_way.discard(flight)
            if self._flights.get(key) is flight:
                del self._flights[key]
            flight.landed.set()
        if not flight.stale:
            self._keep(key, flight)
        return copied(flight.result)

    def _keep(self, key: Hashable, flight: Flight) -> None:
        size = weigh(flight.result) + weigh(key)
        if size > self._room // SHARE:
            return
        self._drop(key)
        self._entries[key] = Entry(flight.result, size, flight.tables, flight.since)
        self.size += size
        for table in flight.tables:
            self._keys.setdefault(table, set()).add(key)
        while len(self._entries) > self._most or self.size > self._room:
            self._drop(next(iter(self._entries)))
            self.evicted += 1

    def _drop(self, key: Hashable) -> None:
        entry = self._entries.pop(key, None)
        if entry is None:
            return
        self.size -= entry.size
        for table in entry.tables:
            keys = self._keys[table]
            keys.discard(key)
            if not keys:
                del self._keys[table]

    def _known_schema(self, now: float) -> Catalogue | None:
        return self._catalogue if now < self._catalogue_until else None

    async def _schema_now(self) -> Catalogue:
        async with self._reading:
            for _ in range(TRIES):
                begun, before = monotonic(), self._schema
                if (known := self._known_schema(begun)) is not None:
                    return known
                found = await read_catalogue(self._database)
                if before == self._schema:
                    self._catalogue, self._catalogue_until = found, begun + SCHEMA_AGE
                    return found
        # It changes all the time: a result then depends on everything.
        return Catalogue()

    # Writing

    def invalidate(self, tables: Iterable[str]) -> None:
        """Drop what depends on tables that were written to, and on those they reach.

        Args:
            tables: Their names without a schema, or `ANY`.
        """
        written = frozenset(table.lower() for table in tables)
        if self.on_write is not None:
            self.on_write(written)
        self.drop(written)

    def drop(self, tables: Iterable[str]) -> None:
        """The same for what another process has written, which others know already."""
        written = frozenset(table.lower() for table in tables)
        if ANY in written:
            self.clear()
            return
        catalogue = self._catalogue
        changed = frozenset([ANY]) if catalogue is None else catalogue.changed_with(written)
        if ANY in changed:
            self._drop_all()
            return
        for flight in self._under_way:
            flight.stale = flight.stale or ANY in flight.tables or bool(changed & flight.tables)
        self._flights = {key: each for key, each in self._flights.items() if not each.stale}
        for table in (*changed, ANY):
            for key in tuple(self._keys.get(table, ())):
                self._drop(key)
                self.invalidated += 1

    def clear(self) -> None:
        """Drop everything, what is known of the schema too."""
        self._catalogue = None
        self._schema += 1
        self._drop_all()

    def _drop_all(self) -> None:
        for flight in self._under_way:
            flight.stale = True
        self._flights.clear()
        self.invalidated += len(self._entries)
        self._entries.clear()
        self._keys.clear()
        self.size = 0
