"""What each operation asks of the database, for development: what `covet sql lint` looks at."""

from __future__ import annotations

from typing import Any

from covet_kernel.contracts import Binding, Call, Layer, Operation, Phase
from covet_sql.profile._entry import Entry
from covet_sql.profile._issuer import CURRENT, Issuer, issuer
from covet_sql.profile._shape import LONGEST

LIMIT = 5_000
"""Pairs of an issuer and a shape that are recorded."""
DIFFERENT = 1_000
"""Shapes of one call that are counted; further ones are recorded as if each were its first."""


class Issued:
    """Statements of one shape from one issuer.

    Attributes:
        text: The first of them, as the code has it. Parameters are not in it.
        calls: How many calls ran it, 0 if it was none of a call.
        statements: How often it ran.
        most: How often in one call, at most.
        seconds: How long, in all.
    """

    __slots__ = ("calls", "most", "seconds", "statements", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.calls = self.statements = self.most = 0
        self.seconds = 0.0


class Recording:
    """Who runs which statements of one database, how often within one call.

    Attributes:
        issued: By issuer and shape.
        dropped: Statements that found no room.
    """

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self.issued: dict[tuple[str, str], Issued] = {}
        self.dropped = 0

    def note(self, entry: Entry, seconds: float, text: str) -> None:
        """A statement has run."""
        call = CURRENT.get()
        key = (issuer() if call is None else call.name, entry.shape)
        found = self.issued.get(key)
        if found is None:
            if len(self.issued) >= self._limit:
                self.dropped += 1
                return
            found = self.issued[key] = Issued(text[:LONGEST])
        found.statements += 1
        found.seconds += seconds
        if call is not None:
            count = call.counts.get(entry.shape, 0) + 1
            if count > 1 or len(call.counts) < DIFFERENT:
                call.counts[entry.shape] = count
            found.calls += count == 1
            found.most = max(found.most, count)

    def report(self) -> list[dict[str, Any]]:
        """Everything as plain data, what was run most often in one call first."""
        found = sorted(self.issued.items(), key=lambda item: (-item[1].most, -item[1].seconds))
        return [
            {
                "issuer": name,
                "shape": shape,
                "text": each.text,
                "calls": each.calls,
                "statements": each.statements,
                "most": each.most,
                "seconds": each.seconds,
            }
            for (name, shape), each in found
        ]


class NamesCalls:
    """Has the statements of a call recorded under its operation's name."""

    name = "sql.record"
    phase = Phase.OBSERVE
    after: tuple[str, ...] = ()
    before: tuple[str, ...] = ()

    def bind(self, operation: Operation, binding: Binding) -> Layer | None:
        def begin(call: Call) -> None:
            # A call has a context of its own, so that nothing has to be put back.
            CURRENT.set(Issuer(operation.name))

        return Layer(before=begin)
