"""The engine under the suites of HTTP/2, in memory."""

from __future__ import annotations

from typing import Any

from services.http2_suite import Http2Suite

from covet_engine import EngineConfig, EngineServer
from covet_http import HttpServer


class OnEngine(Http2Suite):
    """Makes a suite one of the engine: derive from it and the suite."""

    def make(self, **config: Any) -> HttpServer:
        return EngineServer(EngineConfig(**config))

    def counted(self, listener: Any, **expected: int) -> None:
        found = counters(listener)
        assert {name: getattr(found, name) for name in expected} == expected


def counters(listener: Any) -> Any:
    """What its engine counts."""
    return listener._core.counters


def pass_time(listener: Any, seconds: float) -> None:
    """Let so much time pass for its timeouts."""
    core = listener._core
    core.lib.cv_engine_advance(core.engine, seconds)
    core.wake()
