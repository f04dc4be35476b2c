"""Statements, compiled once per shape; and a shape with values, ready to be sent."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias, cast
from weakref import ref

import sqlalchemy as sa
from sqlalchemy.engine import Dialect
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import BindParameter, ClauseElement

from covet_kernel.contracts import SqlError
from covet_sql._cache import STATEMENTS
from covet_sql.query._dialects import MARK, dialect, empty
from covet_sql.query._key import MEMO, key_of

Process: TypeAlias = Callable[[Any], Any]
Values: TypeAlias = dict[str, Any]

LONGEST_LIST = 10_000
"""Values that one ``IN`` takes; databases have limits of their own, many of them higher."""
TEXTS = 64
"""Texts kept per shape that has lists: one for each combination of their lengths."""
_BAD = re.compile(r"\W+|__+", re.ASCII)


@dataclass(slots=True)
class Slot:
    r"""A place of a statement that takes a value.

    Attributes:
        name: Its name in the text.
        key: What a caller gives it under.
        open: Whether a caller may: the others have their value from the statement.
        index: Which of the cache key's values it takes; ``None``: none of them.
        required: Whether it has no value unless one is given.
        own: The value it has where the cache key has none for it.
        default: Makes the value if there is none: a column's default.
        process: What becomes of a value before it is bound; one for each element of tuples.
        many: Whether it takes a list.
        pattern: Around each value of a list, ``"CAST(\0 AS INTEGER)"``.
        empty: What an empty list is written as.
        prefix: Before the values of a list.
    """

    name: str
    key: str
    open: bool
    index: int | None
    required: bool
    own: Any
    default: Callable[[], Any] | None
    process: Process | tuple[Process | None, ...] | None
    many: bool = False
    pattern: str = "\0"
    empty: str = ""
    prefix: str = ""


@dataclass(slots=True)
class Shape:
    """A compiled statement without values.

    Attributes:
        parts: The text, cut at its parameters: text, number of a slot, text and so on.
        text: The whole of it, unless it depends on the lengths of lists.
        slots: What it takes.
        columns: Name and type of each column of its rows; empty if it does not say.
        readers: What makes models of its rows, by model; see `covet_sql.query._rows`.
        closed: Of a shape without a value of a caller's or a column's default: each slot's name, which
            parameter has its value, and the slot itself if something is done to that.
        own: The values that such a shape always has.
    """

    dialect: Dialect
    parts: list[str | int]
    text: str
    slots: tuple[Slot, ...]
    columns: tuple[tuple[str, Any], ...]
    readers: dict[Any, Any] = field(default_factory=dict)
    texts: dict[Any, str] = field(default_factory=dict)
    closed: tuple[tuple[str, int, Slot | None], ...] = ()
    own: Values = field(default_factory=dict)

    def __post_init__(self) -> None:
        if any(slot.open or slot.default is not None for slot in self.slots):
            return
        self.closed = tuple(
            (slot.name, slot.index, slot if slot.many or slot.process is not None else None)
            for slot in self.slots
            if slot.index is not None
        )
        self.own = {
            slot.name: processed(slot, slot.own) for slot in self.slots if slot.index is None
        }

    def written(self, values: Values) -> tuple[str, Values]:
        """The text for lists of these lengths, and the values with a name for each element."""
        sizes: list[Any] = []
        flat: Values = {}
        for slot in self.slots:
            value = values[slot.name]
            if not slot.many:
                flat[slot.name] = value
            elif isinstance(slot.process, tuple):
                sizes.append((len(value), len(value[0]) if value else 0))
                for row, each in enumerate(value):
                    for place, item in enumerate(each):
                        flat[f"{slot.name}__{row}_{place}"] = item
            else:
                sizes.append(len(value))
                for row, each in enumerate(value):
                    flat[f"{slot.name}__{row}"] = each
        key = tuple(sizes)
        text = self.texts.get(key)
        if text is None:
            text = "".join(
                part if isinstance(part, str) else _listed(self.slots[part], values)
                for part in self.parts
            )
            if len(self.texts) < TEXTS:
                self.texts[key] = text
        return text, flat


def _listed(slot: Slot, values: Values) -> str:
    if not slot.many:
        return f":{slot.name}"
    value = values[slot.name]
    if not value:
        return slot.empty
    if isinstance(slot.process, tuple):
        rows = (
            ", ".join(f":{slot.name}__{row}_{place}" for place in range(len(each)))
            for row, each in enumerate(value)
        )
        return slot.prefix + ", ".join(f"({row})" for row in rows)
    return ", ".join(
        slot.pattern.replace("\0", f":{slot.name}__{row}") for row in range(len(value))
    )


class Bound:
    """A shape with the values that one statement has in it.

    Attributes:
        shape: What was compiled.
        owner: The statement, by which a copy of it that was changed is told.
    """

    __slots__ = ("_constant", "_later", "_optional", "_required", "owner", "shape")

    def __init__(
        self, shape: Shape, owner: ref[Any], extracted: Sequence[BindParameter[Any]]
    ) -> None:
        self.shape = shape
        self.owner = owner
        self._constant: Values = {}
        self._later: Sequence[tuple[Slot, Callable[[], Any]]] = ()
        self._required: Sequence[tuple[str, str, Process | None]] = ()
        self._optional: Sequence[tuple[str, str, Process | None]] = ()
        if not shape.closed or not self._take_closed(extracted):
            self._take(shape.slots, extracted)

    def _take_closed(self, extracted: Sequence[BindParameter[Any]]) -> bool:
        """Take the values that only the statement has; whether all of them are there already."""
        constant = self._constant = self.shape.own.copy()
        for name, index, slot in self.shape.closed:
            given = extracted[index]
            if given.callable is not None:
                return False
            constant[name] = given.value if slot is None else processed(slot, given.value)
        return True

    def _take(self, slots: Iterable[Slot], extracted: Sequence[BindParameter[Any]]) -> None:
        later: list[tuple[Slot, Callable[[], Any]]] = []
        required: list[tuple[str, str, Process | None]] = []
        optional: list[tuple[str, str, Process | None]] = []
        self._later, self._required, self._optional = later, required, optional
        for slot in slots:
            given = None if slot.index is None else extracted[slot.index]
            if slot.open:
                plain = None if slot.many else cast("Process | None", slot.process)
                step = partial(processed, slot) if slot.many or plain is not None else None
                takers = required if slot.required else optional
                takers.append((slot.key, slot.name, step))
            if given is not None and given.callable is not None:
                later.append((slot, given.callable))
            elif slot.default is not None:
                later.append((slot, slot.default))
            elif not (slot.open and slot.required):
                value = slot.own if given is None else given.value
                self._constant[slot.name] = processed(slot, value)

    def values(self, given: Mapping[str, Any]) -> tuple[str, Values]:
        """The text, and what is bound to it.

        Raises:
            SqlError: A value is missing, unknown, or none of its column's type.
        """
        values = self._constant.copy()
        if self._later:
            for slot, make in self._later:
                if slot.key not in given:
                    values[slot.name] = processed(slot, make())
        try:
            for key, name, step in self._required:
                value = given[key]
                values[name] = value if step is None else step(value)
        except KeyError as error:
            raise SqlError(f"there is no value for {error.args[0]!r}", sqlstate="07001") from None
        if len(given) != len(self._required):
            self._take_optional(given, values)
        shape = self.shape
        return (shape.text, values) if shape.text else shape.written(values)

    def _take_optional(self, given: Mapping[str, Any], values: Values) -> None:
        for key, name, step in self._optional:
            if key in given:
                value = given[key]
                values[name] = value if step is None else step(value)
        known = {key for key, _, _ in (*self._required, *self._optional)}
        if unknown := sorted(map(repr, given.keys() - known)):
            raise SqlError(
                f"{', '.join(unknown)} is not of the statement, which takes"
                f" {', '.join(sorted(known)) or 'no values'}",
                sqlstate="07001",
            )


def processed(slot: Slot, value: Any) -> Any:
    """A value as it is bound.

    Raises:
        SqlError: It is none of its column's type.
    """
    process = slot.process
    try:
        if not slot.many:
            return value if process is None else cast("Process", process)(value)
        if isinstance(value, str | bytes):
            raise TypeError("takes a list")
        values = list(value)
        if len(values) > LONGEST_LIST:
            raise ValueError(f"takes at most {LONGEST_LIST} values")
        if isinstance(process, tuple):
            return [
                tuple(
                    item if step is None else step(item)
                    for step, item in zip(process, each, strict=True)
                )
                for each in values
            ]
        return values if process is None else [process(each) for each in values]
    except SqlError:
        raise
    except (
        TypeError,
        ValueError,
        AttributeError,
        LookupError,
        ArithmeticError,
        sa.exc.SQLAlchemyError,
    ) as error:
        raise SqlError(f"{slot.key!r} cannot be bound: {error}", sqlstate="22000") from None


def bound(statement: ClauseElement, name: str) -> Bound:
    """A statement, compiled for a dialect unless its shape has been before.

    Raises:
        SqlError: It cannot be written in that dialect.
    """
    memo: tuple[str, Bound] | None = statement.__dict__.get(MEMO)
    # Statements are copied with all they have: a copy has this too, but is not its owner.
    if memo is not None and memo[0] == name and memo[1].owner() is statement:
        return memo[1]
    found = _bound(statement, name, None)
    statement.__dict__[MEMO] = name, found
    return found


def bound_rows(statement: ClauseElement, name: str, columns: tuple[str, ...]) -> Bound:
    """The same for an insert whose rows come later, with these columns."""
    return _bound(statement, name, columns)


def _bound(statement: ClauseElement, name: str, columns: tuple[str, ...] | None) -> Bound:
    known = key_of(statement, name, columns)
    if known is not None:
        key, parameters = known
        shape = cast("Shape | None", STATEMENTS.get(key))
        if shape is None and (shape := _compiled_by(statement, name, columns, parameters)):
            STATEMENTS.put(key, shape)
        if shape is not None:
            return Bound(shape, ref(statement), parameters)
    cache_key = statement._generate_cache_key()
    if cache_key is None:
        return Bound(_compiled(statement, name, None, columns, ()), ref(statement), ())
    shape = cast("Shape | None", STATEMENTS.get((name, columns, cache_key.key)))
    if shape is None:
        shape = _compiled(statement, name, cache_key, columns, cache_key.bindparams)
        STATEMENTS.put((name, columns, cache_key.key), shape)
    return Bound(shape, ref(statement), cache_key.bindparams)


def _compiled_by(
    statement: ClauseElement,
    name: str,
    columns: tuple[str, ...] | None,
    parameters: Sequence[BindParameter[Any]],
) -> Shape | None:
    """The shape, by which of these parameters each place takes; ``None`` if they are not all of them."""
    cache_key = statement._generate_cache_key()
    if cache_key is None or set(map(id, cache_key.bindparams)) != set(map(id, parameters)):
        return None
    return _compiled(statement, name, cache_key, columns, parameters)


def _compiled(
    statement: Any,
    name: str,
    cache_key: Any,
    columns: tuple[str, ...] | None,
    extracted: Sequence[BindParameter[Any]],
) -> Shape:
    if isinstance(statement, sa.Insert) and not statement._returning:
        statement = statement.inline()  # else the key is asked for, which nobody reads
    chosen = dialect(name)
    try:
        compiler: SQLCompiler = chosen.statement_compiler(
            chosen, statement, cache_key=cache_key, column_keys=columns
        )
    except sa.exc.SQLAlchemyError as error:
        raise SqlError(
            f"the statement cannot be written for {name}: {error.args[0]}", sqlstate="42000"
        ) from error
    return _shape(compiler, chosen, extracted)


def _shape(compiler: Any, chosen: Dialect, extracted: Sequence[BindParameter[Any]]) -> Shape:
    parts: list[str | int] = []
    for place, part in enumerate(MARK.split(compiler.string or "")):
        if place % 2:
            parts.append(int(part))
        elif "\0" in part:
            raise SqlError(
                "a name or a text of the statement has a NUL character", sqlstate="22021"
            )
        else:
            parts.append(part)
    positions = _positions(compiler, extracted)
    defaults = _defaults(compiler)
    taken: set[str] = set()
    slots = [_slot(compiler, each, positions, defaults, taken) for each in compiler.marks]
    text = ""
    if not any(slot.many for slot in slots):
        text = "".join(part if isinstance(part, str) else f":{slots[part].name}" for part in parts)
    columns = tuple((each.keyname, each.type) for each in compiler._result_columns or ())
    return Shape(chosen, parts, text, tuple(slots), columns)


def _positions(compiler: Any, extracted: Sequence[BindParameter[Any]]) -> dict[Any, int]:
    """Which of the cache key's values each parameter takes; statements are cloned on the way."""
    matches = compiler._cache_key_bind_match
    if not matches:
        return {}
    return {
        parameter: index for index, each in enumerate(extracted) for parameter in matches[0][each]
    }


def _defaults(compiler: Any) -> dict[str, Callable[[], Any]]:
    found: dict[str, Callable[[], Any]] = {}
    for columns, attribute in (
        (compiler.insert_prefetch, "default"),
        (compiler.update_prefetch, "onupdate"),
    ):
        for column in columns:
            default = getattr(column, attribute)
            if default is None or not (default.is_scalar or default.is_callable):
                raise SqlError(
                    f"the default of column {column.key!r} needs a query of its own",
                    sqlstate="0A000",
                )
            found[column.key] = _calling(default)
    return found


def _calling(default: Any) -> Callable[[], Any]:
    if default.is_callable:
        return lambda: default.arg(None)
    return lambda: default.arg


def _slot(
    compiler: Any,
    bind_name: str,
    positions: dict[Any, int],
    defaults: dict[str, Callable[[], Any]],
    taken: set[str],
) -> Slot:
    parameter: Any = compiler.binds[bind_name]
    process = compiler._bind_processors.get(bind_name)
    slot = Slot(
        name=_clean(parameter.key if not parameter.unique else parameter._orig_key, taken),
        key=parameter.key,
        open=not parameter.unique,
        index=positions.get(parameter),
        required=parameter.required,
        own=parameter.value,
        default=defaults.get(parameter.key) if parameter.value is None else None,
        process=process,
    )
    if parameter.expanding:
        _make_list(slot, compiler, parameter)
    return slot


def _make_list(slot: Slot, compiler: Any, parameter: Any) -> None:
    slot.many = True
    kind = parameter.type
    if kind._is_tuple_type:
        slot.process = tuple(cast("Any", slot.process) or (None,) * len(kind.types))
        slot.prefix = "VALUES " if compiler.dialect.tuple_in_values else ""
        slot.empty = empty(compiler, kind.types, parameter.expand_op)
        return
    slot.pattern = compiler.cast_mark("\0", kind)
    slot.empty = empty(compiler, [kind], parameter.expand_op)


def _clean(name: str, taken: set[str]) -> str:
    """A name for the text, of letters, digits and single underscores, unlike all others of it."""
    # With something before it, since parsers take ``:limit`` for a colon and a keyword.
    base = "p_" + (_BAD.sub("_", name).strip("_")[:40].lower() or "value")
    candidate, number = base, 1
    while candidate in taken:
        number += 1
        candidate = f"{base}_{number}"
    taken.add(candidate)
    return candidate


def type_process(kind: Any, chosen: Dialect) -> Process | None:
    """What becomes of a value that a database returned for a column of this type."""
    found: Process | None = kind.dialect_impl(chosen).result_processor(chosen, None)
    return found
