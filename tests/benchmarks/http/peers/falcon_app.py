"""The work on Falcon's ASGI side."""

from typing import Any

from falcon.asgi import App
from pydantic_core import to_json
from work import MESSAGE, Item, Order


class Text:
    async def on_get(self, req: Any, resp: Any) -> None:
        resp.content_type = "text/plain; charset=utf-8"
        resp.data = b"hello"


class Json:
    async def on_get(self, req: Any, resp: Any) -> None:
        resp.data = to_json(MESSAGE)


class ItemOf:
    async def on_get(self, req: Any, resp: Any, id: int) -> None:
        found = Item(
            id=id,
            q=req.get_param("q", default=""),
            limit=req.get_param_as_int("limit", default=10),
        )
        resp.data = found.model_dump_json().encode()


class Orders:
    async def on_post(self, req: Any, resp: Any) -> None:
        given = Order.model_validate_json(await req.stream.readall())
        resp.data = given.model_dump_json().encode()


app = App()
app.add_route("/text", Text())
app.add_route("/json", Json())
app.add_route("/items/{id:int}", ItemOf())
app.add_route("/orders", Orders())
