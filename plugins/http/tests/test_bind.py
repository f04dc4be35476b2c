"""What connections have from the sockets that they come by."""

from __future__ import annotations

import socket

import anyio

from covet_http._bind import bind


async def test_a_client_that_is_silent_is_asked_whether_it_is_there() -> None:
    (listening,) = await bind("127.0.0.1", 0)
    with listening, socket.create_connection(listening.getsockname()):
        with anyio.fail_after(30):
            await anyio.wait_readable(listening)
        accepted, _ = listening.accept()
        with accepted:
            assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            names = ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT")
            known = [getattr(socket, name) for name in names if hasattr(socket, name)]
            found = [accepted.getsockopt(socket.IPPROTO_TCP, option) for option in known]
    assert len(found) < 3 or found == [60, 15, 4]
