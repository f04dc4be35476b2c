"""Deadlines of start, stop and drain; who waits for whom and where; who blocks the thread."""

from __future__ import annotations

import inspect
import logging
import math
import re
import threading
from typing import Any

import anyio
import pytest

from covet_kernel import Context, LifecycleError, Serving, flatten
from covet_kernel.contracts import Capability
from covet_kernel.testing import fake_plugin, run_kernel

A = Capability[str]("test.a")
B = Capability[str]("test.b")
SOON = 0.05


async def hang_for_good(ctx: Context) -> None:
    await anyio.sleep_forever()


def line_of(function: Any, text: str) -> str:
    """The place of the line of ``function`` that holds ``text``, as reports show it."""
    lines, first = inspect.getsourcelines(function)
    number = next(first + offset for offset, line in enumerate(lines) if text in line)
    return f"{inspect.getsourcefile(function)}:{number} in {function.__name__}"


async def failures_of(plugins: Any, **tables: Any) -> list[Any]:
    try:
        async with run_kernel(plugins, **tables):
            pass
    except ExceptionGroup as group:
        return flatten(group)
    return []


async def test_a_start_that_hangs_is_cancelled_and_says_who_waits_for_whom_and_where() -> None:
    journal: list[str] = []
    plugins = {
        "a": fake_plugin(provides={A: "a"}, start=hang_for_good, journal=journal),
        "b": fake_plugin(requires=[A], provides={B: "b"}, journal=journal),
        "c": fake_plugin(requires=[B], journal=journal),
        "d": fake_plugin(journal=journal),
    }
    with anyio.fail_after(10):
        [error] = await failures_of(plugins, kernel={"start_timeout": SOON})
    assert isinstance(error, LifecycleError)
    assert error.code == "COVET-START-TIMEOUT"
    assert error.problem == "a did not start within 0.05 s."
    report = str(error)
    assert f"a is starting at {line_of(hang_for_good, 'sleep_forever')}" in report
    assert "b waits for a" in report
    assert "c waits for b" in report
    assert "d waits" not in report
    assert sorted(journal[:3]) == ["a starts", "d starts", "d up"]
    assert sorted(journal[3:]) == ["a down", "d down", "d stops"]


async def test_the_place_of_the_error_is_where_the_plugin_waits() -> None:
    [error] = await failures_of(
        {"a": fake_plugin(start=hang_for_good)}, kernel={"start_timeout": SOON}
    )
    assert line_of(hang_for_good, "sleep_forever") in error.place


async def test_each_plugin_has_its_own_deadline() -> None:
    async def start_slowly(ctx: Context) -> None:
        await anyio.sleep(3 * SOON)

    plugins = {"slow": fake_plugin(start=start_slowly, provides={A: 1}), "b": fake_plugin()}
    config = {"slow": {"start_timeout": 30}}
    async with run_kernel(plugins, config, kernel={"start_timeout": SOON}) as kernel:
        assert kernel.state == "running"


async def test_the_deadline_of_a_start_begins_with_it() -> None:
    async def start_slowly(ctx: Context) -> None:
        await anyio.sleep(0.3)

    plugins = {
        "a": fake_plugin(provides={A: 1}, start=start_slowly),
        "b": fake_plugin(requires=[A], provides={B: 1}, start=start_slowly),
        "c": fake_plugin(requires=[B], start=start_slowly),
    }
    async with run_kernel(plugins, kernel={"start_timeout": 0.6}) as kernel:
        assert kernel.state == "running"


async def test_a_stop_that_overruns_is_cancelled_and_the_others_still_stop() -> None:
    journal: list[str] = []
    plugins = {
        "a": fake_plugin(provides={A: "a"}, journal=journal),
        "b": fake_plugin(requires=[A], stop=hang_for_good, journal=journal),
    }
    with anyio.fail_after(10):
        [error] = await failures_of(plugins, kernel={"stop_timeout": SOON})
    assert error.code == "COVET-STOP-TIMEOUT"
    assert error.problem == "b did not stop within 0.05 s."
    assert f"b is stopping at {line_of(hang_for_good, 'sleep_forever')}" in str(error)
    assert "a waits for b" in str(error)
    assert journal[-4:] == ["b stops", "b down", "a stops", "a down"]


async def test_several_that_overrun_are_all_reported() -> None:
    plugins = {name: fake_plugin(stop=hang_for_good) for name in ("a", "b", "c")}
    with anyio.fail_after(10):
        errors = await failures_of(plugins, kernel={"stop_timeout": SOON})
    assert sorted(error.problem.partition(" ")[0] for error in errors) == ["a", "b", "c"]
    assert {error.code for error in errors} == {"COVET-STOP-TIMEOUT"}


async def test_an_error_while_a_stop_is_cancelled_is_logged_with_its_plugin(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def hang_and_fail(ctx: Context) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            raise ValueError("on the way out")

    with anyio.fail_after(10):
        [error] = await failures_of(
            {"a": fake_plugin(stop=hang_and_fail)}, kernel={"stop_timeout": SOON}
        )
    assert error.code == "COVET-STOP-TIMEOUT"
    [record] = [record for record in caplog.records if record.exc_info]
    assert "a failed while its stop was cancelled" in record.getMessage()
    assert "on the way out" in caplog.text


async def test_calls_that_outlast_the_drain_are_cancelled_and_named() -> None:
    journal: list[str] = []

    async def never_drains(serving: Serving) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            journal.append("cut")

    plugins = {
        "server": fake_plugin(serve=never_drains, journal=journal),
        "good": fake_plugin(journal=journal),
    }
    with anyio.fail_after(10):
        [error] = await failures_of(plugins, kernel={"drain_timeout": SOON})
    assert error.code == "COVET-DRAIN-TIMEOUT"
    assert error.problem.startswith("server still had calls in flight")
    assert journal.index("cut") < journal.index("server stops")


async def test_a_long_start_is_reported_while_it_lasts(caplog: pytest.LogCaptureFixture) -> None:
    reported = anyio.Event()

    class Tell(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "still waiting" in record.getMessage():
                reported.set()

    async def start_when_reported(ctx: Context) -> None:
        await reported.wait()

    plugins = {
        "slow": fake_plugin(start=start_when_reported, provides={A: 1}),
        "next": fake_plugin(requires=[A]),
    }
    handler = Tell()
    logging.getLogger("covet").addHandler(handler)
    try:
        with anyio.fail_after(10):
            async with run_kernel(plugins, kernel={"report_after": SOON}):
                pass
    finally:
        logging.getLogger("covet").removeHandler(handler)
    assert "still waiting for plugins to start" in caplog.text
    assert f"slow is starting at {line_of(start_when_reported, 'reported.wait')}" in caplog.text
    assert "next waits for slow" in caplog.text


@pytest.mark.parametrize("when", ["start", "stop"])
async def test_who_blocks_the_thread_is_named(when: str) -> None:
    told, messages = threading.Event(), []

    class Tell(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "culprit has blocked" in (message := record.getMessage()):
                messages.append(message)
                told.set()

    async def block(ctx: Context) -> None:
        told.wait(10)

    handler = Tell()
    logging.getLogger("covet").addHandler(handler)
    try:
        steps: dict[str, Any] = {when: block}
        plugins = {"good": fake_plugin(), "culprit": fake_plugin(**steps)}
        async with run_kernel(plugins, kernel={"report_after": SOON}):
            pass
    finally:
        logging.getLogger("covet").removeHandler(handler)
    [message] = messages
    assert message.startswith("COVET-LOOP-BLOCKED")
    assert re.search(r"culprit has blocked the event loop for \d+\.\d s", message)
    assert "threading.py" in message


async def test_never_is_a_time_too() -> None:
    forever = {"start_timeout": math.inf, "report_after": math.inf}
    async with run_kernel({"a": fake_plugin()}, kernel=forever) as kernel:
        assert kernel.state == "running"
