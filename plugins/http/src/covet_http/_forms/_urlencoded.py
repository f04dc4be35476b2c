"""``application/x-www-form-urlencoded``, strictly."""

from __future__ import annotations

from collections.abc import Iterator

from covet_http._forms._limits import FormLimits
from covet_http._problem import Malformed
from covet_http._target import BadTargetError, decode
from covet_operations import TooLarge


def parse_urlencoded(body: bytes, limits: FormLimits) -> Iterator[tuple[str, str]]:
    """Names and values in their order.

    As in the query only ``&`` separates, and every escape has to be one.

    Raises:
        Malformed: It cannot be decoded.
        TooLarge: It has more or longer fields than the limits allow.
    """
    if len(body) >= limits.max_fields and body.count(b"&") >= limits.max_fields and body:
        raise TooLarge(f"a form may have {limits.max_fields} fields")
    try:
        text = body.decode("ascii")
    except UnicodeDecodeError:
        raise Malformed("the form has characters that have to be percent-encoded") from None
    if "\0" in text:
        raise Malformed("the form has a NUL character")
    if "+" in text:
        text = text.replace("+", " ")
    escaped = "%" in text
    most = limits.max_field_bytes
    for pair in text.split("&"):
        if not pair:
            continue
        name, _, value = pair.partition("=")
        if escaped and "%" in pair:
            try:
                name, value = decode(name), decode(value)
            except BadTargetError as error:
                raise Malformed(f"the form has {error}") from None
        if len(pair) > most and len(value.encode()) > most:
            raise TooLarge(f"a field of a form may have {most} bytes")
        yield name, value
