"""What covet-http's ASGI application answers: what the engine's answers are compared with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import anyio


async def portable(
    application: Any,
    method: str,
    target: str,
    headers: Mapping[str, str] = {},
    body: bytes = b"",
) -> tuple[int, dict[str, str], bytes]:
    """Status, fields and body."""
    path, _, query = target.partition("?")
    lines = [(b"host", b"localhost")]
    lines += [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]
    messages = [{"type": "http.request", "body": body, "more_body": False}]
    sent: list[Any] = []

    async def receive() -> Any:
        if not messages:
            await anyio.sleep_forever()
        return messages.pop()

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": lines,
        "client": None,
    }
    await application(scope, receive, send)
    fields = {name.decode(): value.decode("latin-1") for name, value in sent[0]["headers"]}
    return sent[0]["status"], fields, b"".join(each.get("body", b"") for each in sent[1:])
