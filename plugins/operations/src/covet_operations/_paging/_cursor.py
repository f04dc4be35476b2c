"""Cursors: where a page ended, in a form that callers hand back and cannot make up."""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

from pydantic import TypeAdapter
from pydantic_core import from_json, to_json

from covet_kernel.contracts import Record

LONGEST = 4096
"""Characters a cursor may have."""
_TAG = 16
_PLAIN = (str, int, float)
_MOST = 2**63 - 1


class BadCursorError(ValueError):
    """It was not made here, or for another query."""


class Position(Record):
    """A place in a sorted list.

    Attributes:
        sort: The order.
        backward: Whether the page before it is meant, not the one after it.
        values: Of the sort keys, as they go into SQL.
        typed: The same as the items' annotations have them.
    """

    sort: str
    backward: bool
    values: tuple[Any, ...]
    typed: tuple[Any, ...] = ()


class CursorCodec:
    """Writes and reads the cursors of one query class.

    What is in a cursor is no secret: the sort keys of one item the caller has seen. With a secret
    nobody else can make one; without, a cursor that was changed is still told by its checksum.

    Args:
        name: Of the query class, so that cursors of one are none of another.
        secret: The key; empty: there is none.
        keys: The type of each sort key by name.
    """

    def __init__(self, name: str, secret: str, keys: dict[str, TypeAdapter[Any]]) -> None:
        self._key = sha256(b"covet cursor\0" + secret.encode() + b"\0" + name.encode()).digest()
        self._keys = keys

    def write(self, position: Position, names: Sequence[str]) -> str:
        """The text for a position.

        Raises:
            ValueError: A sort key has no value, or a very long one.
        """
        values = [
            self._plain(name, value) for name, value in zip(names, position.values, strict=True)
        ]
        content = to_json([position.sort, int(position.backward), values])
        text = urlsafe_b64encode(self._tag(content) + content).rstrip(b"=").decode("ascii")
        if len(text) > LONGEST:
            raise ValueError("a sort key is too long for a cursor")
        return text

    def read(self, text: str, sort: str, names: Sequence[str]) -> Position:
        """The position a text stands for.

        Raises:
            BadCursorError: It is none, or one of another order.
        """
        try:
            raw = urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
        except (Error, UnicodeEncodeError):
            raise BadCursorError("is no cursor") from None
        tag, content = raw[:_TAG], raw[_TAG:]
        if not hmac.compare_digest(tag, self._tag(content)):
            raise BadCursorError("is no cursor of this list")
        try:
            of_sort, backward, values = from_json(content, allow_inf_nan=False)
            if of_sort != sort:
                raise BadCursorError(f"belongs to the order {of_sort!r}")
            pairs = [self._value(name, each) for name, each in zip(names, values, strict=True)]
        except BadCursorError:
            raise
        except (ValueError, TypeError):
            # Possible where there is no secret: somebody made one that is well signed.
            raise BadCursorError("is no cursor of this list") from None
        return Position(
            sort=sort,
            backward=bool(backward),
            values=tuple(bound for bound, _ in pairs),
            typed=tuple(typed for _, typed in pairs),
        )

    def _tag(self, content: bytes) -> bytes:
        return hmac.digest(self._key, content, "sha256")[:_TAG]

    def _plain(self, name: str, value: Any) -> Any:
        """What a database gave as text or number goes back to it as that; all else by its type."""
        if value is None:
            raise ValueError(f"an item has no {name!r} to sort by")
        if type(value) in _PLAIN:
            return value
        return [self._keys[name].dump_python(value, mode="json")]

    def _value(self, name: str, given: Any) -> tuple[Any, Any]:
        own = isinstance(given, list) and len(given) == 1
        value = given[0] if own else given
        if type(value) not in _PLAIN:
            raise TypeError
        if (isinstance(value, int) and abs(value) > _MOST) or (
            type(value) is str and "\0" in value
        ):
            # Databases refuse them, each in its own way.
            raise ValueError
        typed = self._keys[name].validate_json(to_json(value))
        return (typed if own else value), typed
