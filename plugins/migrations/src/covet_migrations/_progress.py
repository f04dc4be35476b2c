"""What is being done, and that it is still being done."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread
from time import perf_counter

EVERY = 10.0
"""Seconds between two signs of life of one step."""


@contextmanager
def progress(report: Callable[[str], None], what: str) -> Iterator[None]:
    """Says what begins, every ten seconds that it goes on, and how long it took."""
    report(what)
    over, begun = Event(), perf_counter()

    def tell() -> None:
        while not over.wait(EVERY):
            report(f"  still at it after {perf_counter() - begun:.0f} s")

    teller = Thread(target=tell, name="covet-migration-progress", daemon=True)
    teller.start()
    try:
        yield
    finally:
        over.set()
        teller.join()
    report(f"  done in {perf_counter() - begun:.2f} s")
