"""What a soak did, as a section of Markdown."""

from __future__ import annotations

import platform
import re
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import pytest

from layout.checkout import ROOT

HEADING = "## The last recorded run"
TESTED = (
    "kernel", "plugins", "native", "docs/examples", "tests", "tox.ini", "pyproject.toml",
    ":(exclude)native/engine/tests/fuzz/corpus",  # which the fuzzers add to
)  # fmt: skip


def git(*arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()


def section(reports: Sequence[pytest.TestReport], seconds: float) -> str:
    """The heading, where it was, and a row for each test: what it did, and when with which commit."""
    return "\n".join(
        [
            HEADING,
            "",
            f"Python {platform.python_version()} on {platform.system()}.",
            "",
            "| test | outcome | seconds | what it did | when, commit, `--seconds` |",
            "|---|---|---:|---|---|",
            *(row(report, seconds) for report in reports),
            "",
        ]
    )


def row(report: pytest.TestReport, seconds: float) -> str:
    done = "; ".join(f"{name}: {value}" for name, value in report.user_properties)
    name = report.nodeid.rpartition("::")[2]
    return f"| `{name}` | {report.outcome} | {report.duration:.0f} | {done} | {run(seconds)} |"


@cache
def run(seconds: float) -> str:
    changed = ", with changes" if git("status", "--porcelain", "--", *TESTED) else ""
    commit = git("rev-parse", "--short=10", "HEAD")
    return f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, `{commit}`{changed}, {seconds:g}"


def record(page: Path, text: str) -> None:
    """Let a section take the place of the page's last one, but for rows of tests that did not run."""
    before, _, old = page.read_text("utf-8").partition(HEADING)
    head, *new = text.splitlines(keepends=True)
    rows = {name(line): line for line in [*old.splitlines(keepends=True), *new] if name(line)}
    rest = [line for line in new if not name(line)]
    page.write_text(before + head + "".join([*rest, *map(rows.__getitem__, sorted(rows))]), "utf-8")


def name(line: str) -> str:
    """Of the test whose row this is; empty if it is none."""
    found = re.match(r"\| `([^`]+)` \| (?:passed|failed) \|", line)
    return found[1] if found else ""
