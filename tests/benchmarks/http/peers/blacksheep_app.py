"""The work on BlackSheep. Handlers that take the request are its fastest."""

from blacksheep import Application, Content, Request, Response, get, post
from pydantic_core import to_json
from work import MESSAGE, Item, Order

app = Application()


def answer(body: bytes) -> Response:
    return Response(200, None, Content(b"application/json", body))


@get("/text")
async def text(request: Request) -> Response:
    return Response(200, None, Content(b"text/plain; charset=utf-8", b"hello"))


@get("/json")
async def json(request: Request) -> Response:
    return answer(to_json(MESSAGE))


@get("/items/{int:id}")
async def item(request: Request) -> Response:
    query = request.query
    found = Item(
        id=int(request.route_values["id"]),
        q=query.get("q", [""])[0],
        limit=int(query.get("limit", ["10"])[0]),
    )
    return answer(found.model_dump_json().encode())


@post("/orders")
async def order(request: Request) -> Response:
    given = Order.model_validate_json(await request.read())
    return answer(given.model_dump_json().encode())
