"""The work on Granian's own interface, RSGI."""

import asyncio  # noqa: TID251 - what its users write
import json
from typing import Any
from urllib.parse import parse_qs

from work import MESSAGE, PAUSE, Item, Order

HEADERS = [("content-type", "application/json")]


async def app(scope: Any, proto: Any) -> None:
    path = scope.path
    if path == "/json":
        proto.response_str(200, HEADERS, json.dumps(MESSAGE))
    elif path == "/json-timer":
        await asyncio.sleep(PAUSE)
        proto.response_str(200, HEADERS, json.dumps(MESSAGE))
    elif path == "/json-reply":
        await asyncio.sleep(0)
        proto.response_str(200, HEADERS, json.dumps(MESSAGE))
    elif path.startswith("/items/"):
        query = parse_qs(scope.query_string)
        found = Item(id=int(path[7:]), q=query["q"][0], limit=int(query["limit"][0]))
        proto.response_str(200, HEADERS, found.model_dump_json())
    elif path == "/orders":
        given = Order.model_validate_json(await proto())
        proto.response_str(200, HEADERS, given.model_dump_json())
    else:
        proto.response_empty(404, [])
