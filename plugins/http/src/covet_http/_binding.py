"""Where an operation is found over HTTP, and where its inputs come from."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, ClassVar, Final, TypeVar

from covet_http._forms._parts import Parts
from covet_http._forms._plan import fields_of_model, holds_files, plain
from covet_http._location import check_location, fields_of
from covet_http._request import Request
from covet_http._template import BadTemplateError, Parameter, parse_template
from covet_kernel import ConfigurationError
from covet_kernel.contracts import Call, Effect, Operation, Record
from covet_operations import Input, Kind, Signature, TransportBinding, mark

F = TypeVar("F", bound=Callable[..., Any])

_EFFECTS: Final[dict[str, Effect]] = {
    "GET": "read",
    "POST": "write",
    "PUT": "idempotent",
    "PATCH": "write",
    "DELETE": "idempotent",
}
_WITHOUT_BODY = frozenset({"GET", "DELETE"})
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")


class Query:
    """``Annotated[int, Query()]``: this input comes from the query whatever the method.

    Args:
        name: The name in the query; the parameter's unless given.
    """

    def __init__(self, name: str = "") -> None:
        self.name = name


class Header:
    """``Annotated[str, Header("x-trace")]``: this input comes from a header.

    Args:
        name: The header; the parameter's name with dashes unless given.
    """

    def __init__(self, name: str = "") -> None:
        self.name = name


class Form:
    """``Annotated[Signup, Form()]``, ``Annotated[str, Form("e-mail")]``: this input comes from a form.

    Whether the form is urlencoded or multipart is the client's choice. Once one input comes from a
    form, or is an `Upload`, so do all that would otherwise come from a JSON body.

    Args:
        name: The field's name; the parameter's unless given. A model's fields have their own names.
    """

    def __init__(self, name: str = "") -> None:
        self.name = name


class Placement(Record):
    """Where the inputs of one operation come from, by parameter name.

    Attributes:
        path: The position of the value among the path's.
        query: The name in the query.
        headers: The name of the header.
        body: Those that the body holds.
        form: The names of their fields, if the body is a form; ``None`` if it is JSON.
    """

    path: dict[str, int]
    query: dict[str, str]
    headers: dict[str, str]
    body: tuple[str, ...]
    form: dict[str, str] | None = None


class HttpBinding(TransportBinding):
    """One method and path.

    Attributes:
        method: In upper case.
        path: A template such as ``"/books/{id}"``; its names are parameters of the handler.
        status: The status of success; ``None`` is 204 for a handler that returns nothing, else 200.
        location: A template over the result, such as ``"/orders/{id}"``, for ``Location``.
        versions: The range of versions it is in, such as ``"2-"``; empty: it has none.
        version: The one version this binding is for, made from the range when a phase begins.
        media_type: The media type of its answers; empty: plain JSON.
    """

    kinds: ClassVar[frozenset[Kind]] = frozenset({"unary", "server_stream", "client_stream"})
    call_type: ClassVar[type[Call]] = Request

    method: str
    path: str
    status: int | None = None
    location: str | None = None
    versions: str = ""
    version: str = ""
    media_type: str = ""

    def check(self, operation: Operation) -> Iterable[str]:
        if self.method == "GET" and operation.effect != "read":
            yield (
                f"{self.address} is GET, which clients and caches repeat at will, but {operation.name}"
                f" is declared {operation.effect!r}; bind it to POST, or declare effect='read'"
            )
        try:
            parse_template(self.path)
        except BadTemplateError as error:
            yield f"{self.address}: {error}"
        if self.status is not None and not 200 <= self.status <= 299:
            yield f"{self.address} has status {self.status}; a success is between 200 and 299"

    def check_signature(self, signature: Signature) -> tuple[str, ...]:
        try:
            names = self.parameters
        except BadTemplateError:
            return ()
        inputs = {given.name: given for given in signature.inputs}
        wrong = [
            f"the path {self.path} names {name!r}, but the handler has no such parameter ("
            + (", ".join(inputs) or "it has none")
            + ")"
            for name in names
            if name not in inputs
        ]
        wrong += [
            f"the path parameter {name!r} has to be a single plain value"
            for name in names
            if name in inputs and (inputs[name].many or _is_model(inputs[name].type))
        ]
        place = self.place(signature)
        wrong += [
            f"{name!r} is a model, and {self._textual(signature)}; take its fields as parameters"
            for name in (*place.query, *place.headers)
            if _is_model(inputs[name].type)
        ]
        for name, header in place.headers.items():
            if not _HEADER_NAME.match(header):
                wrong.append(f"{name!r} comes from {header!r}, which is no header name")
        if place.form is not None:
            wrong += self._check_form(signature, place.form)
        if signature.kind == "client_stream" and self.method in _WITHOUT_BODY:
            wrong.append(f"{self.method} has no body to stream in; use POST")
        if self.location is not None:
            wrong += check_location(self.location, signature.output_type)
        if self.status in (204, 205) and signature.output_type is not None:
            wrong.append(f"status {self.status} has no body, but the handler returns one")
        return tuple(wrong)

    def _check_form(self, signature: Signature, form: dict[str, str]) -> list[str]:
        if self._bodiless(signature):
            if self.method in _WITHOUT_BODY:
                return [f"{self.method} has no form; use POST"]
            return ["a handler that reads the body as it arrives cannot take it as a form too"]
        given = [each for each in signature.inputs if each.name in form]
        wrong = [
            f"{each.name!r} is a model in a form, which is flat; take one model, without a default,"
            " whose fields are called otherwise than the other inputs"
            for each in given
            if _is_model(plain(each.type)) and not each.spread
        ]
        names = [form[each.name] for each in given if not each.spread]
        for each in given:
            if each.spread:
                names += {name for name, _ in fields_of_model(each.type)}
        twice = sorted({name for name in names if names.count(name) > 1})
        return wrong + [f"two inputs are called {name!r} in the form" for name in twice]

    def _textual(self, signature: Signature) -> str:
        if self._bodiless(signature):
            return f"{self.method} has no body to take it from"
        return "neither the query nor a header can carry one"

    def _bodiless(self, signature: Signature) -> bool:
        return (
            self.method in _WITHOUT_BODY
            or signature.kind == "client_stream"
            or any(
                each.source == "provider" and each.key.type is Parts for each in signature.injected
            )
        )

    @property
    def parameters(self) -> tuple[str, ...]:
        """The path's parameters in order."""
        return tuple(
            segment.name for segment in parse_template(self.path) if isinstance(segment, Parameter)
        )

    def place(self, signature: Signature) -> Placement:
        """Where each input comes from.

        A name in the path comes from the path, a marker decides next; of the others, all come from
        the query if the request has no body of its own (GET, DELETE, a stream in, `Parts`), else from
        the body.
        """
        path = {name: index for index, name in enumerate(self.parameters)}
        query: dict[str, str] = {}
        headers: dict[str, str] = {}
        body: list[str] = []
        form: dict[str, str] = {}
        takes_form = False
        for given in signature.inputs:
            if given.name in path:
                continue
            marker = _marker(given)
            if isinstance(marker, Header):
                headers[given.name] = (marker.name or given.name.replace("_", "-")).lower()
            elif isinstance(marker, Query):
                query[given.name] = marker.name or given.name
            elif isinstance(marker, Form) or _has_files(given.type):
                takes_form = True
                body.append(given.name)
                form[given.name] = (marker.name if marker else "") or given.name
            elif self._bodiless(signature):
                query[given.name] = given.name
            else:
                body.append(given.name)
                form[given.name] = given.name
        return Placement(
            path=path,
            query=query,
            headers=headers,
            body=tuple(body),
            form=form if takes_form else None,
        )


def _has_files(annotation: Any) -> bool:
    return holds_files(annotation) or (
        _is_model(annotation) and any(holds_files(each) for _, each in fields_of_model(annotation))
    )


def _is_model(annotation: Any) -> bool:
    return fields_of(getattr(annotation, "__origin__", annotation)) is not None


def _marker(given: Input) -> Query | Header | Form | None:
    for each in given.metadata:
        if isinstance(each, Query | Header | Form):
            return each
        if each is Query or each is Header or each is Form:
            marker: Query | Header | Form = each()
            return marker
    return None


def _route(
    method: str,
    path: str,
    status: int | None,
    location: str | None,
    deadline: float | None,
    versions: str,
) -> Callable[[F], F]:
    try:
        parse_template(path)
    except BadTemplateError as error:
        raise ConfigurationError(
            "COVET-HTTP-PATH-INVALID",
            f"{path!r} is no path for {method}: {error}.",
            fix="Write it like '/books/{id}'.",
        ) from None
    binding = HttpBinding(
        protocol="http",
        address=f"{method} {path} (versions {versions})" if versions else f"{method} {path}",
        method=method,
        path=path,
        status=status,
        location=location,
        deadline=deadline,
        versions=versions,
    )
    return mark(binding, effect=_EFFECTS[method])


def get(
    path: str,
    *,
    status: int | None = None,
    deadline: float | None = None,
    versions: str = "",
) -> Callable[[F], F]:
    """Bind to GET (and HEAD). Unless `operation` says otherwise, the effect is ``"read"``.

    The arguments are those of `post`.
    """
    return _route("GET", path, status, None, deadline, versions)


def post(
    path: str,
    *,
    status: int | None = None,
    location: str | None = None,
    deadline: float | None = None,
    versions: str = "",
) -> Callable[[F], F]:
    """Bind to POST.

    Args:
        path: The path's template.
        status: The status of success, such as 201; unless given, 204 for a handler that returns
            nothing and 200 for others.
        location: A template over the result for the ``Location`` header, ``"/orders/{id}"``.
        deadline: Seconds a call may take over this route.
        versions: The versions it is in, of those declared in ``[plugins.http.versions]``: ``"2"``,
            ``"2-"``, ``"-2"``, ``"1-3"``, ``"1, 3"`` or ``"*"``. The handler speaks the newest of them.
    """
    return _route("POST", path, status, location, deadline, versions)


def put(
    path: str,
    *,
    status: int | None = None,
    location: str | None = None,
    deadline: float | None = None,
    versions: str = "",
) -> Callable[[F], F]:
    """Bind to PUT; the arguments are those of `post`. The effect is ``"idempotent"``."""
    return _route("PUT", path, status, location, deadline, versions)


def patch(
    path: str,
    *,
    status: int | None = None,
    location: str | None = None,
    deadline: float | None = None,
    versions: str = "",
) -> Callable[[F], F]:
    """Bind to PATCH; the arguments are those of `post`."""
    return _route("PATCH", path, status, location, deadline, versions)


def delete(
    path: str,
    *,
    status: int | None = None,
    deadline: float | None = None,
    versions: str = "",
) -> Callable[[F], F]:
    """Bind to DELETE; the arguments are those of `post`. The effect is ``"idempotent"``."""
    return _route("DELETE", path, status, None, deadline, versions)
