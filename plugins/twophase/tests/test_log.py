"""The log: what is in it after a crash, a full disk, and many at once."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from covet_kernel import ConfigurationError
from covet_twophase import InDoubtError, _file, _log
from covet_twophase._errors import UnrecordedError
from covet_twophase._file import LockedError, LogFile, peek
from covet_twophase._folder import Logs
from covet_twophase._log import Log
from covet_twophase._records import Batch, DamagedError, read, whole

COORDINATOR = "0123456789abcdef"
IDS = st.text("0123456789abcdef", min_size=16, max_size=16)
NAMES = st.lists(st.text(max_size=5), min_size=1, max_size=3, unique=True).map(tuple)
BATCHES = st.lists(
    st.builds(Batch, st.dictionaries(IDS, NAMES, max_size=3), st.sets(IDS, max_size=2)), max_size=4
)


def applied(batches: list[Batch]) -> dict[str, set[str]]:
    """What is decided and not ended behind some batches."""
    decisions: dict[str, set[str]] = {}
    for batch in batches:
        decisions.update({each: set(names) for each, names in batch.commits.items()})
        for each in batch.ends:
            decisions.pop(each, None)
    return decisions


@given(batches=BATCHES, junk=st.binary(max_size=4), data=st.data())
def test_cut_at_any_byte_it_says_what_was_whole(
    batches: list[Batch], junk: bytes, data: st.DataObject
) -> None:
    head = whole(COORDINATOR, {})
    lines = [each.line() for each in batches]
    text = head + b"".join(lines)
    cut = data.draw(st.integers(len(head), len(text)))
    kept, size = 0, len(head)
    while kept < len(lines) and size + len(lines[kept]) <= cut:
        size += len(lines[kept])
        kept += 1
    # What a crash has left of the last line may be zeros, or anything that is no line.
    room = size + len(lines[kept]) - cut - 1 if kept < len(lines) else len(junk)
    content = read(text[:cut] + junk[:room].replace(b"\n", b"\0"))
    assert content.coordinator == COORDINATOR
    assert content.decisions == applied(batches[:kept])
    assert content.size == size


@given(batches=BATCHES.filter(lambda each: len(each) > 1), data=st.data())
def test_damage_further_up_is_not_taken_for_a_crash(
    batches: list[Batch], data: st.DataObject
) -> None:
    text = bytearray(whole(COORDINATOR, {}) + b"".join(each.line() for each in batches))
    last = len(text) - len(batches[-1].line())
    where = data.draw(st.integers(0, last - 1))
    text[where] ^= data.draw(st.integers(1, 255))
    with pytest.raises(DamagedError):
        read(bytes(text))


@given(st.binary(max_size=200))
def test_anything_else_is_damage(data: bytes) -> None:
    with pytest.raises(DamagedError):
        read(data)


@pytest.mark.parametrize(
    "record",
    [
        {"coordinator": COORDINATOR, "version": 2},
        {"coordinator": "x", "version": 1},
        {"commit": {}, "end": []},
    ],
)
def test_a_first_line_of_another_kind_is_damage(record: dict[str, Any]) -> None:
    from covet_twophase._records import _line

    with pytest.raises(DamagedError, match="line 1"):
        read(_line(record) + _line(record))


def open_log(folder: Path) -> Log:
    """A log of a process's own."""
    return Logs(folder).open()


async def test_what_was_decided_is_there_when_it_is_opened_again(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    await log.decide("a" * 16, ["x", ""])
    await log.decide("b" * 16, ["x"])
    log.told("b" * 16, "x")
    log.told("a" * 16, "")
    log.told("a" * 16, "never")
    assert log.decisions == {"a" * 16: {"x"}}
    coordinator = log.coordinator
    await log.close()
    again = open_log(tmp_path)
    assert again.coordinator == coordinator
    # Which database has been told is looked for, not written down.
    assert again.decisions == {"a" * 16: {"x", ""}}
    await again.close()


async def test_who_decides_meanwhile_is_written_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = open_log(tmp_path)
    written: list[bytes] = []
    append = log._file.append

    def counted(data: bytes) -> None:
        written.append(data)
        append(data)

    monkeypatch.setattr(log._file, "append", counted)
    async with anyio.create_task_group() as tasks:
        for number in range(50):
            tasks.start_soon(log.decide, f"{number:016}", ["x"])
    assert len(log.decisions) == 50
    assert len(written) <= 2
    await log.close()


async def test_it_is_written_anew_when_it_is_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_log, "LARGE", 2000)
    log = open_log(tmp_path)
    await log.decide("f" * 16, ["stays"])
    for number in range(200):
        await log.decide(f"{number:016}", ["x"])
        log.told(f"{number:016}", "x")
        assert log.size < 2500
    await log.close()
    again = open_log(tmp_path)
    assert again.decisions == {"f" * 16: {"stays"}}
    await again.close()


@contextmanager
def full_disk(log: Log, room: int) -> Iterator[None]:
    """The kernel refuses files larger than the log is, but for so many bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (log.size + room, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("room", [0, 1, 30])
async def test_what_the_disk_has_no_room_for_is_not_decided(tmp_path: Path, room: int) -> None:
    log = open_log(tmp_path)
    await log.decide("a" * 16, ["x"])
    size = log.size
    with full_disk(log, room), pytest.raises(UnrecordedError, match="nothing was committed"):
        await log.decide("b" * 16, ["x"])
    assert os.stat(log.path).st_size == size
    assert log.failure is None
    await log.decide("c" * 16, ["x"])
    await log.close()
    again = open_log(tmp_path)
    assert set(again.decisions) == {"a" * 16, "c" * 16}
    await again.close()


def broken(*_: object) -> None:
    raise OSError(errno.EIO, os.strerror(errno.EIO))


async def test_what_the_disk_may_have_is_written_anew_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = open_log(tmp_path)
    await log.decide("a" * 16, ["x"])
    calls = 0

    def once(descriptor: int) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            broken()

    monkeypatch.setattr(_file.os, "fsync", once)
    with pytest.raises(UnrecordedError):
        await log.decide("b" * 16, ["x"])
    assert calls > 1
    assert log.failure is None
    await log.decide("c" * 16, ["x"])
    await log.close()
    assert set(peek(Path(log.path))[0].decisions) == {"a" * 16, "c" * 16}


async def test_what_cannot_be_known_is_in_doubt_until_it_can_be_written_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = open_log(tmp_path)
    await log.decide("a" * 16, ["x"])
    monkeypatch.setattr(_file.os, "fsync", broken)
    with pytest.raises(InDoubtError) as caught:
        await log.decide("b" * 16, ["x"])
    assert (caught.value.id, caught.value.sqlstate) == ("b" * 16, "08007")
    assert log.doubtful == {"b" * 16}
    with pytest.raises(UnrecordedError):
        await log.decide("c" * 16, ["x"])
    with pytest.raises(OSError):
        await log.repair()
    assert log.doubtful == {"b" * 16}
    monkeypatch.undo()
    await log.repair()
    assert (log.doubtful, log.failure) == (set(), None)
    await log.decide("d" * 16, ["x"])
    await log.close()
    assert set(peek(Path(log.path))[0].decisions) == {"a" * 16, "d" * 16}


async def test_a_log_is_one_process_s(tmp_path: Path) -> None:
    first, second = Logs(tmp_path), Logs(tmp_path)
    log = first.open()
    other = second.open()
    assert log.coordinator != other.coordinator
    with pytest.raises(LockedError):
        LogFile.open(Path(log.path))
    assert peek(Path(log.path))[1]
    assert second.take_over() == []
    await log.decide("a" * 16, ["x"])
    # Written anew, it is locked as it was.
    await log.repair()
    assert second.take_over() == []
    await first.close()
    assert not peek(Path(other.path).parent / f"{log.coordinator}.log")[1]
    second.hold(second.take_over())
    assert second.held[log.coordinator].decisions == {"a" * 16: {"x"}}
    await second.close()


def test_a_folder_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="COVET-TWOPHASE-LOG"):
        Logs(tmp_path / "file").open()


def test_a_copy_of_a_log_is_refused(tmp_path: Path) -> None:
    logs = Logs(tmp_path)
    log = logs.open()
    log.release()
    data = Path(log.path).read_bytes()
    (tmp_path / "copy.log").write_bytes(data)
    with pytest.raises(ConfigurationError, match="it is a copy, or was renamed"):
        Logs(tmp_path).open()
    (tmp_path / "copy.log").write_bytes(data + b"x\n" + data)
    with pytest.raises(ConfigurationError, match="line 2 is not what was written"):
        Logs(tmp_path).open()
