"""The versions of one serving phase: which addresses a binding stands for, and how each speaks."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from covet_http._binding import HttpBinding
from covet_http._decode import Decoding, MakesCodec
from covet_http._problem import Problems
from covet_http._request import Request
from covet_http._template import shape_of
from covet_http._versions._changes import VersionChange
from covet_http._versions._codec import downgraded, streamed, upgraded
from covet_http._versions._config import VersionsConfig
from covet_http._versions._described import described
from covet_http._versions._headers import version_lines
from covet_http._versions._history import CODE, History
from covet_http._versions._ranges import BadRangeError, versions_in
from covet_http._versions._walk import AmbiguousError, Walk, compile_record, compile_walk
from covet_kernel import ConfigurationError
from covet_kernel.contracts import Operation
from covet_operations import Codec, Input, Signature

if TYPE_CHECKING:
    from covet_http._openapi._description import Description

_RANGE = "COVET-HTTP-VERSION-UNKNOWN"


class Versions:
    """What is declared, and what follows from it for bindings.

    Attributes:
        config: The declaration.
        names: Every version, oldest first.
        served: Those that are not removed.
        history: What changed between them.
    """

    def __init__(
        self,
        config: VersionsConfig,
        changes: Iterable[tuple[str, VersionChange]],
        bindings: Iterable[HttpBinding],
        codec: MakesCodec | None = None,
    ) -> None:
        """Check a declaration.

        Args:
            config: What is declared.
            changes: What changed between neighbours, each with who says so.
            bindings: Every binding of the phase.
            codec: Decodes and encodes what has no version; JSON unless given.

        Raises:
            ConfigurationError: A change is none.
            ExceptionGroup: Several are.
        """
        self.config = config
        self._codec = codec or Decoding().codec
        self.names = tuple(each.name for each in config.known)
        self.served = tuple(each.name for each in config.known if not each.removed)
        self._problems: dict[str, Problems] = {}
        self._known = {each.name: each for each in config.known}
        self.history = History(self.names, changes)
        self._shapes: dict[str, set[str]] = {name: set() for name in self.names}
        for binding in bindings:
            try:
                for name in versions_in(binding.versions, self.names) if binding.versions else ():
                    self._shapes[name].add(shape_of(binding.path))
            except BadRangeError:
                continue  # `variants` says so.

    def variants(self, operation: Operation, binding: HttpBinding) -> Iterator[HttpBinding]:
        """What one binding stands for: itself, or one for each version that is served.

        Raises:
            ConfigurationError: Its range names a version that is not declared.
        """
        if not binding.versions:
            yield binding
            return
        for name in self.range(operation, binding):
            if not self._known[name].removed:
                yield self.variant(binding, name)

    def gone(self, operation: Operation, binding: HttpBinding) -> Iterator[HttpBinding]:
        """What one binding stood for in versions that are removed, if versions are part of paths."""
        if binding.versions and self.config.by == "path":
            for name in self.range(operation, binding):
                if self._known[name].removed:
                    yield self.variant(binding, name)

    def range(self, operation: Operation, binding: HttpBinding) -> tuple[str, ...]:
        """The versions of a binding, removed ones too, oldest first.

        Raises:
            ConfigurationError: It names one that is not declared.
        """
        try:
            return versions_in(binding.versions, self.names)
        except BadRangeError as error:
            raise ConfigurationError(
                _RANGE,
                f"{operation.name} is bound to {binding.method} {binding.path} in the versions"
                f" {binding.versions!r}: {error}.",
                place="plugins.http.versions.known",
                valid=self.names,
                given=binding.versions,
                fix="Name declared versions, such as '2', '2-', '-2', '1-3' or '*'.",
            ) from None

    def variant(self, binding: HttpBinding, name: str) -> HttpBinding:
        """The binding in one version."""
        path, location = binding.path, binding.location
        document_type = ""
        if self.config.by == "path":
            prefix = self.prefix(name)
            path = prefix + path
            if location is not None and shape_of(location) in self._shapes[name]:
                location = prefix + location
        elif self.config.by == "media-type":
            document_type = self.media_type(name)
        address = f"{binding.method} {binding.host}{path}"
        if self.config.by != "path":
            address = f"{address} (version {name})"
        return binding.replaced(
            address=address, path=path, location=location, version=name, document_type=document_type
        )

    def prefix(self, name: str) -> str:
        """Where a version's paths begin."""
        return self.config.prefix.replace("{version}", name)

    def media_type(self, name: str) -> str:
        """A version's media type."""
        return self.config.media_type.replace("{version}", name)

    def lines(self, name: str) -> list[tuple[bytes, bytes]]:
        """The headers of every answer of a version."""
        return version_lines(self.config, self._known[name])

    def problems(self, problems: Problems, name: str) -> Problems:
        """What renders the errors of a version."""
        if name not in self._problems:
            self._problems[name] = problems.extended(self.lines(name))
        return self._problems[name]

    def codec(
        self, operation: Operation, signature: Signature, binding: HttpBinding
    ) -> Codec[Request]:
        """How an operation is decoded and encoded in the binding's version.

        The handler speaks the newest version of the binding's range; what clients of an older one
        send and get goes through the changes between the two.

        Raises:
            ConfigurationError: It cannot be told where a change applies.
        """
        codec = self._codec(operation, signature, binding)
        if not binding.version:
            return codec
        client, spoken = binding.version, self.range(operation, binding)[-1]
        try:
            up, seen = self.history.walks("request", client, spoken), set[Any]()
            if up:
                found, codec = codec, _taking(codec, signature, up, seen)
                if codec is not found and found.release is not None:
                    raise ConfigurationError(
                        CODE,
                        f"{operation.name} cannot be served in version {client}: it takes files of"
                        " a form, and changes pass on nothing but JSON.",
                        fix="Give each version a handler of its own.",
                    )
            self.history.use("request", seen)
            down, seen = self.history.walks("response", client, spoken), set[Any]()
            walk = compile_walk(signature.output_type, down, "inner", seen) if down else None
            self.history.use("response", seen)
        except AmbiguousError as error:
            raise ConfigurationError(
                CODE,
                f"{operation.name} cannot be served in version {client}: {error}, and both have"
                " changes.",
                fix="Put the change on the model that holds the value.",
            ) from None
        return codec if walk is None else downgraded(codec, walk, binding, signature)

    def described(
        self, operation: Operation, signature: Signature, binding: HttpBinding
    ) -> Signature:
        """The signature as clients of the binding's version see it, for schemas.

        What a change makes of a model is described by the class it is annotated with, and is any
        object where that is ``dict``.
        """
        if not binding.version:
            return signature
        client, spoken = binding.version, self.range(operation, binding)[-1]
        taken, given = (
            self.history.forms("request", client, spoken),
            self.history.forms("response", client, spoken),
        )
        suffix = f"V{re.sub('[^A-Za-z0-9]', '_', client)}"
        if taken:
            parameters = [
                _retyped(each, described(each.type, taken, suffix))
                if isinstance(each, Input)
                else each
                for each in signature.parameters
            ]
            signature = signature.replaced(parameters=tuple(parameters))
            item = described(signature.item_type, taken, suffix)
            if item is not signature.item_type:
                signature = signature.replaced(item_type=item, item=TypeAdapter(item))
        output = described(signature.output_type, given, suffix)
        if output is not signature.output_type:
            signature = signature.replaced(output_type=output, output=TypeAdapter(output))
        return signature

    def describe(self, description: Description) -> None:
        """Say in a document how the version of a route is named, and whether it is deprecated or refused."""
        name = description.binding.version
        if not name:
            return
        if self._known[name].deprecated is not None:
            description.more["deprecated"] = True
        if self.config.by == "header":
            schema = {"type": "string", "enum": [name]}
            required = name != self.config.default
            description.parameter(self.config.header, "header", schema, required=required)
        from covet_http._versions._errors import refusals

        routed = self.range(description.operation, description.binding)
        description.error(*refusals(self.config, routed))


def _taking(
    codec: Codec[Request], signature: Signature, up: Mapping[Any, Walk], seen: set[Any]
) -> Codec[Request]:
    """The codec with what comes in taken to the handler's version."""
    body = [each for each in signature.inputs if each.name not in codec.text]
    spread = next((each.type for each in body if each.spread or each.name == codec.whole), None)
    members = {
        each.name: each.type for each in body if not each.spread and each.name != codec.whole
    }
    walk = compile_record(members, spread, up, seen)
    if walk is not None:
        codec = upgraded(codec, walk)
    if signature.item is not None:
        walk = compile_walk(signature.item_type, up, "outer", seen)
        if walk is not None:
            codec = streamed(codec, walk)
    return codec


def _retyped(given: Input, annotation: Any) -> Input:
    if annotation is given.type:
        return given
    return given.replaced(type=annotation, adapter=TypeAdapter(annotation))
