"""Tables from models."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import (
    Annotated,
    Any,
    Generic,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

import sqlalchemy as sa
from pydantic import BaseModel
from sqlalchemy.schema import SchemaItem
from sqlalchemy.types import TypeEngine

from covet_sql._column import Column
from covet_sql.query._types import column_type

M = TypeVar("M")
_MISSING: Any = object()


class Table(sa.Table, Generic[M]):
    """A table whose rows are models; everything else is SQLAlchemy's.

    Attributes:
        model: What a row becomes unless a query says otherwise.
    """

    model: type[M]


@dataclass(frozen=True)
class ModelField:
    """A field of a model, of whatever kind that is."""

    name: str
    annotation: Any
    metadata: tuple[Any, ...]
    default: Any = _MISSING
    factory: Any = None


def table(
    model: type[M],
    name: str,
    *parts: SchemaItem,
    metadata: sa.MetaData | None = None,
    schema: str | None = None,
) -> Table[M]:
    """The table whose rows are this model's.

    A column for each field, of its name and type, nullable where the type admits ``None``. A plain
    default is the column's, too. `Column` in ``Annotated`` says what else there is to say.

    Args:
        model: A pydantic model, a dataclass or a msgspec struct.
        name: Of the table.
        parts: Constraints and indexes over several columns, as SQLAlchemy has them.
        metadata: What the table belongs to; foreign keys find each other within one.
        schema: Where it is, if not where the connection looks by itself.

    Raises:
        TypeError: It is no such model, or a field's type cannot be a column's.
    """
    columns = [_column(each) for each in fields_of(model)]
    made: Table[M] = Table(
        name, sa.MetaData() if metadata is None else metadata, *columns, *parts, schema=schema
    )
    made.model = model
    return made


def _column(field: ModelField) -> sa.Column[Any]:
    annotation, metadata, nullable = _unwrapped(field.annotation, field.metadata)
    said = next((each for each in metadata if isinstance(each, Column)), Column())
    kind: TypeEngine[Any] | type[TypeEngine[Any]] = (
        said.type if said.type is not None else column_type(annotation, metadata)
    )
    arguments: list[Any] = []
    if said.references:
        action = None if said.on_delete == "NO ACTION" else said.on_delete
        arguments.append(sa.ForeignKey(said.references, ondelete=action))
    default: Any = None
    if field.factory is not None:
        default = field.factory
    elif field.default not in (_MISSING, None) and not said.primary_key:
        default = field.default
    return sa.Column(
        field.name,
        kind,
        *arguments,
        primary_key=said.primary_key,
        nullable=nullable and not said.primary_key,
        unique=said.unique or None,
        index=said.index or None,
        default=default,
    )


def _unwrapped(annotation: Any, metadata: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...], bool]:
    """The type itself, all that is said of it, and whether there may be none."""
    nullable = False
    while True:
        if get_origin(annotation) is Annotated:
            annotation, *more = get_args(annotation)
            metadata = (*metadata, *more, *_nested(more))
        elif get_origin(annotation) in (Union, types.UnionType):
            members = [each for each in get_args(annotation) if each is not types.NoneType]
            nullable = nullable or len(members) < len(get_args(annotation))
            if len(members) != 1:
                return annotation, metadata, nullable
            annotation = members[0]
        else:
            return annotation, metadata, nullable


def _nested(metadata: list[Any]) -> Iterator[Any]:
    # pydantic's Field() keeps what it was told in metadata of its own.
    for each in metadata:
        inner = getattr(each, "metadata", None)
        if isinstance(inner, list | tuple):
            yield from inner


def fields_of(model: Any) -> Iterator[ModelField]:
    """The fields of a model.

    Raises:
        TypeError: It is no model.
    """
    if isinstance(model, type) and issubclass(model, BaseModel):
        for name, field in model.model_fields.items():
            plain = _MISSING if field.is_required() else field.default
            factory = None if field.default_factory is None else _no_arguments(field, name)
            yield ModelField(
                name,
                field.annotation,
                tuple(field.metadata),
                _MISSING if factory is not None else plain,
                factory,
            )
        return
    if not isinstance(model, type):
        raise TypeError(f"{model!r} is no class")
    hints = get_type_hints(model, include_extras=True)
    if dataclasses.is_dataclass(model):
        for each in dataclasses.fields(model):
            default = _MISSING if each.default is dataclasses.MISSING else each.default
            made = None if each.default_factory is dataclasses.MISSING else each.default_factory
            yield ModelField(each.name, hints[each.name], (), default, made)
    elif hasattr(model, "__struct_fields__"):
        import msgspec

        for known in msgspec.structs.fields(model):
            default = _MISSING if known.default is msgspec.NODEFAULT else known.default
            made = None if known.default_factory is msgspec.NODEFAULT else known.default_factory
            yield ModelField(known.name, hints[known.name], (), default, made)
    else:
        raise TypeError(f"{model.__name__} is no pydantic model, dataclass or msgspec struct")


def _no_arguments(field: Any, name: str) -> Any:
    if field.default_factory_takes_validated_data:
        raise TypeError(f"the default of {name!r} depends on other fields")
    return field.default_factory


def row_of(target: sa.FromClause, value: Any) -> dict[str, Any]:
    """The columns of a model or mapping that goes into a table.

    A key that the database counts and that is ``None`` is left out.
    """
    if isinstance(value, Mapping):
        return dict(value)
    row = {
        name: found
        for name in target.c.keys()  # noqa: SIM118 - iterating the collection gives columns
        if (found := getattr(value, name, _MISSING)) is not _MISSING
    }
    counted = counted_key(target)
    if counted and row.get(counted, _MISSING) is None:
        del row[counted]
    return row


def counted_key(target: sa.FromClause) -> str:
    """The column that the database counts by itself, or ``""``."""
    column = getattr(target, "_autoincrement_column", None)
    return "" if column is None else str(column.key)


def ddl(*tables: sa.Table, dialect: str) -> list[str]:
    """The statements that make tables and their indexes, those referred to first.

    Args:
        tables: Of one `MetaData` if they refer to each other.
        dialect: As databases call theirs, ``"sqlite"``, ``"postgresql"`` or ``"mysql"``.
    """
    from sqlalchemy.schema import CreateIndex, CreateTable, sort_tables

    from covet_sql.query._dialects import dialect as dialect_of

    chosen = dialect_of(dialect)
    statements: list[str] = []
    for each in sort_tables(tables):
        if each in tables:
            made: list[Any] = [CreateTable(each)]
            made += [
                CreateIndex(index) for index in sorted(each.indexes, key=lambda i: str(i.name))
            ]
            statements += [str(one.compile(dialect=chosen)).strip() for one in made]
    return statements
