"""The SQL contract, as every other provider of it has to keep it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import pytest
from services import postgres, postgres_cluster
from services.postgres_cluster import Cluster

from covet_conformance import SqlDatabaseSuite
from covet_kernel.contracts import SQL, SqlDatabase
from covet_kernel.testing import run_kernel
from covet_postgres import Postgres


class TestPostgres(SqlDatabaseSuite):
    EVERY_VERSION = True
    config: ClassVar[dict[str, Any]] = {}

    @asynccontextmanager
    async def open(self) -> AsyncIterator[SqlDatabase]:
        with postgres.database() as url:
            config = {"postgres": {"url": url, **self.config}}
            async with run_kernel({"postgres": Postgres}, config) as kernel:
                yield kernel.require(SQL)


class TestPostgresBehindAPooler(TestPostgres):
    """Without anything that a pooler per transaction cannot do."""

    EVERY_VERSION = False
    config = {"pgbouncer": True}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with postgres_cluster.cluster(1) as one:
        yield one


@pytest.mark.once
class TestPostgresWithAReplica(SqlDatabaseSuite):
    """What is written is read behind it, wherever that is."""

    @pytest.fixture(autouse=True)
    def _cluster(self, cluster: Cluster) -> Iterator[None]:
        self.cluster = cluster
        with cluster.database():
            yield

    @asynccontextmanager
    async def open(self) -> AsyncIterator[SqlDatabase]:
        config = {**self.cluster.config, "replica_patience": self.patience}
        async with run_kernel({"postgres": Postgres}, {"postgres": config}) as kernel:
            yield kernel.require(SQL)
