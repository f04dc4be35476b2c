"""What is called over WebSockets: the same models and the same functions on every server."""

from pydantic import BaseModel, Field


class PriceOf(BaseModel):
    book_id: int


class Line(BaseModel):
    book_id: int
    quantity: int = Field(ge=1)
    note: str = ""


class Order(BaseModel):
    customer: str
    lines: list[Line]


class Receipt(BaseModel):
    number: int
    customer: str
    cents: int
    lines: list[Line]


def price(book_id: int) -> int:
    return 900 + book_id


def place(order: Order) -> Receipt:
    cents = sum(price(line.book_id) * line.quantity for line in order.lines)
    return Receipt(number=1, customer=order.customer, cents=cents, lines=order.lines)
