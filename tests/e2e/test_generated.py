"""Requests that schemathesis makes of a service's own document: none breaks the service, or its word."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from e2e.service import (
    CONTRACT,
    COVET,
    SCRIPTS,
    Service,
    bookshop,
    copy_example,
    environment,
)
from services.process import free_port

pytestmark = [pytest.mark.once, pytest.mark.timeout(400)]
PATIENCE = 300.0
CONFIG = Path(__file__).with_name("schemathesis.toml")
# A whole number may be written 13.0 in JSON Schema; strict models want 13.
STRICT = "positive_data_acceptance"
# What is not strict takes more than it says: false for 0, anything for a text of a form.
LAX = f"{STRICT},negative_data_rejection"


def generate(service: Service, folder: Path, left_out: str, examples: int, *more: str) -> None:
    """Run the checks that are not left out, and stop the service."""
    url = f"http://127.0.0.1:{service.port}/openapi.json"
    words = [
        "--config-file",
        str(CONFIG),
        "run",
        url,
        "--seed",
        "1",
        "--max-examples",
        str(examples),
        "--no-color",
    ]
    words += ["--exclude-checks", left_out, "--generation-database", "none", *more]
    found = subprocess.run(
        [SCRIPTS / "schemathesis", *words],
        cwd=folder,
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


def test_the_bookshop(tmp_path: Path) -> None:
    folder = copy_example(tmp_path / "bookshop")
    with bookshop(folder, "asyncio", CONTRACT) as service:
        generate(service, tmp_path, STRICT, 20)


def test_inputs_and_answers_of_every_kind(tmp_path: Path) -> None:
    shutil.copy(Path(__file__).with_name("kinds.py"), tmp_path / "kinds.py")
    path, port = tmp_path / "covet.toml", free_port()
    path.write_text('[app]\nmodules = ["kinds"]\n[plugins.http]\nserver = "hypercorn"\n', "utf-8")
    command = [COVET, "run", "-c", str(path), "--backend", "trio"]
    command += ["--set", CONTRACT, "--set", f"plugins.http.port={port}"]
    with Service(command, port, tmp_path / "kinds.log", environment()) as service:
        # It keeps nothing, so there is no use in asking for what was made.
        generate(service, tmp_path, LAX, 15, "--phases", "coverage,fuzzing")
