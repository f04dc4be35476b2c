"""Conditions on the items of a list, declared as fields of a query."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, TypeAlias

from covet_operations._paging._sort import check_column

Operator: TypeAlias = Literal[
    "eq", "ne", "lt", "le", "gt", "ge", "in", "contains", "starts", "null"
]
"""How an item's value is compared with the given one."""

_SQL: Final[Mapping[str, str]] = {
    "eq": "=", "ne": "<>", "lt": "<", "le": "<=", "gt": ">", "ge": ">=",
}  # fmt: skip
_ESCAPE = "!"
_COMPARE: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "lt": operator.lt,
    "le": operator.le,
    "gt": operator.gt,
    "ge": operator.ge,
    "in": lambda value, wanted: value in wanted,
    "contains": lambda value, wanted: str(wanted).casefold() in str(value).casefold(),
    "starts": lambda value, wanted: str(value).casefold().startswith(str(wanted).casefold()),
}


class Filter:
    """``Annotated[int | None, Filter("ge", "price")] = None``: keep items whose price is at least that.

    What is ``None`` keeps everything.

    Args:
        operator: ``"eq"``, ``"ne"``, ``"lt"``, ``"le"``, ``"gt"``, ``"ge"``; ``"in"`` for a list;
            ``"contains"`` and ``"starts"`` for text, in which SQL databases differ about upper and
            lower case; ``"null"`` for a ``bool`` that says whether there has to be no value.
        column: The field of the items, or the SQL column; the field of the query unless given.

    Raises:
        ValueError: There is no such operator, or this is no name of a column.
    """

    def __init__(self, operator: Operator = "eq", column: str = "") -> None:
        if operator not in ("null", *_COMPARE):
            raise ValueError(f"{operator!r} is none of {', '.join(('null', *_COMPARE))}")
        if column:
            check_column(column)
        self.operator = operator
        self.column = column

    def sql(self, column: str, value: Any, name: str) -> tuple[str, dict[str, Any]]:
        """The condition, and the values it binds under names that begin with ``name``."""
        column = self.column or column
        if self.operator == "null":
            return f"{column} IS {'NULL' if value else 'NOT NULL'}", {}
        if self.operator == "in":
            values = {f"{name}_{index}": each for index, each in enumerate(value)}
            if not values:
                return "1 = 0", {}
            return f"{column} IN ({', '.join(f':{each}' for each in values)})", values
        if self.operator in ("contains", "starts"):
            before = "%" if self.operator == "contains" else ""
            pattern = f"{before}{_literally(str(value))}%"
            return f"{column} LIKE :{name} ESCAPE '{_ESCAPE}'", {name: pattern}
        return f"{column} {_SQL[self.operator]} :{name}", {name: value}

    def keeps(self, item: Any, column: str, wanted: Any) -> bool:
        """The same for an item in memory. As in SQL, no value compares as nothing."""
        value = value_of(item, (self.column or column).rpartition(".")[2])
        if self.operator == "null":
            return (value is None) == bool(wanted)
        return value is not None and bool(_COMPARE[self.operator](value, wanted))


def value_of(item: Any, name: str) -> Any:
    """A field of a row or an object."""
    return item[name] if isinstance(item, Mapping) else getattr(item, name)


def _literally(text: str) -> str:
    """The text for ``LIKE``, with what is special there taken for what it is."""
    for special in (_ESCAPE, "%", "_"):
        text = text.replace(special, _ESCAPE + special)
    return text
