"""Passwords are proved as other clients prove them, and never said to who should not hear them."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymysql import _auth as other

from covet_mysql._protocol._authentication import (
    PLUGINS,
    ROUNDS,
    SALT_BYTES,
    Authentication,
    RefusedError,
    caching_sha2,
    ed25519,
    native,
)
from covet_mysql._protocol._packets import ProtocolError

SALT = bytes(range(1, 21))


@given(st.binary(min_size=1, max_size=80), st.binary(min_size=20, max_size=20))
def test_answers_are_those_of_another_client(password: bytes, salt: bytes) -> None:
    assert native(password, salt) == other.scramble_native_password(password, salt)
    assert caching_sha2(password, salt) == other.scramble_caching_sha2(password, salt)


@given(st.binary(max_size=80), st.binary(min_size=32, max_size=32))
def test_signatures_are_those_of_another_client(password: bytes, salt: bytes) -> None:
    assert ed25519(password, salt) == other.ed25519_password(password, salt)


def test_without_a_password_nothing_is_proved() -> None:
    assert native(b"", SALT) == caching_sha2(b"", SALT) == b""


def proof(plugin: str, *, private: bool = False) -> Authentication:
    return Authentication("secret", private=private, plugin=plugin, salt=SALT)


def test_the_servers_default_is_used_if_it_is_known() -> None:
    assert proof("caching_sha2_password").begin() == caching_sha2(b"secret", SALT)
    unknown = proof("parsec")
    assert unknown.begin() == native(b"secret", SALT)
    assert unknown.plugin == "mysql_native_password"


def test_a_user_may_be_identified_otherwise() -> None:
    one = proof("mysql_native_password")
    salt = bytes(range(20))
    assert one.answer(b"\xfecaching_sha2_password\0" + salt + b"\0") == caching_sha2(
        b"secret", salt
    )
    assert one.answer(b"\x01\x03") is None


@pytest.mark.parametrize("end", [b"", b"\0"])
@pytest.mark.parametrize("salt", [bytes(32), bytes(range(1, 32)) + b"\0", bytes([7] * 32)])
def test_what_is_signed_may_end_in_any_byte(salt: bytes, end: bytes) -> None:
    """One of 256 does in the byte that ends texts, and a server does not send that one besides."""
    one = proof("mysql_native_password")
    assert one.answer(b"\xfeclient_ed25519\0" + salt + end) == ed25519(b"secret", salt)


@pytest.mark.parametrize("plugin", PLUGINS)
def test_too_little_to_answer_to_is_refused(plugin: str) -> None:
    short = bytes(range(1, SALT_BYTES[plugin]))
    with pytest.raises(ProtocolError, match="too little"):
        proof("mysql_native_password").answer(b"\xfe" + plugin.encode() + b"\0" + short)


def test_the_password_itself_is_sent_to_nobody_who_could_be_another() -> None:
    public, private = proof("caching_sha2_password"), proof("caching_sha2_password", private=True)
    with pytest.raises(RefusedError, match="TLS"):
        public.answer(b"\x01\x04")
    assert private.answer(b"\x01\x04") == b"secret\0"


@pytest.mark.parametrize(
    "name", ["mysql_clear_password", "dialog", "mysql_old_password", "", "\x1b[2J"]
)
@pytest.mark.parametrize("private", [False, True])
def test_plugins_that_ask_for_the_password_are_refused(name: str, private: bool) -> None:
    with pytest.raises(RefusedError) as caught:
        proof("mysql_native_password", private=private).answer(
            b"\xfe" + name.encode() + b"\0" + SALT + b"\0"
        )
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize("packet", [b"\x01", b"\x01\x05", b"\x02", b"\x01\x03\x03"])
def test_anything_else_is_refused(packet: bytes) -> None:
    for plugin in ("mysql_native_password", "caching_sha2_password"):
        with pytest.raises(ProtocolError):
            proof(plugin, private=True).answer(packet)


def test_it_comes_to_an_end() -> None:
    one = proof("mysql_native_password")
    switch = b"\xfemysql_native_password\0" + SALT + b"\0"
    for _ in range(ROUNDS):
        assert one.answer(switch)
    with pytest.raises(ProtocolError, match="end"):
        one.answer(switch)


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nacl", None)
    with pytest.raises(RefusedError, match=r"covet-mysql\[ed25519\]"):
        ed25519(b"secret", SALT)
