"""From a path to a route: one dictionary look-up for plain paths, a tree for the others.

Built when a serving phase begins and never changed: a reload builds another.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Generic, TypeVar
from uuid import UUID

from covet_http._target import decode
from covet_http._template import Parameter, Segment, parse_template
from covet_kernel import ConfigurationError

R = TypeVar("R")

_NO_VALUES: tuple[str, ...] = ()
_INT = re.compile(r"[+-]?[0-9]+\Z")
_UUID = re.compile(r"[0-9A-Fa-f]{8}(-?)(?:[0-9A-Fa-f]{4}\1){3}[0-9A-Fa-f]{12}\Z")

# Only asked where parameters of several types stand in the same place; narrowest first.
_TESTS: tuple[Callable[[str], object], ...] = (_INT.match, _UUID.match, lambda text: True)
_LETTERS = "ius"
_RANKS: dict[Any, int] = {int: 0, UUID: 1}
_ANY = 2


def rank_of(annotation: Any) -> int:
    """Which of the kinds of parameters that are told apart a type is."""
    return _RANKS.get(annotation, _ANY)


class Leaf(Generic[R]):
    """What is at one path: its routes by method.

    Attributes:
        path: The template, with the names of whoever came first.
        shape: The template without names: ``"/books/{}"``. Two leaves of one shape differ in types.
        types: A letter for each parameter: ``"i"`` a whole number, ``"u"`` a UUID, ``"s"`` others.
        methods: What each method leads to.
        owners: Who declared that.
        allow: The value of the ``Allow`` header.
    """

    __slots__ = ("allow", "methods", "owners", "path", "shape", "types")

    def __init__(self, path: str, shape: str = "", types: str = "") -> None:
        self.path = path
        self.shape = shape or path
        self.types = types
        self.methods: dict[str, R] = {}
        self.owners: dict[str, str] = {}
        self.allow = b"OPTIONS"

    def freeze(self) -> None:
        names = {*self.methods, "OPTIONS"}
        if "GET" in names:
            names.add("HEAD")
        self.allow = ", ".join(sorted(names)).encode("ascii")


class _Node(Generic[R]):
    """One segment of the tree: what follows it, and what is there itself."""

    __slots__ = ("leaf", "literals", "parameters")

    def __init__(self) -> None:
        self.literals: dict[str, _Node[R]] = {}
        self.parameters: list[tuple[int, _Node[R]]] = []
        self.leaf: Leaf[R] | None = None


class Router(Generic[R]):
    """Routes by path and method."""

    def __init__(self) -> None:
        self._static: dict[str, Leaf[R]] = {}
        self._root: _Node[R] = _Node()
        self._depth = 0
        self.leaves: list[Leaf[R]] = []

    def add(
        self, method: str, path: str, route: R, *, types: Sequence[Any], owner: str, place: str = ""
    ) -> None:
        """Add a route.

        Args:
            method: In upper case.
            path: The template.
            route: What `find` leads to.
            types: The types of the path's parameters, in their order; they tell apart templates
                that differ in nothing else.
            owner: Shown if another route is in the way.
            place: Where the route comes from.

        Raises:
            ConfigurationError: Another route has this method and path.
        """
        segments = parse_template(path)
        ranks = [rank_of(each) for each in types]
        node = self._root
        waiting = iter(ranks)
        for segment in segments:
            node = self._step(node, segment, waiting)
        if node.leaf is None:
            shape = "".join(
                "/{}" if isinstance(segment, Parameter) else f"/{segment}" for segment in segments
            )
            node.leaf = Leaf(path, shape, "".join(_LETTERS[rank] for rank in ranks))
            self.leaves.append(node.leaf)
        leaf = node.leaf
        if method in leaf.methods:
            raise ConfigurationError(
                "COVET-HTTP-ROUTE-CONFLICT",
                f"{method} {path} of {owner} and {method} {leaf.path} of {leaf.owners[method]} are the"
                " same route.",
                place=place,
                fix="Change one path or method, or disable one of the two.",
            )
        leaf.methods[method] = route
        leaf.owners[method] = owner
        leaf.freeze()
        self._depth = max(self._depth, len(segments))
        if not any(isinstance(segment, Parameter) for segment in segments):
            self._static[path] = leaf

    def _step(self, node: _Node[R], segment: Segment, waiting: Iterator[int]) -> _Node[R]:
        if isinstance(segment, str):
            return node.literals.setdefault(segment, _Node())
        rank = next(waiting)
        for known, child in node.parameters:
            if known == rank:
                return child
        child = _Node()
        node.parameters.append((rank, child))
        node.parameters.sort(key=lambda entry: entry[0])
        return child

    def find(self, path: str) -> tuple[Leaf[R] | None, Sequence[str]]:
        """The leaf at a path, and the values of its parameters in order.

        Args:
            path: The path as it was sent, without the query, still percent-encoded.

        Raises:
            BadTargetError: It cannot be decoded.
        """
        leaf = self._static.get(path)
        if leaf is not None:
            return leaf, _NO_VALUES
        segments = path.split("/", self._depth + 1)
        if "%" in path:
            segments = [decode(segment) for segment in segments]
        if len(segments) > self._depth + 1:
            return None, _NO_VALUES
        values: list[str] = []
        return self._descend(self._root, segments, 1, values), values

    def _descend(
        self, node: _Node[R], segments: list[str], index: int, values: list[str]
    ) -> Leaf[R] | None:
        if index == len(segments):
            return node.leaf
        segment = segments[index]
        child = node.literals.get(segment)
        if child is not None:
            leaf = self._descend(child, segments, index + 1, values)
            if leaf is not None:
                return leaf
        if not segment:
            return None
        alone = len(node.parameters) == 1
        for rank, child in node.parameters:
            if alone or _TESTS[rank](segment):
                values.append(segment)
                leaf = self._descend(child, segments, index + 1, values)
                if leaf is not None:
                    return leaf
                values.pop()
        return None
