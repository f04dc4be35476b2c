"""How long a soak lasts, and what it leaves on record."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from e2e.service import copy_example
from soak.report import record, section

Unfinished = Callable[[], bool]


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("soak")
    group.addoption("--seconds", type=float, default=600, help="for all tests together")
    group.addoption("--record", type=Path, help="a page whose last section takes the result")


@pytest.fixture
def share(request: pytest.FixtureRequest) -> float:
    """The test's seconds; every chosen test has as many."""
    seconds: float = request.config.getoption("--seconds")
    return seconds / len(request.session.items)


@pytest.fixture
def unfinished(share: float) -> Unfinished:
    """Whether the test's share of the time is not over."""
    until = time.monotonic() + share
    return lambda: time.monotonic() < until


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the bookshop's folder."""
    return copy_example(tmp_path / "bookshop")


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    stats = terminalreporter.stats
    reports = [
        report
        for outcome in ("passed", "failed")
        for report in stats.get(outcome, [])
        if report.when == "call"
    ]
    text = section(reports, config.getoption("--seconds"))
    terminalreporter.write_line(text)
    if page := config.getoption("--record"):
        record(page, text)
