"""Connections that come and go by the thousand, in every manner, and leave nothing behind."""

from __future__ import annotations

import json

import anyio
import pytest
from churn import Churn
from served import Process, process
from wire import connect, request

pytestmark = pytest.mark.once

LIVES = 600
KEPT = 4 << 20
"""Bytes an allocator may keep once it has been warm."""


async def left(service: Process) -> dict[str, float]:
    """What the engine still holds for connections, less this very request's."""
    counts = json.loads((await service.ask("/counts")).body)
    return {
        "connections": counts.get("engine.connections", 1) - 1,
        "in flight": counts.get("engine.requests.in_flight", 1) - 1,
    }


async def nothing_is_left(service: Process, descriptors: int) -> None:
    """Wait until connections, calls and descriptors are all gone; whoever leaves is noticed soon."""
    with anyio.fail_after(20):
        while any((await left(service)).values()) or service.descriptors > descriptors + 1:
            await anyio.sleep(0.05)


# The portable server takes the end of the bytes for the end of the client, and some of what is broken.
@pytest.mark.parametrize("server", ["engine"])
@pytest.mark.parametrize("seed", [1, 2])
async def test_any_behaviour_leaves_nothing(
    anyio_backend_name: str, server: str, seed: int
) -> None:
    async with process(server, anyio_backend_name, kernel={"drain_timeout": 5}) as service:
        assert (await service.ask("/hit/first")).status == 200
        descriptors = service.descriptors
        churn = Churn(service.port)
        await churn.run(seed, lambda: churn.tally["lives"] < LIVES // 2)
        await nothing_is_left(service, descriptors)
        before = service.resident
        await churn.run(seed + 100, lambda: churn.tally["lives"] < LIVES)
        await nothing_is_left(service, descriptors)
        assert service.resident - before < KEPT
        assert churn.tally["answered"] > LIVES
        assert churn.tally["refused"] > LIVES // 20
        assert churn.tally["left"] > LIVES // 10
        assert "Traceback" not in service.output


@pytest.mark.parametrize("how", ["close", "reset", "answered", "half"])
async def test_connecting_and_leaving_costs_nothing(
    anyio_backend_name: str, server: str, how: str
) -> None:
    async with process(server, anyio_backend_name) as service:
        assert (await service.ask("/hit/first")).status == 200
        descriptors = service.descriptors
        rounds = 1000 if server == "engine" else 200

        async def churn(count: int) -> None:
            for _ in range(count):
                client = await connect(service.port, spread=True)
                if how == "answered":
                    await client.ask("/hit/1")
                elif how == "half":
                    await client.send(request("/hit/1")[:20])
                if how == "reset":
                    client.reset()
                client.close()

        await churn(rounds)
        await nothing_is_left(service, descriptors)
        before = service.resident
        await churn(rounds)
        await nothing_is_left(service, descriptors)
        if server == "engine":  # the other one makes objects that wait for the garbage collector
            assert service.resident - before < 512 << 10
        assert "Traceback" not in service.output
