"""The bookshop is killed at moments it cannot know, while orders come in."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from e2e.service import bookshop
from soak.customers import BOOKS, customers, is_whole
from soak.ledger import Lines, audit, stock_up

# Some books run out: their orders roll back what they had taken of others.
SCARCE = 7
STOCKED = {book: 40 if book % SCARCE == 0 else 10**6 for book in range(1, BOOKS + 1)}


def test_a_kill_loses_no_promise_and_leaves_no_part_of_an_order(
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
    promised: dict[int, Lines] = {}
    counts: Counter[str] = Counter()
    while unfinished() or not counts["kills"]:
        with service:
            # Answering means that the service has restored the file; it is read beside it.
            service.request("GET", "/books/1")
            before = audit(database, STOCKED)
            assert promised.items() <= before.items()
            with customers(service.port) as found:
                time.sleep(random.uniform(0.05, 0.6))
                service.process.kill()
                service.process.wait()
        assert found.wrong == []
        assert not found.promised.keys() & before.keys()
        promised |= found.promised
        counts.update(kills=1, refused=found.sold_out, cut=found.in_doubt)
        with service:
            service.request("GET", "/books/1")
            after = audit(database, STOCKED)
            assert promised.items() <= after.items()
            assert all(map(is_whole, after.values()))
            new = after.keys() - before.keys() - found.promised.keys()
            assert len(new) <= found.in_doubt
            counts["kept"] += len(new)
            service.process.kill()
            service.process.wait()
    record_property("kills", counts["kills"])
    record_property("orders promised and kept", f"{len(promised):,}")
    record_property("refused as sold out", f"{counts['refused']:,}")
    record_property("cut off", f"{counts['cut']:,}, of which {counts['kept']:,} were committed")
    assert promised
    assert "Traceback" not in service.output
