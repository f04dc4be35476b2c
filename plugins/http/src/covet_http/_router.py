"""From a path to a route: one dictionary look-up for plain paths, a tree for the others.

Built when a serving phase begins and never changed: a reload builds another.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from datetime import date
from typing import Any, Final, Generic, TypeAlias, TypeVar
from uuid import UUID

from covet_http._target import decode
from covet_http._template import Parameter, Segment, parse_template
from covet_kernel import ConfigurationError

R = TypeVar("R")
Test: TypeAlias = Callable[[str], object]

_NO_VALUES: tuple[str, ...] = ()
_INT = re.compile(r"[+-]?[0-9]+\Z")
_UUID = re.compile(r"[0-9A-Fa-f]{8}(-?)(?:[0-9A-Fa-f]{4}\1){3}[0-9A-Fa-f]{12}\Z")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}\Z")
_DOTS = re.compile(r"(?:\A|/)\.\.?(?:/|\Z)")


def _is_date(text: str) -> bool:
    if not _DATE.match(text):
        return False
    try:
        date(int(text[:4]), int(text[5:7]), int(text[8:]))
    except ValueError:
        return False
    return True


def _is_relative(text: str) -> bool:
    # Whoever joins it to a folder stays in there.
    return not text.startswith("/") and not _DOTS.search(text)


# Narrowest first. A letter is the capital of another where the template itself says the type.
_TESTS: Final[dict[str, Test | None]] = {
    "i": _INT.match, "u": _UUID.match, "d": _is_date, "s": None,
}  # fmt: skip
_RANKS: Final = {letter: rank for rank, letter in enumerate(_TESTS)}
_KINDS: Final = {"int": "I", "uuid": "U", "date": "D", "str": "s", "path": "p"}
_ANNOTATIONS: Final[dict[Any, str]] = {int: "i", UUID: "u", date: "d"}
EVERYTHING: Final = "*"


def letters_of(path: str, types: Iterable[Any]) -> str:
    """The letter of each parameter of a template, as in `Leaf.types`.

    Args:
        path: The template.
        types: The annotations of its parameters, in their order.
    """
    given = iter(types)
    letters = ""
    for segment in parse_template(path):
        if isinstance(segment, Parameter):
            annotation = next(given)
            letters += _KINDS.get(segment.kind) or _ANNOTATIONS.get(annotation, "s")
    return letters


class Leaf(Generic[R]):
    """What is at one path: its routes by method.

    Attributes:
        path: The template, with the names of whoever came first.
        shape: The template without names: ``"/books/{}"``. Two leaves of one shape differ in types.
        types: A letter for each parameter: ``"i"`` a whole number, ``"u"`` a UUID, ``"d"`` a date,
            ``"s"`` others, ``"p"`` the rest of the path, ``"*"`` the same, empty or not, of any
            shape. A capital is narrow: nothing else is found there. A small one only tells
            parameters in the same place apart.
        methods: What each method leads to.
        hosts: The same for the routes of some hosts only, by the host's template.
        rest: What all other methods lead to, ``None`` where they are refused.
        owners: Who declared that, by method and host; by ``"*"`` for ``rest``.
        allow: The value of the ``Allow`` header.
    """

    __slots__ = ("allow", "hosts", "methods", "owners", "path", "rest", "shape", "types")

    def __init__(self, path: str, shape: str = "", types: str = "") -> None:
        self.path = path
        self.shape = shape or path
        self.types = types
        self.methods: dict[str, R] = {}
        self.hosts: dict[str, dict[str, R]] = {}
        self.rest: R | None = None
        self.owners: dict[str, str] = {}
        self.allow = b"OPTIONS"

    def freeze(self) -> None:
        self.allow = allowed(self.methods)


def allowed(methods: Iterable[str]) -> bytes:
    """The value of ``Allow`` for what has these methods."""
    names = {*methods, "OPTIONS"}
    if "GET" in names:
        names.add("HEAD")
    return ", ".join(sorted(names)).encode("ascii")


class _Node(Generic[R]):
    """One segment of the tree: what follows it, and what is there itself."""

    __slots__ = (
        "children", "everything", "leaf", "literals", "narrow", "only", "parameters", "plain", "relative",
    )  # fmt: skip

    def __init__(self) -> None:
        self.literals: dict[str, _Node[R]] = {}
        # By letter; in `parameters` the same as they are tried, in `only` if there is but one.
        self.children: dict[str, _Node[R]] = {}
        self.narrow: set[str] = set()
        self.parameters: list[tuple[Test | None, _Node[R]]] = []
        self.plain = True
        self.only: tuple[Test | None, _Node[R]] | None = None
        self.relative: Leaf[R] | None = None
        self.everything: Leaf[R] | None = None
        self.leaf: Leaf[R] | None = None

    def arrange(self) -> None:
        """Ask of a parameter only what has to be asked: nothing where one stands alone."""
        alone = len(self.children) + bool(self.relative) + bool(self.everything) == 1
        self.parameters = [
            (None if alone and letter not in self.narrow else _TESTS[letter], self.children[letter])
            for letter in sorted(self.children, key=_RANKS.__getitem__)
        ]
        self.plain = False
        self.only = self.parameters[0] if alone and self.parameters else None


class Router(Generic[R]):
    """Routes by path and method."""

    def __init__(self) -> None:
        self._static: dict[str, Leaf[R]] = {}
        self._root: _Node[R] = _Node()
        self._depth = 0
        self._endless = False
        self._everything: dict[str, tuple[R, str]] = {}
        self.leaves: list[Leaf[R]] = []

    def add(
        self,
        method: str,
        path: str,
        route: R,
        *,
        types: Sequence[Any],
        owner: str,
        place: str = "",
        host: str = "",
    ) -> None:
        """Add a route.

        Args:
            method: In upper case.
            path: The template.
            route: What `find` leads to.
            types: The types of the path's parameters, in their order; they tell apart templates
                that differ in nothing else. What the template itself says counts more.
            owner: Shown if another route is in the way.
            place: Where the route comes from.
            host: The template of the only host it is found at; empty: every host.

        Raises:
            ConfigurationError: Another route has this method and path.
        """
        segments = parse_template(path)
        leaf = self._leaf(path, segments, letters_of(path, types))
        if host and leaf.rest is not None:
            # Whose host it is would have to be decided twice.
            where, first = f"{method} {host}{path}", leaf.owners[EVERYTHING]
            raise _conflict(where, path, owner, first, place)
        methods = leaf.hosts.setdefault(host, {}) if host else leaf.methods
        key = f"{method} {host}" if host else method
        if method in methods:
            where = f"{method} {host}"
            raise _conflict(where + path, where + leaf.path, owner, leaf.owners[key], place)
        methods[method] = route
        leaf.owners[key] = owner
        leaf.freeze()

    def add_everything(self, prefix: str, route: R, *, owner: str, place: str = "") -> None:
        """Let everything at and under a prefix lead to one route, where nothing else is.

        Args:
            prefix: A template without parameters and without a slash at its end; empty: all paths.
            route: What `find` leads to.
            owner: Shown if another route is in the way.
            place: Where the route comes from.

        Raises:
            ConfigurationError: Another one has this prefix.
        """
        plain = parse_template(prefix) if prefix else ()
        leaves = [self._leaf(prefix, plain, "")] if prefix else []
        leaves.append(
            self._leaf(f"{prefix}/{{path}}", (*plain, Parameter("path", EVERYTHING)), EVERYTHING)
        )
        for leaf in leaves:
            if leaf.rest is not None or leaf.hosts:
                first = leaf.owners.get(EVERYTHING) or ", ".join(leaf.owners.values())
                raise _conflict(prefix or "/", prefix or "/", owner, first, place)
            leaf.rest = route
            leaf.owners[EVERYTHING] = owner
        self._everything[prefix] = route, owner

    def share(self) -> None:
        """Let methods that are not at a path lead on to what has everything under its prefix.

        So that an application is replaced one method at a time, too. A path that some hosts have for
        themselves is not shared. To be called when everything is there.
        """
        for prefix, (route, owner) in sorted(self._everything.items(), reverse=True):
            for leaf in self.leaves:
                under = leaf.shape == prefix or leaf.shape.startswith(f"{prefix}/")
                if under and leaf.rest is None and not leaf.hosts:
                    leaf.rest = route
                    leaf.owners[EVERYTHING] = owner

    def _leaf(self, path: str, segments: Sequence[Segment], letters: str) -> Leaf[R]:
        """The leaf at a template; made if nothing is there."""
        self._depth = max(self._depth, len(segments))
        node = self._root
        waiting = iter(letters)
        shape = "".join("/{}" if isinstance(each, Parameter) else f"/{each}" for each in segments)
        for segment in segments:
            letter = "" if isinstance(segment, str) else next(waiting)
            if letter in ("p", EVERYTHING):
                self._endless = True
                return self._endless_leaf(node, letter, path, shape, letters)
            node = self._step(node, segment, letter)
        if node.leaf is None:
            node.leaf = Leaf(path, shape, letters)
            self.leaves.append(node.leaf)
            if not letters:
                self._static[path] = node.leaf
        return _narrowed(node.leaf, letters)

    def _endless_leaf(
        self, node: _Node[R], letter: str, path: str, shape: str, letters: str
    ) -> Leaf[R]:
        leaf = node.relative if letter == "p" else node.everything
        if leaf is None:
            leaf = Leaf(path, shape, letters)
            self.leaves.append(leaf)
            if letter == "p":
                node.relative = leaf
            else:
                node.everything = leaf
            node.arrange()
        return _narrowed(leaf, letters)

    def _step(self, node: _Node[R], segment: Segment, letter: str) -> _Node[R]:
        if isinstance(segment, str):
            return node.literals.setdefault(segment, _Node())
        kind = letter.lower()
        child = node.children.get(kind)
        if child is None:
            child = node.children[kind] = _Node()
        elif kind == letter or kind in node.narrow:
            return child
        if kind != letter:
            node.narrow.add(kind)
        node.arrange()
        return child

    @property
    def plain(self) -> dict[bytes, Leaf[R]]:
        """The leaves without parameters by their paths, as those are sent."""
        return {path.encode("ascii"): leaf for path, leaf in self._static.items() if path.isascii()}

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
        # What is deeper than every template stays in one piece.
        segments = path.split("/", self._depth + 1)
        if "%" in path:
            segments = [decode(segment) for segment in segments]
        if len(segments) > self._depth + 1 and not self._endless:
            return None, _NO_VALUES
        values: list[str] = []
        leaf = self._descend(self._root, segments, 1, values)
        return leaf, values if leaf is not None else _NO_VALUES

    def _descend(
        self, node: _Node[R], segments: list[str], index: int, values: list[str]
    ) -> Leaf[R] | None:
        end = len(segments)
        while index < end:
            segment = segments[index]
            child = node.literals.get(segment)
            if node.plain:
                if child is None:
                    return None
                node = child
                index += 1
                continue
            if child is not None:
                leaf = self._attempt(child, segments, index + 1, values)
                if leaf is not None:
                    return leaf
            if node.only is None:
                return self._choose(node, segments, index, values)
            test, child = node.only
            if not segment or (test is not None and not test(segment)):
                return None
            values.append(segment)
            node = child
            index += 1
        return node.leaf

    def _attempt(
        self, node: _Node[R], segments: list[str], index: int, values: list[str]
    ) -> Leaf[R] | None:
        """The same, leaving no values behind where it finds nothing."""
        before = len(values)
        leaf = self._descend(node, segments, index, values)
        if leaf is None:
            del values[before:]
        return leaf

    def _choose(
        self, node: _Node[R], segments: list[str], index: int, values: list[str]
    ) -> Leaf[R] | None:
        """Of several kinds of parameters in one place, the first that leads somewhere."""
        segment = segments[index]
        if segment:
            for test, child in node.parameters:
                if test is None or test(segment):
                    values.append(segment)
                    leaf = self._attempt(child, segments, index + 1, values)
                    if leaf is not None:
                        return leaf
                    values.pop()
            if node.relative is not None:
                rest = "/".join(segments[index:])
                if _is_relative(rest):
                    values.append(rest)
                    return node.relative
        if node.everything is not None:
            values.append("/".join(segments[index:]))
        return node.everything


def _narrowed(leaf: Leaf[R], letters: str) -> Leaf[R]:
    """The leaf, as narrow as the narrowest template that leads to it."""
    leaf.types = "".join(min(pair) for pair in zip(leaf.types, letters, strict=True))
    return leaf


def _conflict(what: str, other: str, owner: str, first: str, place: str) -> ConfigurationError:
    return ConfigurationError(
        "COVET-HTTP-ROUTE-CONFLICT",
        f"{what} of {owner} and {other} of {first} are the same route.",
        place=place,
        fix="Change one path or method, or disable one of the two.",
    )
