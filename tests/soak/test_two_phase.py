"""Transfers between PostgreSQL and MariaDB, with kills of the service and of both servers."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from services import mariadb, postgres
from services.pair import Pair
from soak.movers import Mover, prepare, soaked


def test_kills_of_anything_keep_every_transfer_whole(
    tmp_path: Path,
    unfinished: Callable[[], bool],
    record_property: Callable[[str, Any], None],
) -> None:
    kept = ("fsync", "on"), ("synchronous_commit", "on"), ("max_prepared_transactions", "64")
    with (
        postgres.own_server(*kept) as shop,
        mariadb.own_server(("innodb-flush-log-at-trx-commit", "1")) as bank,
    ):
        mariadb.run(bank.url, "CREATE DATABASE bank")
        pair = Pair(tmp_path, shop.url, mariadb.with_database(bank.url, "bank"))
        pair.fill()
        prepare(pair)
        killed = 0

        def disturb(mover: Mover) -> None:
            nonlocal killed
            for server in random.sample([shop, bank], random.randint(0, 2)):
                time.sleep(random.uniform(0.05, 0.5))
                server.stop(server.at_once)
                time.sleep(random.uniform(0, 0.3))
                server.start()
                killed += 1
            time.sleep(random.uniform(0.05, 0.5))

        found = soaked(pair, unfinished, disturb)
    record_property("kills of the service", found["kills"])
    record_property("kills of a server", killed)
    record_property("transfers promised", f"{found['promised']:,}")
    record_property("transfers kept", f"{found['kept']:,}, each on both sides or on neither")
