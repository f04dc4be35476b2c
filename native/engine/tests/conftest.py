"""What the tests over sockets share: `wire` and `served`, found beside this file."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(params=["engine", "hypercorn"])
def server(request: pytest.FixtureRequest) -> str:
    """The HTTP server that is tested. The portable one keeps the same contract, where no test says
    that it does not.
    """
    name: str = request.param
    return name
