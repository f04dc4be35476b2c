"""Types that a database has of its own: enums, composites, domains, ranges, and arrays of them."""

from __future__ import annotations

import re
from collections import namedtuple
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import psycopg
from psycopg.adapt import AdaptersMap
from psycopg.postgres import types as builtin
from psycopg.pq import Format
from psycopg.types import TypeInfo
from psycopg.types.composite import CompositeInfo, register_composite
from psycopg.types.multirange import MultirangeInfo
from psycopg.types.range import RangeInfo, register_range

from covet_kernel.contracts import Row

USERS = 16384
"""The first number of a type that did not come with the server."""

CATALOG = b"""
SELECT t.oid, CAST(t.typname AS text) AS name, CAST(t.typtype AS text) AS kind, t.typarray AS array,
  t.typbasetype AS base, r.rngsubtype AS subtype, CAST(t.typdelim AS text) AS delimiter,
  (SELECT array_agg(CAST(a.attname AS text) ORDER BY a.attnum) FROM pg_catalog.pg_attribute a
    WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped) AS names,
  (SELECT array_agg(a.atttypid ORDER BY a.attnum) FROM pg_catalog.pg_attribute a
    WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped) AS types
FROM pg_catalog.pg_type t LEFT JOIN pg_catalog.pg_range r ON r.rngtypid = t.oid
WHERE t.oid = ANY (CAST($1 AS oid[])) OR (t.typarray <> 0 AND t.typarray = ANY (CAST($1 AS oid[])))
"""

Ask = Callable[[bytes, list[bytes]], Awaitable[list[Row]]]
"""Runs a text with values and gives its rows."""


class Types:
    """What is known of types: the server's own, and those of one database that were met.

    Attributes:
        arrays: The types of arrays' elements.
        ranges: The types of ranges' bounds.
        multiranges: The types of the bounds of their ranges.
        composites: The types of composites' fields.
        bases: What domains are made of.
        adapters: Reads values of all of them.
    """

    def __init__(self) -> None:
        self.arrays = {info.array_oid: info.oid for info in builtin if info.array_oid}
        self.ranges: dict[int, int] = {}
        self.multiranges: dict[int, int] = {}
        for info in builtin:
            if isinstance(info, RangeInfo):
                self.ranges[info.oid] = info.subtype_oid
            elif isinstance(info, MultirangeInfo):
                self.multiranges[info.oid] = info.subtype_oid
        self.composites: dict[int, tuple[int, ...]] = {}
        self.bases: dict[int, int] = {}
        self.adapters = AdaptersMap(psycopg.adapters)
        self._known: set[int] = set()

    def unknown(self, oids: Iterable[int]) -> list[int]:
        """Those that have to be asked for."""
        return [oid for oid in oids if oid >= USERS and oid not in self._known]

    def base(self, oid: int) -> int:
        """What a domain is made of; any other type is itself."""
        while oid in self.bases:
            oid = self.bases[oid]
        return oid

    async def learn(self, oids: Iterable[int], ask: Ask) -> None:
        """Find out what the types are, and those that they are made of.

        Raises:
            SqlError: The server does not say.
        """
        wanted = set(self.unknown(oids))
        found: list[Row] = []
        asked = set(wanted)
        while wanted:
            rows = await ask(CATALOG, [b"{" + ",".join(map(str, wanted)).encode() + b"}"])
            found += rows
            parts = {
                part
                for row in rows
                for part in (row["base"], row["subtype"], *(row["types"] or ()))
            }
            wanted = set(self.unknown(part for part in parts if part)) - asked
            asked |= wanted
        # Domains are read as what they are made of, so that has to be there before them.
        domains = {row["oid"]: row["base"] for row in found if row["kind"] == "d"}
        self.bases.update(domains)
        for row in sorted(found, key=lambda row: row["oid"] in domains):
            self._register(row)
            asked |= {row["oid"], row["array"]}
        self._known |= asked

    def _register(self, row: Row) -> None:
        oid, array, kind = row["oid"], row["array"], row["kind"]
        # A name of its own, or a type called as one of the server's would take that one's place.
        name = f"type_{oid}"
        if array:
            self.arrays[array] = oid
        if kind == "c":
            fields = tuple(row["types"] or ())
            self.composites[oid] = fields
            names = tuple(row["names"] or ())
            info = CompositeInfo(name, oid, array, field_names=names, field_types=fields)
            register_composite(info, self.adapters, _named(row["name"], names))
        elif kind == "r":
            self.ranges[oid] = row["subtype"]
            register_range(RangeInfo(name, oid, array, subtype_oid=row["subtype"]), self.adapters)
        else:
            TypeInfo(name, oid, array, delimiter=row["delimiter"]).register(self.adapters)
            if kind == "d" and (loader := self.adapters.get_loader(self.base(oid), Format.TEXT)):
                self.adapters.register_loader(oid, loader)


def _named(name: str, fields: tuple[str, ...]) -> Callable[..., Any]:
    """A tuple whose fields have names, as far as Python can have them."""
    word = re.sub(r"\W", "_", name)
    kind = word if word.isidentifier() else f"type_{word}"
    return namedtuple(kind, fields, rename=True)  # noqa: PYI024


BUILTIN = Types()
"""What is known without having asked a database."""
