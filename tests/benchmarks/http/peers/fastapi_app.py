"""The work on FastAPI. Its `def` handlers go to a thread, so these are `async def`."""

import anyio
from anyio.lowlevel import checkpoint
from fastapi import FastAPI
from fastapi.responses import PlainTextResponse
from work import MESSAGE, PAUSE, Item, Order

app = FastAPI()


@app.get("/text")
async def text() -> PlainTextResponse:
    return PlainTextResponse("hello")


@app.get("/json")
async def json() -> dict[str, str]:
    return MESSAGE


@app.get("/json-timer")
async def json_timer() -> dict[str, str]:
    await anyio.sleep(PAUSE)
    return MESSAGE


@app.get("/json-reply")
async def json_reply() -> dict[str, str]:
    await checkpoint()
    return MESSAGE


@app.get("/items/{id}")
async def item(id: int, q: str = "", limit: int = 10) -> Item:
    return Item(id=id, q=q, limit=limit)


@app.post("/orders")
async def order(order: Order) -> Order:
    return order
