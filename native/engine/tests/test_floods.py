"""What the engine logs of clients that are cut off for floods."""

from __future__ import annotations

from typing import Any

import pytest
from services.floods import FloodLogSuite

pytest.importorskip("covet_engine._native", reason="the library is not built")

from http2_serving import pass_time

from covet_engine import EngineConfig, EngineServer
from covet_http import HttpServer


class TestEngine(FloodLogSuite):
    def make(self) -> HttpServer:
        return EngineServer(EngineConfig(http2=True))

    def pass_time(self, listener: Any, seconds: float) -> None:
        pass_time(listener, seconds)
