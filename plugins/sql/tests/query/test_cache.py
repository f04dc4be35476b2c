"""The cache of compiled statements: bounded, and the least recently used leaves first."""

from __future__ import annotations

import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st

from covet_kernel.testing import run_kernel
from covet_sql import Sql, SqlConfig
from covet_sql._cache import STATEMENTS, LruCache


@given(limit=st.integers(1, 5), keys=st.lists(st.integers(0, 9), max_size=60))
def test_it_keeps_what_was_used_last(limit: int, keys: list[int]) -> None:
    cache: LruCache[str] = LruCache(limit)
    used: list[int] = []
    for key in keys:
        found = cache.get(key)
        assert found == (str(key) if key in used[-limit:] else None)
        if found is None:
            cache.put(key, str(key))
        used = [each for each in used if each != key] + [key]
        assert len(cache) == min(limit, len(used))
    assert cache.hits + cache.misses == len(keys)
    assert cache.evicted == cache.misses - len(cache)


async def test_the_plugin_sets_the_limit_while_it_runs_and_shows_the_counts() -> None:
    before = STATEMENTS.limit
    plugin = Sql(SqlConfig(statement_cache=7))
    async with run_kernel({"sql": Sql}, {"sql": {"statement_cache": 7}}):
        assert STATEMENTS.limit == 7
    assert STATEMENTS.limit == before
    metrics = {each.name: [*each.read()] for each in plugin.covet_metrics()}
    assert metrics["sql.statements.entries"] == [((), len(STATEMENTS))]
    assert metrics["sql.statements.hits"] == [((), STATEMENTS.hits)]
    assert len(metrics) == 4


def test_the_door_does_not_load_sqlalchemy() -> None:
    program = "import sys, covet_sql; sys.exit('sqlalchemy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_queries_say_what_to_install() -> None:
    program = "import sys; sys.modules['sqlalchemy'] = None; import covet_sql.query"
    done = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True
    )
    assert "pip install 'covet-sql[query]'" in done.stderr
