"""HTTP/3: requests and their answers."""

from __future__ import annotations

from typing import Any


async def test_a_request_is_answered(http3: Any) -> None:
    async with http3.listening(http3.hello) as (_, port), http3.connected(port) as client:
        assert await client.ask() == (200, b"ok")
        assert await client.ask() == (200, b"ok")
