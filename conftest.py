"""Settings of every test: properties are not judged by how fast a busy machine is, what was compiled is
kept, and what was collected is left out of the search for garbage.
"""

import gc
import os
import sys
from collections.abc import Generator

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "workspace",
    deadline=None,
    # In CI the same examples every time; elsewhere, and in the soak, new ones.
    derandomize="CI" in os.environ,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("workspace")

# Images of containers like to say so. Then every process that a test starts would compile all it loads,
# which takes it three times as long as the rest of what it does.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Load the tests without looking for garbage, and keep them out of every later search for it.

    They are a million objects, which stay to the end. A search through them takes half a second, and
    Python begins one only when a quarter as many have come anew: until then all that tests have left in
    cycles, with the memory of C libraries behind it, would lie about.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.collect()  # so that the quarter is one of what is left
        gc.enable()
