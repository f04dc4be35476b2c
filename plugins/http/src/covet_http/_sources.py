"""The markers that say where an input comes from, in ``Annotated``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from types import NoneType
from typing import Any, Final, TypeAlias

from covet_http._media import is_json
from covet_operations import Signature

JSON: Final = "application/json"
NDJSON: Final = "application/x-ndjson"
OCTETS: Final = "application/octet-stream"

_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_RANGE = re.compile(rf"(?:\*/\*|{_WORD}/(?:\*|{_WORD}))\Z")


class Query:
    """``Annotated[int, Query()]``: this input comes from the query whatever the method.

    On a model, each of its fields does. Fields of a model inside it are named with a dot, as in
    ``price.below=10``.

    Args:
        name: The name in the query; the parameter's unless given. For a model the name in front of
            its fields', as in ``filter.author=Austen``; none unless given.
    """

    def __init__(self, name: str = "") -> None:
        self.name = name


class Header:
    """``Annotated[str, Header("x-trace")]``: this input comes from a header.

    A collection takes the elements of a comma-separated list and all lines of that name
    (RFC 9110, 5.6.1). On a model, each of its fields comes from the header of its name with dashes.

    Args:
        name: The header; the parameter's name with dashes unless given.
    """

    def __init__(self, name: str = "") -> None:
        self.name = name


class Cookie:
    """``Annotated[str, Cookie("session")]``: this input comes from a cookie.

    On a model, each of its fields does.

    Args:
        name: The cookie; the parameter's name unless given.
    """

    def __init__(self, name: str = "") -> None:
        self.name = name


class Body:
    """``Annotated[bytes, Body(media_type="image/png")]``: this input is the whole body.

    ``bytes`` are the body as it came, ``str`` is its text (UTF-8) unless the media type is JSON's,
    ``AsyncIterator[bytes]`` are its pieces as they arrive; everything else is read as JSON, or what
    else a registered codec reads.

    Args:
        media_type: What ``Content-Type`` has to say, without parameters: one, several, or ranges such
            as ``"image/*"``. Unless given, ``application/octet-stream`` for bytes and
            ``application/json`` for the rest.
        max_bytes: The most it may have; ``max_body_bytes`` unless given, and no limit for a stream.
    """

    def __init__(
        self, media_type: str | Iterable[str] = (), *, max_bytes: int | None = None
    ) -> None:
        given = (media_type,) if isinstance(media_type, str) else tuple(media_type)
        self.media_types = tuple(each.lower() for each in given)
        self.max_bytes = max_bytes

    def problems(self) -> list[str]:
        """Say why it cannot be asked for."""
        wrong = [
            f"{each!r} is no media type, nor a range of them"
            for each in self.media_types
            if not _RANGE.match(each)
        ]
        if self.max_bytes is not None and self.max_bytes < 0:
            wrong.append(f"max_bytes is {self.max_bytes}")
        return wrong


class Form:
    """``Annotated[Signup, Form()]``, ``Annotated[str, Form("e-mail")]``: this input comes from a form.

    Whether the form is urlencoded or multipart is the client's choice. Once one input comes from a
    form, or is an `Upload`, so do all that would otherwise come from a JSON body.

    Args:
        name: The field's name; the parameter's unless given. A model's fields have their own names.
    """

    def __init__(self, name: str = "") -> None:
        self.name = name


Marker: TypeAlias = Query | Header | Cookie | Body | Form
_MARKERS: Final = (Query, Header, Cookie, Body, Form)
_NO_MARKERS: Final = frozenset((NoneType, bool, int, float, str))
# By the class of another framework's marker, where ours is not called the same.
_INSTEAD: Final = {
    "Depends": "write a provider, and annotate the parameter with what it makes",
    "File": "annotate it http.Upload",
    "Path": "a name in the path is one by itself",
    "Security": "say requires= of the operation, and take a Principal",
}


def marker_of(metadata: Iterable[Any]) -> Marker | None:
    """The first marker in an annotation's metadata; a class stands for itself without arguments."""
    for each in metadata:
        if isinstance(each, _MARKERS):
            return each
        if any(each is known for known in _MARKERS):
            marker: Marker = each()
            return marker
    return None


def misplaced_markers(signature: Signature) -> Iterator[str]:
    """Say which parameters are marked in a way that nobody reads."""
    for given in signature.inputs:
        default = given.default
        if default.__class__ in _NO_MARKERS and not given.metadata:
            continue
        if isinstance(default, _MARKERS) or any(default is known for known in _MARKERS):
            kind = getattr(default, "__name__", type(default).__name__)
            yield (
                f"{given.name!r} has http.{kind} for a default; a marker stands in its annotation:"
                f" {given.name}: Annotated[..., http.{kind}()]"
            )
        for each in (default, *given.metadata):
            kind = type(each).__name__
            if type(each).__module__.partition(".")[0] == "fastapi":
                yield (
                    f"{given.name!r} is marked with FastAPI's {kind}, which is not read here: "
                    + _INSTEAD.get(kind, f"take Annotated[..., http.{kind}()]")
                )


def fits(media_type: str, ranges: Iterable[str]) -> bool:
    """Whether a media type is among these types and ranges, all in lower case."""
    for each in ranges:
        if each in (media_type, "*/*"):
            return True
        if each == JSON and media_type.startswith("application/") and is_json(media_type):
            return True
        if each.endswith("/*") and media_type.startswith(each[:-1]):
            return True
    return False
