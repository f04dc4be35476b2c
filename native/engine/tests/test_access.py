"""Lines of the access log become records, one each, however they come out of the library."""

from __future__ import annotations

import logging
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from covet_engine._access import AccessLog
from covet_engine._library import load

NAME = "covet.http.access"


def core_of(pieces: list[bytes]) -> Any:
    """A core whose library gives these pieces out, one a call."""
    ffi = load().ffi
    waiting = list(pieces)

    def cv_engine_log(engine: Any, into: Any, size: int) -> int:
        piece = waiting.pop(0) if waiting else b""
        assert len(piece) <= size
        ffi.memmove(into, piece, len(piece))
        return len(piece)

    return SimpleNamespace(
        ffi=ffi, lib=SimpleNamespace(cv_engine_log=cv_engine_log), engine=ffi.NULL
    )


def test_each_line_is_a_record_on_the_loggers_level(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, NAME)
    log = AccessLog(core_of([b'{"a": 1}\n{"a": 2}\n', b"", b'{"a": 3}\n']))
    log.write()
    log.write()
    assert [(each.name, each.levelname, each.getMessage()) for each in caplog.records] == [
        (NAME, "INFO", '{"a": 1}'),
        (NAME, "INFO", '{"a": 2}'),
        (NAME, "INFO", '{"a": 3}'),
    ]


def test_a_percent_sign_is_not_formatted(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, NAME)
    AccessLog(core_of([b'{"target": "/%s%d%(x)s"}\n'])).write()
    assert caplog.messages == ['{"target": "/%s%d%(x)s"}']


def test_what_nobody_reads_is_taken_out_all_the_same(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, NAME)
    core = core_of([b"{}\n"])
    AccessLog(core).write()
    assert not caplog.records
    assert core.lib.cv_engine_log(core.engine, core.ffi.new("uint8_t[]", 8), 8) == 0


def test_no_byte_makes_logging_fail(caplog: pytest.LogCaptureFixture) -> None:
    # bad input 40
    caplog.set_level(logging.INFO, NAME)
    AccessLog(core_of([b"\x1b\xff\r\n"])).write()
    assert caplog.messages == ["\x1b\\xff\r"]


@settings(deadline=None)
@given(
    st.lists(st.text(alphabet="ab{}", max_size=5), max_size=8),
    st.lists(st.integers(0, 60), max_size=8),
)
def test_records_do_not_depend_on_how_the_lines_are_cut(lines: list[str], cuts: list[int]) -> None:
    whole = "".join(f"{line}\n" for line in lines).encode()
    places = sorted({0, len(whole), *(cut for cut in cuts if cut < len(whole))})
    pieces = [whole[a:b] for a, b in pairwise(places)]
    records: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: records.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger(NAME)
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        AccessLog(core_of(pieces)).write()
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)
    assert records == lines
