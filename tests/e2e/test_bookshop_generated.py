"""Requests that schemathesis makes of the shop's own document: none breaks the shop, or its word."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from e2e.service import CONTRACT, SCRIPTS, bookshop, copy_example, environment

# A whole number may be written 13.0 in JSON Schema; the shop's models are strict and want 13.
LEFT_OUT = "positive_data_acceptance"
EXAMPLES = 60
PATIENCE = 100.0


@pytest.mark.once
@pytest.mark.parametrize(("backend", "server"), [("asyncio", "auto"), ("trio", "hypercorn")])
def test_generated_requests_find_nothing(tmp_path: Path, backend: str, server: str) -> None:
    folder = copy_example(tmp_path / "bookshop")
    with bookshop(folder, backend, CONTRACT, f"plugins.http.server={server}") as service:
        url = f"http://127.0.0.1:{service.port}/openapi.json"
        words = ["run", url, "--seed", "1", "--max-examples", str(EXAMPLES), "--no-color"]
        words += ["--exclude-checks", LEFT_OUT, "--generation-database", "none"]
        found = subprocess.run(
            [SCRIPTS / "schemathesis", *words],
            cwd=tmp_path,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert found.returncode == 0, found.stdout[-8000:] + found.stderr[-2000:]
        assert re.search(r"Operations: +(\d+) selected / \1 total", found.stdout), found.stdout
        assert service.stop() == 0, service.output
    assert "Traceback" not in service.output
