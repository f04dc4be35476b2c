"""Clients that leave a server which says so only to those who ask: who asks, when, and for how long."""

from __future__ import annotations

from collections.abc import AsyncIterator
from time import monotonic
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from asgi_boundary import Exchange, application, scope

import covet_http as http
from covet_http._watchers import PATIENCE, Watchers
from covet_operations import operation, operations_of


class Client(Exchange):
    """Counts how often its server is asked for more."""

    asked = 0

    async def receive(self) -> Any:
        self.asked += 1
        return await super().receive()


@http.get("/short")
async def short() -> str:
    await anyio.lowlevel.checkpoint()
    return "short"


@http.get("/quick")
async def quick() -> str:
    return "quick"


async def test_nobody_asks_for_the_sake_of_a_call_that_is_soon_over(web: Any) -> None:
    async with application(web, short, quick) as app:
        for path in ("/short", "/quick", "/short"):
            client = Client()
            await app(scope("GET", path), client.receive, client.send)
            assert (client.status, client.asked) == (200, 0)


class Shop:
    """Waits until it is let go."""

    def __init__(self) -> None:
        self.begun = anyio.Event()
        self.ended: list[str] = []
        self.gate = anyio.Event()

    async def _wait(self) -> None:
        self.begun.set()
        try:
            await self.gate.wait()
            self.ended.append("let go")
        except anyio.get_cancelled_exc_class():
            self.ended.append("cancelled")
            raise

    @http.get("/cancel")
    async def cancel(self) -> None:
        await self._wait()

    @http.get("/lines")
    async def lines(self) -> AsyncIterator[int]:
        yield 1
        await self._wait()

    @operation(on_disconnect="notify")
    @http.get("/notify")
    async def notify(self, request: http.Request) -> None:
        self.begun.set()
        await request.wait_disconnected()
        self.ended.append("told")

    @operation(on_disconnect="finish")
    @http.get("/finish")
    async def finish(self) -> None:
        await self._wait()


def serving(web: Any, shop: Shop) -> Any:
    more = web.plugin_of(covet_operations=lambda self: operations_of(shop))
    return application(web, plugins={"more": more})


@pytest.mark.parametrize(
    ("path", "ended"),
    [("/cancel", "cancelled"), ("/lines", "cancelled"), ("/notify", "told"), ("/finish", "let go")],
)
async def test_a_call_that_takes_long_is_watched(web: Any, path: str, ended: str) -> None:
    shop, client = Shop(), Client()
    async with serving(web, shop) as app, anyio.create_task_group() as tasks:
        tasks.start_soon(app, scope("GET", path), client.receive, client.send)
        await shop.begun.wait()
        if path == "/finish":
            # Nobody looks, however long it takes.
            await anyio.sleep(3 * PATIENCE)
            shop.gate.set()
        else:
            with anyio.fail_after(20):
                while not client.asked:
                    await anyio.sleep(0.01)
        client.gone.set()
        with anyio.fail_after(20):
            while app.in_flight:
                await anyio.sleep(0.01)
    assert shop.ended == [ended]
    # For the body, which is empty, and for what comes after it.
    assert client.asked == (0 if path == "/finish" else 2)


async def test_a_server_that_fails_to_say_is_logged(
    web: Any, caplog: pytest.LogCaptureFixture
) -> None:
    shop, client = Shop(), Client()
    asked = anyio.Event()

    async def receive() -> Any:
        asked.set()
        raise RuntimeError("no more of this")

    async with serving(web, shop) as app, anyio.create_task_group() as tasks:
        tasks.start_soon(app, scope("GET", "/cancel"), receive, client.send)
        with anyio.fail_after(20):
            await asked.wait()
        await anyio.lowlevel.checkpoint()
        shop.gate.set()
    assert client.status == 204
    assert "whether a client has left" in caplog.text


class Watched:
    """A call, and what its watcher does."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.watching = anyio.Event()
        self.gone = anyio.Event()

    async def watch(self) -> None:
        self.watching.set()
        try:
            await self.gone.wait()
        finally:
            self.log.append("over")
            with anyio.CancelScope(shield=True):
                await anyio.lowlevel.checkpoint()
            self.log.append("cleaned up")

    def disconnect(self) -> None:
        self.log.append("gone")


async def test_no_watcher_outlives_its_call() -> None:
    watchers, call = Watchers(), Watched()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watchers.run)
        watchers.add(call, monotonic())
        with anyio.fail_after(20):
            await call.watching.wait()
        await watchers.remove(call)
        assert call.log == ["over", "cleaned up"]
        await watchers.remove(call)
        tasks.cancel_scope.cancel()


async def test_one_that_was_never_watched_is_forgotten_at_once() -> None:
    watchers, call, other = Watchers(), Watched(), Watched()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watchers.run)
        watchers.add(call, monotonic())
        await watchers.remove(call)
        watchers.add(other, monotonic())
        with anyio.fail_after(20):
            await other.watching.wait()
        assert call.log == []
        other.gone.set()
        with anyio.fail_after(20):
            while "gone" not in other.log:
                await anyio.lowlevel.checkpoint()
        await watchers.remove(other)
        tasks.cancel_scope.cancel()
    assert other.log == ["over", "cleaned up", "gone"]


async def test_the_end_of_a_phase_ends_its_watchers() -> None:
    watchers, call = Watchers(), Watched()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watchers.run)
        watchers.add(call, monotonic())
        with anyio.fail_after(20):
            await call.watching.wait()
        tasks.cancel_scope.cancel()
    assert call.log == ["over", "cleaned up"]
    await watchers.remove(call)
