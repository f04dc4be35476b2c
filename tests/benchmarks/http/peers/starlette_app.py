"""The work on Starlette."""

import anyio
from anyio.lowlevel import checkpoint
from pydantic_core import to_json
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from work import MESSAGE, PAUSE, Item, Order


async def text(request: Request) -> Response:
    return PlainTextResponse("hello")


async def json(request: Request) -> Response:
    return Response(to_json(MESSAGE), media_type="application/json")


async def json_timer(request: Request) -> Response:
    await anyio.sleep(PAUSE)
    return Response(to_json(MESSAGE), media_type="application/json")


async def json_reply(request: Request) -> Response:
    await checkpoint()
    return Response(to_json(MESSAGE), media_type="application/json")


async def item(request: Request) -> Response:
    query = request.query_params
    found = Item(
        id=request.path_params["id"], q=query.get("q", ""), limit=int(query.get("limit", 10))
    )
    return Response(found.model_dump_json(), media_type="application/json")


async def order(request: Request) -> Response:
    given = Order.model_validate_json(await request.body())
    return Response(given.model_dump_json(), media_type="application/json")


app = Starlette(
    routes=[
        Route("/text", text),
        Route("/json", json),
        Route("/json-timer", json_timer),
        Route("/json-reply", json_reply),
        Route("/items/{id:int}", item),
        Route("/orders", order, methods=["POST"]),
    ]
)
