"""From a path to a route: one dictionary look-up for plain paths, a tree for the others.

Built when a serving phase begins and never changed: a reload builds another.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar
from uuid import UUID

from covet_http._target import decode
from covet_http._template import Parameter, Segment, parse_template
from covet_kernel import ConfigurationError

R = TypeVar("R")

_NO_VALUES: tuple[str, ...] = ()


def _is_int(text: str) -> bool:
    digits = text[1:] if text[:1] in "+-" else text
    return digits.isascii() and digits.isdigit()


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True


# Only asked where parameters of several types stand in the same place; narrowest first.
_TESTS: dict[Any, tuple[int, Callable[[str], bool]]] = {int: (0, _is_int), UUID: (1, _is_uuid)}
_ANY: tuple[int, Callable[[str], bool]] = (2, lambda text: True)


class Leaf(Generic[R]):
    """What is at one path: its routes by method.

    Attributes:
        allow: The value of the ``Allow`` header.
    """

    __slots__ = ("allow", "methods", "owners", "path")

    def __init__(self, path: str) -> None:
        self.path = path
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
        self.parameters: list[tuple[int, Callable[[str], bool], _Node[R]]] = []
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
        node = self._root
        waiting = list(types)
        for segment in segments:
            node = self._step(node, segment, waiting)
        if node.leaf is None:
            node.leaf = Leaf(path)
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

    def _step(self, node: _Node[R], segment: Segment, waiting: list[Any]) -> _Node[R]:
        if isinstance(segment, str):
            return node.literals.setdefault(segment, _Node())
        rank, test = _TESTS.get(waiting.pop(0), _ANY)
        for known, _, child in node.parameters:
            if known == rank:
                return child
        child = _Node()
        node.parameters.append((rank, test, child))
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
        for _, test, child in node.parameters:
            if alone or test(segment):
                values.append(segment)
                leaf = self._descend(child, segments, index + 1, values)
                if leaf is not None:
                    return leaf
                values.pop()
        return None
