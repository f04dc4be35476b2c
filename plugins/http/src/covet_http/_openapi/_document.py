"""The whole document, from the operations of one serving phase."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from pydantic_core import to_json

from covet_http._binding import HttpBinding
from covet_http._codecs import MessagePack
from covet_http._config import HttpConfig
from covet_http._openapi._body import DescribedBody
from covet_http._openapi._description import Description
from covet_http._openapi._errors import ErrorSchemas
from covet_http._openapi._facts import Webhook
from covet_http._openapi._json import Json
from covet_http._openapi._part import OpenApiPart
from covet_http._sources import JSON
from covet_http._versions._unversioned import unversioned
from covet_kernel import Serving
from covet_kernel.contracts import Operation
from covet_operations import JsonSchemas, Pipeline, Unauthenticated

if TYPE_CHECKING:
    from covet_http._versions._plan import Versions

log = logging.getLogger("covet.http")

VERSION: Final = "3.1.1"
_BEARER: Final[Json] = {"type": "http", "scheme": "bearer"}
_SCHEMES: Final[Mapping[str, Json]] = {
    "basic": {"type": "http", "scheme": "basic"},
    "bearer": _BEARER,
    "mtls": {"type": "mutualTLS"},
}
"""By the scheme of the credentials that an authenticator takes."""


def build(
    serving: Serving,
    pipeline: Pipeline,
    config: HttpConfig,
    versions: Versions | None = None,
    version: str = "",
) -> Json:
    """Describe every operation that is bound to HTTP.

    Nothing in it depends on when or in which process it is made.

    Args:
        serving: The phase; served or only looked at.
        pipeline: Has assembled it.
        config: What is said of the service as a whole.
        versions: Those of the API, if it has any.
        version: The one to describe, where requests name it in a header; paths name all of them.
    """
    return _Builder(serving, pipeline, config, versions, version).build()


def encode(document: Json, *, indent: int | None = None) -> bytes:
    """The document as JSON, its members in the order in which they were said."""
    return to_json(document, indent=indent, inf_nan_mode="null")


class _Builder:
    def __init__(
        self,
        serving: Serving,
        pipeline: Pipeline,
        config: HttpConfig,
        versions: Versions | None,
        version: str,
    ) -> None:
        self._serving = serving
        self._pipeline = pipeline
        self._config = config.openapi
        self._versions = versions
        self._version = version
        self._schemas = JsonSchemas()
        self._errors = ErrorSchemas(self._schemas, config.problem_base)
        self._schemes = security_schemes(serving.authenticators)
        self._codecs = [each.media_types for _, each in serving.collect("covet_http_codecs")]
        if config.message_pack:
            self._codecs.append(MessagePack.media_types)
        self._parts: list[OpenApiPart] = []
        self._webhooks: list[Webhook] = []
        for _, declared in serving.collect("covet_http_openapi"):
            if isinstance(declared, Webhook):
                self._webhooks.append(declared)
            else:
                self._parts.append(declared)

    def build(self) -> Json:
        described = [*self._describe()]
        hooks = {each.name: self._payload(each) for each in self._webhooks}
        called = [
            {each.name: self._payload(each) for each in description.facts.callbacks}
            for description in described
        ]
        for description in described:
            for error in description.errors:
                self._errors.add(error)
        self._schemas.generate()
        problems = self._errors.build()

        config = self._config
        document: Json = {
            "openapi": VERSION,
            "info": {"title": config.title, "version": config.version},
        }
        if config.description:
            document["info"]["description"] = config.description
        if config.servers:
            document["servers"] = [{"url": url} for url in config.servers]
        tags: dict[str, None] = {}
        paths: Json = {}
        ids: set[str] = set()
        for description, callbacks in zip(described, called, strict=True):
            operation, binding = description.operation, description.binding
            own = operation.tags or _module(operation)
            tags |= dict.fromkeys(own)
            item = paths.setdefault(description.path, {})
            method = binding.method.lower()
            if method in item:
                # The same path at another host: a document has room for one of them.
                log.warning(
                    "%s %s%s is not in the OpenAPI document: another operation is at this path",
                    binding.method,
                    binding.host,
                    binding.path,
                )
                continue
            found = description.written(_identity(operation, binding, ids), own, self._errors)
            if callbacks:
                found["callbacks"] = {
                    each.name: {each.url: _request(each, callbacks[each.name])}
                    for each in description.facts.callbacks
                }
            item[method] = found
        document["paths"] = paths
        if self._webhooks:
            document["webhooks"] = {
                each.name: _request(each, hooks[each.name]) for each in self._webhooks
            }
        components: Json = {
            "schemas": dict(sorted({**self._schemas.components, **problems}.items()))
        }
        if responses := _shared(paths):
            components["responses"] = responses
        if any(description.security for description in described):
            components["securitySchemes"] = self._schemes
        if components["schemas"]:
            document["components"] = components
        if tags:
            document["tags"] = [{"name": name} for name in tags]
        for part in self._parts:
            part.finish(document)
        return document

    def _describe(self) -> Iterable[Description]:
        extensions: list[Any] = [
            *(each for each in self._serving.interceptors if hasattr(each, "describe")),
            *self._parts,
        ]
        for operation in self._serving.operations:
            for binding in self._bindings(operation):
                signature = self._pipeline.signature(self._serving, operation)
                if self._versions is not None:
                    signature = self._versions.described(operation, signature, binding)
                description = Description(
                    operation,
                    binding,
                    signature,
                    self._schemas,
                    refuse_extra=self._pipeline.config.refuse_extra,
                    codecs=self._codecs,
                )
                if description.facts.hidden:
                    continue
                if self._versions is not None:
                    self._versions.describe(description)
                errors = self._pipeline.errors(self._serving, operation)
                description.error(*errors)
                if Unauthenticated in errors:
                    description.security = self._security(operation)
                for each in extensions:
                    each.describe(description)
                yield description

    def _bindings(self, operation: Operation) -> Iterator[HttpBinding]:
        """The routes of an operation that belong into this document."""
        versions = self._versions
        variants = unversioned if versions is None else versions.variants
        for binding in operation.bindings:
            if isinstance(binding, HttpBinding):
                for each in variants(operation, binding):
                    if not self._version or each.version in ("", self._version):
                        yield each

    def _security(self, operation: Operation) -> list[Json]:
        """Any one of the schemes will do; none at all where anonymous callers are let in."""
        needed = [*operation.requires]
        found: list[Json] = [{name: needed} for name in self._schemes]
        if self._pipeline.is_anonymous(self._serving, operation):
            found.append({})
        return found

    def _payload(self, webhook: Webhook) -> DescribedBody:
        return DescribedBody(self._schemas.want(webhook.payload, "serialization"))


def security_schemes(authenticators: Sequence[Any]) -> Json:
    """Security Scheme Objects by name.

    An authenticator may say them: ``security_schemes``, such Objects by name, or ``schemes``, those
    of the credentials it takes. A bearer token is assumed where none says anything.
    """
    found: Json = {}
    for each in authenticators:
        found |= getattr(each, "security_schemes", {})
        for scheme in getattr(each, "schemes", ()):
            found[scheme] = _SCHEMES.get(scheme, {"type": "http", "scheme": scheme})
    return found or {"bearer": _BEARER}


def _shared(paths: Json) -> Json:
    """Make a component of every error answer that operations have in common.

    Args:
        paths: Whose answers are replaced by references.

    Returns:
        The components, named for the errors they may be.
    """
    found: dict[str, list[tuple[Json, str]]] = {}
    for item in paths.values():
        for operation in item.values():
            for status, answer in operation["responses"].items():
                if status >= "400":
                    found.setdefault(json.dumps(answer), []).append(
                        (operation["responses"], status)
                    )
    shared: Json = {}
    for places in found.values():
        answer = places[0][0][places[0][1]]
        name = _answer_name(answer)
        if len(places) == 1 or not name or name in shared:
            continue
        shared[name] = answer
        for responses, status in places:
            responses[status] = {"$ref": f"#/components/responses/{name}"}
    return dict(sorted(shared.items()))


def _answer_name(answer: Json) -> str:
    schemas = [media["schema"] for media in answer.get("content", {}).values()]
    if len(schemas) != 1:
        return ""
    choices = schemas[0].get("oneOf", schemas)
    return "Or".join(each["$ref"].rpartition("/")[2] for each in choices)


def _identity(operation: Operation, binding: HttpBinding, taken: set[str]) -> str:
    """The operation's name; with the route where it has several."""
    name = operation.name
    if name in taken:
        name = f"{name} {binding.method} {binding.path}"
    taken.add(name)
    return name


def _module(operation: Operation) -> tuple[str, ...]:
    """What groups operations that name no tag: the last word of their module or class."""
    before = operation.name.rpartition(".")[0]
    return (before.rpartition(".")[2],) if before else ()


def _request(webhook: Webhook, body: DescribedBody) -> Json:
    """The Path Item Object of a request that the service sends."""
    operation: Json = {}
    if webhook.summary:
        operation["summary"] = webhook.summary
    if webhook.description:
        operation["description"] = webhook.description
    operation["requestBody"] = {"required": True, "content": {JSON: body.written(JSON)}}
    operation["responses"] = {"2XX": {"description": "Any success: it has arrived."}}
    return {webhook.method.lower(): operation}
