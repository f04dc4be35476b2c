"""The ASGI scope of a request, whatever protocol it came by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

if TYPE_CHECKING:
    from covet_hypercorn._connection import Connection


def make_scope(
    connection: Connection,
    version: str,
    method: bytes,
    target: bytes,
    headers: Sequence[tuple[bytes, bytes]],
) -> dict[str, Any]:
    """A scope of its own for one request.

    Args:
        connection: It came by.
        version: Of HTTP, as ASGI writes it.
        method: As it was sent.
        target: Path and query as they were sent, in printable ASCII.
        headers: Names in lower case.
    """
    path, _, query = target.partition(b"?")
    text = path.decode("ascii")
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": version,
        "method": method.decode("ascii"),
        "scheme": connection.scheme,
        "path": unquote(text) if "%" in text else text,
        "raw_path": path,
        "query_string": query,
        "root_path": "",
        "headers": headers,
        "client": connection.client,
        "server": connection.server,
        "extensions": {**connection.extensions},
        "state": {},
    }
