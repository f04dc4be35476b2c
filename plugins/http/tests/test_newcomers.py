"""A socket that closes resets nobody who was told that it is connected."""

from __future__ import annotations

import socket
import sys

import pytest

from covet_http._newcomers import keep_newcomers_away

pytestmark = [
    pytest.mark.once,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="packet filters are Linux's"),
]


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_nobody_connects_any_more_and_who_has_is_served(family: socket.AddressFamily) -> None:
    host = "127.0.0.1" if family == socket.AF_INET else "::1"
    with socket.socket(family) as listening:
        try:
            listening.bind((host, 0))
        except OSError:
            pytest.skip(f"this machine has no {host}")
        listening.listen()
        address = listening.getsockname()
        with socket.create_connection(address[:2], timeout=5) as early:
            keep_newcomers_away([listening])
            with socket.socket(family) as late:
                late.settimeout(0.2)
                with pytest.raises(TimeoutError):
                    late.connect(address)
            served, _ = listening.accept()
            with served:
                early.sendall(b"request")
                assert served.recv(100) == b"request"
                served.sendall(b"answer")
                assert early.recv(100) == b"answer"
            listening.setblocking(False)
            with pytest.raises(BlockingIOError):
                listening.accept()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address[:2], timeout=5)


def test_what_is_no_socket_of_the_network_is_left_alone() -> None:
    closed = socket.socket()
    closed.close()
    keep_newcomers_away([closed])
