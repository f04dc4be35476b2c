"""What holds for every plugin holds for this one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from services import postgres

from covet_kernel.testing import PluginContract
from covet_postgres import Postgres


class TestPostgres(PluginContract):
    plugin = Postgres

    @pytest.fixture(autouse=True)
    def own_database(self) -> Iterator[None]:
        with postgres.database() as url:
            type(self).config = {"url": url}  # type: ignore[misc]
            yield
