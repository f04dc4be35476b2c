"""GraphQL under clients that mean ill, by the ten thousand, while others are answered."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import anyio
import psutil  # type: ignore[import-untyped]
import pytest
from e2e.service import COVET, Service, environment
from services.process import free_port

from layout.checkout import ROOT

# The clients, documents and operations of the plugin's own tests.
TESTS = ROOT / "plugins" / "graphql" / "tests"
sys.path.append(str(TESTS))
graphql_bad, graphql_wire = (import_module(name) for name in ("graphql_bad", "graphql_wire"))
PATH, STREAM, GONE = graphql_wire.PATH, graphql_wire.STREAM, graphql_wire.GONE
# A round lasts as long as the machine is busy with it.
vars(graphql_wire)["PATIENCE"] = 600.0

Record = Callable[[str, Any], None]
CONFIG = """
[app]
modules = ["graphql_shop", "graphql_hostile"]

[plugins.http]
server = "{server}"
port = {port}
write_timeout = 2.0

[plugins.graphql]
init_timeout = 1.0
"""
FLOOD = 10_000
"""Requests of a round, subscriptions of a socket, and operations that are begun and stopped."""
CONNECTIONS = 4
KEPT = 16 << 20
"""Bytes the process may have more than behind the first round."""
ENDLESS = "subscription { arrivals(pause: 3600) { id } }"


class Round:
    """Everything that is sent in one.

    Args:
        wire: What reaches the service.
        tally: What has happened.
    """

    def __init__(self, wire: Any, tally: Counter[str]) -> None:
        self.wire = wire
        self.tally = tally
        self.texts = [text for text in graphql_bad.DOCUMENTS.values() if len(text) < 2000]

    async def run(self) -> None:
        """All of it at once, and a good client beside it."""
        sides: list[Callable[[], Awaitable[None]]] = [
            *[partial(self.bad_requests, FLOOD // CONNECTIONS)] * CONNECTIONS,
            self.subscriptions, self.begun_and_stopped, self.reserved, self.silent, self.unread,
        ]  # fmt: skip
        left = len(sides)

        async def one(side: Callable[[], Awaitable[None]]) -> None:
            nonlocal left
            await side()
            left -= 1

        async with anyio.create_task_group() as tasks:
            for each in sides:
                tasks.start_soon(one, each)
            while left:
                assert await self.wire.who()
                self.tally["good answers"] += 1

    async def bad_requests(self, count: int) -> None:
        """Documents that are refused, each another one, ten at a time."""
        async with self.wire.connect() as connection:
            for first in range(0, count, 10):
                asked = [
                    {"query": f"{self.texts[number % len(self.texts)]} # {number}"}
                    for number in range(first, first + 10)
                ]
                lines = [
                    graphql_wire.request("POST", PATH, body=json.dumps(each).encode())
                    for each in asked
                ]
                await connection.send(b"".join(lines))
                for _ in asked:
                    answer = await connection.answer("POST")
                    assert answer.status == 200
                    assert "data" not in answer.json()
                    self.tally["bad requests"] += 1

    async def subscriptions(self) -> None:
        """As many as there may be on one socket, and thousands more."""
        async with self.wire.open() as session:

            async def listen() -> None:
                refused = 0
                while refused < FLOOD - 100:
                    refused += (await session.receive_json())["type"] == "error"
                self.tally["subscriptions refused"] += refused

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(listen)
                for number in range(FLOOD):
                    await graphql_wire.subscribe(session, str(number), ENDLESS)

    async def begun_and_stopped(self) -> None:
        """Operations that their client stops in the same breath."""
        async with self.wire.open() as session:
            for number in range(FLOOD):
                name = f"a{number % 7}"
                await graphql_wire.subscribe(session, name, "subscription { slowToEnd }")
                await session.send_json({"id": name, "type": "complete"})
            await session.send_json({"type": "ping"})
            while (await session.receive_json())["type"] != "pong":
                pass
            self.tally["begun and stopped"] += FLOOD

    async def reserved(self) -> None:
        """Streams that nobody reads, with operations on them."""
        async with self.wire.connect() as connection:
            for number in range(2000):
                answer = await graphql_wire.ask(connection, "PUT", STREAM)
                assert answer.status == 201
                asked = {"query": ENDLESS, "extensions": {"operationId": "a"}}
                token = f"{graphql_wire.TOKEN}: {answer.text}"
                body = json.dumps(asked).encode()
                if number % 2:
                    await graphql_wire.ask(connection, "POST", STREAM, token, body=body)
                self.tally["streams"] += 1

    async def silent(self) -> None:
        """Sockets that never say who they are."""

        async def one() -> None:
            async with self.wire.open(init=False) as session:
                assert await graphql_wire.closed(session) == 4408
                self.tally["sockets without a greeting"] += 1

        async with anyio.create_task_group() as tasks:
            for _ in range(50):
                tasks.start_soon(one)

    async def unread(self) -> None:
        """Clients that ask for much and read nothing, until they are cut off."""

        async def one() -> None:
            async with self.wire.open() as session:
                graphql_wire.keep_closed(session.connection)
                try:
                    while True:
                        await graphql_wire.subscribe(session, "1", "subscription { blobs }")
                        await session.send_json({"type": "complete", "id": "1"})
                        await session.send_json({"type": "ping", "payload": {"a": "x" * 50_000}})
                except GONE:
                    self.tally["cut off"] += 1

        async with anyio.create_task_group() as tasks:
            for _ in range(10):
                tasks.start_soon(one)


@pytest.mark.parametrize("server", ["engine", "hypercorn"])
@pytest.mark.parametrize("server_loop", ["asyncio", "trio"])
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_whoever_means_ill_leaves_nothing(
    server: str,
    server_loop: str,
    tmp_path: Path,
    unfinished: Callable[[], bool],
    record_property: Record,
) -> None:
    # bad inputs 61 and 62
    port, tally, warm, rounds = free_port(), Counter[str](), 0, 0
    (tmp_path / "covet.toml").write_text(CONFIG.format(server=server, port=port), "utf-8")
    command = [COVET, "run", "-c", str(tmp_path / "covet.toml"), "--backend", server_loop]
    service = Service(command, port, tmp_path / "log", environment(PYTHONPATH=str(TESTS)))
    with service:
        wire = graphql_wire.Wire(f"http://127.0.0.1:{port}")
        assert await wire.who()
        process = psutil.Process(service.process.pid)
        descriptors = process.num_fds()
        while unfinished() or rounds < 2:
            rounds += 1
            await Round(wire, tally).run()
            with anyio.fail_after(60):
                while process.num_fds() > descriptors + 1:
                    await anyio.sleep(0.1)
            warm = warm or process.memory_info().rss
            assert process.memory_info().rss - warm < KEPT, rounds
        grown = (process.memory_info().rss - warm) / 2**20
    for name, count in sorted(tally.items()):
        record_property(name, f"{count:,}")
    record_property("rounds", rounds)
    record_property("resident memory", f"{grown:+.1f} MiB after round 1")
    assert service.process.returncode == 0
    assert "Traceback" not in service.output
