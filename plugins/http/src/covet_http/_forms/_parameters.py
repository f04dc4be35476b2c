"""Parameters of header values: ``form-data; name="title"`` and ``multipart/form-data; boundary=x``."""

from __future__ import annotations

import re
from typing import Final

from covet_http._problem import Malformed

# A token, "=", and a token or a quoted string: RFC 9110, 5.6.6. Each alternative begins differently
# from what may follow it, so matching takes linear time whatever is sent.
_PARAMETER: Final = re.compile(
    r";[ \t]*([!#$%&'*+.^_`|~0-9A-Za-z-]+)="
    r'(?:"([^"\\]*(?:\\.[^"\\]*)*)"|([^ \t;"\\]+))[ \t]*'
)
# Other backslashes stand for themselves: browsers of old send whole paths of Windows.
_ESCAPED: Final = re.compile(r'\\(["\\])')


def split_parameters(value: str) -> tuple[str, dict[str, str]]:
    """What stands before the first semicolon, in lower case, and the parameters by lower-case name.

    Raises:
        Malformed: They are not well-formed, or one comes twice.
    """
    first, _, _ = value.partition(";")
    at, found = len(first), {}
    while at < len(value):
        match = _PARAMETER.match(value, at)
        if match is None:
            if value[at:].strip(" \t") == ";":
                break
            raise Malformed("a header has parameters that are not well-formed")
        name, quoted, text = match.groups()
        name = name.lower()
        if name in found:
            raise Malformed("a header has a parameter twice")
        if quoted is not None:
            text = _ESCAPED.sub(r"\1", quoted) if "\\" in quoted else quoted
        found[name] = text
        at = match.end()
    return first.strip(" \t").lower(), found
