"""What every answer of a version says of it."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from email.utils import format_datetime

from covet_http._versions._config import VersionConfig, VersionsConfig


def vary_lines(config: VersionsConfig) -> list[tuple[bytes, bytes]]:
    """What answers depend on besides their URL."""
    if config.by == "header":
        return [(b"vary", config.header.lower().encode("ascii"))]
    return [(b"vary", b"accept")] if config.by == "media-type" else []


def version_lines(config: VersionsConfig, version: VersionConfig) -> list[tuple[bytes, bytes]]:
    """What chose a version, and when it ends: ``Deprecation`` (RFC 9745) and ``Sunset`` (RFC 8594)."""
    lines = vary_lines(config)
    if config.by == "header":
        lines.append((config.header.lower().encode("ascii"), version.name.encode("ascii")))
    relations = []
    if version.deprecated is not None:
        lines.append((b"deprecation", b"@%d" % _midnight(version.deprecated).timestamp()))
        relations.append("deprecation")
    if version.sunset is not None:
        sunset = format_datetime(_midnight(version.sunset), usegmt=True)
        lines.append((b"sunset", sunset.encode("ascii")))
        relations.append("sunset")
    if version.link and relations:
        links = ", ".join(f'<{version.link}>; rel="{each}"' for each in relations)
        lines.append((b"link", links.encode("ascii")))
    return lines


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
