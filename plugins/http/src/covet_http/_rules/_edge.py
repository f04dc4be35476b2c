"""Headers of every answer that depend on the request: with a route, with a 404, with a fixed answer.

Around a handler an interceptor adds them. An answer that no handler makes is prepared, so it becomes a
`Choice`, and costs a little more than without.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from covet_http._answers import PreparedAnswer
from covet_http._mounts import Mounted
from covet_http._request import Request
from covet_http._route import Route
from covet_kernel.contracts import Binding, Call, Layer, Operation, Phase
from covet_operations import OperationError

if TYPE_CHECKING:
    from covet_http._dispatch import Choice, Find, Target

Lines = Sequence[tuple[bytes, bytes]]


class Edge(Protocol):
    """Adds headers to answers."""

    def lines(self, find: Find) -> Lines:
        """The headers for one request, names in lower case.

        Args:
            find: Gives the value of a header.
        """


class AtTheEdge:
    """A `Choice` that adds headers to whatever is prepared.

    Args:
        target: What it stands for, but no route: an interceptor adds the headers there.
        edges: Say which headers.
    """

    def __init__(self, target: PreparedAnswer | Choice, edges: Sequence[Edge]) -> None:
        self._target = target
        self._edges = edges
        self.among: Sequence[Route | PreparedAnswer] = (
            () if isinstance(target, PreparedAnswer) else target.among
        )

    def choose(self, method: str, find: Find) -> Route | PreparedAnswer:
        found = self._target
        if not isinstance(found, PreparedAnswer):
            chosen = found.choose(method, find)
            if isinstance(chosen, Route):
                return chosen
            found = chosen
        return found.with_more(lines_of(self._edges, find))


def at_the_edge(target: Target, edges: Sequence[Edge]) -> Target:
    """The target with the headers of edges, where neither an interceptor nor an application adds them."""
    if not edges or isinstance(target, Route | Mounted):
        return target
    return AtTheEdge(target, edges)


def lines_of(edges: Sequence[Edge], find: Find) -> list[tuple[bytes, bytes]]:
    """Their headers for one request."""
    return [line for each in edges for line in each.lines(find)]


def lines_of_refused(edges: Sequence[Edge], find: Find) -> Lines:
    """The same for a request that may be refused for the very headers they depend on."""
    try:
        return lines_of(edges, find)
    except OperationError:
        return ()


class EdgeHeaders:
    """The interceptor that adds the headers of an edge to the answers of routes."""

    phase = Phase.RECOVER
    after: tuple[str, ...] = ()
    before: tuple[str, ...] = ()

    def __init__(self, name: str, edge: Edge) -> None:
        self.name = name
        self._edge = edge

    def bind(self, operation: Operation, binding: Binding) -> Layer | None:
        if binding.protocol != "http":
            return None
        edge = self._edge

        def add(call: Call) -> None:
            if isinstance(call, Request):
                lines = edge.lines(call.header)
                if lines:
                    call.response.always += lines

        return Layer(before=add)
