"""A load of HTTP/1.1 clients on bare sockets that knows a refused connection from a lost answer."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

TIMEOUT = 20.0


class LostAnswerError(Exception):
    """The connection ended before a whole answer had come."""


def http_request(method: str, path: str, body: Any = None, *, close: bool = False) -> bytes:
    """The bytes of one request."""
    content = b"" if body is None else json.dumps(body).encode()
    lines = [f"{method} {path} HTTP/1.1", "host: 127.0.0.1"]
    if content:
        lines += ["content-type: application/json", f"content-length: {len(content)}"]
    if close:
        lines += ["connection: close"]
    return "\r\n".join([*lines, "", ""]).encode() + content


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def closes(self) -> bool:
        return self.headers.get("connection", "").lower() == "close"


def read_answer(connection: socket.socket) -> Answer:
    """One whole answer.

    Raises:
        LostAnswerError: It ended early, or nothing came at all.
    """
    data = b""
    try:
        while b"\r\n\r\n" not in data:
            data += _more(connection, data)
        head, _, body = data.partition(b"\r\n\r\n")
        first, *rest = head.decode("latin-1").split("\r\n")
        headers = {key.lower(): value.strip() for key, _, value in (x.partition(":") for x in rest)}
        length = int(headers["content-length"])
        while len(body) < length:
            body += _more(connection, data)
    except OSError as error:
        raise LostAnswerError(f"{error!r} after {data[:80]!r}") from error
    return Answer(int(first.split()[1]), headers, body)


def _more(connection: socket.socket, so_far: bytes) -> bytes:
    chunk = connection.recv(65536)
    if not chunk:
        raise LostAnswerError(f"closed after {so_far[:80]!r}")
    return chunk


@dataclass
class Load:
    """What happened to all requests.

    Attributes:
        answered: How often each status came.
        lost: Requests that got no whole answer.
        refused: Connections the system refused, so that no request was sent.
    """

    port: int
    request: tuple[str, str, Any]
    answered: dict[int, int] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)
    refused: int = 0
    ended: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def total(self) -> int:
        return sum(self.answered.values())

    def wait_for(self, count: int) -> None:
        """Until that many more requests have been answered."""
        until, goal = time.monotonic() + TIMEOUT, self.total + count
        while self.total < goal:
            assert time.monotonic() < until, f"only {self.total} of {goal} answers: {self.lost}"
            time.sleep(0.005)

    def run(self, keep_alive: bool) -> None:
        """One client: requests one after the other until the load ends or connections are refused."""
        while not self.ended.is_set():
            try:
                connection = socket.create_connection(("127.0.0.1", self.port), TIMEOUT)
            except OSError:
                with self._lock:
                    self.refused += 1
                return
            with connection:
                self._converse(connection, keep_alive)

    def _converse(self, connection: socket.socket, keep_alive: bool) -> None:
        message = http_request(*self.request, close=not keep_alive)
        while not self.ended.is_set():
            try:
                connection.sendall(message)
                answer = read_answer(connection)
            except (LostAnswerError, OSError) as error:
                with self._lock:
                    self.lost.append(f"{'kept' if keep_alive else 'new'} connection: {error!r}")
                return
            with self._lock:
                self.answered[answer.status] = self.answered.get(answer.status, 0) + 1
            if answer.closes or not keep_alive:
                return


@contextmanager
def load(
    port: int, method: str, path: str, body: Any = None, *, kept: int = 4, new: int = 4
) -> Iterator[Load]:
    """``kept`` clients on one connection each, ``new`` on one for each request, while the block runs."""
    found = Load(port, (method, path, body))
    clients = [
        threading.Thread(target=found.run, args=(number < kept,), daemon=True)
        for number in range(kept + new)
    ]
    for client in clients:
        client.start()
    try:
        yield found
    finally:
        found.ended.set()
        for client in clients:
            client.join(TIMEOUT)
    assert not any(client.is_alive() for client in clients)
