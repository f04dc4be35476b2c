"""The lock file: which number each field and each name of an enumeration has, once and for all.

A number that was given is never given again: what is gone from the code is kept as reserved.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from covet_grpc._schema._shapes import EnumShape, MessageShape
from covet_kernel import ConfigurationError

VERSION: Final = 1
_FIRST_RESERVED: Final = 19_000  # of protobuf itself, to 19,999
_LAST_RESERVED: Final = 19_999
_FIX: Final = "Write it again: covet grpc lock."


class Change(NamedTuple):
    """How code and lock differ.

    Attributes:
        text: A sentence.
        matters: Whether what is served depends on it: something has no number that could be relied on.
    """

    text: str
    matters: bool

    def __str__(self) -> str:
        return self.text


class Lock:
    """Numbers by message and field.

    Attributes:
        messages: By full name: by field ``(number, type)``.
        enums: By full name: by name the number.
        reserved: By full name of either: what is gone.
    """

    def __init__(self) -> None:
        self.messages: dict[str, dict[str, tuple[int, str]]] = {}
        self.enums: dict[str, dict[str, int]] = {}
        self.reserved: dict[str, dict[str, int]] = {}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Lock) and self.as_data() == other.as_data()

    __hash__ = None  # type: ignore[assignment]

    def as_data(self) -> dict[str, Any]:
        """As it is written."""
        return {
            "version": VERSION,
            "messages": {
                name: {
                    field: {"number": number, "type": kind}
                    for field, (number, kind) in _sorted(fields)
                }
                for name, fields in sorted(self.messages.items())
            },
            "enums": {
                name: dict(sorted(values.items(), key=lambda item: item[1]))
                for name, values in sorted(self.enums.items())
            },
            "reserved": {
                name: dict(sorted(gone.items(), key=lambda item: (item[1], item[0])))
                for name, gone in sorted(self.reserved.items())
                if gone
            },
        }

    def write(self, path: Path) -> None:
        """Write it, in an order in which changes are few lines."""
        path.write_text(json.dumps(self.as_data(), indent=2) + "\n", "utf-8", newline="\n")


def _sorted(fields: dict[str, tuple[int, str]]) -> list[tuple[str, tuple[int, str]]]:
    return sorted(fields.items(), key=lambda item: item[1])


def read_lock(path: Path) -> Lock | None:
    """The lock of a file; ``None`` if there is none.

    Raises:
        ConfigurationError: It is no lock.
    """
    try:
        data = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise _unreadable(path, str(error)) from None
    lock = Lock()
    try:
        if data["version"] != VERSION:
            raise ValueError(f"its version is {data['version']!r}, and {VERSION} is known")
        for name, fields in data["messages"].items():
            lock.messages[name] = {
                field: (_number(known["number"], 1), str(known["type"]))
                for field, known in fields.items()
            }
        for name, values in data["enums"].items():
            lock.enums[name] = {value: _number(number, 0) for value, number in values.items()}
        for name, gone in data["reserved"].items():
            lock.reserved[name] = {each: _number(number, 0) for each, number in gone.items()}
        for name in {*lock.messages, *lock.enums}:
            _check_distinct(name, lock)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise _unreadable(path, str(error)) from None
    return lock


def _number(value: object, least: int) -> int:
    if type(value) is not int or not least <= value < 1 << 29:
        raise ValueError(f"{value!r} is no number of a field")
    return value


def _check_distinct(name: str, lock: Lock) -> None:
    numbers = [number for number, _ in lock.messages.get(name, {}).values()]
    numbers += lock.enums.get(name, {}).values()
    numbers += lock.reserved.get(name, {}).values()
    if len(set(numbers)) < len(numbers):
        raise ValueError(f"{name} has one number twice")


def _unreadable(path: Path, reason: str) -> ConfigurationError:
    return ConfigurationError(
        "COVET-GRPC-LOCK-FILE",
        f"{path} is no lock of gRPC numbers: {reason}.",
        place="plugins.grpc.lock",
        fix="Take it from version control, where it belongs.",
    )


def number(
    messages: Iterable[MessageShape], enums: Iterable[EnumShape], lock: Lock | None
) -> tuple[Lock, list[Change]]:
    """Give every field and every member its number: that of the lock, or the next free one.

    Returns:
        The lock that holds all of them, and how it differs from the one that was given.
    """
    old, new = lock or Lock(), Lock()
    changes: list[Change] = []
    # What no code mentions any more keeps its numbers: it may be back, or served elsewhere.
    new.messages |= old.messages
    new.enums |= old.enums
    new.reserved |= {name: dict(gone) for name, gone in old.reserved.items()}
    for message in messages:
        changes += _number_message(message, old, new)
    for enum in enums:
        changes += _number_enum(enum, old, new)
    return new, changes


def _number_message(message: MessageShape, old: Lock, new: Lock) -> Iterator[Change]:
    known = old.messages.get(message.type, {})
    gone = new.reserved.setdefault(message.type, {})
    fields: dict[str, tuple[int, str]] = {}
    for field in message.fields:
        number, kind = known.get(field.name, (0, ""))
        if number and kind != field.written:
            yield Change(f"{message.type}.{field.name} was {kind} and is {field.written}", True)
            gone[f"{field.name} as {kind}"] = number
            number = 0
        if number:
            field.number = number
            fields[field.name] = number, kind
    taken = {number for number, _ in known.values()} | set(gone.values())
    for field in message.fields:
        if field.name not in fields:
            field.number = _next(taken)
            taken.add(field.number)
            fields[field.name] = field.number, field.written
            yield Change(f"{message.type}.{field.name} is new", True)
    for name, (number, _) in known.items():
        if name not in fields:
            gone[name] = number
            yield Change(f"{message.type}.{name} is gone", False)
    new.messages[message.type] = fields
    message.removed = dict(gone)


def _next(taken: set[int]) -> int:
    number = max(taken, default=0) + 1
    return _LAST_RESERVED + 1 if _FIRST_RESERVED <= number <= _LAST_RESERVED else number


def _number_enum(enum: EnumShape, old: Lock, new: Lock) -> Iterator[Change]:
    known = old.enums.get(enum.type, {})
    gone = new.reserved.setdefault(enum.type, {})
    taken = {0, *known.values(), *gone.values()}
    values = {enum.unsaid: 0}
    for name in enum.names:
        number = known.get(name, 0)
        if not number:
            number = max(taken) + 1
            taken.add(number)
            yield Change(f"{enum.type}.{name} is new", True)
        values[name] = number
    for name, number in known.items():
        if name not in values:
            gone[name] = number
            yield Change(f"{enum.type}.{name} is gone", False)
    new.enums[enum.type] = enum.numbers = values


def out_of_date(path: Path, changes: Sequence[Change]) -> ConfigurationError:
    """What is wrong with a lock that the code does not agree with."""
    more = len(changes) - 5
    told = "; ".join(map(str, changes[:5])) + (f"; and {more} more" if more > 0 else "")
    return ConfigurationError(
        "COVET-GRPC-LOCK-OLD",
        f"the lock of gRPC numbers {path} is not that of the code: {told}.",
        place="plugins.grpc.lock",
        fix=_FIX,
    )
