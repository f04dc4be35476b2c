"""The report in a file, for whoever looks at a service from outside."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from covet_kernel import ConfigurationError

LARGEST = 1 << 27
"""Bytes of a report that is read."""


def write_report(path: Path, report: Mapping[str, Any]) -> None:
    """Replace a file by a report; whoever reads it meanwhile has the old one.

    Only its owner may read it: texts of statements are nobody else's business.

    Raises:
        OSError: It cannot be written.
    """
    # Files of this kind are made for their owner alone.
    with NamedTemporaryFile(
        "w", encoding="utf-8", dir=path.parent, prefix=f".{path.name}.", delete=False
    ) as file:
        try:
            json.dump(report, file, indent=1)
            file.close()
            os.replace(file.name, path)
        except BaseException:
            file.close()
            Path(file.name).unlink(missing_ok=True)
            raise


def read_report(path: Path) -> dict[str, Any]:
    """The databases of a report, by the name of the plugin instance.

    Raises:
        ConfigurationError: There is none, or it is not one of ours.
    """
    try:
        if path.stat().st_size > LARGEST:
            raise ValueError("it is too large")
        found = json.loads(path.read_text("utf-8"))
        databases: dict[str, Any] = found["databases"]
        for one in databases.values():
            if not all(isinstance(each, list) for each in (one["statements"], one["slow"])):
                raise TypeError("it is of another form")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ConfigurationError(
            "COVET-SQL-REPORT",
            f"{path} is no report of a service: {getattr(error, 'strerror', None) or error}.",
            fix="Set plugins.sql.report to the name of a file, and run the service for a while.",
        ) from error
    return databases
