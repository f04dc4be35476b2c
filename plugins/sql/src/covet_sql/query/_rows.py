"""Rows into models: decided once per shape and model, then one call for all rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, TypeAlias, get_origin, is_typeddict

from pydantic import BaseModel, TypeAdapter, ValidationError
from sqlalchemy.engine import Dialect
from sqlalchemy.types import JSON, Time, TypeDecorator

from covet_kernel.contracts import Row, SqlError
from covet_sql._cache import LruCache
from covet_sql.query._shape import Process, Shape, type_process
from covet_sql.query._types import Duration, Moment

Read: TypeAlias = Callable[[list[Row]], list[Any]]
READERS = 16
"""Models per shape that are remembered."""
_ADAPTERS: LruCache[TypeAdapter[Any]] = LruCache(500)


class Reader:
    """Makes one model of the rows of one shape.

    Attributes:
        all: Of many rows.
        one: Of one row.
    """

    __slots__ = ("_decode", "_make", "_name", "_one", "_values")

    def __init__(self, shape: Shape, into: Any) -> None:
        self._name = getattr(into, "__name__", str(into))
        self._make, self._one, validates = _makers(into)
        self._values = _values(into)
        self._decode = tuple(
            (name, process)
            for name, kind in shape.columns
            if (process := type_process(kind, shape.dialect)) is not None
            and not (validates and _reads_itself(kind, shape.dialect))
        )

    def all(self, rows: list[Row]) -> list[Any]:
        """The models.

        Raises:
            SqlError: A row does not fit.
        """
        given: list[Any] = rows
        if self._decode:
            given = [self._decoded(row) for row in rows]
        if self._values is not None:
            given = [self._values(row) for row in given]
        return self._made(self._make, given) if self._make is not None else given

    def one(self, row: Row) -> Any:
        """The model.

        Raises:
            SqlError: The row does not fit.
        """
        given: Any = self._decoded(row) if self._decode else row
        if self._values is not None:
            given = self._values(given)
        return self._made(self._one, given) if self._one is not None else given

    def _decoded(self, row: Row) -> Row:
        row = row.copy()  # a cache may have the same one for others
        for name, process in self._decode:
            if name in row:
                row[name] = process(row[name])
        return row

    def _made(self, make: Process, given: Any) -> Any:
        try:
            return make(given)
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            place = ".".join(map(str, first["loc"]))
            self._refuse(f"{place}: {first['msg']}")
        except (TypeError, ValueError, LookupError) as error:
            self._refuse(str(error))

    def _refuse(self, why: str) -> NoReturn:
        # Not chained: errors of validation carry the values of the row.
        raise SqlError(f"a row is no {self._name}: {why}", sqlstate="22000") from None


def reader(shape: Shape, into: Any) -> Reader:
    """What makes ``into`` of the rows of a shape; ``None``: dicts."""
    found: Reader | None = shape.readers.get(into)
    if found is None:
        found = Reader(shape, into)
        if len(shape.readers) >= READERS:
            shape.readers.clear()
        shape.readers[into] = found
    return found


def _makers(into: Any) -> tuple[Any, Any, bool]:
    """What makes a list, what makes one, and whether both take what databases return for a type."""
    if into is None or into is dict or into is tuple:
        return None, None, False
    if hasattr(into, "__struct_fields__"):
        return *_struct_makers(into), False
    many, single = _adapter(list[into]), _adapter(into)

    def make_all(rows: Any) -> Any:
        return many.validate_python(rows, by_alias=False, by_name=True)

    def make_one(row: Any) -> Any:
        return single.validate_python(row, by_alias=False, by_name=True)

    return make_all, make_one, not _is_strict(into)


def _struct_makers(into: Any) -> tuple[Any, Any]:
    import msgspec

    convert, many = msgspec.convert, list[into]
    # By the names of the fields, as columns are called, even where a struct renames them.
    renamed = {
        each.name: each.encode_name
        for each in msgspec.structs.fields(into)
        if each.encode_name != each.name
    }

    def one(row: Row) -> Any:
        if renamed:
            row = {renamed.get(name, name): value for name, value in row.items()}
        return convert(row, into, strict=False)

    def all_(rows: Sequence[Row]) -> Any:
        return [one(row) for row in rows] if renamed else convert(rows, many, strict=False)

    return all_, one


def _adapter(kind: Any) -> TypeAdapter[Any]:
    found = _ADAPTERS.get(kind)
    if found is None:
        found = TypeAdapter(kind)
        _ADAPTERS.put(kind, found)
    return found


def _values(into: Any) -> Callable[[Row], Any] | None:
    """What is validated of a row: the row, its values in order, or its only value."""
    if into is tuple or get_origin(into) is tuple:
        return _in_order
    if into is None or into is dict or get_origin(into) is dict or is_typeddict(into):
        return None
    if isinstance(into, type) and (
        issubclass(into, BaseModel)
        or dataclasses.is_dataclass(into)
        or hasattr(into, "__struct_fields__")
        or hasattr(into, "_fields")
        or issubclass(into, dict)
    ):
        return None
    return _only


def _in_order(row: Row) -> tuple[Any, ...]:
    return tuple(row.values())


def _only(row: Row) -> Any:
    if len(row) != 1:
        raise SqlError(
            f"a row has {len(row)} columns where one value is asked for", sqlstate="22000"
        )
    return next(iter(row.values()))


def _is_strict(into: Any) -> bool:
    """Whether validation takes no text for a date, and so on."""
    if get_origin(into) is tuple:
        return False
    config: Any = getattr(into, "model_config", None) or getattr(into, "__pydantic_config__", {})
    if config.get("strict"):
        return True
    fields = getattr(into, "model_fields", None) or getattr(into, "__pydantic_fields__", {})
    return any(
        getattr(each, "strict", False) is True
        for field in fields.values()
        for each in getattr(field, "metadata", ())
    )


def _reads_itself(kind: Any, dialect: Dialect) -> bool:
    """Whether validation reads what databases return for a type, and need not be helped."""
    if dialect.name == "mysql" and isinstance(kind, (Moment, Time)):
        return False  # there are no zones, and a time of day is how long it was since midnight
    if isinstance(kind, TypeDecorator):
        return not isinstance(kind, Duration) and type(kind).__module__.startswith("covet_sql.")
    return not isinstance(kind, JSON) and type(kind).__module__.startswith("sqlalchemy.")
