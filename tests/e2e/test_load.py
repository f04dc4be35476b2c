"""The load tells a refused connection from a lost answer, else its silence would mean nothing."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from e2e.load import load
from services.process import free_port

WHOLE = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"


@contextmanager
def server(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """A server that leaves every connection to ``answer``."""
    listener = socket.create_server(("127.0.0.1", 0))
    threads: list[threading.Thread] = []

    def handle(connection: socket.socket) -> None:
        with connection:
            answer(connection)

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threads.append(threading.Thread(target=handle, args=(connection,)))
            threads[-1].start()

    acceptor = threading.Thread(target=accept)
    acceptor.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        acceptor.join()
        for thread in threads:
            thread.join()


def always(connection: socket.socket) -> None:
    while connection.recv(4096):
        connection.sendall(WHOLE)


def once(connection: socket.socket) -> None:
    """One answer that promises another, and an end without it."""
    connection.recv(4096)
    connection.sendall(WHOLE)
    connection.recv(4096)


def half(connection: socket.socket) -> None:
    connection.recv(4096)
    connection.sendall(WHOLE[:-1])


def nothing(connection: socket.socket) -> None:
    connection.recv(4096)


def test_whole_answers_are_counted() -> None:
    with server(always) as port, load(port, "GET", "/", kept=1, new=1) as found:
        found.wait_for(20)
    assert found.lost == []
    assert found.refused == 0
    assert set(found.answered) == {200}


@pytest.mark.parametrize("behaviour", [once, half, nothing])
def test_answers_that_do_not_come_are_lost(behaviour: Callable[[socket.socket], None]) -> None:
    with server(behaviour) as port:
        with load(port, "GET", "/", kept=1, new=0) as found:
            while not found.lost:
                assert found.total < 1000
        assert found.refused == 0


def test_refused_connections_lose_nothing() -> None:
    with load(free_port(), "GET", "/", kept=1, new=1) as found:
        pass
    assert (found.refused, found.lost, found.total) == (2, [], 0)
