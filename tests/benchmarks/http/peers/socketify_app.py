"""The work on socketify, with `def` handlers, which are its fastest.

python socketify_app.py PORT
"""

import sys
from typing import Any

from socketify import App, AppListenOptions
from work import MESSAGE, Item, Order


def bare(res: Any, req: Any) -> None:
    res.end(b'{"message":"hello"}')


def json(res: Any, req: Any) -> None:
    res.end(MESSAGE)


async def json_async(res: Any, req: Any) -> None:
    res.end(MESSAGE)


def item(res: Any, req: Any) -> None:
    found = Item(
        id=int(req.get_parameter(0)), q=req.get_query("q"), limit=int(req.get_query("limit"))
    )
    res.write_header(b"Content-Type", b"application/json")
    res.end(found.model_dump_json())


def order(res: Any, req: Any) -> None:
    body = b""

    def take(res: Any, data: bytes, is_end: bool) -> None:
        nonlocal body
        body += data
        if is_end:
            given = Order.model_validate_json(body)
            res.write_header(b"Content-Type", b"application/json")
            res.end(given.model_dump_json())

    res.on_data(take)


app = App()
app.get("/bare", bare)
app.get("/json", json)
app.get("/json-async", json_async)
app.get("/items/:id", item)
app.post("/orders", order)
app.listen(AppListenOptions(port=int(sys.argv[1]), host="127.0.0.1"))
app.run()
