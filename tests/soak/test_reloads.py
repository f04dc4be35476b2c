"""The bookshop is reloaded again and again while it is read from and ordered from."""

from __future__ import annotations

import signal
from collections.abc import Callable
from itertools import count, cycle
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]
from e2e.answers import lines
from e2e.load import load
from e2e.service import bookshop
from soak.ledger import audit, stock_up

VARIANTS = [
    # What replaces the database and all that stands on it, the shop alone, or neither.
    ("", ""),
    ('path = "bookshop.db"', 'path = "bookshop.db"\nreaders = 2'),
    ('path = "bookshop.db"', 'path = "bookshop.db"\nbusy_timeout = 4'),
    ('catalogue = "books.csv"', 'catalogue = "books2.csv"'),
    ("[plugins.memory]", "[plugins.memory]\nstore = { entries = 10 }"),
    ("[plugins.memory]", "[plugins.memory]\nstore = { entries = 20 }"),
]
FAULTS = [
    # What is refused at once, and what only when the new instances start.
    ("[plugins.sqlite]", "[plugins.sqlite"),
    ('path = "bookshop.db"', 'path = "nowhere/bookshop.db"'),
    ('catalogue = "books.csv"', "catalogue = 7"),
]
STOCKED = {1: 10**9, 2: 10**9}
WARM_UP = 50
SLACK = 4 << 20
"""Bytes the process may grow by under a load that is not quite even."""
PER_RELOAD = 4096
"""Bytes a reload may cost for good: a hundredth of what it makes anew."""


def test_reloads_lose_nothing(
    anyio_backend_name: str,
    folder: Path,
    unfinished: Callable[[], bool],
    record_property: Callable[[str, Any], None],
) -> None:
    file = folder / "covet.toml"
    text = file.read_text("utf-8")
    before = reloaded = refused = 0
    with bookshop(folder, anyio_backend_name) as service:
        # Before that a reload is refused.
        service.wait_for("running on")
        stock_up(folder / "bookshop.db", STOCKED)
        process = psutil.Process(service.process.pid)
        with (
            load(service.port, "GET", "/books?q=the&limit=5", kept=2, new=2) as reads,
            load(service.port, "POST", "/orders", lines((1, 1), (2, 1)), kept=2, new=1) as orders,
        ):
            variants, faults = cycle(VARIANTS[1:] + VARIANTS[:1]), cycle(FAULTS)
            for number in count(1):
                if not unfinished() and reloaded > WARM_UP:
                    break
                if number % 5 == 0:
                    refused += 1
                    old, new = next(faults)
                else:
                    reloaded += 1
                    old, new = next(variants)
                assert old in text
                file.write_text(text.replace(old, new), "utf-8")
                service.signal(signal.SIGHUP)
                service.wait_for("not reloaded:", refused)
                service.wait_for("covet: reloaded: ", reloaded)
                reads.wait_for(5)
                orders.wait_for(5)
                if reloaded == WARM_UP:
                    before = process.memory_info().rss
            grown = process.memory_info().rss - before
        for found, status in ((reads, 200), (orders, 201)):
            assert found.lost == []
            assert set(found.answered) == {status}
            assert found.refused == 0
        assert service.stop() == 0, service.output
    assert len(audit(folder / "bookshop.db", STOCKED)) == orders.total
    record_property("reloads", reloaded)
    record_property("refused reloads", refused)
    record_property("pages answered", f"{reads.total:,}")
    record_property("orders answered", f"{orders.total:,}")
    record_property("answers lost", 0)
    record_property("resident memory", f"{grown / 2**20:+.1f} MiB after reload {WARM_UP}")
    assert grown < SLACK + PER_RELOAD * reloaded
    assert "Traceback" not in service.output
