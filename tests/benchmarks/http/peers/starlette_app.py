"""The work on Starlette."""

import anyio
from anyio.lowlevel import checkpoint
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from work import MESSAGE, PAUSE, Item, Order


async def json(request: Request) -> Response:
    return JSONResponse(MESSAGE)


async def json_timer(request: Request) -> Response:
    await anyio.sleep(PAUSE)
    return JSONResponse(MESSAGE)


async def json_reply(request: Request) -> Response:
    await checkpoint()
    return JSONResponse(MESSAGE)


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
        Route("/json", json),
        Route("/json-timer", json_timer),
        Route("/json-reply", json_reply),
        Route("/items/{id:int}", item),
        Route("/orders", order, methods=["POST"]),
    ]
)
