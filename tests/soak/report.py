"""What a soak did, as a section of Markdown."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from layout.checkout import ROOT

HEADING = "## The last recorded run"
TESTED = ("kernel", "plugins", "native", "docs/examples", "tests", "tox.ini", "pyproject.toml")


def git(*arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()


def section(reports: Sequence[pytest.TestReport], seconds: float) -> str:
    """The heading, where and when it was, and a row for each test."""
    changed = ", with changes" if git("status", "--porcelain", "--", *TESTED) else ""
    took = sum(report.duration for report in reports)
    lines = [
        HEADING,
        "",
        f"- when: {datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        f"- commit: `{git('rev-parse', '--short=10', 'HEAD')}`{changed}",
        f"- Python: {platform.python_version()} on {platform.system()}",
        f"- asked for: `--seconds {seconds:g}`; took {took:.0f} s",
        "",
        "| test | outcome | seconds | what it did |",
        "|---|---|---:|---|",
        *map(row, reports),
    ]
    return "\n".join(lines) + "\n"


def row(report: pytest.TestReport) -> str:
    done = "; ".join(f"{name}: {value}" for name, value in report.user_properties)
    name = report.nodeid.rpartition("::")[2]
    return f"| `{name}` | {report.outcome} | {report.duration:.0f} | {done} |"


def write(page: Path, text: str) -> None:
    """Let ``text`` replace all of the page from the heading on."""
    before = page.read_text("utf-8").partition(HEADING)[0]
    page.write_text(before + text, "utf-8")
