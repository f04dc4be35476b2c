"""Where the inputs of one operation come from: path, query, headers, cookies or body."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Final, Literal, TypeAlias, get_origin
from weakref import WeakKeyDictionary

from covet_http._fields import Spread, UnfitModelError, base_of, has_fields, no_text, spread
from covet_http._forms._parts import Parts
from covet_http._forms._plan import fields_of_model, holds_files
from covet_http._media import is_json
from covet_http._sources import JSON, OCTETS, Body, Cookie, Form, Header, Query, marker_of
from covet_kernel.contracts import Record
from covet_operations import Injected, Input, Signature

Place: TypeAlias = Literal["query", "header", "cookie"]
PlainText: TypeAlias = Literal["int", "str"]
_with_files: WeakKeyDictionary[type, bool] = WeakKeyDictionary()
WITHOUT_BODY: Final = frozenset({"GET", "HEAD", "DELETE", "OPTIONS"})


class Ahead(Record):
    """An input that a server may read before anybody asks for it.

    Attributes:
        kind: ``"int"`` or ``"str"``, see `covet_operations.Input.plain_text`.
        path: Its number among the path's parameters, ``None`` for one of the query.
        query: Its name in the query, decoded.
    """

    kind: PlainText
    path: int | None = None
    query: str = ""


class Placement(Record):
    """Where the inputs of one operation come from, by parameter name.

    Attributes:
        path: Index among the path's parameters.
        host: Those that are part of the host.
        query: Name in the query.
        headers: Name of the header.
        cookies: Name of the cookie.
        models: Models that are taken apart, and where their fields come from.
        body: What comes from the body.
        whole: How the body is read if it is one input, all of it, or a stream of its bytes.
        spread: The model whose fields are the body's own, if there is one: the only one in the body that
            has to come, whatever else comes from elsewhere. Other inputs are members beside its fields.
        form: The names of their fields, if the body is a form; ``None`` if it is none.
        ahead: How to read all inputs ahead; empty where one of them needs more than that.
        problems: Why something cannot come from where it should.
    """

    path: dict[str, int]
    host: tuple[str, ...]
    query: dict[str, str]
    headers: dict[str, str]
    cookies: dict[str, str]
    models: dict[str, tuple[Place, Spread]]
    body: tuple[str, ...]
    whole: Body | None
    spread: str
    form: dict[str, str] | None
    ahead: tuple[Ahead, ...]
    problems: tuple[str, ...]

    def body_inputs(self, signature: Signature) -> list[Input]:
        """What comes from the body, as it comes from there: spread or a member."""
        return [
            given.replaced(spread=given.name == self.spread)
            for given in signature.inputs
            if given.name in self.body
        ]


def place_inputs(
    signature: Signature, method: str, parameters: Sequence[str], hosts: Sequence[str] = ()
) -> Placement:
    """Decide for each input where it comes from.

    A name in the path or host comes from there, a marker decides next; of the others, all come from
    the query if the request has no body of its own (GET, DELETE, a stream in, `Parts`), else from the
    body.

    Args:
        signature: The operation's.
        method: In upper case.
        parameters: The names in the path, in order.
        hosts: The names in the host.
    """
    found = _Placing(signature, method, parameters, hosts)
    for given in signature.inputs:
        if given.name not in found.path and given.name not in hosts:
            found.add(given)
    for each in signature.injected:
        marker = marker_of(each.metadata)
        if each.source == "stream" and isinstance(marker, Body):
            found.add_stream(each, marker)
    return found.placement()


class _Placing:
    """A `Placement` under construction."""

    def __init__(
        self, signature: Signature, method: str, parameters: Sequence[str], hosts: Sequence[str]
    ) -> None:
        self._method = method
        self._streams = signature.kind == "client_stream" or any(
            each.source == "provider" and each.key.type is Parts for each in signature.injected
        )
        self._bodiless = method in WITHOUT_BODY or self._streams
        self.hosts = tuple(hosts)
        self.form: list[tuple[Input, str]] = []
        self.takes_form = False
        self.path = {name: index for index, name in enumerate(parameters)}
        self.query: dict[str, str] = {}
        self.headers: dict[str, str] = {}
        self.cookies: dict[str, str] = {}
        self.models: dict[str, tuple[Place, Spread]] = {}
        self.body: list[str] = []
        self.inputs = {each.name: each for each in signature.inputs}
        self.marked: Body | None = None
        self.raw: Body | None = None
        self.problems: list[str] = []
        self._spread_out: set[Place] = set()

    def add(self, given: Input) -> None:
        marker = marker_of(given.metadata)
        if isinstance(marker, Body) and self._bodiless:
            none = f"{self._method} lacks" if self._method in WITHOUT_BODY else "is streamed in"
            self.problems.append(f"{given.name!r} is the body, which {none}")
        elif isinstance(marker, Body):
            self._add_body(given, marker)
        elif isinstance(marker, Form) or (marker is None and _has_files(given.type)):
            self.takes_form = True
            self.body.append(given.name)
            self.form.append((given, (marker.name if marker else "") or given.name))
        elif marker is not None:
            self._add_text(given, marker)
        elif self._bodiless:
            if has_fields(base_of(given.type)):
                self.problems.append(
                    f"{given.name!r} is a model, and {self._method} has no body to take it from;"
                    " mark it with http.Query() to take its fields from the query"
                )
            self._check_text(given, "query")
            self.query[given.name] = given.name
        else:
            if base_of(given.type) is bytes:
                self.raw = Body(OCTETS)
            self.body.append(given.name)
            self.form.append((given, given.name))

    def add_stream(self, each: Injected, marker: Body) -> None:
        self.problems += [f"{each.name!r}: {problem}" for problem in marker.problems()]
        if each.key is not bytes:
            self.problems.append(
                f"{each.name!r} is a stream of items; only AsyncIterator[bytes] is the body itself"
            )
        self.marked = Body(marker.media_types or OCTETS, max_bytes=marker.max_bytes)

    def placement(self) -> Placement:
        if self.marked is not None and len(self.body) > 1:
            self.problems.append(
                f"of {', '.join(self.body)} one is the whole body, which leaves nothing for the rest"
            )
        if self.takes_form:
            self.raw = None
        # Bytes that stand among others are a member of the document like any.
        whole = self.marked or (self.raw if len(self.body) == 1 else None)
        spread = self._spread() if whole is None else ""
        if self.takes_form:
            self._check_form(spread)
        return Placement(
            path=self.path,
            host=self.hosts,
            query=self.query,
            headers=self.headers,
            cookies=self.cookies,
            models=self.models,
            body=tuple(self.body),
            whole=whole,
            spread=spread,
            form={given.name: name for given, name in self.form} if self.takes_form else None,
            ahead=_read_ahead(self.inputs.values(), self.path, self.query),
            problems=tuple(self.problems),
        )

    def _spread(self) -> str:
        """The one model of the body, unless a field of it is called like another input in there."""
        models = [
            name
            for name in self.body
            if self.inputs[name].required and has_fields(_bare(self.inputs[name].type))
        ]
        if len(models) != 1:
            return ""
        others = set(self.body) - {models[0]}
        if others and others & {name for name, _ in fields_of_model(self.inputs[models[0]].type)}:
            return ""
        return models[0]

    def _check_form(self, spread: str) -> None:
        if self._method in WITHOUT_BODY:
            self.problems.append(f"{self._method} has no form; use POST")
            return
        if self._streams:
            self.problems.append(
                "a handler that reads the body as it arrives cannot take it as a form too"
            )
            return
        names: list[str] = []
        for given, name in self.form:
            if hasattr(base_of(given.type), "__struct_fields__"):
                self.problems.append(
                    f"{given.name!r} is a Struct, which takes no texts for numbers; take a pydantic model"
                    " or a dataclass from a form"
                )
            if given.name == spread:
                names += {each for each, _ in fields_of_model(given.type)}
                continue
            names.append(name)
            if has_fields(base_of(given.type)):
                self.problems.append(
                    f"{given.name!r} is a model in a form, which is flat; take one model, without a"
                    " default, whose fields are called otherwise than the other inputs"
                )
        twice = sorted({name for name in names if names.count(name) > 1})
        self.problems += [f"two inputs are called {name!r} in the form" for name in twice]

    def _add_body(self, given: Input, marker: Body) -> None:
        self.body.append(given.name)
        self.problems += [f"{given.name!r}: {each}" for each in marker.problems()]
        base = base_of(given.type)
        types = marker.media_types or (OCTETS if base is bytes else JSON,)
        if base not in (bytes, str) and not all(is_json(each) for each in types):
            self.problems.append(
                f"{given.name!r} comes as {', '.join(types)}, of which only bytes or str can be made"
            )
        self.marked = Body(types, max_bytes=marker.max_bytes)

    def _add_text(self, given: Input, marker: Query | Header | Cookie) -> None:
        place = _place_of(marker)
        self._check_text(given, place)
        if has_fields(base_of(given.type)):
            self._add_model(given, place, marker.name)
        elif place == "header":
            self.headers[given.name] = marker.name.lower() or _dashed(given.name)
        elif place == "query":
            self.query[given.name] = marker.name or given.name
        else:
            self.cookies[given.name] = marker.name or given.name
            if given.many:
                self.problems.append(f"{given.name!r} is a collection, and a cookie has one value")

    def _check_text(self, given: Input, place: Place) -> None:
        unfit = no_text(given.type)
        if unfit:
            self.problems.append(
                f"{given.name!r} is {unfit}, which no text of the {place} stands for"
                + (f", and {self._method} has no body to take it from" if self._bodiless else "")
            )

    def _add_model(self, given: Input, place: Place, prefix: str) -> None:
        if prefix and place != "query":
            self.problems.append(
                f"{given.name!r} is a model, whose fields have names of their own; its {place} has none"
            )
        if not prefix and place in self._spread_out:
            self.problems.append(
                f"{given.name!r} is the second model whose fields come from the {place}"
                + (": give it a name, which stands in front of them" if place == "query" else "")
            )
        if not prefix:
            self._spread_out.add(place)
        try:
            found = spread(
                given.type,
                prefix=prefix,
                nested=place == "query",
                rename=_dashed if place == "header" else str,
            )
        except (UnfitModelError, NameError) as error:
            self.problems.append(f"{given.name!r} cannot come from the {place}: {error}")
            return
        if place == "cookie":
            self.problems += [
                f"{name!r} of {given.name!r} is a collection, and a cookie has one value"
                for name, leaf in found.leaves.items()
                if leaf.many
            ]
        self.models[given.name] = place, found


def _read_ahead(
    inputs: Iterable[Input], path: Mapping[str, int], query: Mapping[str, str]
) -> tuple[Ahead, ...]:
    found = []
    for given in inputs:
        index, key, kind = path.get(given.name), query.get(given.name), given.plain_text
        if kind is None or (index is None and key is None):
            return ()
        found.append(Ahead(kind=kind, path=index, query=key or ""))
    return tuple(found)


def _bare(annotation: Any) -> Any:
    return annotation.__origin__ if get_origin(annotation) is Annotated else annotation


def _place_of(marker: Query | Header | Cookie) -> Place:
    if isinstance(marker, Query):
        return "query"
    return "header" if isinstance(marker, Header) else "cookie"


def _has_files(annotation: Any) -> bool:
    if annotation.__class__ is type and annotation.__module__ == "builtins":
        return False
    if isinstance(annotation, type) and annotation in _with_files:
        return _with_files[annotation]
    found = holds_files(annotation) or (
        has_fields(base_of(annotation))
        and any(holds_files(each) for _, each in fields_of_model(annotation))
    )
    if isinstance(annotation, type):
        _with_files[annotation] = found
    return found


def _dashed(name: str) -> str:
    return name.replace("_", "-").lower()
