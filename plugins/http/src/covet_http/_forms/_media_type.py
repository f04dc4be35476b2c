"""Which kind of form a request says it has."""

from __future__ import annotations

import re
from typing import Final

from covet_http._forms._parameters import split_parameters
from covet_http._problem import Malformed
from covet_http._request import Request
from covet_operations import Unsupported

URLENCODED: Final = "application/x-www-form-urlencoded"
MULTIPART: Final = "multipart/form-data"
# RFC 2046, 5.1.1 allows fewer characters, but as many of them.
_BOUNDARY: Final = re.compile(r"[!-~](?:[ -~]{0,68}[!-~])?\Z")


def boundary_of(request: Request) -> bytes | None:
    """The boundary of a multipart form, ``None`` for an urlencoded one.

    Raises:
        Unsupported: It is no form.
        Malformed: It does not say how its parts are separated.
    """
    line = request.header(b"content-type")
    text = "" if line is None else line.decode("latin-1")
    if text == URLENCODED:
        return None
    kind = text.partition(";")[0].strip(" \t").lower()
    if kind not in (URLENCODED, MULTIPART):
        raise Unsupported(
            f"the body has to be {URLENCODED} or {MULTIPART}, and 'Content-Type' has to say so"
        )
    parameters = split_parameters(text)[1]
    if kind == URLENCODED:
        if parameters.get("charset", "utf-8").lower() != "utf-8":
            raise Unsupported("a form has to be UTF-8")
        return None
    boundary = parameters.get("boundary", "")
    if not _BOUNDARY.match(boundary):
        raise Malformed("'Content-Type' has no boundary of 1 to 70 characters")
    return boundary.encode("ascii")
