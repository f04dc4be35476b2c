"""The access log: one JSON object a line, whatever bytes the client sent."""

from __future__ import annotations

import logging
from typing import Any

from pydantic_core import to_json

access = logging.getLogger("covet.http.access")
_CUT_TARGET = 2048
_CUT_AGENT = 256


def log_access(
    scope: Any, status: int, seconds: float, size: int, *, close: int | None = None
) -> None:
    """Log one request.

    Everything a client chose is written as JSON in ASCII, so control characters, line ends and
    terminal sequences arrive escaped and one record stays one line.

    Args:
        scope: The request's ASGI scope.
        status: Of the answer; 499 if the client left before its end, and what ended it if we did.
        seconds: From the request's head to the end of its answer.
        size: Bytes of the answer's body, or of a WebSocket's messages that were sent.
        close: The code that a WebSocket was closed with.
    """
    agent = next((value for name, value in scope["headers"] if name == b"user-agent"), b"")
    client = scope.get("client")
    path, query = scope["raw_path"], scope["query_string"]
    target = path + b"?" + query if query else path
    record = {
        "client": client[0] if client else "",
        "method": scope.get("method", "GET"),
        "target": target[:_CUT_TARGET].decode("latin-1"),
        "http": scope["http_version"],
        "status": status,
        "ms": round(seconds * 1000, 3),
        "bytes": size,
        "agent": agent[:_CUT_AGENT].decode("latin-1"),
    }
    if close is not None:
        record["close"] = close
    access.info("%s", to_json(record, ensure_ascii=True).decode("ascii"))
