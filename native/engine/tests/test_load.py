"""Many connections at once, idle and active, and long pipelines: every answer is its request's."""

from __future__ import annotations

import random
import resource
from collections.abc import Iterator
from contextlib import contextmanager

import anyio
import pytest
from served import Current, process, serving
from wire import Client, Crowd, read_answer, request

pytestmark = pytest.mark.once

IDLE = 10_000
ACTIVE = 2_000
BESIDE = 300
"""Descriptors for everything else."""
PER_IDLE = 2048
"""Bytes an idle connection may cost; the goal is half of it."""


@contextmanager
def many_descriptors(wanted: int) -> Iterator[None]:
    """Let this process open ``wanted`` connections and what it has besides."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < wanted + BESIDE:
        pytest.skip(f"a process may open {hard} files here, and {wanted + BESIDE} are needed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


# A task for each connection is not what the portable server is chosen for.
@pytest.mark.parametrize("server", ["engine"])
async def test_idle_connections_are_cheap(
    anyio_backend_name: str, server: str, record_property: pytest.RecordProperty
) -> None:
    # bad input 21: idle sockets
    patient = {"max_connections": IDLE + 100, "keep_alive_timeout": 300}
    with many_descriptors(IDLE):
        async with process(server, anyio_backend_name, http=patient) as service:
            async with Crowd(service.port) as warm:
                # What any number of connections costs once: tables, buffers, free lists.
                await warm.grow(100)
                for client in warm.clients:
                    await client.ask("/hit/warm")
            async with Crowd(service.port) as crowd:
                before = service.resident
                await crowd.grow(IDLE)
                assert (await service.ask("/hit/alive")).status == 200
                silent = (service.resident - before) / IDLE
                for start in range(0, IDLE, 500):
                    batch = crowd.clients[start : start + 500]
                    for client in batch:
                        await client.send(request("/hit/one"))
                    for client in batch:
                        assert (await client.answer()).body == b'"one"'
                used = (service.resident - before) / IDLE
                record_property("bytes a silent connection", round(silent))
                record_property("bytes an idle connection", round(used))
                print(f"{server} {anyio_backend_name}: {silent:.0f} bytes for a connection, "
                      f"{used:.0f} between two requests")  # fmt: skip
                assert silent < PER_IDLE
                assert used < PER_IDLE
                # They are all there.
                for client in random.Random(1).sample(crowd.clients, 100):
                    assert (await client.ask("/hit/two")).body == b'"two"'
            assert "Traceback" not in service.output


async def test_active_connections_get_their_own_answers(
    anyio_backend_name: str, server: str
) -> None:
    count, turns = (ACTIVE, 5) if server == "engine" else (300, 2)
    with many_descriptors(count):
        async with process(server, anyio_backend_name) as service:
            async with Crowd(service.port) as crowd:
                await crowd.grow(count)

                async def talk(number: int, client: Client) -> None:
                    for turn in range(turns):
                        kind = ("hit", "later", "slow", "numbers")[(number + turn) % 4]
                        name = number * 100 + turn
                        if kind == "numbers":
                            body = b'{"n":%d}' % name
                            answer = await client.ask("/later-numbers", "POST", body)
                            assert answer.body == b"%d" % name
                        else:
                            more = "?ms=5" if kind == "slow" else ""
                            answer = await client.ask(f"/{kind}/{name}{more}")
                            assert answer.body == b'"%d"' % name
                        assert answer.status == 200

                with anyio.fail_after(60):
                    async with anyio.create_task_group() as tasks:
                        for number, client in enumerate(crowd.clients):
                            tasks.start_soon(talk, number, client)
            assert "Traceback" not in service.output


def mixture(seed: int, count: int) -> list[tuple[bytes, bytes]]:
    """Requests of all kinds, and the body of each one's answer."""
    choose = random.Random(seed)
    found = []
    for number in range(count):
        kind = choose.choice(["hit", "later", "slow", "numbers", "later-numbers", "count", "text"])
        if kind in ("numbers", "later-numbers"):
            found.append((request(f"/{kind}", "POST", b'{"n":%d}' % number), b"%d" % number))
        elif kind == "count":
            lines = choose.randrange(4)
            body = b"".join(b'{"n":%d}\n' % n for n in range(lines))
            found.append((request(f"/count/{lines}"), body))
        elif kind == "text":
            size = choose.choice([0, 10, 5000, 100_000])
            found.append((request(f"/text/{size}"), b'"' + b"x" * size + b'"'))
        else:
            more = f"?ms={choose.randrange(4)}" if kind == "slow" else ""
            found.append((request(f"/{kind}/{number}{more}"), b'"%d"' % number))
    return found


@pytest.mark.parametrize("piece", [0, 700])
async def test_a_long_pipeline_keeps_its_order(server: str, piece: int) -> None:
    given = mixture(piece, 1000)
    async with serving(server) as service, service.connect() as client:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(client.offer, b"".join(data for data, _ in given), piece)
            for _, body in given:
                assert (await client.answer()).body == body


async def test_pipelines_on_many_connections(server: str) -> None:
    async with serving(server) as service, Crowd(service.port) as crowd:
        await crowd.grow(30)

        async def talk(number: int, client: Client) -> None:
            given = mixture(number, 100)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(client.offer, b"".join(data for data, _ in given))
                for _, body in given:
                    assert (await client.answer()).body == body

        with anyio.fail_after(60):
            async with anyio.create_task_group() as tasks:
                for number, client in enumerate(crowd.clients):
                    tasks.start_soon(talk, number, client)


async def test_a_long_pipeline_starves_nobody(server: str) -> None:
    """Others are answered before a pipeline of thousands is through."""
    count = 20_000 if server == "engine" else 3000
    data = request("/hit/long") * count
    async with serving(server) as service:
        async with service.connect() as greedy, service.connect() as modest:
            await modest.ask("/hit/modest")
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(greedy.offer, data)
                got = bytearray()
                answers = 0

                async def read() -> None:
                    nonlocal answers
                    while answers < count:
                        got.extend(await greedy.receive())
                        answers += _take(got)

                tasks.start_soon(read)
                while not answers:
                    await anyio.sleep(0.001)
                begun = answers
                for _ in range(10):
                    await modest.ask("/hit/modest")
                seen = answers
            assert answers == count
            assert begun <= seen < count
            assert Current.state.hits.count("modest") == 11


def _take(data: bytearray) -> int:
    """Remove whole answers and count them; all are of one size, but for none of the first bytes."""
    first = bytearray(data[:2000])
    try:
        read_answer(first)
    except Exception:
        return 0
    size = min(2000, len(data)) - len(first)
    whole = len(data) // size
    assert data[:size].count(b"HTTP/1.1 200") == 1
    del data[: whole * size]
    return whole
