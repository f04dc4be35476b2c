"""Who a statement is from: the operation whose call is being answered, or a line of code."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import FrameType

OUR_OWN = ("covet_", "contextlib", "anyio", "asyncio", "trio")
"""Modules whose lines say nothing about who runs a statement."""


class Issuer:
    """One call, or whatever else runs statements.

    Attributes:
        name: The operation's.
        counts: How often it has run statements of each shape so far.
    """

    __slots__ = ("counts", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self.counts: dict[str, int] = {}


CURRENT: ContextVar[Issuer | None] = ContextVar("covet_sql.issuer", default=None)


@contextmanager
def issued_by(name: str) -> Iterator[None]:
    """Have statements of the block recorded as those of one call: of a job, of a test.

    Args:
        name: What they are called in a report.
    """
    token = CURRENT.set(Issuer(name))
    try:
        yield
    finally:
        CURRENT.reset(token)


def issuer() -> str:
    """The name of the call, or else the innermost line of code that is not covet's own."""
    current = CURRENT.get()
    if current is not None:
        return current.name
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if not frame.f_globals.get("__name__", "").startswith(OUR_OWN):
            code = frame.f_code
            return f"{code.co_filename}:{frame.f_lineno} in {code.co_name}"
        frame = frame.f_back
    return "(unknown)"
