"""Runs every async test on each event loop that is installed, and fails it if it leaks."""

from __future__ import annotations

from collections.abc import Generator
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


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """Fail an async test that passes but leaves a task, a thread or a descriptor behind."""
    if "anyio_backend" not in pyfuncitem.funcargs:
        return (yield)
    function: Any = pyfuncitem.obj
    if iscoroutinefunction(function):
        pyfuncitem.obj = _checked(function)
    snapshot = Snapshot()
    try:
        result = yield
    finally:
        pyfuncitem.obj = function
    snapshot.check()
    return result


def _checked(function: Any) -> Any:
    @wraps(function)
    async def run(*args: Any, **kwargs: Any) -> None:
        before = tasks_now()
        await function(*args, **kwargs)
        await check_tasks(before)

    return run
