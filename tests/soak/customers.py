"""Customers who remember what they were promised."""

from __future__ import annotations

import json
import random
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from e2e.answers import lines
from e2e.load import TIMEOUT, LostAnswerError, http_request, read_answer
from soak.ledger import Lines

BOOKS = 60
SPAN = 3
"""Books in an order: neighbours, and as many of each, so that a part of one is known for it."""


def is_whole(order: Lines) -> bool:
    """Whether it has every line a customer sends."""
    first = min(order, default=0)
    return order.keys() == set(range(first, first + SPAN)) and len(set(order.values())) == 1


@dataclass
class Customers:
    """What was promised, and what nobody can know.

    Attributes:
        promised: The lines of each order that was answered with 201, by its id.
        sold_out: Orders answered with 409.
        in_doubt: Orders that were sent and not answered.
        wrong: Answers that there should not be.
    """

    port: int
    promised: dict[int, Lines] = field(default_factory=dict)
    sold_out: int = 0
    in_doubt: int = 0
    wrong: list[str] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self) -> None:
        """One customer: orders on one connection until it ends."""
        try:
            connection = socket.create_connection(("127.0.0.1", self.port), TIMEOUT)
        except OSError:
            return
        with connection:
            while not self.ended.is_set() and self.order(connection):
                pass

    def order(self, connection: socket.socket) -> bool:
        """One order; whether the connection can take another."""
        first, quantity = random.randint(1, BOOKS - SPAN + 1), random.randint(1, 3)
        wanted = dict.fromkeys(range(first, first + SPAN), quantity)
        try:
            connection.sendall(http_request("POST", "/orders", lines(*wanted.items())))
            answer = read_answer(connection)
        except (LostAnswerError, OSError):
            with self.lock:
                self.in_doubt += 1
            return False
        with self.lock:
            if answer.status == 201:
                body = json.loads(answer.body)
                got = {line["book_id"]: line["quantity"] for line in body["lines"]}
                if got != wanted or body["id"] in self.promised:
                    self.wrong.append(f"{body} for {wanted}")
                self.promised[body["id"]] = wanted
            elif answer.status == 409:
                self.sold_out += 1
            else:
                self.wrong.append(f"{answer.status}: {answer.body!r}")
        return not answer.closes


@contextmanager
def customers(port: int, number: int = 6) -> Iterator[Customers]:
    """That many order, each on a connection, while the block runs."""
    found = Customers(port)
    threads = [threading.Thread(target=found.run, daemon=True) for _ in range(number)]
    for thread in threads:
        thread.start()
    try:
        yield found
    finally:
        found.ended.set()
        for thread in threads:
            thread.join(TIMEOUT)
    assert not any(thread.is_alive() for thread in threads)
