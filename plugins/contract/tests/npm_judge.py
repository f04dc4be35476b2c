"""Programs of other people's that read or compare documents."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from services.embedded_postgres import NotFetchedError
from services.missing import skipped_without
from services.node import node, packages

NPM = Path(__file__).with_name("npm")


def judged(script: str, documents: Any) -> Any:
    """What a script in ``npm`` says of documents; the test is skipped where it cannot be had."""
    with skipped_without(NotFetchedError):
        program, modules = node(), packages(NPM)
    done = subprocess.run(
        [program, str(NPM / script), str(modules)],
        input=json.dumps(documents),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
