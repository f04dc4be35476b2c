"""ASGI's lifespan protocol: applications that speak it, do not, fail, and hang."""

from __future__ import annotations

from functools import partial
from typing import Any

import anyio
import pytest
from applications import Receive, Scope, Send, answer, serving
from wire import connected

from covet_engine import StartupFailedError
from covet_http import asgi_lifespan as lifespan

LOGGER = "covet.http"


async def polite(scope: Scope, receive: Receive, send: Send) -> None:
    assert (await receive())["type"] == "lifespan.startup"
    scope["state"]["ready"] = True
    await send({"type": "lifespan.startup.complete"})
    assert (await receive())["type"] == "lifespan.shutdown"
    scope["state"]["ready"] = False
    await send({"type": "lifespan.shutdown.complete"})


async def test_an_application_that_speaks_it_starts_and_stops() -> None:
    async with lifespan(polite) as state:
        assert state == {"ready": True}
    assert state == {"ready": False}


async def test_an_application_that_raises_at_once_does_not_speak_it() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise NotImplementedError
        assert "state" not in scope
        await answer(send, b"ok")

    async with serving(partial(app)) as port, connected(port) as client:
        assert (await client.ask("/")).body == b"ok"


async def test_neither_does_one_that_returns() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        pass

    async with lifespan(app) as state:
        assert state is None


async def test_an_application_that_says_it_failed_is_not_served() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})

    with pytest.raises(StartupFailedError, match="no database"):
        async with serving(partial(app)):
            raise AssertionError("it is served")


async def test_an_application_that_raises_while_it_starts_is_not_served() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        raise ValueError("no database")

    with pytest.raises(StartupFailedError, match="ValueError: no database") as raised:
        async with serving(partial(app)):
            raise AssertionError("it is served")
    assert isinstance(raised.value.__cause__, ValueError)


async def test_a_failed_start_without_words() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed"})
        raise ValueError("as Starlette does")

    with pytest.raises(StartupFailedError, match="no reason"):
        async with lifespan(app):
            raise AssertionError("it is served")


async def test_what_the_block_raises_comes_out_as_it_is_and_the_application_stops() -> None:
    state: Any = None
    with pytest.raises(KeyError, match="mine"):
        async with lifespan(polite) as state:
            raise KeyError("mine")
    assert state == {"ready": False}


async def test_an_application_that_does_not_stop_is_cancelled(
    caplog: pytest.LogCaptureFixture,
) -> None:
    cancelled = False

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal cancelled
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        try:
            await anyio.sleep_forever()
        finally:
            cancelled = True

    async with lifespan(app, timeout=0.05):
        pass
    assert cancelled
    assert "did not shut down" in caplog.text


async def test_failures_while_it_runs_and_stops_are_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def dies(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        raise ValueError("in the middle")

    async def cannot_stop(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.failed", "message": "stuck"})

    async with lifespan(dies):
        pass
    async with lifespan(cannot_stop):
        pass
    messages = [each.getMessage() for each in caplog.records if each.name == LOGGER]
    assert messages == [
        "the application's lifespan failed",
        "the application's shutdown failed: stuck",
    ]


async def test_a_message_that_is_none_is_an_error() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.begin"})

    with pytest.raises(StartupFailedError, match=r"no message 'lifespan\.begin'"):
        async with lifespan(app):
            raise AssertionError("it is served")


async def test_cancelled_from_outside_it_still_stops() -> None:
    state: Any = None
    with anyio.CancelScope() as scope:
        async with lifespan(polite) as state:
            scope.cancel()
            await anyio.sleep_forever()
    assert state == {"ready": False}
