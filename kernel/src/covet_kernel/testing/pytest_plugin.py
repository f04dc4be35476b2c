"""Runs every async test on each event loop that is installed, and fails it if it leaks."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from functools import wraps
from importlib.util import find_spec
from inspect import iscoroutinefunction
from typing import Any

import pytest

from covet_kernel.testing._leaks import Snapshot, check_tasks, tasks_now

BACKENDS = [name for name in ("asyncio", "trio") if find_spec(name)]


@pytest.fixture(params=BACKENDS)
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """The name of the event loop a test runs on."""
    name: str = request.param
    return name


@pytest.fixture(autouse=True)
def covet_leak_check(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail an async test that leaves a thread or a file descriptor behind.

    It compares after the test's other fixtures have been torn down, and only if it has passed.
    """
    if "anyio_backend" not in request.fixturenames:
        yield
        return
    snapshot, failed = Snapshot(), request.session.testsfailed
    yield
    if request.session.testsfailed == failed:
        snapshot.check()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """Fail an async test that leaves a task running."""
    function: Any = pyfuncitem.obj
    if "anyio_backend" not in pyfuncitem.funcargs or not iscoroutinefunction(function):
        return (yield)
    pyfuncitem.obj = _checked(function)
    try:
        return (yield)
    finally:
        pyfuncitem.obj = function


def _checked(function: Any) -> Any:
    @wraps(function)
    async def run(*args: Any, **kwargs: Any) -> None:
        before = tasks_now()
        await function(*args, **kwargs)
        await check_tasks(before)

    return run
