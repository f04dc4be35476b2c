"""Ranges of versions: ``"2"``, ``"2-"``, ``"-3"``, ``"1-3"``, ``"1, 3-"`` and ``"*"``."""

from __future__ import annotations

from collections.abc import Sequence


class BadRangeError(ValueError):
    """The text is no range of the declared versions; the message says why."""


def versions_in(text: str, names: Sequence[str]) -> tuple[str, ...]:
    """The versions a range stands for, oldest first.

    A name may have dashes of its own (``"2026-05-01-"``): a dash separates only where what stands
    on each side of it is a declared version, or nothing.

    Args:
        text: The range.
        names: Every declared version, oldest first.

    Raises:
        BadRangeError: It names none, or one that is not declared, or ends before it begins.
    """
    found: set[int] = set()
    for part in text.split(","):
        first, last = _ends(part.strip(), names)
        if last < first:
            raise BadRangeError(f"{part.strip()!r} ends before it begins")
        found.update(range(first, last + 1))
    return tuple(names[index] for index in sorted(found))


def _ends(part: str, names: Sequence[str]) -> tuple[int, int]:
    index = {name: number for number, name in enumerate(names)}
    if part == "*":
        return 0, len(names) - 1
    if part in index:
        return index[part], index[part]
    for at, character in enumerate(part):
        low, high = part[:at].strip(), part[at + 1 :].strip()
        if character == "-" and (low or high) and low in ("", *index) and high in ("", *index):
            return index.get(low, 0), index.get(high, len(names) - 1)
    raise BadRangeError(f"{part!r} is neither a declared version nor a range of them")
