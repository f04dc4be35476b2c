"""The plugin in a kernel: what it provides, its configuration, its metrics and its access log."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import entry_points
from typing import Any

import anyio
import pytest
from applications import Receive, Scope, Send, answer
from served import Current, Shop, State, listening, serving
from wire import PATIENCE, connected, read_answers, request

from covet_engine import Engine, EngineServer
from covet_http import HTTP, HTTP_SERVER, Http
from covet_kernel import ConfigurationError, Context, Kernel, Plugin, Serving, flatten
from covet_kernel.contracts import Metric
from covet_kernel.testing import assembly_of, run_kernel
from covet_operations import Operations

ACCESS = "covet.http.access"


class Metrics(Plugin[None]):
    """Keeps what a serving phase collects."""

    found: tuple[Metric, ...] = ()

    @asynccontextmanager
    async def covet_lifespan(self, ctx: Context) -> AsyncIterator[None]:
        def keep(serving: Serving) -> None:
            Metrics.found = serving.metrics

        ctx.compile(keep)
        yield


def totals() -> dict[str, float]:
    """The sum of each metric's samples."""
    return {each.name: sum(number for _, number in each.read()) for each in Metrics.found}


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    await answer(send, b"ok", 404 if scope["path"] == "/none" else 200)


def test_it_is_found_by_its_entry_points() -> None:
    for group in ("covet.plugins", "covet.http_servers"):
        (point,) = entry_points(group=group, name="engine")
        assert point.load() is Engine


async def test_it_provides_the_http_server() -> None:
    async with run_kernel({"engine": Engine}) as kernel:
        assert isinstance(kernel.require(HTTP_SERVER), EngineServer)


async def test_http_takes_it_by_itself() -> None:
    Current.state = State()
    classes = {"operations": Operations, "engine": Engine, "http": Http, "shop": Shop}
    tables: dict[str, Any] = {"http": {"port": 0}, "shop": {}}
    async with Kernel(assembly_of(classes, tables)).running() as kernel:
        assert isinstance(kernel.require(HTTP_SERVER), EngineServer)
        port = int(kernel.require(HTTP).urls[0].rpartition(":")[2])
        async with connected(port) as client:
            assert (await client.ask("/hit/7")).body == b'"7"'


@pytest.mark.parametrize(
    ("table", "place"),
    [
        ({"max_in_flight": 0}, "max_in_flight"),
        ({"low_water": 1 << 20}, "low_water has to be below high_water"),
        ({"arena_size": 1 << 20, "block_size": 1 << 18}, "16 blocks"),
        ({"acces_log": True}, "acces_log"),
    ],
)
def test_a_wrong_table_is_refused_before_anything_starts(table: dict[str, Any], place: str) -> None:
    with pytest.raises((ConfigurationError, ExceptionGroup)) as raised:
        assembly_of({"engine": Engine}, {"engine": table})
    (error,) = flatten(raised.value)
    assert isinstance(error, ConfigurationError)
    assert place in str(error)


async def test_metrics_count_what_happens() -> None:
    classes = {"operations": Operations, "engine": Engine, "http": Http, "shop": Shop}
    Current.state = State()
    tables: dict[str, Any] = {"http": {"port": 0, "linger": 0.05, "health_path": "/up"}}
    tables |= {"shop": {}, "engine": {}, "metrics": {}}
    assembly = assembly_of({**classes, "metrics": Metrics}, tables)
    async with Kernel(assembly).running() as kernel:
        port = int(kernel.require(HTTP).urls[0].rpartition(":")[2])
        async with connected(port) as client:
            for _ in range(3):
                await client.ask("/hit/7")
            await client.ask("/up")
            await client.ask("/none")
            assert totals()["engine.connections"] == 1
        async with connected(port) as client:
            await client.send(b"GET\r\n\r\n")
            await client.until_closed()
        found = totals()
        assert found["engine.requests"] == 5
        assert found["engine.requests.native"] == 2
        assert found["engine.requests.malformed"] == 1
        assert found["engine.connections.accepted"] == 2
        assert found["engine.responses"] == 6
        assert found["engine.sent"] > found["engine.requests"] * 50
        (responses,) = [each for each in Metrics.found if each.name == "engine.responses"]
        by_status = {labels: number for labels, number in responses.read() if number}
        assert by_status == {("engine", "2xx"): 4, ("engine", "4xx"): 2}
        (service,) = [each for each in Metrics.found if each.name == "engine.service"]
        assert list(service.read())[-1] == (("engine", "+Inf"), 5)
    # What was counted outlives the engine.
    assert totals()["engine.requests"] == 5
    assert totals()["engine.connections"] == 0


async def test_the_access_log_has_a_line_for_each_request(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, ACCESS)
    async with listening("engine", app, config={"access_log": True}) as (listener, port):
        async with connected(port) as client:
            await client.ask("/one?a=b")
            await client.send(request("/none", "POST", b"x", "User-Agent: tests/1"))
            await client.answer()
        await listener.stop()
    records = [json.loads(each.getMessage()) for each in caplog.records if each.name == ACCESS]
    assert [each.pop("ms") >= 0 for each in records] == [True, True]
    assert records == [
        {
            "client": "127.0.0.1", "method": "GET", "target": "/one?a=b", "http": "1.1",
            "status": 200, "bytes": 2, "agent": "",
        },
        {
            "client": "127.0.0.1", "method": "POST", "target": "/none", "http": "1.1",
            "status": 404, "bytes": 2, "agent": "tests/1",
        },
    ]  # fmt: skip


async def test_there_is_no_access_log_unless_it_is_asked_for(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, ACCESS)
    async with listening("engine", app) as (listener, port):
        async with connected(port) as client:
            await client.ask("/")
        await listener.stop()
    assert not [each for each in caplog.records if each.name == ACCESS]


async def test_whatever_is_sent_a_record_is_one_line_of_printable_ascii(
    caplog: pytest.LogCaptureFixture,
) -> None:
    # bad input 40
    caplog.set_level(logging.INFO, ACCESS)
    agents = [
        b'"}\\u0022', b"\xe9\xff\x80", b"%0d%0aevil", b"\t\ttabs", b"x" * 5000, b"'; DROP", b"\\"
    ]  # fmt: skip
    targets = [b'/"quotes"', b"/%1b%0a%0d", b"/" + b"%22" * 3000, b"/\\", b"/{}%s%d", b"/'"]
    refused = [
        b"GET /\x1b[31m HTTP/1.1\r\nHost: h\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\r\nUser-Agent: a\x1bb\r\n\r\n",
        b"G\x1bT / HTTP/1.1\r\nHost: h\r\n\r\n",
    ]
    async with listening("engine", app, config={"access_log": True}) as (listener, port):
        for agent in agents:
            async with connected(port) as client:
                head = b"GET / HTTP/1.1\r\nHost: h\r\nUser-Agent: %b\r\n\r\n" % agent
                await client.send(head)
                assert (await client.answer()).status == 200
        for target in targets:
            async with connected(port) as client:
                await client.send(b"GET %b HTTP/1.1\r\nHost: h\r\n\r\n" % target)
                client.finish()
                read_answers(await client.until_closed())
        for data in refused:
            async with connected(port) as client:
                await client.send(data)
                (found,) = read_answers(await client.until_closed())
                assert found.status == 400
        await listener.stop()
    lines = [each.getMessage() for each in caplog.records if each.name == ACCESS]
    assert len(lines) >= len(agents)
    for line in lines:
        assert line.isascii()
        assert line.isprintable()
        assert len(line) < 6 * 4096
        assert json.loads(line)["client"] == "127.0.0.1"


async def test_a_client_that_left_is_in_the_access_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, ACCESS)
    async with serving("engine", engine={"access_log": True}) as service:
        async with service.connect() as client:
            await client.send(request("/wait"))
            await Current.state.started.wait()
        with anyio.fail_after(PATIENCE):
            while "wait cancelled" not in Current.state.events:
                await anyio.sleep(0.001)
    lines = [json.loads(each.getMessage()) for each in caplog.records if each.name == ACCESS]
    assert [(each["target"], each["status"]) for each in lines] == [("/wait", 499)]


async def test_two_engines_in_one_process_do_not_mix() -> None:
    async def other(scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send, b"other")

    async with listening("engine", app) as (_, one), listening("engine", other) as (_, two):
        async with connected(one) as first, connected(two) as second:
            assert (await first.ask("/")).body == b"ok"
            assert (await second.ask("/")).body == b"other"
            assert (await first.ask("/")).body == b"ok"
