"""Where and on what a benchmark ran."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import time
from pathlib import Path


def environment(*names: str) -> list[tuple[str, str]]:
    """What the head of a report says.

    Args:
        names: Distributions whose versions matter, besides those of both event loops.
    """
    root = Path(__file__).resolve().parents[3]

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(root), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()

    cpu = platform.processor() or platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            cpu = line.partition(":")[2].strip()
            break
    versions = []
    for name in (*names, "anyio", "trio"):
        try:
            versions.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            versions.append(f"{name} missing")
    changed = " with changes" if git("status", "--porcelain", "--untracked-files=no") else ""
    return [
        ("date", time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())),
        ("commit", git("rev-parse", "--short=12", "HEAD") + changed),
        ("machine", f"{cpu}, {os.cpu_count()} cores, {platform.system()} {platform.release()}"),
        ("python", f"{platform.python_implementation()} {platform.python_version()}"),
        ("versions", ", ".join(versions)),
        ("load before", ", ".join(f"{load:.2f}" for load in os.getloadavg())),
    ]
