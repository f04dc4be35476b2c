"""The work of every peer: the same models, the same answers."""

from __future__ import annotations

import os
import threading

from pydantic import BaseModel

MESSAGE = {"message": "hello"}
PAUSE = 0.001
"""Seconds a handler waits in the row where it waits for a timer."""


class Line(BaseModel):
    book_id: int
    quantity: int
    note: str = ""


class Order(BaseModel):
    customer: str
    lines: list[Line]


class Item(BaseModel):
    id: int
    q: str
    limit: int


def spin() -> None:
    """Keep one Python thread busy beside the server, if the environment says so."""

    def work() -> None:
        number = 0
        while True:
            number = (number * 31 + 7) % 1_000_003

    if os.environ.get("BENCH_BUSY") == "1":
        threading.Thread(target=work, daemon=True, name="busy").start()


spin()
