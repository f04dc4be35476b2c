"""One operation at one route as the document shows it: collected first, written when schemas are known."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias

from covet_http._binding import HttpBinding
from covet_http._hosts import parse_host
from covet_http._openapi._body import DescribedBody, Schema, schema_of
from covet_http._openapi._errors import ErrorSchemas
from covet_http._openapi._facts import Facts, facts_of
from covet_http._openapi._inputs import describe_inputs
from covet_http._openapi._json import Json
from covet_http._openapi._success import describe_success
from covet_http._problem import CONTENT_TYPE, status_of_class
from covet_http._template import Parameter, untyped
from covet_kernel.contracts import Operation
from covet_operations import JsonSchemas, OperationError, Signature, WantedSchema

Location: TypeAlias = Literal["path", "query", "header", "cookie"]

_PROBLEM: Final = CONTENT_TYPE.decode()
# Said by the document in other ways (OpenAPI 3.1.1, 4.8.12.2).
_NOT_PARAMETERS: Final = frozenset({"accept", "content-type", "authorization"})
_RETRY: Final[Json] = {
    "description": "Seconds after which another try may pass.",
    "schema": {"type": "integer", "minimum": 1},
}
_CHALLENGE: Final[Json] = {
    "description": "How to prove who calls.",
    "schema": {"type": "string"},
}


class Answer:
    """What the document says of one status."""

    def __init__(self, description: str) -> None:
        self.description = description
        self.content: dict[str, DescribedBody] = {}
        self.headers: dict[str, Json] = {}


class Description:
    """What the document says of one operation at one route.

    Interceptors and parts of the document add to it, each in its method ``describe``.

    Attributes:
        operation: What is called.
        binding: Where.
        signature: What it takes and gives.
        success: The status of success.
        parameters: Parameter Objects, whose ``schema`` may still be a `WantedSchema`.
        request: Media types of the body.
        request_required: Whether there has to be one.
        answers: By status, errors apart.
        errors: The classes of errors it may answer with.
        security: Security Requirement Objects.
        more: Other members of the Operation Object.
    """

    def __init__(
        self,
        operation: Operation,
        binding: HttpBinding,
        signature: Signature,
        schemas: JsonSchemas,
        *,
        refuse_extra: bool,
        codecs: Sequence[Sequence[str]] = (),
    ) -> None:
        self.operation = operation
        self.binding = binding
        self.signature = signature
        empty = signature.output_type is None and not signature.results
        self.success = binding.status or (204 if empty else 200)
        self.parameters: list[Json] = []
        self.request: dict[str, DescribedBody] = {}
        self.request_required = False
        self.answers: dict[int, Answer] = {}
        self.errors: dict[type[OperationError], None] = {}
        self.security: list[Json] | None = None
        self.more: Json = {}
        self._error_headers: dict[int, dict[str, Json]] = {}
        self._schemas = schemas
        self._facts = facts_of(operation)
        describe_inputs(self, schemas, refuse_extra=refuse_extra, codecs=codecs)
        if binding.host:
            self.more["servers"] = [_server(binding.host)]
        describe_success(self, schemas, codecs)
        for status, declared in self._facts.answers.items():
            content: DescribedBody | None = None
            if declared.type is not None:
                content = DescribedBody(schemas.want(declared.type, "serialization"))
            self.answer(status, declared.description, declared.content_type, content)
            for name, meaning in declared.headers.items():
                self.header(name, {"type": "string"}, meaning, status=status)

    @property
    def facts(self) -> Facts:
        """What the application said with the decorator ``openapi``."""
        return self._facts

    @property
    def path(self) -> str:
        """The template as OpenAPI writes it."""
        return untyped(self.binding.path)

    # What extensions say.

    def parameter(
        self,
        name: str,
        location: Location,
        schema: Schema,
        *,
        required: bool = False,
        description: str = "",
        deprecated: bool = False,
    ) -> None:
        """Add a parameter, unless there is one of this name and place."""
        if location == "header" and name.lower() in _NOT_PARAMETERS:
            return
        if any(each["name"] == name and each["in"] == location for each in self.parameters):
            return
        given: Json = {"name": name, "in": location, "schema": schema}
        if description:
            given["description"] = description
        if required or location == "path":
            given["required"] = True
        if deprecated:
            given["deprecated"] = True
        self.parameters.append(given)

    def error(self, *errors: type[OperationError]) -> None:
        """Say that the operation may answer with errors of these classes."""
        self.errors.update(dict.fromkeys(errors))

    def answer(
        self,
        status: int,
        description: str,
        content_type: str = "",
        body: DescribedBody | None = None,
    ) -> None:
        """Say that the operation may answer with a status; or with one more media type of a known one."""
        known = self.answers.get(status)
        if known is None:
            known = self.answers[status] = Answer(description)
        if body is not None:
            known.content[content_type] = body

    def header(
        self, name: str, schema: Json, description: str = "", *, status: int | None = None
    ) -> None:
        """Say that answers carry a header.

        Args:
            name: Of the header.
            schema: Of its value.
            description: What it means.
            status: Of which answers; those of success unless given.
        """
        line: Json = {"schema": schema}
        if description:
            line["description"] = description
        for at in [status] if status is not None else [*self.answers]:
            if at in self.answers:
                self.answers[at].headers[name] = line
            else:
                self._error_headers.setdefault(at, {})[name] = line

    def want(self, kind: Any, mode: Literal["validation", "serialization"]) -> WantedSchema:
        """The schema of a type, to be given as a ``schema`` here."""
        return self._schemas.want(kind, mode)

    # What the signature says.

    @property
    def examples(self) -> Mapping[str, Any]:
        """Of the body of success, by name."""
        return self._facts.response_examples

    # The Operation Object.

    def written(self, operation_id: str, tags: Iterable[str], errors: ErrorSchemas) -> Json:
        """The Operation Object, once all schemas are generated."""
        operation, facts = self.operation, self._facts
        found: Json = {"operationId": facts.operation_id or operation_id}
        if operation.summary:
            found["summary"] = operation.summary
        text = facts.description or _details(operation)
        if text:
            found["description"] = text
        if tags := list(tags):
            found["tags"] = tags
        if operation.deprecated:
            found["deprecated"] = True
        if facts.external_docs:
            found["externalDocs"] = {"url": facts.external_docs}
        if self.parameters:
            found["parameters"] = [self._parameter(each) for each in self.parameters]
        if self.request:
            body: Json = {
                "content": {kind: each.written(kind) for kind, each in self.request.items()}
            }
            if self.request_required:
                body["required"] = True
            found["requestBody"] = body
        found["responses"] = self._responses(errors)
        if self.security is not None:
            found["security"] = self.security
        return found | self.more

    def _parameter(self, given: Json) -> Json:
        schema = schema_of(given["schema"])
        found = {**given, "schema": schema}
        if schema.get("deprecated"):
            found["deprecated"] = True
        if text := schema.get("description"):
            found.setdefault("description", text)
        return found

    def _responses(self, errors: ErrorSchemas) -> Json:
        by_status: dict[int, list[type[OperationError]]] = {}
        for error in self.errors:
            by_status.setdefault(status_of_class(error), []).append(error)
        found: Json = {}
        for status, answer in self.answers.items():
            found[str(status)] = _response(
                answer.description,
                answer.headers,
                {kind: body.written(kind) for kind, body in answer.content.items()},
            )
        for status in sorted(by_status):
            classes = by_status[status]
            headers = dict(self._error_headers.get(status, {}))
            if status == 401:
                headers["WWW-Authenticate"] = _CHALLENGE
            if status in (429, 503):
                headers["Retry-After"] = _RETRY
            titles = list(dict.fromkeys(f"{error.title}." for error in classes))
            content: Json = {_PROBLEM: {"schema": errors.reference(classes)}}
            known = found.get(str(status))
            if known is None:
                found[str(status)] = _response(" ".join(titles), headers, content)
            else:
                known.setdefault("content", {}).update(content)
                known["description"] = " ".join([known["description"] + ".", *titles])
        return found


def _response(description: str, headers: Json, content: Json) -> Json:
    found: Json = {"description": description}
    if headers:
        found["headers"] = headers
    if content:
        found["content"] = content
    return found


def _server(host: str) -> Json:
    """The Server Object of a host template, whatever the scheme."""
    parameters = [each.name for each in parse_host(host) if isinstance(each, Parameter)]
    found: Json = {"url": f"//{host}"}
    if parameters:
        found["variables"] = {name: {"default": name} for name in parameters}
    return found


def _details(operation: Operation) -> str:
    """The docstring behind its first line."""
    text = inspect.getdoc(operation.handler) or ""
    return text.partition("\n")[2].strip()
