"""What the document says of an operation's inputs: parameters, and what the body may be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from pydantic import TypeAdapter

from covet_http._fields import base_of
from covet_http._file import NoSuchPath
from covet_http._forms._parts import Parts
from covet_http._forms._plan import FormPlan
from covet_http._openapi._body import DescribedBody
from covet_http._openapi._json import Json
from covet_http._openapi._taken_apart import taken_apart
from covet_http._placement import Placement
from covet_http._problem import BodyTimeout, Malformed
from covet_http._sources import JSON, NDJSON, Body
from covet_http._template import Parameter, parse_template
from covet_operations import Injected, Input, JsonSchemas, TooLarge, Unsupported, WantedSchema

if TYPE_CHECKING:
    from covet_http._openapi._description import Description, Location

_TYPED: Final = frozenset({"int", "uuid", "date"})
_MULTIPART: Final = "multipart/form-data"
_URLENCODED: Final = "application/x-www-form-urlencoded"


def describe_inputs(
    description: Description,
    schemas: JsonSchemas,
    *,
    refuse_extra: bool,
    codecs: Sequence[Sequence[str]],
) -> None:
    """Say what a route takes.

    Args:
        description: Of the route.
        schemas: Takes the types.
        refuse_extra: Whether members of the body that nobody asks for are refused.
        codecs: The media types of each encoding besides JSON.
    """
    signature = description.signature
    place = description.binding.place(signature)
    inputs = {each.name: each for each in signature.inputs}
    _add_parameters(description, schemas, place, inputs)
    if place.body or place.whole is not None:
        given = place.body_inputs(signature)
        others = [media_type for each in codecs for media_type in each]
        _add_body(description, schemas, place, given, refuse_extra=refuse_extra, codecs=others)
    elif signature.item is not None:
        item = schemas.want(signature.item, "validation")
        description.request[NDJSON] = DescribedBody(item, stream=True)
        description.request_required = True
    if any(_is_parts(each) for each in signature.injected):
        description.request[_MULTIPART] = DescribedBody({"type": "object"})
        description.request_required = True
    if signature.inputs:
        description.error(Malformed)
    segments = parse_template(description.binding.path)
    if any(isinstance(each, Parameter) and each.kind in _TYPED for each in segments):
        # What is no number, say, is at no path.
        description.error(NoSuchPath)
    if description.request:
        description.error(Malformed, TooLarge, Unsupported, BodyTimeout)


def _add_parameters(
    description: Description, schemas: JsonSchemas, place: Placement, inputs: Mapping[str, Input]
) -> None:
    named: tuple[tuple[Location, Mapping[str, Any]], ...] = (
        ("path", {name: name for name in place.path}),
        ("query", place.query),
        ("header", place.headers),
        ("cookie", place.cookies),
    )
    for location, names in named:
        for name, sent in names.items():
            given = inputs[name]
            default = None if given.required else plain_default(given.adapter, given.default)
            schema = Text(schemas.want(given.adapter, "validation"), schemas, default)
            description.parameter(sent, location, schema, required=given.required)
    for name, (where, model) in place.models.items():
        for field in taken_apart(inputs[name], model):
            schema = Text(schemas.want(field.adapter, "validation"), schemas, None)
            description.parameter(field.name, where, schema, required=field.required)


def _add_body(
    description: Description,
    schemas: JsonSchemas,
    place: Placement,
    inputs: list[Input],
    *,
    refuse_extra: bool,
    codecs: Sequence[str],
) -> None:
    binding = description.binding
    description.request_required = not inputs or any(each.required for each in inputs)
    if place.whole is not None:
        _add_whole(description, schemas, place.whole, inputs, codecs)
        return
    examples = description.facts.request_examples
    record = Record(inputs, place.form, schemas, refuse_extra=refuse_extra)
    body = DescribedBody(record, examples=examples)
    if place.form is not None:
        description.request[_MULTIPART] = body
        if not FormPlan(inputs, place.form).files:
            description.request[_URLENCODED] = body
        return
    for kind in (JSON, binding.document_type, *codecs):
        if kind:
            description.request[kind] = body


def _add_whole(
    description: Description,
    schemas: JsonSchemas,
    whole: Body,
    inputs: list[Input],
    codecs: Sequence[str],
) -> None:
    """One input that is the body, or nothing but a stream of its bytes."""
    schema: WantedSchema | Json = {}
    base = base_of(inputs[0].type) if inputs else bytes
    if base is not bytes:
        schema = schemas.want(inputs[0].adapter, "validation")
    body = DescribedBody(schema, examples=description.facts.request_examples)
    for kind in whole.media_types:
        description.request[kind] = body
    if whole.media_types == (JSON,) and base not in (bytes, str):
        description.request.update(dict.fromkeys(codecs, body))


class Text(WantedSchema):
    """The schema of a value that comes as a text: there is no null in a path, a query or a header.

    Args:
        wanted: Its type's.
        schemas: Where references lead.
        default: Its default as JSON, ``None``: it has none that can be shown.
    """

    def __init__(self, wanted: WantedSchema, schemas: JsonSchemas, default: Any) -> None:
        self._wanted = wanted
        self._schemas = schemas
        self._default = default

    @property
    def schema(self) -> Json:  # type: ignore[override]
        found = self._wanted.schema
        choices = found.get("anyOf")
        if choices:
            rest = [each for each in choices if each != {"type": "null"}]
            others = {name: value for name, value in found.items() if name != "anyOf"}
            found = {**rest[0], **others} if len(rest) == 1 else {**others, "anyOf": rest}
        if found.get("default", "") is None:
            found = {name: value for name, value in found.items() if name != "default"}
        return found if self._default is None else {**found, "default": self._default}


class Record(WantedSchema):
    """The schema of an object with a member for each input, or of the one model that is the body.

    Args:
        inputs: What the body holds.
        names: What they are called there; as they are unless given.
        schemas: Takes their types.
        refuse_extra: Whether other members are refused.
    """

    def __init__(
        self,
        inputs: list[Input],
        names: Mapping[str, str] | None,
        schemas: JsonSchemas,
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
            found |= self._schemas.resolved(spread.schema)
            found["properties"] = dict(found.get("properties", {}))
        elif self._refuse_extra:
            found["additionalProperties"] = False
        required = list(found.get("required", ()))
        for each, wanted in self._members:
            if each.spread:
                continue
            name = self._names.get(each.name, each.name)
            member = wanted.schema
            default = None if each.required else plain_default(each.adapter, each.default)
            found["properties"][name] = (
                member if default is None else {**member, "default": default}
            )
            if each.required:
                required.append(name)
        if required:
            found["required"] = required
        return found


def plain_default(adapter: TypeAdapter[Any], default: Any) -> Any:
    """A default as JSON, ``None`` if it has no such form."""
    try:
        return adapter.dump_python(default, mode="json", warnings=False)
    except Exception:
        return None


def _is_parts(injected: Injected) -> bool:
    return injected.source == "provider" and injected.key.type is Parts
