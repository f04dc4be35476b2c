"""What the document says of a success: by the form of the answer, and by results of HTTP's own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from covet_http._encode import form_of, media_type_of, negotiable
from covet_http._file import File, NoSuchPath
from covet_http._links import has_links
from covet_http._openapi._body import DescribedBody
from covet_http._openapi._errors import phrase
from covet_http._openapi._json import Json
from covet_http._outcomes import MULTI_STATUS, has_outcomes
from covet_http._pieces import Pieces
from covet_http._problem import NotAcceptable, RangeNotSatisfiable
from covet_http._results import Content, Redirect
from covet_operations import JsonSchemas, PreconditionFailed

if TYPE_CHECKING:
    from covet_http._openapi._description import Description

_BODILESS: Final = (204, 205, 304)
_ANY: Final = "*/*"
_LOCATION: Final[Json] = {
    "description": "Where it is.",
    "schema": {"type": "string", "format": "uri-reference"},
}


def describe_success(
    description: Description, schemas: JsonSchemas, codecs: Sequence[Sequence[str]]
) -> None:
    """Say what a route answers with when all is well.

    Args:
        description: Of the route.
        schemas: Takes the types.
        codecs: The media types of each encoding besides JSON, its own favourite first.
    """
    binding, signature = description.binding, description.signature
    if signature.output_type is not None or not signature.results:
        body = None
        if description.success not in _BODILESS:
            body = _body(description, schemas)
        status = description.success
        # Without parameters, as those who look answers up compare it.
        media_type = media_type_of(binding, signature).partition(";")[0]
        kinds = [media_type]
        if codecs and negotiable(signature, binding):
            kinds += [kind for each in codecs for kind in each]
            description.error(NotAcceptable)
        for kind in kinds:
            description.answer(status, phrase(status), kind, body)
            if has_outcomes(signature):
                description.answer(MULTI_STATUS, phrase(MULTI_STATUS), kind, body)
    for result in signature.results:
        if issubclass(result, File):
            description.answer(200, phrase(200), _ANY, DescribedBody({}))
            description.answer(206, phrase(206), _ANY, DescribedBody({}))
            description.answer(304, phrase(304))
            description.error(NoSuchPath, PreconditionFailed, RangeNotSatisfiable)
        elif issubclass(result, Content | Pieces):
            description.answer(200, phrase(200), _ANY, DescribedBody({}))
        elif issubclass(result, Redirect):
            description.answer(303, phrase(303))
            description.answers[303].headers["Location"] = _LOCATION
    if has_links(binding.method, signature.output_type):
        meaning = "The pages around this one (RFC 8288)."
        description.header("Link", {"type": "string"}, meaning, status=description.success)
    if binding.location is not None and description.success in description.answers:
        description.answers[description.success].headers["Location"] = _LOCATION


def _body(description: Description, schemas: JsonSchemas) -> DescribedBody:
    signature = description.signature
    form = form_of(description.binding, signature)
    if form == "raw":
        # Bytes have no type among JSON's.
        return DescribedBody({"type": "string"} if signature.output_type is str else {})
    output = schemas.want(signature.output, "serialization")
    return DescribedBody(output, stream=form != "document", examples=description.examples)
