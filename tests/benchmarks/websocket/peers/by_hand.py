"""Calls by hand: what a frame says, as a user writes it who has pydantic and no more."""

from collections.abc import Callable
from typing import Any

from calls import Order, PriceOf, place, price
from pydantic import BaseModel, ValidationError


def _price(params: Any) -> int:
    return price(PriceOf.model_validate(params).book_id)


def _place(params: Any) -> Any:
    return place(Order.model_validate(params))


METHODS: dict[str, Callable[[Any], Any]] = {"books.price": _price, "orders.place": _place}


def answer(call: Any) -> dict[str, Any]:
    """The frame that answers one."""
    method = METHODS.get(call["method"])
    if method is None:
        return {"id": call["id"], "error": {"code": "unknown-method"}}
    try:
        result = method(call["params"])
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False)
        return {"id": call["id"], "error": {"code": "invalid", "errors": found}}
    if isinstance(result, BaseModel):
        result = result.model_dump(mode="json")
    return {"id": call["id"], "result": result}
