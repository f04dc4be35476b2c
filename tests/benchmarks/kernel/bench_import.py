"""``import covet_kernel`` against importing the three libraries it is made on."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from functools import partial

from benchmarks.measure import Comparison, interleaved, report

STATEMENTS = {
    "covet_kernel": "import covet_kernel",
    "its dependencies": "import anyio, pluggy, pydantic",
    # Both load much of themselves at first use, so this is what a process that runs pays.
    "covet_kernel, all of it": (
        "import covet_kernel as k; [getattr(k, name) for name in k.__all__]"
    ),
    "its dependencies, in use": (
        "import anyio, pluggy; from pydantic import BaseModel; type('Model', (BaseModel,), {})"
    ),
}


def import_time(statement: str) -> float:
    """Milliseconds the statement takes in a fresh process; the interpreter's own start is not in it."""
    program = (
        "from time import perf_counter; begun = perf_counter();"
        f"{statement}; print(perf_counter() - begun)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    return 1e3 * float(done.stdout)


def test_import() -> None:
    rivals: dict[str, Callable[[], float]] = {
        name: partial(import_time, statement) for name, statement in STATEMENTS.items()
    }
    report(
        "import of the kernel",
        interleaved(rivals, 40),
        [
            Comparison("kernel / dependencies", "covet_kernel", "its dependencies", 1.15),
            Comparison(
                "the same, all of it", "covet_kernel, all of it", "its dependencies, in use", 1.15
            ),
        ],
        unit="ms",
    )


if __name__ == "__main__":
    test_import()
