"""The native library: that it loads, that Python's picture of it is right, and what is said if not."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import get_type_hints

import pytest

from covet_engine import Engine, EngineConfig, _floods, _library, _tls
from covet_engine._asgi import _REQUEST
from covet_engine._config import native_options
from covet_engine._core import EVENT, REPLY, Flag, Gone, Kind
from covet_engine._library import load
from covet_http import ServerOptions, TlsConfig
from covet_kernel import ConfigurationError

STUB = Path(_library.__file__).with_name("_native.pyi")


@pytest.fixture
def unloaded() -> Iterator[None]:
    """As if nothing had been loaded yet; afterwards it is loaded again."""
    load.cache_clear()
    yield
    load.cache_clear()


def described() -> tuple[set[str], set[str]]:
    """Constants and functions that the stub promises."""
    body = ast.parse(STUB.read_text("utf-8")).body
    (lib,) = [node for node in body if isinstance(node, ast.ClassDef) and node.name == "Lib"]
    constants = {ast.unparse(node.target) for node in lib.body if isinstance(node, ast.AnnAssign)}
    return constants, {node.name for node in lib.body if isinstance(node, ast.FunctionDef)}


def test_the_stub_describes_the_library() -> None:
    lib = load().lib
    constants, functions = described()
    assert constants | functions == {name for name in dir(lib) if not name.startswith("_")}
    assert all(isinstance(getattr(lib, name), int) for name in constants)
    assert all(callable(getattr(lib, name)) for name in functions)


def test_python_unpacks_what_c_packs() -> None:
    ffi = load().ffi
    assert ffi.sizeof("cv_event") == EVENT.size
    assert ffi.sizeof("cv_reply") == REPLY.size
    assert ffi.sizeof("cv_request") == _REQUEST.size
    request = ffi.new("cv_request *")
    values = {
        "head": 1, "head_size": 2, "body": 3, "body_size": 4,
        "method_at": 5, "method_size": 6, "target_at": 7, "target_size": 8,
        "path_at": 9, "path_size": 10, "query_at": 11, "query_size": 12,
        "head_flags": 13, "minor": 14, "port": 15, "family": 16, "listener": 17,
    }  # fmt: skip
    for name, value in values.items():
        setattr(request, name, value)
    request.peer = bytes(range(16))
    expected = (*values.values(), bytes(range(16)))
    assert _REQUEST.unpack(bytes(ffi.buffer(request))) == expected


def test_the_numbers_of_kinds_and_flags_are_the_librarys() -> None:
    lib = load().lib
    for kind in Kind:
        assert getattr(lib, f"CV_{kind.name}") == kind
    for flag in Flag:
        assert getattr(lib, f"CV_{flag.name}") == flag
    for gone in Gone:
        assert getattr(lib, f"CV_GONE_{gone.name}") == gone


def test_every_flood_has_words() -> None:
    lib = load().lib
    numbers = sorted(getattr(lib, name) for name in dir(lib) if name.startswith("CV_FLOOD_"))
    assert numbers == [*range(len(_floods._WHY))]


def test_the_numbers_of_tls_are_the_librarys() -> None:
    lib = load().lib
    assert {number: number for number in _tls._WHICH} == {
        -1: lib.CV_TLS_BAD_CERTIFICATE,
        -2: lib.CV_TLS_BAD_KEY,
        -3: lib.CV_TLS_BAD_OCSP,
    }
    for kind, name in _tls._ALTERNATIVES.items():
        assert getattr(lib, f"CV_CERTIFICATE_{name.upper()}") == kind
    for name in ("DER", "SERIAL", "NOT_AFTER", "ADDRESS"):
        assert getattr(lib, f"CV_CERTIFICATE_{name}") == getattr(_tls, f"_{name}")
    for name in ("SUBJECT", "ISSUER"):
        first, joined = getattr(_tls, f"_{name}")
        assert getattr(lib, f"CV_CERTIFICATE_{name}") == first
        assert getattr(lib, f"CV_CERTIFICATE_{name}_TOO") == joined


def test_it_is_loaded_once() -> None:
    assert load() is load()
    assert Engine.unusable() == ""


def test_where_there_is_neither_epoll_nor_kqueue_it_cannot_be_used(
    unloaded: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(ConfigurationError, match="epoll or kqueue, and this is win32") as raised:
        load()
    assert raised.value.code == "COVET-ENGINE-LIBRARY"
    assert Engine.unusable() == "the native engine needs epoll or kqueue, and this is win32"


def test_a_library_that_does_not_load_is_explained(
    unloaded: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "covet_engine._native", None)
    with pytest.raises(ConfigurationError, match="library cannot be loaded: ") as raised:
        load()
    assert raised.value.code == "COVET-ENGINE-LIBRARY"
    assert "compiler" in raised.value.fix
    assert "cannot be loaded" in Engine.unusable()


def test_every_option_of_the_library_is_set() -> None:
    """From the key or the server's option of its name; both have a value of their own for each."""
    library = load()
    keys = {
        "access_log": True,
        "max_in_flight": 11,
        "max_pipelined": 12,
        "max_fields": 13,
        "max_chunk_overhead": 1400,
        "header_timeout": 1.5,
        "high_water": 15_000,
        "low_water": 160,
        "block_size": 17_000,
        "arena_size": 18_000_000,
        "work": 19,
        "http2": True,
        "max_streams": 21,
        "max_files": 20,
        "max_unread": 20,
        "compress_keeps_out": True,
        "compress_keeps_in": True,
        "compress_bits_out": 9,
        "compress_bits_in": 10,
        "compress_level": 3,
        "compress_memory": 2,
    }
    assert keys.keys() == EngineConfig.model_fields.keys()
    types = get_type_hints(ServerOptions, localns={"TlsConfig": TlsConfig})
    names = {name: types[name] for name in ServerOptions._fields if name != "tls"}
    sizes = {name: 2_100 + i for i, name in enumerate(names) if names[name] is int}
    options = sizes | {name: 2.1 + i for i, name in enumerate(names) if names[name] is float}
    assert options.keys() == names.keys()
    native = native_options(library, EngineConfig.model_validate(keys), ServerOptions(**options))
    options["idle_timeout"] = options["keep_alive_timeout"]
    expected = keys | options
    found = {name for name, _ in library.ffi.typeof("cv_options").fields}
    assert found - expected.keys() == {"body_patience"}  # the library's own business
    assert {name: getattr(native, name) for name in found & expected.keys()} == {
        name: expected[name] for name in found & expected.keys()
    }


def test_options_beyond_what_the_library_can_count_are_cut() -> None:
    options = ServerOptions(max_header_bytes=10**9, max_connections=10**12, keep_alive_timeout=0.5)
    native = native_options(load(), EngineConfig(), options)
    assert native.max_header_bytes == 65_535
    assert native.max_connections == 2**31
    assert native.header_timeout == 0.5


@pytest.mark.parametrize(
    "wrong",
    [
        {"low_water": 70_000},
        {"arena_size": 2**20, "block_size": 2**18},
        {"max_in_flight": 0},
        {"high_water": 0},
        {"header_timeout": 0.0},
        {"arena_size": 2**33},
    ],
)
def test_options_that_make_no_sense_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        EngineConfig.model_validate(wrong)
