"""One operation at one route as the document shows it: collected first, written when schemas are known."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal, TypeAlias

from covet_http._binding import HttpBinding
from covet_http._fields import Spread
from covet_http._forms._parts import Parts
from covet_http._forms._plan import FormPlan
from covet_http._hosts import parse_host
from covet_http._openapi._body import DescribedBody, Schema, schema_of
from covet_http._openapi._errors import ErrorSchemas
from covet_http._openapi._facts import Facts, facts_of
from covet_http._openapi._schemas import Json, Schemas, Wanted, resolved
from covet_http._openapi._success import describe_success
from covet_http._openapi._taken_apart import taken_apart
from covet_http._problem import CONTENT_TYPE, BodyTimeout, Malformed, status_of_class
from covet_http._sources import JSON, NDJSON
from covet_http._template import Parameter, untyped
from covet_kernel.contracts import Operation
from covet_operations import Injected, Input, OperationError, Signature, TooLarge, Unsupported

Location: TypeAlias = Literal["path", "query", "header", "cookie"]

_MULTIPART: Final = "multipart/form-data"
_URLENCODED: Final = "application/x-www-form-urlencoded"
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
        parameters: Parameter Objects, whose ``schema`` may still be a `Wanted`.
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
        schemas: Schemas,
        *,
        refuse_extra: bool,
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
        self._refuse_extra = refuse_extra
        self._facts = facts_of(operation)
        self._inputs = {each.name: each for each in signature.inputs}
        self._describe_inputs()
        describe_success(self, schemas)
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

    def want(self, kind: Any, mode: Literal["validation", "serialization"]) -> Wanted:
        """The schema of a type, to be given as a ``schema`` here."""
        return self._schemas.want(kind, mode)

    # What the signature says.

    def _describe_inputs(self) -> None:
        place = self.binding.place(self.signature)
        places: tuple[tuple[Location, Mapping[str, Any]], ...] = (
            ("path", {name: name for name in place.path}),
            ("query", place.query),
            ("header", place.headers),
            ("cookie", getattr(place, "cookies", {})),
        )
        for location, names in places:
            for name, sent in names.items():
                given = self._inputs[name]
                self.parameter(
                    sent,
                    location,
                    self._schemas.want(given.adapter, "validation"),
                    required=given.required,
                )
                self.parameters[-1]["input"] = given
        for name, (where, model) in place.models.items():
            self._describe_fields(self._inputs[name], where, model)
        if place.body:
            inputs = [self._inputs[name] for name in place.body]
            body = DescribedBody(
                _Record(inputs, place.form, self._schemas, refuse_extra=self._refuse_extra),
                examples=self._facts.request_examples,
            )
            if place.form is None:
                self.request[JSON] = body
                if self.binding.document_type:
                    self.request[self.binding.document_type] = body
            else:
                self.request[_MULTIPART] = body
                if not FormPlan(inputs, place.form).files:
                    self.request[_URLENCODED] = body
            self.request_required = any(each.required for each in inputs)
        if any(_is_parts(each) for each in self.signature.injected):
            self.request[_MULTIPART] = DescribedBody({"type": "object"})
            self.request_required = True
        if self.signature.item is not None:
            item = self._schemas.want(self.signature.item, "validation")
            self.request[NDJSON] = DescribedBody(item, stream=True)
            self.request_required = True
        if self.signature.inputs:
            self.error(Malformed)
        if self.binding.host:
            self.more["servers"] = [_server(self.binding.host)]
        if self.request:
            self.error(Malformed, TooLarge, Unsupported, BodyTimeout)

    @property
    def examples(self) -> Mapping[str, Any]:
        """Of the body of success, by name."""
        return self._facts.response_examples

    def _describe_fields(self, given: Input, where: Location, model: Spread) -> None:
        for each in taken_apart(given, model):
            schema = self._schemas.want(each.adapter, "validation")
            before = len(self.parameters)
            self.parameter(each.name, where, schema, required=each.required)
            if len(self.parameters) > before:
                self.parameters[-1]["field"] = True

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
            body: Json = {"content": {kind: each.written() for kind, each in self.request.items()}}
            if self.request_required:
                body["required"] = True
            found["requestBody"] = body
        found["responses"] = self._responses(errors)
        if self.security is not None:
            found["security"] = self.security
        return found | self.more

    def _parameter(self, given: Json) -> Json:
        given = dict(given)
        source: Input | None = given.pop("input", None)
        schema = schema_of(given["schema"])
        if given.pop("field", False):
            schema = dict(_textual(schema, self._schemas.components))
            if schema.get("default", ...) is None:
                del schema["default"]
            if text := schema.get("description"):
                given.setdefault("description", text)
        if source is not None:
            schema = _textual(schema, self._schemas.components)
            default = None if source.required else _plain(source)
            if default is not None:
                schema = {**schema, "default": default}
            if schema.get("deprecated"):
                given["deprecated"] = True
            if text := schema.get("description"):
                given.setdefault("description", text)
        given["schema"] = schema
        return given

    def _responses(self, errors: ErrorSchemas) -> Json:
        by_status: dict[int, list[type[OperationError]]] = {}
        for error in self.errors:
            by_status.setdefault(status_of_class(error), []).append(error)
        found: Json = {}
        for status, answer in self.answers.items():
            found[str(status)] = _response(
                answer.description,
                answer.headers,
                {kind: body.written() for kind, body in answer.content.items()},
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


class _Record(Wanted):
    """The schema of an object with a member for each input, or of the one model that is the body."""

    def __init__(
        self,
        inputs: list[Input],
        names: Mapping[str, str] | None,
        schemas: Schemas,
        *,
        refuse_extra: bool,
    ) -> None:
        self._schemas = schemas
        self._names = names or {}
        self._refuse_extra = refuse_extra
        self._members = [(each, schemas.want(each.adapter, "validation")) for each in inputs]

    @property
    def schema(self) -> Json:  # type: ignore[override]
        spread = next((wanted for each, wanted in self._members if each.spread), None)
        if spread is not None and len(self._members) == 1:
            return spread.schema
        found: Json = {"type": "object", "properties": {}}
        if spread is not None:
            # Its members and the others' form one object.
            found |= resolved(spread.schema, self._schemas.components)
            found["properties"] = dict(found.get("properties", {}))
        elif self._refuse_extra:
            found["additionalProperties"] = False
        required = list(found.get("required", ()))
        for each, wanted in self._members:
            if each.spread:
                continue
            member = wanted.schema
            default = None if each.required else _plain(each)
            if default is not None:
                member = {**member, "default": default}
            name = self._names.get(each.name, each.name)
            found["properties"][name] = member
            if each.required:
                required.append(name)
        if required:
            found["required"] = required
        return found


def _response(description: str, headers: Json, content: Json) -> Json:
    found: Json = {"description": description}
    if headers:
        found["headers"] = headers
    if content:
        found["content"] = content
    return found


def _textual(schema: Json, components: dict[str, Json]) -> Json:
    """A schema for a text: there is no null in a path, a query or a header."""
    choices = schema.get("anyOf")
    if not choices:
        return schema
    rest = [each for each in choices if each != {"type": "null"}]
    if len(rest) == len(choices):
        return schema
    others = {name: value for name, value in schema.items() if name != "anyOf"}
    if len(rest) == 1:
        return {**rest[0], **others}
    return {**others, "anyOf": rest}


def _plain(given: Input) -> Any:
    """A default as JSON, ``None`` if it has no such form."""
    try:
        return given.adapter.dump_python(given.default, mode="json", warnings=False)
    except Exception:
        return None


def _server(host: str) -> Json:
    """The Server Object of a host template, whatever the scheme."""
    parameters = [each.name for each in parse_host(host) if isinstance(each, Parameter)]
    found: Json = {"url": f"//{host}"}
    if parameters:
        found["variables"] = {name: {"default": name} for name in parameters}
    return found


def _is_parts(injected: Injected) -> bool:
    return injected.source == "provider" and injected.key.type is Parts


def _details(operation: Operation) -> str:
    """The docstring behind its first line."""
    text = inspect.getdoc(operation.handler) or ""
    return text.partition("\n")[2].strip()
