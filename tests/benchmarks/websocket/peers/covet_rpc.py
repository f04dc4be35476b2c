"""The calls on covet-websocket, as a user has them."""

import calls

import covet_http as http
import covet_websocket as websocket


@http.get("/json")
def json() -> dict[str, str]:
    return {"message": "hello"}


@websocket.method("books.price")
def price(book_id: int) -> int:
    return calls.price(book_id)


@websocket.method("orders.place")
def place(order: calls.Order) -> calls.Receipt:
    return calls.place(order)
