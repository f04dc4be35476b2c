"""The work on Litestar. Its own serializer of pydantic models takes longer than bytes that are ready."""

from litestar import Litestar, MediaType, Request, Response, get, post
from work import MESSAGE, Item, Order


@get("/text", media_type=MediaType.TEXT)
async def text() -> str:
    return "hello"


@get("/json")
async def json() -> dict[str, str]:
    return MESSAGE


@get("/items/{id:int}", media_type=MediaType.JSON)
async def item(id: int, q: str = "", limit: int = 10) -> bytes:
    return Item(id=id, q=q, limit=limit).model_dump_json().encode()


@post("/orders", status_code=200, media_type=MediaType.JSON)
async def order(request: Request) -> Response[bytes]:
    given = Order.model_validate_json(await request.body())
    return Response(given.model_dump_json().encode())


app = Litestar([text, json, item, order], openapi_config=None, logging_config=None)
