"""The decorators that bind functions to methods and paths, and groups of what has one prefix."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, TypeVar, Unpack

from covet_http._binding import EFFECTS, HttpBinding
from covet_http._hosts import parse_host
from covet_http._route_rules import RouteRules, check_rules
from covet_http._routed import RoutedBinding
from covet_http._template import BadTemplateError, Parameter, parse_template
from covet_kernel import ConfigurationError
from covet_kernel.contracts import Effect, Operation
from covet_operations import mark, operations_of

F = TypeVar("F", bound=Callable[..., Any])
_ARGUMENTS = ("status", "location", "media_type", "stream", "deadline", "versions")


class Group:
    """What several operations have in common, and decorators that apply it.

    Example::

        books = http.Group("/books", tags=("books",), requires=("books:read",))

        @books.get("/{id:int}")
        async def get_book(id: int) -> Book: ...

    Args:
        prefix: Before every path; may have parameters, which every handler then takes.
        host: The only host where the operations are found, ``"admin.example.com"``, or a template
            like ``"{tenant}.example.com"``, whose names handlers take. Ports and case do not count.
        tags: For grouping in schemas.
        requires: Permissions the principal needs, besides those of the operation.
        errors: Typed errors every one of the functions may raise, besides its own.
        deadline: Seconds a call may take, where the decorator says nothing else.
        versions: The range of versions, where the decorator says nothing else.

    Raises:
        ConfigurationError: The prefix is no path or the host is no host.
    """

    def __init__(
        self,
        prefix: str = "",
        *,
        host: str = "",
        tags: Sequence[str] = (),
        requires: Sequence[str] = (),
        errors: Sequence[type[Exception]] = (),
        deadline: float | None = None,
        versions: str = "",
    ) -> None:
        self.prefix = _checked_prefix(prefix)
        self.host = _checked_host(host)
        self.tags = tuple(tags)
        self.requires = tuple(requires)
        self.errors = tuple(errors)
        self.deadline = deadline
        self.versions = versions

    def group(
        self,
        prefix: str = "",
        *,
        host: str = "",
        tags: Sequence[str] = (),
        requires: Sequence[str] = (),
        errors: Sequence[type[Exception]] = (),
        deadline: float | None = None,
        versions: str = "",
    ) -> Group:
        """A group inside this one: what is said adds up, the innermost deadline and versions count.

        Raises:
            ConfigurationError: As of a group; or both have a host.
        """
        if host and self.host:
            raise _bad(host, f"the group around it is for {self.host!r} only")
        return Group(
            self.prefix + _checked_prefix(prefix),
            host=host or self.host,
            tags=(*self.tags, *tags),
            requires=(*self.requires, *requires),
            errors=(*self.errors, *errors),
            deadline=self.deadline if deadline is None else deadline,
            versions=versions or self.versions,
        )

    def operations_of(self, source: object) -> tuple[Operation, ...]:
        """A whole module's or object's operations as part of this group, for ``covet_operations``.

        Args:
            source: As of `covet_operations.operations_of`.

        Raises:
            ConfigurationError: An operation has a host of its own, and so has the group.
        """
        return tuple(self._joined(each) for each in operations_of(source))

    def get(
        self,
        path: str = "",
        *,
        status: int | None = None,
        media_type: str = "",
        stream: Literal["lines", "events"] = "lines",
        deadline: float | None = None,
        versions: str = "",
        **rules: Unpack[RouteRules],
    ) -> Callable[[F], F]:
        """Bind to GET (and HEAD). Unless `operation` says otherwise, the effect is ``"read"``."""
        return self._bind(
            ("GET",), path, status, None, deadline, versions, media_type, stream, **rules
        )

    def head(
        self,
        path: str = "",
        *,
        status: int | None = None,
        media_type: str = "",
        deadline: float | None = None,
        versions: str = "",
        **rules: Unpack[RouteRules],
    ) -> Callable[[F], F]:
        """Bind to HEAD alone, in place of what GET would answer without its body."""
        return self._bind(("HEAD",), path, status, None, deadline, versions, media_type, **rules)

    def options(
        self,
        path: str = "",
        *,
        status: int | None = None,
        media_type: str = "",
        deadline: float | None = None,
        versions: str = "",
        **rules: Unpack[RouteRules],
    ) -> Callable[[F], F]:
        """Bind to OPTIONS, in place of the answer that lists the methods."""
        return self._bind(("OPTIONS",), path, status, None, deadline, versions, media_type, **rules)

    def post(
        self,
        path: str = "",
        *,
        status: int | None = None,
        location: str | None = None,
        media_type: str = "",
        stream: Literal["lines", "events"] = "lines",
        deadline: float | None = None,
        versions: str = "",
        **rules: Unpack[RouteRules],
    ) -> Callable[[F], F]:
        """Bind to POST.

        Args:
            path: The path's template, ``"/books/{id:int}"``; empty in a group: the prefix itself.
            status: The status of success, such as 201; unless given, 204 for a handler that returns
                nothing and 200 for others.
            location: A template over the result for the ``Location`` header, ``"/orders/{id}"``; a
                whole path, whatever the group's prefix.
            media_type: What the result is, if it is not plain JSON, such as ``"text/csv"``: ``str`` and
                ``bytes`` are sent as they are then, and so are the items of a stream of them.
            stream: What a stream out is: ``"lines"`` of JSON, or server-sent ``"events"``.
            deadline: Seconds a call may take over this route.
            versions: The versions it is in, of those declared in ``[plugins.http.versions]``:
                ``"2"``, ``"2-"``, ``"-2"``, ``"1-3"``, ``"1, 3"`` or ``"*"``; the group's unless given.
                The handler speaks the newest of them.
            rules: What holds for this route only; see `RouteRules`.

        Raises:
            ConfigurationError: The path is none.
        """
        return self._bind(
            ("POST",), path, status, location, deadline, versions, media_type, stream, **rules
        )

    def put(
        self,
        path: str = "",
        *,
        status: int | None = None,
        location: str | None = None,
        media_type: str = "",
        deadline: float | None = None,
        versions: str = "",
        **rules: Unpack[RouteRules],
    ) -> Callable[[F], F]:
        """Bind to PUT; the arguments are those of `post`. The effect is ``"idempotent"``."""
        return self._bind(("PUT",), path, status, location, deadline, versions, media_type, **rules)

    def patch(
        self,
        path: str = "",
        *,
        status: int | None = None,
        location: str | None = None,
        media_type: str = "",
        deadline: float | None = None,
        versions: str = "",
        **rules: Unpack[RouteRules],
    ) -> Callable[[F], F]:
        """Bind to PATCH; the arguments are those of `post`."""
        return self._bind(
            ("PATCH",), path, status, location, deadline, versions, media_type, **rules
        )

    def delete(
        self,
        path: str = "",
        *,
        status: int | None = None,
        media_type: str = "",
        deadline: float | None = None,
        versions: str = "",
        **rules: Unpack[RouteRules],
    ) -> Callable[[F], F]:
        """Bind to DELETE. The effect is ``"idempotent"``."""
        return self._bind(("DELETE",), path, status, None, deadline, versions, media_type, **rules)

    def route(
        self,
        path: str = "",
        *,
        methods: Iterable[str],
        status: int | None = None,
        location: str | None = None,
        media_type: str = "",
        stream: Literal["lines", "events"] = "lines",
        deadline: float | None = None,
        versions: str = "",
        **rules: Unpack[RouteRules],
    ) -> Callable[[F], F]:
        """Bind to several methods; the effect is the strongest of theirs.

        Args:
            path: As of `post`.
            methods: In upper case: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS.
            status: As of `post`.
            location: As of `post`.
            media_type: As of `post`.
            stream: As of `post`.
            deadline: As of `post`.
            versions: As of `post`.
            rules: As of `post`.

        Raises:
            ConfigurationError: The path is none, or a method is not one of these.
        """
        return self._bind(
            tuple(dict.fromkeys(methods)),
            path,
            status,
            location,
            deadline,
            versions,
            media_type,
            stream,
            **rules,
        )

    def websocket(
        self,
        path: str = "",
        *,
        subprotocols: Sequence[str] = (),
        origins: Sequence[str] | None = None,
        max_message_bytes: int | None = None,
        deadline: float | None = None,
    ) -> Callable[[F], F]:
        """Bind to handshakes of WebSockets; the handler takes a `WebSocket`.

        Args:
            path: As of `post`.
            subprotocols: Those that the handler speaks, its favourite first.
            origins: Whose pages may open one besides the service's own, in place of what the
                configuration says: ``("https://shop.example",)``, or ``("*",)`` for all.
            max_message_bytes: Of a message that comes, in place of what the configuration says.
            deadline: Seconds until the handler has to accept.

        Raises:
            ConfigurationError: The path is none.
        """
        from covet_http._websocket._binding import WebSocketBinding

        path = self._path(path, "a WebSocket")
        binding = WebSocketBinding(
            protocol="websocket",
            address=f"{self.host}{path}",
            path=path,
            host=self.host,
            deadline=self.deadline if deadline is None else deadline,
            subprotocols=tuple(subprotocols),
            origins=None if origins is None else tuple(origins),
            max_message_bytes=max_message_bytes,
        )
        return mark(
            binding, effect="write", requires=self.requires, errors=self.errors, tags=self.tags
        )

    def _path(self, path: str, what: str) -> str:
        """The whole path that is meant.

        Args:
            path: As given.
            what: Is bound to it.

        Raises:
            ConfigurationError: It is none.
        """
        if not isinstance(path, str):
            raise ConfigurationError(
                "COVET-HTTP-PATH-INVALID",
                f"{getattr(path, '__name__', path)!r} is no path for {what}:"
                " the decorator is called with one.",
                fix="Write @http.get('/books/{id}'), in a group also @books.get().",
            )
        path = self.prefix + path
        try:
            parse_template(path)
        except BadTemplateError as error:
            raise ConfigurationError(
                "COVET-HTTP-PATH-INVALID",
                f"{path!r} is no path for {what}: {error}.",
                fix="Write it like '/books/{id}'.",
            ) from None
        return path

    def _bind(
        self,
        methods: Sequence[str],
        path: str,
        status: int | None,
        location: str | None,
        deadline: float | None,
        versions: str,
        media_type: str,
        stream: Literal["lines", "events"] = "lines",
        **rules: Unpack[RouteRules],
    ) -> Callable[[F], F]:
        check_rules(rules, _ARGUMENTS)
        path = self._path(path, ", ".join(methods))
        versions = versions or self.versions
        unknown = [each for each in methods if each not in EFFECTS]
        if unknown or not methods:
            raise ConfigurationError(
                "COVET-HTTP-METHOD-UNKNOWN",
                f"{path!r} is to be bound to {', '.join(unknown) or 'no method'}.",
                valid=tuple(EFFECTS),
                given=unknown[0] if unknown else "",
                fix="Name methods in upper case.",
            )
        bindings = [
            HttpBinding(
                protocol="http",
                address=_address(each, self.host, path, versions),
                method=each,
                path=path,
                host=self.host,
                status=status,
                location=location,
                deadline=self.deadline if deadline is None else deadline,
                versions=versions,
                media_type=media_type,
                stream=stream,
                **rules,
            )
            for each in methods
        ]
        effects: list[Effect] = [EFFECTS[each] for each in methods]
        return mark(
            *bindings,
            effect=max(effects, key=("read", "idempotent", "write").index),
            requires=self.requires,
            errors=self.errors,
            tags=self.tags,
        )

    def _joined(self, operation: Operation) -> Operation:
        bindings = [
            self._moved(each) if isinstance(each, RoutedBinding) else each
            for each in operation.bindings
        ]
        return operation.replaced(
            bindings=tuple(bindings),
            requires=_united(operation.requires, self.requires),
            errors=_united(operation.errors, self.errors),
            tags=_united(operation.tags, self.tags),
        )

    def _moved(self, binding: RoutedBinding) -> RoutedBinding:
        if binding.host and self.host:
            raise _bad(binding.host, f"{binding.address} would be in the group of {self.host!r}")
        path = self.prefix + binding.path
        # The root of what is moved becomes the prefix itself.
        path = self.prefix if binding.path == "/" and self.prefix else path
        host = binding.host or self.host
        if not isinstance(binding, HttpBinding):
            return binding.replaced(
                path=path,
                host=host,
                address=f"{host}{path}",
                deadline=self.deadline if binding.deadline is None else binding.deadline,
            )
        versions = binding.versions or self.versions
        return binding.replaced(
            path=path,
            host=host,
            address=_address(binding.method, host, path, versions),
            deadline=self.deadline if binding.deadline is None else binding.deadline,
            versions=versions,
        )


def _address(method: str, host: str, path: str, versions: str) -> str:
    return f"{method} {host}{path}" + (f" (versions {versions})" if versions else "")


def _united(own: tuple[Any, ...], more: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(dict.fromkeys((*own, *more)))


def _checked_prefix(prefix: str) -> str:
    if not prefix:
        return prefix
    try:
        last = parse_template(prefix)[-1]
        if not last:
            raise BadTemplateError("a prefix does not end with '/'")
        if isinstance(last, Parameter) and last.kind == "path":
            raise BadTemplateError(f"{last.name!r} takes the whole rest of a path")
    except BadTemplateError as error:
        raise ConfigurationError(
            "COVET-HTTP-PATH-INVALID",
            f"{prefix!r} is no prefix of a group: {error}.",
            fix="Write it like '/books' or '/shelves/{shelf}'.",
        ) from None
    return prefix


def _checked_host(host: str) -> str:
    try:
        parse_host(host)
    except BadTemplateError as error:
        raise _bad(host, str(error)) from None
    return host


def _bad(host: str, problem: str) -> ConfigurationError:
    return ConfigurationError(
        "COVET-HTTP-HOST-INVALID",
        f"{host!r} cannot be a group's host: {problem}.",
        fix="Write it like 'admin.example.com' or '{tenant}.example.com', and say it once.",
    )


_everything = Group()
get = _everything.get
"""Bind to GET (and HEAD); see `Group.get`."""
head = _everything.head
"""Bind to HEAD alone; see `Group.head`."""
options = _everything.options
"""Bind to OPTIONS; see `Group.options`."""
post = _everything.post
"""Bind to POST; see `Group.post`, which describes the arguments."""
put = _everything.put
"""Bind to PUT; see `Group.put`."""
patch = _everything.patch
"""Bind to PATCH; see `Group.patch`."""
delete = _everything.delete
"""Bind to DELETE; see `Group.delete`."""
route = _everything.route
"""Bind to several methods; see `Group.route`."""
websocket = _everything.websocket
"""Bind to handshakes of WebSockets; see `Group.websocket`."""
