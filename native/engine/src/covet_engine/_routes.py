"""From the routes of covet-http to the engine's table, which answers in C what needs no Python."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from covet_engine._arguments import arguments_of
from covet_engine._core import Core, EngineError
from covet_engine._dispatch import chooser, redirector, request_class
from covet_engine._exchange import Exchange
from covet_engine._exchange import Target as Makes
from covet_engine._request import fields
from covet_http import (
    Choice,
    Dispatcher,
    Leaf,
    Mounted,
    PreparedAnswer,
    Route,
    SlashRedirect,
    Target,
)
from covet_kernel import ConfigurationError

if TYPE_CHECKING:
    from covet_engine._asgi import Address
    from covet_engine._folders import Folders
    from covet_engine._native import FFI, CData, Lib

Lines: TypeAlias = Iterable[tuple[bytes, bytes]]
Found: TypeAlias = Route | Choice | Mounted | SlashRedirect

_NO_MEMORY = -3
_MOST_ROUTES = 1 << 16
_MOST_PAIRS = 1 << 16
# For the methods that are not there.
_OTHERS = b""
_ASTERISK = ord("*")


class Table:
    """One serving phase's routes in the engine.

    Attributes:
        routes: A ``cv_routes *``; the engine frees it once it was begun with.
        found: The routes and choices by their number in the engine.
        answers: What the engine answers by itself, by number.
    """

    def __init__(self, lib: Lib, ffi: FFI, routes: CData, dispatcher: Dispatcher) -> None:
        self.routes = routes
        self.found: list[Found] = []
        self.answers: dict[int, PreparedAnswer] = {}
        self._lib = lib
        self._ffi = ffi
        self._dispatcher = dispatcher
        self._folders: Folders | None = None
        self._templates: dict[tuple[int, bytes], int] = {}
        self._numbers: dict[tuple[int, bytes, bytes, bytes], int] = {}

    def targets(self, core: Core, servers: Sequence[Address | None] = ()) -> list[Makes]:
        """What makes the requests of each route or choice, by its number.

        Args:
            core: The engine.
            servers: Where the listening sockets are bound, for mounted applications.
        """
        classes: dict[Route, Makes] = {}
        made: list[Makes] = []
        for each in self.found:
            for route in _among(each):
                if isinstance(route, Route) and route not in classes:
                    code = None
                    if route.constant is not None:
                        code = self._template(route.status, route.constant)
                    make = partial(request_class, core, route, code, self._dispatcher)
                    classes[route] = _First(make, route, classes, made)
        made += [self._maker(core, each, classes, servers) for each in self.found]
        return made

    def _maker(
        self,
        core: Core,
        target: Found,
        classes: Mapping[Route, Makes],
        servers: Sequence[Address | None],
    ) -> Makes:
        if isinstance(target, Route):
            return classes[target]
        if isinstance(target, Mounted):
            from covet_engine._asgi import AsgiTarget

            return AsgiTarget(core, target, servers)
        if isinstance(target, SlashRedirect):
            return redirector(core, self._dispatcher)
        return chooser(core, target, classes, self._dispatcher)

    def fill(self) -> None:
        """Tell the engine everything the dispatcher knows."""
        dispatcher, lib = self._dispatcher, self._lib
        for status, target in (
            (404, dispatcher.not_found),
            (400, dispatcher.malformed),
            (_ASTERISK, dispatcher.asterisk),
        ):
            if isinstance(target, PreparedAnswer):
                _done(lib.cv_routes_set_default(self.routes, status, self._answer(target)))
            else:
                number = self._number(target, "the answer to what leads nowhere")
                _done(lib.cv_routes_set_default_route(self.routes, status, number))
        if dispatcher.hosts is not None:
            misdirected = self._answer(dispatcher.misdirected)
            _done(lib.cv_routes_set_default(self.routes, 421, misdirected))
            for name in dispatcher.hosts.names:
                _done(lib.cv_routes_allow_host(self.routes, name, len(name)))
        for leaf in dispatcher.routes.leaves:
            self._add_leaf(leaf)
        self._set_slash()

    def _add_leaf(self, leaf: Leaf[Target]) -> None:
        path = leaf.shape.encode("utf-8")
        number = self._lib.cv_routes_add_path(self.routes, path, len(path), leaf.types.encode())
        if number < 0 and number != _NO_MEMORY:
            raise _unfit(
                f"{leaf.path} of {_owners(leaf)}",
                "its path has more than 8 parameters or 64 segments, or is too long",
            )
        _done(number)
        if leaf.rest is None:
            self._set(leaf, number, _OTHERS, self._dispatcher.not_allowed(leaf))
            self._set(leaf, number, b"OPTIONS", self._dispatcher.options(leaf))
        else:
            self._set(leaf, number, _OTHERS, leaf.rest)
            self._set(leaf, number, b"OPTIONS", leaf.rest)
        for method, target in leaf.methods.items():
            self._set(leaf, number, method.encode(), target)

    def _set_slash(self) -> None:
        lib, policy = self._lib, self._dispatcher.slash
        slash = {"strict": lib.CV_SLASH_STRICT, "ignore": lib.CV_SLASH_IGNORE}
        number = 0
        if policy == "redirect":
            number = self._number(self._dispatcher.redirect, "the redirect of trailing slashes")
        _done(
            lib.cv_routes_set_slash(self.routes, slash.get(policy, lib.CV_SLASH_REDIRECT), number)
        )

    def _set(self, leaf: Leaf[Target], at: int, method: bytes, target: Target) -> None:
        if isinstance(target, PreparedAnswer):
            self._set_answer(at, method, target)
        else:
            self._set_route(leaf, at, method, target)

    def _set_answer(self, leaf: int, method: bytes, answer: PreparedAnswer) -> None:
        number = self._answer(answer)
        _done(self._lib.cv_routes_set_answer(self.routes, leaf, method, number))

    def _set_route(self, leaf: Leaf[Target], at: int, method: bytes, target: Found) -> None:
        number = self._number(target, f"{leaf.path} of {_owners(leaf)}")
        if isinstance(target, Route) and self._set_folder(at, method, target, number):
            return
        waits = isinstance(target, Route) and target.whole_body
        flags = self._lib.CV_ROUTE_WAIT if waits else 0
        arguments = arguments_of(target) if isinstance(target, Route) else None
        if arguments is not None and isinstance(target, Route):
            most = self._dispatcher.limits_of(target).max_query_params
            _done(arguments.declare(self._lib, self.routes, number, min(most, _MOST_PAIRS)))
        _done(self._lib.cv_routes_set_route(self.routes, at, method, number, flags))

    def _set_folder(self, leaf: int, method: bytes, route: Route, number: int) -> bool:
        """Whether the engine sends the files that this route would."""
        if route.folder is None or method != b"GET":
            return False
        if self._folders is None:
            # Most services have none.
            from covet_engine._folders import Folders

            self._folders = Folders(self._lib, self._ffi, self.routes, self._answer)
        folder = self._folders.number(route)
        if folder is None:
            return False
        _done(self._lib.cv_routes_set_folder(self.routes, leaf, method, folder, number))
        return True

    def _number(self, target: Found, what: str) -> int:
        """The engine's number for what Python answers."""
        if len(self.found) == _MOST_ROUTES:
            raise _unfit(what, f"there are more than {_MOST_ROUTES} routes")
        self.found.append(target)
        return len(self.found) - 1

    def _template(self, status: int, headers: Lines) -> int:
        key = status, fields(headers)
        code = self._templates.get(key)
        if code is None:
            code = _done(self._lib.cv_routes_add_template(self.routes, status, key[1], len(key[1])))
            self._templates[key] = code
        return code

    def _answer(self, answer: PreparedAnswer) -> int:
        status, headers, body = answer.reply
        lines, etag = fields(headers), answer.etag
        key = status, lines, body, etag
        number = self._numbers.get(key)
        if number is None:
            number = _done(
                self._lib.cv_routes_add_answer(
                    self.routes, status, lines, len(lines), body, len(body), etag, len(etag)
                )
            )
            self._numbers[key] = number
            self.answers[number] = answer
        return number


def _among(target: Found) -> Iterable[Route | PreparedAnswer]:
    if isinstance(target, Route):
        return (target,)
    return () if isinstance(target, SlashRedirect | Mounted) else target.among


class _First:
    """A target that makes the class of its route's requests when the first of them comes.

    A service begins to answer before it has made the classes of a thousand routes.
    """

    __slots__ = ("_classes", "_make", "_route", "_targets")

    def __init__(
        self,
        make: Callable[[], Makes],
        route: Route,
        classes: dict[Route, Makes],
        targets: list[Makes],
    ) -> None:
        self._make = make
        self._route = route
        self._classes = classes
        self._targets = targets

    def __call__(self, handle: int, at: int, size: int, flags: int) -> Exchange:
        made = self._make()
        self._classes[self._route] = made
        for number, each in enumerate(self._targets):
            if each is self:
                self._targets[number] = made
        return made(handle, at, size, flags)


def compile_routes(lib: Lib, ffi: FFI, dispatcher: Dispatcher) -> Table:
    """One serving phase's routes and prepared answers as the engine's table.

    Args:
        lib: The library.
        ffi: Its ffi.
        dispatcher: What covet-http answers with.

    Raises:
        ConfigurationError: A path is more than the engine can hold.
        MemoryError: There is none.
    """
    routes = lib.cv_routes_new()
    if routes == ffi.NULL:
        raise MemoryError
    try:
        table = Table(lib, ffi, routes, dispatcher)
        table.fill()
    except BaseException:
        lib.cv_routes_free(routes)
        raise
    return table


def compile_everything(lib: Lib, ffi: FFI) -> Any:
    """A table, a ``cv_routes *``, whose every request leads to route 0.

    Bodies are not waited for: an application may answer while its client still sends, and a client
    may send no more before it has read some of the answer.

    Raises:
        MemoryError: There is none.
    """
    routes = lib.cv_routes_new()
    if routes == ffi.NULL:
        raise MemoryError
    lib.cv_routes_set_everything(routes, 0, 0)
    return routes


def _done(result: int) -> int:
    if result == _NO_MEMORY:
        raise MemoryError
    if result < 0:
        raise EngineError(f"the engine refuses a route or answer: {result}")
    return result


def _owners(leaf: Leaf[Target]) -> str:
    return ", ".join(dict.fromkeys(leaf.owners.values()))


def _unfit(what: str, why: str) -> ConfigurationError:
    return ConfigurationError(
        "COVET-ENGINE-ROUTE",
        f"the native engine cannot serve {what}: {why}.",
        place="plugins.http.server",
        fix="Shorten the path, or choose the portable server: server = 'hypercorn'.",
    )
