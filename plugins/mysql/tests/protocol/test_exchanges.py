"""Answers are understood message by message; what has no place in one is an error, and nothing else."""

from __future__ import annotations

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from covet_mysql._protocol import _constants as c
from covet_mysql._protocol._answers import Failure, done, failure
from covet_mysql._protocol._columns import MOST, Column, column
from covet_mysql._protocol._exchanges import (
    Command,
    Exchange,
    Fetch,
    Prepare,
    Prepared,
    Result,
    TooLargeError,
)
from covet_mysql._protocol._fields import length_of, sized
from covet_mysql._protocol._handshake import greeting, login, tls_request
from covet_mysql._protocol._packets import ProtocolError


def ok(changed: int = 0, status: int = 2, first: int = c.OK) -> bytes:
    return bytes((first,)) + length_of(changed) + length_of(0) + struct.pack("<HH", status, 0)


def end(status: int = 2) -> bytes:
    return ok(0, status, c.END)


def refused(code: int = 1062, state: str = "23000", message: str = "no") -> bytes:
    return b"\xff" + code.to_bytes(2, "little") + b"#" + state.encode() + message.encode()


def definition(
    name: str, kind: int = c.LONG, *, charset: int = 45, flags: int = 0, more: bytes | None = None
) -> bytes:
    texts = b"".join(sized(each) for each in (b"def", b"db", b"t", b"t", name.encode(), b"o"))
    if more is not None:
        texts += sized(more)
    return texts + b"\x0c" + struct.pack("<HIBHBH", charset, 11, kind, flags, 0, 0)


def result(*, cached: bool = True, known: tuple[str, ...] = (), largest: int = 10_000) -> Result:
    prepared = Prepared()
    if known:
        asked = Prepare(b"", extended=False)
        asked.feed(b"\0" + struct.pack("<IHHBH", 7, len(known), 0, 0, 0))
        for name in known:
            asked.feed(definition(name))
        prepared = asked.prepared
    return Result(b"x", prepared, extended=False, cached=cached, largest=largest)


def feed(exchange: Exchange, *packets: bytes) -> list[bool]:
    return [exchange.feed(each) for each in packets]


def row(*values: int) -> bytes:
    width = (len(values) + 9) // 8
    return b"\0" + bytes(width) + b"".join(struct.pack("<i", each) for each in values)


def test_commands_have_one_answer() -> None:
    one = Command(b"x")
    assert feed(one, ok(3, status=3)) == [True]
    assert (one.changed, one.status, one.failure) == (3, 3, None)
    other = Command(b"x")
    assert feed(other, refused()) == [True]
    assert (other.failure, other.status) == (Failure(1062, "23000", "no"), None)
    for packet in (b"", b"\x01", b"\xfb", end(), b"\0"):
        with pytest.raises(ProtocolError):
            Command(b"x").feed(packet)


def test_what_is_prepared_is_described() -> None:
    asked = Prepare(b"SELECT ?", extended=True)
    assert asked.request == b"\x16SELECT ?"
    packets = [
        b"\0" + struct.pack("<IHHBH", 7, 2, 1, 0, 0),
        definition("?", more=b""),
        definition("a", c.LONGLONG, flags=c.UNSIGNED, more=b""),
        definition("b", 254, charset=63, more=b"\x01\x04json" + b"\x00\x04uuid"),
    ]
    assert feed(asked, *packets) == [False, False, False, True]
    prepared = asked.prepared
    assert (prepared.number, prepared.parameters) == (7, 1)
    assert prepared.decoder is not None
    assert prepared.decoder.columns == [
        Column("a", c.LONGLONG, unsigned=True),
        Column("b", 254, binary=True, extended="uuid"),
    ]
    nothing = Prepare(b"DO 1", extended=True)
    assert feed(nothing, b"\0" + struct.pack("<IHHBH", 8, 0, 0, 0, 0)) == [True]
    assert nothing.prepared.decoder is None
    wrong = Prepare(b"SELEKT", extended=True)
    assert feed(wrong, refused(1064, "42000")) == [True]
    assert wrong.failure is not None


def test_rows_come_with_their_columns_or_with_those_that_are_known() -> None:
    for exchange, packets in (
        (result(), [b"\x01\x01", definition("a"), row(5), row(6), end(3)]),
        (result(known=("a",)), [b"\x01\x00", row(5), row(6), end(3)]),
        (result(cached=False), [b"\x01", definition("a"), row(5), row(6), end(3)]),
    ):
        assert feed(exchange, *packets) == [False] * (len(packets) - 1) + [True]
        decoder = exchange.prepared.decoder
        assert decoder is not None
        assert [decoder.row(each) for each in exchange.rows] == [{"a": 5}, {"a": 6}]
        assert exchange.status == 3


def test_columns_that_have_changed_are_taken() -> None:
    one = result(known=("a",))
    assert feed(one, b"\x01\x01", definition("b"), row(1), end())[-1]
    assert one.prepared.decoder is not None
    assert one.prepared.decoder.columns == [Column("b", c.LONG)]


def test_of_several_results_the_first_with_rows_counts() -> None:
    one = result()
    packets = [
        ok(2, status=c.MORE_RESULTS),
        b"\x01\x01", definition("a"), row(5), end(c.MORE_RESULTS),
        b"\x02\x01", definition("b"), definition("c"), row(6, 7), end(c.MORE_RESULTS),
        ok(3, status=2 | c.STATE_CHANGED),
    ]  # fmt: skip
    assert feed(one, *packets) == [False] * 10 + [True]
    decoder = one.prepared.decoder
    assert decoder is not None
    assert [decoder.row(each) for each in one.rows] == [{"a": 5}]
    assert (one.changed, one.stained) == (5, True)


def test_an_error_may_come_behind_rows() -> None:
    one = result(known=("a",))
    assert feed(one, b"\x01\x00", row(5), refused(1317, "70100")) == [False, False, True]
    assert one.failure is not None


def test_files_of_the_clients_are_never_sent() -> None:
    for exchange in (result(), result(known=("a",)), result(cached=False)):
        with pytest.raises(ProtocolError, match="file"):
            exchange.feed(b"\xfb/etc/passwd")
    with pytest.raises(ProtocolError):
        Command(b"x").feed(b"\xfb/etc/passwd")
    assert not c.WANTED & ((1 << 7) | (1 << 16))


def test_results_have_limits() -> None:
    small = result(known=("a",), largest=1000)
    small.feed(b"\x01\x00")
    with pytest.raises(TooLargeError):
        for number in range(1000):
            small.feed(row(number))
    assert len(small.rows) < 40
    for count in (0, MOST + 1):
        with pytest.raises(ProtocolError):
            result(cached=False).feed(length_of(count) if count else b"\xfe" + bytes(8))
    with pytest.raises(ProtocolError, match="columns"):
        Prepare(b"", extended=False).feed(b"\0" + struct.pack("<IHHBH", 7, MOST + 1, 0, 0, 0))


def test_columns_that_nobody_has_said_are_an_error() -> None:
    for one in (result(), result(known=("a", "b"))):
        with pytest.raises(ProtocolError, match="not known"):
            one.feed(b"\x01\x00")


def test_a_cursors_rows_come_by_and_by() -> None:
    prepared = result(known=("a",)).prepared
    fetch = Fetch(prepared, 16, largest=1000)
    assert fetch.request == b"\x1c" + struct.pack("<II", 7, 16)
    assert feed(fetch, row(1), row(2), end(c.LAST_ROW_SENT)) == [False, False, True]
    assert fetch.status == c.LAST_ROW_SENT


KINDS = [
    lambda: Command(b"x"),
    lambda: Prepare(b"x", extended=True),
    lambda: Prepare(b"x", extended=False),
    result,
    lambda: result(known=("a",)),
    lambda: result(cached=False),
    lambda: Fetch(result(known=("a",)).prepared, 1, largest=1000),
]
PIECES = st.sampled_from(
    [ok(), end(), refused(), definition("a"), row(1), b"\x01\x01", b"\x01\x00", b"\xfb", b""]
) | st.binary(max_size=60)


@given(st.sampled_from(KINDS), st.lists(PIECES, max_size=8))
def test_whatever_comes_is_taken_or_refused(make: object, packets: list[bytes]) -> None:
    exchange = make()  # type: ignore[operator]
    try:
        for each in packets:
            if exchange.feed(each):
                break
    except ProtocolError:
        pass


@given(st.binary(max_size=100))
def test_parts_of_answers_are_taken_or_refused(data: bytes) -> None:
    for parse in (
        done,
        failure,
        greeting,
        lambda packet: column(packet, extended=True),
        lambda packet: column(packet, extended=False),
        lambda packet: greeting(b"\x0a" + packet),
    ):
        with contextlib.suppress(ProtocolError):
            parse(data)


def hello(version: bytes, capabilities: int, plugin: bytes = b"mysql_native_password") -> bytes:
    return (
        b"\x0a" + version + b"\0" + struct.pack("<I", 99) + b"saltsalt" + b"\0"
        + struct.pack("<HBHHB", capabilities & 0xFFFF, 45, 2, capabilities >> 16 & 0xFFFF, 21)
        + bytes(6) + struct.pack("<I", capabilities >> 32) + b"twelve.bytes" + b"\0" + plugin + b"\0"
    )  # fmt: skip


def test_a_greeting_says_what_the_server_is() -> None:
    found = greeting(hello(b"5.5.5-10.11.19-MariaDB", c.WANTED))
    assert (found.version, found.thread, found.mariadb) == ("10.11.19-MariaDB", 99, True)
    assert found.capabilities & c.WANTED == c.WANTED
    assert found.salt == b"saltsalttwelve.bytes"
    assert found.plugin == "mysql_native_password"
    other = greeting(hello(b"8.4.0", c.WANTED | c.LONG_PASSWORD, b"caching_sha2_password"))
    assert not other.mariadb
    assert not other.capabilities & c.CACHE_METADATA


def test_a_login_says_who_the_client_is() -> None:
    sent = login(c.WANTED, "me", b"proof", "shop", "mysql_native_password", "covet")
    assert sent[:4] == ((c.WANTED | c.CONNECT_WITH_DB) & 0xFFFFFFFF).to_bytes(4, "little")
    assert sent[32:] == (
        b"me\0" + sized(b"proof") + b"shop\0" + b"mysql_native_password\0"
        + sized(b"\x0c_client_name\x0bcovet-mysql\x0cprogram_name\x05covet")
    )  # fmt: skip
    plain = c.WANTED & ~c.CONNECT_ATTRS
    assert login(plain, "me", b"", "", "p", "covet")[32:] == b"me\0\0p\0"
    assert len(tls_request(c.WANTED)) == 32
    assert b"me" not in tls_request(c.WANTED)


@pytest.mark.parametrize(
    ("packet", "found"),
    [
        (refused(1045, "28000", "no"), Failure(1045, "28000", "no")),
        (b"\xff\x10\x04Too many connections", Failure(1040, "HY000", "Too many connections")),
        (b"\xff\x10\x04#\0\0\0\0\0x", Failure(1040, "HY000", "x")),
        (refused(1, "HY000", "x" * 5000), Failure(1, "HY000", "x" * 2000)),
    ],
)
def test_errors(packet: bytes, found: Failure) -> None:
    assert failure(packet) == found
