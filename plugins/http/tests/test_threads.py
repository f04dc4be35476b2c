"""Handlers in worker threads that take longer than their calls may, by each way into a service."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from typing import Any

import anyio
import pytest

import covet_http as http
from covet_operations import operation, operations_of


class Shop:
    """Blocks threads until it is let on."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.go_on = threading.Event()

    @operation(thread=True)
    @http.get("/report", deadline=0.1)
    def report(self) -> str:
        self.begun.set()
        assert self.go_on.wait(20)
        return "late"

    @operation(thread=True)
    @http.get("/slow")
    def slow(self) -> str:
        self.begun.set()
        assert self.go_on.wait(20)
        return "slow"

    @operation(thread=True)
    @http.get("/quick")
    def quick(self) -> str:
        return "quick"


@pytest.fixture
def shop() -> Iterator[Shop]:
    shop = Shop()
    yield shop
    shop.go_on.set()


def serving(web: Any, shop: Shop, **config: Any) -> Any:
    plugins = {"more": web.plugin_of(covet_operations=lambda self: operations_of(shop))}
    return web.serving(plugins=plugins, config=config)


async def begun(shop: Shop) -> None:
    with anyio.fail_after(10):
        while not shop.begun.is_set():
            await anyio.sleep(0.001)


async def test_a_thread_past_its_deadline_is_answered_on_time(entry: Any, shop: Shop) -> None:
    async with serving(entry, shop) as service:
        async with service.connect() as client:
            answer = await client.ask("GET", "/report")
            # The handler is still at it, so this was no late answer.
            assert not shop.go_on.is_set()
            assert (answer.status, answer.json["code"]) == (504, "deadline-exceeded")
            assert (await client.ask("GET", "/quick")).json == "quick"
        shop.go_on.set()


async def test_calls_are_refused_once_all_threads_are_behind(entry: Any, shop: Shop) -> None:
    async with serving(entry, shop, operations={"max_threads": 1}) as service:
        while not shop.begun.is_set():
            assert (await service.ask("GET", "/report")).status == 504
        refused = await service.ask("GET", "/quick")
        assert (refused.status, refused.json["code"]) == (503, "unavailable")
        assert "retry-after" in refused.headers
        shop.go_on.set()
        with anyio.fail_after(10):
            while (await service.ask("GET", "/quick")).status != 200:
                await anyio.sleep(0.001)


async def test_a_client_that_leaves_does_not_keep_the_service(
    web: Any, shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="covet.http.access")
    async with serving(web, shop, **{web.server: {"access_log": True}}) as service:
        async with service.connect() as client:
            await client.send(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
            await begun(shop)
        with anyio.fail_after(10):
            while not [each for each in caplog.records if each.name == "covet.http.access"]:
                await anyio.sleep(0.001)
        assert not shop.go_on.is_set()
        shop.go_on.set()
    [line] = [each for each in caplog.records if each.name == "covet.http.access"]
    assert json.loads(line.getMessage())["status"] == 499
