"""Observing databases: how a driver has it done, and how a service has it done its own way."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from covet_kernel.contracts import SqlDatabase
from covet_sql._config import SqlConfig
from covet_sql.driver import Pool
from covet_sql.profile._database import ObservedDatabase
from covet_sql.profile._profile import Profile
from covet_sql.profile._recording import Recording
from covet_sql.profile._slow import Plans, SlowLog


def observe(name: str, database: SqlDatabase, pools: Iterable[Pool[Any]] = ()) -> ObservedDatabase:
    """The database for a driver to provide instead of its own, observed as the defaults say.

    Args:
        name: The plugin instance's.
        database: The driver's.
        pools: Where its statements get their connections, to tell how long they waited.
    """
    profile = Profile(database.dialect)
    for pool in pools:
        pool.on_wait, profile.current_task = profile.waited, pool.current_task
    observed = ObservedDatabase(name, database, profile)
    observed.slow_log = SlowLog(name, database)
    profile.on_slow = observed.slow_log.note
    return observed


def configure(database: ObservedDatabase, config: SqlConfig, plans: Plans | None) -> None:
    """Observe a database as ``[plugins.sql]`` says, from now on.

    Args:
        database: It.
        config: The table.
        plans: Asks for the plans of what is slow.
    """
    profile = database.profile
    profile.resize(config.shapes)
    profile.slow = config.slow
    database.cache_bounds = config.cache_entries, config.cache_bytes
    if database.slow_log is not None:
        database.slow_log.plans = plans
    database.recording = Recording() if config.record else None
    profile.on_run = None if database.recording is None else database.recording.note


def report_of(databases: Iterable[ObservedDatabase]) -> dict[str, Any]:
    """Everything known of databases as plain data, without the value of any parameter."""
    found: dict[str, Any] = {}
    for database in databases:
        one: dict[str, Any] = {
            "dialect": database.dialect,
            "statements": database.profile.report(),
            "slow": [] if database.slow_log is None else list(database.slow_log.last),
        }
        if database.recording is not None:
            one["issued"] = database.recording.report()
            one["dropped"] = database.recording.dropped
        found[database.name] = one
    return {"databases": found}
