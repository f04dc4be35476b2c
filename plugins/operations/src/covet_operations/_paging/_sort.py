"""The order of a list, as a caller asks for it: ``-price,title``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import PydanticCustomError, core_schema

# Plain or qualified, each part quoted or not: nothing that could end it.
_COLUMN = re.compile(r'(?:\w+|"[^"\x00]+"|`[^`\x00]+`)(?:\.(?:\w+|"[^"\x00]+"|`[^`\x00]+`))*\Z')
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


class Sort(str):
    """Names separated by commas, the first one first; a dash before a name means descending."""

    __slots__ = ()

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        return core_schema.no_info_after_validator_function(
            cls, core_schema.str_schema(), serialization=core_schema.to_string_ser_schema()
        )

    @property
    def keys(self) -> tuple[tuple[str, bool], ...]:
        """Each name, and whether it is descending."""
        return tuple((each.removeprefix("-"), each.startswith("-")) for each in self.split(","))


class SortBy:
    """``Annotated[Sort, SortBy("title", "price", key="id")]``: what a list may be sorted by.

    Args:
        names: Fields of the listed items, none of which may be ``None``.
        key: The field that is different for each item. Where nothing else decides it does, so that
            no item is ever skipped or repeated.
        columns: The SQL column of each name, if it is called otherwise: ``{"id": "books.id"}``.

    Raises:
        ValueError: A name or a column is none.
    """

    def __init__(self, *names: str, key: str, columns: Mapping[str, str] | None = None) -> None:
        self.names = names
        self.key = key
        self.columns = {name: (columns or {}).get(name, name) for name in (*names, key)}
        for name in (*self.columns, *(columns or {})):
            if not _NAME.match(name) or name not in self.columns:
                raise ValueError(f"{name!r} is no field to sort by")
        for column in self.columns.values():
            check_column(column)
        if not names:
            raise ValueError("there is nothing to sort by")

    def parse(self, text: str) -> Sort:
        """The order a text stands for.

        Raises:
            PydanticCustomError: It names something else, or something twice.
        """
        sort = Sort(text)
        seen = set()
        for name, _ in sort.keys:
            if name not in self.names:
                allowed = ", ".join(self.names)
                raise PydanticCustomError(
                    "sort_unknown", "Should be names among {allowed}, separated by commas, each"
                    " with '-' before it for descending order", {"allowed": allowed},
                )  # fmt: skip
            if name in seen:
                raise PydanticCustomError("sort_twice", "Should name {name} once", {"name": name})
            seen.add(name)
        return sort

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        longest = sum(len(name) + 2 for name in self.names)
        return core_schema.no_info_after_validator_function(
            self.parse,
            core_schema.str_schema(min_length=1, max_length=longest),
            serialization=core_schema.plain_serializer_function_ser_schema(
                str, return_schema=core_schema.str_schema()
            ),
        )

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        name = f"-?({'|'.join(self.names)})"
        return {
            "type": "string",
            "pattern": f"^{name}(,{name})*$",
            "description": "Names separated by commas; '-' before a name means descending order.",
        }


def check_column(column: str) -> None:
    """Refuse what is no name of a column.

    Raises:
        ValueError: It is none.
    """
    if not _COLUMN.match(column):
        raise ValueError(f"{column!r} is no name of a column")
