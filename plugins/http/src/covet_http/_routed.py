"""What bindings have in common whose address is a path: names in it are parameters of the handler."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from covet_http._annotation import agrees
from covet_http._fields import base_of, has_fields
from covet_http._hosts import parse_host
from covet_http._placement import Placement, place_inputs
from covet_http._template import BadTemplateError, Parameter, parse_template
from covet_operations import Signature, TransportBinding

TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
"""What may stand for a name in a header (RFC 9110, 5.6.2)."""


class RoutedBinding(TransportBinding):
    """A path.

    Attributes:
        path: A template such as ``"/books/{id}"``; its names are parameters of the handler.
        host: The only host it is found at, such as ``"{tenant}.example.com"``; empty: every host.
    """

    path: str
    host: str = ""

    @property
    def request_method(self) -> str:
        """The method of its requests."""
        return "GET"

    @property
    def parameters(self) -> tuple[str, ...]:
        """The path's parameters in order."""
        return tuple(
            segment.name for segment in parse_template(self.path) if isinstance(segment, Parameter)
        )

    @property
    def placed(self) -> Placement | None:
        """Where each input comes from, once a phase has begun."""
        known: tuple[Signature, Placement] | None = getattr(self, "_placed", None)
        return None if known is None else known[1]

    def place(self, signature: Signature) -> Placement:
        """Where each input comes from."""
        known: tuple[Signature, Placement] | None = getattr(self, "_placed", None)
        if known is None or known[0] is not signature:
            hosts = [each.name for each in parse_host(self.host) if isinstance(each, Parameter)]
            known = signature, place_inputs(signature, self.request_method, self.parameters, hosts)
            # Asked for several times while a phase begins; a record cannot be assigned to.
            object.__setattr__(self, "_placed", known)
        return known[1]

    def check_template(self) -> Iterator[str]:
        """What is wrong with path and host by themselves."""
        try:
            parse_template(self.path)
            parse_host(self.host)
        except BadTemplateError as error:
            yield f"{self.address}: {error}"

    def check_names(self, signature: Signature) -> Iterable[str]:
        """What is wrong with the names in path and host, and with those of headers and cookies."""
        segments, labels = parse_template(self.path), parse_host(self.host)
        kinds = {each.name: each.kind for each in segments if isinstance(each, Parameter)}
        names = [*kinds, *(each.name for each in labels if isinstance(each, Parameter))]
        inputs = {given.name: given for given in signature.inputs}
        wrong = [
            f"the path {self.host}{self.path} names {name!r}, but the handler has no such parameter ("
            + (", ".join(inputs) or "it has none")
            + ")"
            for name in names
            if name not in inputs
        ]
        wrong += [
            f"the path parameter {name!r} has to be a single plain value"
            for name in names
            if name in inputs and (inputs[name].many or has_fields(base_of(inputs[name].type)))
        ]
        wrong += [
            f"the path says that {name!r} is {kind}, but the handler takes another type"
            for name, kind in kinds.items()
            if kind and name in inputs and not agrees(kind, inputs[name].type)
        ]
        if len(set(names)) < len(names):
            wrong.append(f"{self.address} has one name in its host and in its path")
        return wrong

    def check_places(self, place: Placement) -> Iterable[str]:
        """What is wrong with where inputs come from."""
        wrong = [*place.problems]
        named = [*place.headers.items(), *place.cookies.items()]
        for name, (where, model) in place.models.items():
            if where != "query":
                named += [(name, each) for each in model.leaves]
        wrong += [
            f"{name!r} comes from {each!r}, which is no "
            + ("header name" if name in place.headers else "name there")
            for name, each in named
            if not TOKEN.match(each)
        ]
        return wrong
