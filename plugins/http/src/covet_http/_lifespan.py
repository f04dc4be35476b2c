"""ASGI's lifespan protocol: an application's own start and stop around what is served."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio

from covet_http._server import Application, Message

log = logging.getLogger("covet.http")

_SHUTDOWN = 30.0


class StartupFailedError(Exception):
    """The application could not start; the message is its own."""


@asynccontextmanager
async def asgi_lifespan(
    application: Application, *, timeout: float = _SHUTDOWN
) -> AsyncIterator[dict[str, Any] | None]:
    """Start an ASGI application, and stop it at the end of the block.

    Args:
        application: One that raises as soon as it sees a scope of type ``lifespan``, or returns,
            does not speak the protocol; that is not an error.
        timeout: Seconds it may take to stop.

    Returns:
        What it has put into ``scope["state"]``, ``None`` if it does not speak the protocol.

    Raises:
        StartupFailedError: It said so, or raised while it started.
    """
    talk = _Talk(application)
    raised: Exception | None = None
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(talk.run)
        try:
            await talk.started.wait()
            if not talk.failure:
                try:
                    yield None if talk.silent else talk.state
                except Exception as error:
                    raised = error  # without the group that would be made of it here
                finally:
                    with anyio.move_on_after(timeout, shield=True) as patience:
                        await talk.stop()
                    if patience.cancelled_caught:
                        log.error("the application did not shut down within %g s", timeout)
        finally:
            talk.scope.cancel()
    if talk.failure:
        raise StartupFailedError(talk.failure) from talk.error
    if raised is not None:
        raise raised


class _Talk:
    """One application's side and ours.

    Attributes:
        state: The ``state`` of the scope.
        started: It has started, failed, or does not speak the protocol.
        silent: It does not.
        failure: Why it could not start, ``""`` if it could.
        scope: Ends it. Nothing else does: when everything is cancelled it may still stop politely.
    """

    def __init__(self, application: Application) -> None:
        self._application = application
        self.state: dict[str, Any] = {}
        self.started = anyio.Event()
        self.silent = False
        self.failure = ""
        self.error: BaseException | None = None
        self.scope = anyio.CancelScope(shield=True)
        self._asked = False
        self._stopping = anyio.Event()
        self._ended = anyio.Event()

    async def run(self) -> None:
        scope = {
            "type": "lifespan",
            "asgi": {"version": "3.0", "spec_version": "2.0"},
            "state": self.state,
        }
        try:
            with self.scope:
                await self._application(scope, self._receive, self._send)
        except Exception as error:
            if not self._asked:
                self.silent = True
            elif not self.started.is_set():
                self.failure = self.failure or f"{type(error).__name__}: {error}"
                self.error = error
            elif not self.failure:
                log.error("the application's lifespan failed", exc_info=error)
        else:
            self.silent = self.silent or not self.started.is_set()
        finally:
            self.started.set()
            self._ended.set()

    async def stop(self) -> None:
        """Ask the application to stop and wait until it has."""
        self._stopping.set()
        await self._ended.wait()

    async def _receive(self) -> Message:
        if not self._asked:
            self._asked = True
            return {"type": "lifespan.startup"}
        await self._stopping.wait()
        return {"type": "lifespan.shutdown"}

    async def _send(self, message: Message) -> None:
        match message["type"]:
            case "lifespan.startup.complete":
                self.started.set()
            case "lifespan.startup.failed":
                self.failure = message.get("message") or "it gives no reason"
                self.started.set()
            case "lifespan.shutdown.complete":
                self._ended.set()
            case "lifespan.shutdown.failed":
                log.error("the application's shutdown failed: %s", message.get("message", ""))
                self._ended.set()
            case kind:
                raise RuntimeError(f"ASGI's lifespan has no message {kind!r}")
