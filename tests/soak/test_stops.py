"""The bookshop is told to stop under load, and started again on the same port, many times."""

from __future__ import annotations

import random
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from e2e.answers import lines
from e2e.load import load
from e2e.service import PATIENCE, bookshop
from soak.ledger import audit, stock_up

STOCKED = {1: 10**9, 2: 10**9}


def test_stops_lose_nothing(
    anyio_backend_name: str,
    folder: Path,
    unfinished: Callable[[], bool],
    record_property: Callable[[str, Any], None],
) -> None:
    database = folder / "bookshop.db"
    service = bookshop(folder, anyio_backend_name)
    with service:
        service.request("GET", "/books/1")
        stock_up(database, STOCKED)
        assert service.stop() == 0, service.output
    stops = pages = ordered = 0
    while unfinished() or not stops:
        with service:
            with (
                load(service.port, "GET", "/books?q=the&limit=50", kept=2, new=2) as reads,
                load(
                    service.port, "POST", "/orders", lines((1, 1), (2, 1)), kept=2, new=2
                ) as orders,
            ):
                reads.wait_for(1)
                orders.wait_for(random.randint(1, 60))
                service.signal(random.choice([signal.SIGTERM, signal.SIGINT]))
                assert service.process.wait(PATIENCE) == 0, service.output
        for found, status in ((reads, 200), (orders, 201)):
            assert found.lost == []
            assert set(found.answered) == {status}
        stops, pages, ordered = stops + 1, pages + reads.total, ordered + orders.total
        # Every order that was accepted was answered, and none was taken that was not.
        assert len(audit(database, STOCKED)) == ordered
    record_property("stops", stops)
    record_property("pages answered", f"{pages:,}")
    record_property("orders answered", f"{ordered:,}")
    record_property("answers lost", 0)
    assert "Traceback" not in service.output
