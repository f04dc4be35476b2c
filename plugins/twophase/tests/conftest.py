"""A shop and a bank."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from services import mariadb, postgres
from services.pair import Pair


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Both, on the servers of the process, for the tests of a file."""
    with postgres.database() as shop, mariadb.database() as bank:
        pair = Pair(tmp_path_factory.mktemp("servers"), shop, bank)
        pair.fill()
        yield pair


@pytest.fixture
def pair(servers: Pair, tmp_path: Path) -> Iterator[Pair]:
    """The same with a folder of the test's own, and with what was first in the accounts."""
    servers.refill()
    yield replace(servers, folder=tmp_path)
    servers.clear()
