"""What holds for every plugin holds for this one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from services import mariadb

from covet_kernel.testing import PluginContract
from covet_mysql import Mysql


class TestMysql(PluginContract):
    plugin = Mysql

    @pytest.fixture(autouse=True)
    def own_database(self) -> Iterator[None]:
        with mariadb.database() as url:
            type(self).config = {"url": url}  # type: ignore[misc]
            yield
