"""Runs every async test on each event loop that is installed."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

BACKENDS = [name for name in ("asyncio", "trio") if find_spec(name)]


@pytest.fixture(params=BACKENDS)
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """The name of the event loop a test runs on."""
    name: str = request.param
    return name
