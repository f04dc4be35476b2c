"""What is in a log: one line for each time that it was written to.

A line is a checksum, a length and JSON. What was written at once is one line, and the next is not begun before it
is on the disk. So only the last line can be one that a crash has cut short; that one promised nothing
to anybody, and is dropped. A line further up that does not match its checksum is damage.
"""

from __future__ import annotations

import json
import re
from binascii import crc32
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from covet_twophase._names import COORDINATOR

VERSION = 1
HEAD = re.compile(rb"[0-9a-f]{8} (\d{1,18}) ")


class DamagedError(Exception):
    """A log holds what no crash can have left in it."""


@dataclass
class Batch:
    """What is written at once.

    Attributes:
        commits: The transactions that are to be committed, each with its databases.
        ends: Those whose databases have all been told.
        failure: Why it was not written.
    """

    commits: dict[str, tuple[str, ...]] = field(default_factory=dict)
    ends: set[str] = field(default_factory=set)
    failure: OSError | None = None

    def line(self) -> bytes:
        """As it is in the log."""
        return _line({"commit": self.commits, "end": sorted(self.ends)})


@dataclass
class Content:
    """What a log says.

    Attributes:
        coordinator: Whose it is.
        decisions: The transactions to be committed that some database may not know of, each with its
            databases.
        size: Bytes of it that count; what is behind them was being written at a crash.
    """

    coordinator: str = ""
    decisions: dict[str, set[str]] = field(default_factory=dict)
    size: int = 0


def whole(coordinator: str, decisions: Mapping[str, Iterable[str]]) -> bytes:
    """A log that says this and no more."""
    head = _line({"coordinator": coordinator, "version": VERSION})
    if not decisions:
        return head
    return head + Batch({each: tuple(sorted(names)) for each, names in decisions.items()}).line()


def read(data: bytes) -> Content:
    """What a log says.

    Raises:
        DamagedError: It cannot be told.
    """
    content = Content()
    *lines, tail = data.split(b"\n")
    for number, line in enumerate(lines):
        record = _record(line)
        if record is None:
            if number < len(lines) - 1 or tail or not _is_cut_short(line):
                raise DamagedError(f"line {number + 1} is not what was written")
            break
        try:
            _take(content, record)
        except (KeyError, TypeError, ValueError) as error:
            raise DamagedError(f"line {number + 1} says nothing that is known") from error
        content.size += len(line) + 1
    if not _is_cut_short(tail):
        raise DamagedError("its last line is longer than what was written")
    if not content.coordinator:
        raise DamagedError("its first line is missing")
    return content


def _take(content: Content, record: dict[str, Any]) -> None:
    if not content.coordinator:
        if record["version"] != VERSION:
            raise ValueError("written by another version")
        if not COORDINATOR.fullmatch(record["coordinator"]):
            raise ValueError("no identity")
        content.coordinator = record["coordinator"]
        return
    for transaction, names in record["commit"].items():
        if not all(isinstance(name, str) for name in names):
            raise TypeError("names are texts")
        content.decisions[transaction] = set(names)
    for transaction in record["end"]:
        content.decisions.pop(transaction, None)


def _line(record: dict[str, Any]) -> bytes:
    text = json.dumps(record, separators=(",", ":")).encode()
    return b"%08x %d %b\n" % (crc32(text), len(text), text)


def _record(line: bytes) -> dict[str, Any] | None:
    checksum, _, rest = line.partition(b" ")
    length, _, text = rest.partition(b" ")
    if checksum != b"%08x" % crc32(text) or length != b"%d" % len(text):
        return None
    try:
        record = json.loads(text)
    except ValueError:
        return None
    return record if isinstance(record, dict) else None


def _is_cut_short(line: bytes) -> bool:
    """Whether a line can be what a crash has left: no longer than it says that it is."""
    match = HEAD.match(line)
    return match is None or len(line) - match.end() <= int(match[1])
