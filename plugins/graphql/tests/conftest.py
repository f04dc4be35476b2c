"""What tests of GraphQL share."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from covet_http.testing import usable_servers

# What tests share beside fixtures.
sys.path.insert(0, str(Path(__file__).parent))

import graphql_shop


@pytest.fixture(autouse=True)
def _nothing_happened() -> None:
    graphql_shop.STARTED.clear()
    graphql_shop.ENDED.clear()
    graphql_shop.LOADED.clear()
    graphql_shop.TICKS.clear()


@pytest.fixture(params=usable_servers())
def server(request: pytest.FixtureRequest) -> str:
    """The id of each HTTP server in turn."""
    name: str = request.param
    return name
