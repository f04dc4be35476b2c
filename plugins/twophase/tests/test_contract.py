"""What holds for every plugin holds for this one."""

from __future__ import annotations

from pathlib import Path

import pytest
from services.pair import Pair

from covet_kernel import ConfigurationError, flatten
from covet_kernel.testing import PluginContract, run_kernel
from covet_mysql import Mysql
from covet_postgres import Postgres
from covet_sqlite import Sqlite
from covet_twophase import TwoPhasePlugin


class TestTwoPhase(PluginContract):
    plugin = TwoPhasePlugin
    config = {"databases": ["shop", "bank"]}
    with_plugins = {"postgres": Postgres, "mysql": Mysql}

    @pytest.fixture(autouse=True)
    def databases(self, servers: Pair) -> None:
        type(self).with_config = {  # type: ignore[misc]
            "postgres/shop": {"url": servers.shop},
            "mysql/bank": {"url": servers.bank},
        }


async def test_a_database_that_cannot_prepare_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExceptionGroup) as caught:
        async with run_kernel({"sqlite": Sqlite, "twophase": TwoPhasePlugin}, directory=tmp_path):
            pass
    (error,) = flatten(caught.value)
    while error.__cause__ is not None:
        error = error.__cause__
    assert isinstance(error, ConfigurationError)
    assert error.code == "COVET-TWOPHASE-DATABASE"
    assert "(sqlite)" in error.problem
