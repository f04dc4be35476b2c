"""The access log: one JSON object a line, whatever bytes the client sent."""

from __future__ import annotations

import json
import logging
from typing import Any

access = logging.getLogger("covet.http.access")


class AccessLog:
    """What Hypercorn calls when a request is done; the only method it calls here.

    Everything a client chose passes `json.dumps` with ASCII output, so control characters, line
    ends and terminal sequences arrive escaped and one record stays one line.
    """

    def __init__(self, config: Any) -> None:
        self._enabled = config.access_log

    async def access(self, scope: Any, response: Any, duration: float) -> None:
        """Log one request; ``response`` is ``None`` if the client left first."""
        if not self._enabled:
            return
        agent = next((value for name, value in scope["headers"] if name == b"user-agent"), b"")
        client = scope.get("client")
        access.info(
            "%s",
            json.dumps(
                {
                    "client": client[0] if client else "",
                    "method": scope.get("method", "GET"),
                    "target": _text(scope["raw_path"], scope["query_string"]),
                    "http": scope["http_version"],
                    "status": response["status"] if response is not None else 499,
                    "ms": round(duration * 1000, 3),
                    "agent": agent[:256].decode("latin-1"),
                }
            ),
        )


def _text(path: bytes, query: bytes) -> str:
    target = path + b"?" + query if query else path
    return target[:2048].decode("latin-1")
