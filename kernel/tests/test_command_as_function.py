"""The command ``covet`` as a function in a process that goes on, as tests of plugins' commands call it."""

from __future__ import annotations

import gc
import subprocess
import sys

import pytest

from covet_cli import main


@pytest.mark.parametrize("collected", [True, False])
def test_who_calls_it_as_a_function_keeps_the_collection_of_garbage_that_was(
    collected: bool,
) -> None:
    was = gc.isenabled()
    (gc.enable if collected else gc.disable)()
    try:
        assert main(["version"]) == 0
        kept = [gc.isenabled()]
        with pytest.raises(SystemExit):
            main(["--help"])
        kept.append(gc.isenabled())
    finally:
        (gc.enable if was else gc.disable)()
    assert kept == [collected, collected]


def test_what_was_imported_leaves_the_collection_of_garbage_on() -> None:
    """Whoever only wants `main`, as tests of commands do, would grow for as long as they run."""
    asked = "import gc, covet_cli, covet_cli._main; assert gc.isenabled()"
    subprocess.run([sys.executable, "-c", asked], check=True)
