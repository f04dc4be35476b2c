"""What a key is: its text, so that 42, "42" and a path's 42 are on one shard."""

from __future__ import annotations

from typing import TypeAlias
from uuid import UUID

from covet_sharding._errors import ShardKeyError

ShardKey: TypeAlias = "int | str | UUID"
"""What rows are told apart by."""

LONGEST = 190
"""Characters; a directory's index has to hold them on every database."""


def text_of(key: object) -> str:
    """The text that a key stands for: digits of a number, the usual form of a UUID, a text itself.

    Raises:
        ShardKeyError: It is none of these, empty, too long, or has characters that databases compare
            differently: control characters, and blanks at an end.
    """
    match key:
        case bool():
            text = ""
        case int():
            # Of what is larger than that, Python makes no text.
            text = str(key) if -(10**LONGEST) < key < 10**LONGEST else "9" * (LONGEST + 1)
        case UUID():
            return str(key)
        case str():
            text = key
        case _:
            text = ""
    if not text:
        given = "there is none" if key is None else f"not {type(key).__name__}"
        if key == "":
            given = "this one is empty"
        raise ShardKeyError(f"the key of a shard is a number, a text or a UUID: {given}")
    if len(text) > LONGEST:
        raise ShardKeyError(
            f"the key of a shard has at most {LONGEST} characters, this one {len(text)}"
        )
    if not text.isprintable() or text != text.strip():
        raise ShardKeyError(
            "the key of a shard has no control characters, and no blanks at its ends"
        )
    return text
