"""Smaller answers: which coding a client gets, and that what it gets is what was meant."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import brotli
import pytest
from backports import zstd
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

import covet_http as http
from covet_http import CompressionConfig
from covet_http._rules._encodings import codings, wanted_encoding
from covet_kernel import ConfigurationError
from covet_operations import NotFound

ALL = ["zstd", "br", "gzip"]
TEXT = "all of it compresses well, " * 100
DECODE: dict[str, Callable[[bytes], bytes]] = {
    "gzip": lambda data: zlib.decompress(data, wbits=31),
    "br": brotli.decompress,
    "zstd": zstd.decompress,
}


@http.get("/text")
def text() -> str:
    return TEXT


@http.get("/huge")
async def huge() -> str:
    return TEXT * 200


@http.get("/small")
def small() -> str:
    return "little"


@http.get("/secret", compress=False)
def secret() -> str:
    return TEXT


@http.get("/tagged", etag=True)
def tagged() -> str:
    return TEXT


@http.get("/as-it-is", cache="no-transform, max-age=60")
def as_it_is() -> str:
    return TEXT


@http.get("/said/{what}")
async def said(what: str, request: http.Request) -> str:
    match what:
        case "image":
            request.response.set("Content-Type", "image/png")
        case "svg":
            request.response.set("Content-Type", "image/svg+xml; charset=utf-8")
        case "coded":
            request.response.set("Content-Encoding", "br")
        case "frozen":
            request.response.set("Cache-Control", "private, No-Transform")
        case "missing":
            raise NotFound(TEXT)
    return TEXT


@http.get("/lines")
async def lines(fail: int = 0, number: int = 3) -> AsyncIterator[str]:
    for index in range(1, number + 1):
        if index == fail:
            raise NotFound
        yield f"{index}: {TEXT}"


@http.get("/events")
async def events() -> AsyncIterator[http.Event]:
    yield http.Event(TEXT)


@http.get("/file")
async def file(path: str) -> http.File:
    return http.File(path)


OPERATIONS = (text, huge, small, secret, tagged, as_it_is, said, lines, events, file)


def serving(web: Any, **config: Any) -> Any:
    return web.serving(*OPERATIONS, http={"compression": {"encodings": ALL, **config}})


def accept(coding: str) -> dict[str, str]:
    return {"Accept-Encoding": coding}


async def test_answers_are_compressed(web: Any) -> None:
    async with serving(web) as service, service.connect() as client:
        plain = await client.ask("GET", "/text")
        assert (plain.json, plain.headers.get("content-encoding")) == (TEXT, None)
        assert plain.headers["vary"] == "accept-encoding"
        for coding in ALL:
            for target in ("/text", "/huge"):
                answer = await client.ask("GET", target, headers=accept(coding))
                assert answer.headers["content-encoding"] == coding
                assert answer.headers["vary"] == "accept-encoding"
                assert answer.headers["content-type"] == "application/json"
                meant = b'"%b"' % (TEXT * (200 if target == "/huge" else 1)).encode()
                assert DECODE[coding](answer.body) == meant
                assert len(answer.body) < len(meant) / 5
                head = await client.ask("HEAD", target, headers=accept(coding))
                assert head.headers["content-encoding"] == coding
                assert head.headers["content-length"] == str(len(answer.body))


@pytest.mark.parametrize(
    "target",
    ["/small", "/secret", "/as-it-is", "/said/image", "/said/frozen", "/said/missing", "/none"],
)
async def test_some_are_not(web: Any, target: str) -> None:
    async with serving(web) as service:
        answer = await service.ask("GET", target, headers=accept("gzip"))
        svg = await service.ask("GET", "/said/svg", headers=accept("gzip"))
        coded = await service.ask("GET", "/said/coded", headers=accept("gzip"))
    assert "content-encoding" not in answer.headers
    assert svg.headers["content-encoding"] == "gzip"
    assert (coded.headers["content-encoding"], coded.json) == ("br", TEXT)


async def test_nothing_is_unless_it_is_asked_for(web: Any) -> None:
    async with web.serving(*OPERATIONS) as service:
        answer = await service.ask("GET", "/text", headers=accept("gzip"))
    assert "content-encoding" not in answer.headers
    assert "vary" not in answer.headers


async def test_what_is_sent_another_way_is_sent_as_it_is(web: Any, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text(TEXT * 100)
    (tmp_path / "short.txt").write_text(TEXT)
    async with serving(web) as service:
        # Comments that keep it alive come from the server.
        stream = await service.ask("GET", "/events", headers=accept("gzip"))
        whole = await service.ask("GET", f"/file?path={tmp_path}/notes.txt", headers=accept("gzip"))
        short = await service.ask("GET", f"/file?path={tmp_path}/short.txt", headers=accept("gzip"))
    assert "content-encoding" not in stream.headers
    assert TEXT.encode() in stream.body
    assert "content-encoding" not in whole.headers
    assert whole.body == TEXT.encode() * 100
    assert "content-encoding" not in short.headers
    assert short.body == TEXT.encode()


async def test_tags_are_of_what_is_meant(web: Any) -> None:
    async with serving(web) as service, service.connect() as client:
        plain = (await client.ask("GET", "/tagged")).headers["etag"]
        coded = (await client.ask("GET", "/tagged", headers=accept("gzip"))).headers["etag"]
        assert coded == f"W/{plain}"
        await client.send(
            f"GET /tagged HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\nIf-None-Match: {coded}\r\n\r\n".encode()
        )
        answer = await client.answer("HEAD")
    assert answer.status == 304
    assert "content-encoding" not in answer.headers


@pytest.mark.parametrize("coding", ALL)
async def test_each_item_of_a_stream_arrives_by_itself(web: Any, coding: str) -> None:
    decoder: Any = {
        "gzip": lambda: zlib.decompressobj(wbits=31),
        "br": lambda: SimpleNamespace(decompress=brotli.Decompressor().process),
        "zstd": zstd.ZstdDecompressor,
    }[coding]()
    release = anyio.Event()

    @http.get("/slow")
    async def slow() -> AsyncIterator[str]:
        yield "first"
        await release.wait()
        yield "second"

    async with web.serving(slow, http={"compression": {"encodings": [coding]}}) as service:
        async with service.connect() as client:
            head = f"GET /slow HTTP/1.1\r\nHost: a\r\nAccept-Encoding: {coding}\r\n\r\n"
            await client.send(head.encode())
            data, found = b"", b""
            while b"\r\n\r\n" not in data:
                data += await client.stream.receive()
            head, _, data = data.decode("latin-1").partition("\r\n\r\n")
            assert f"content-encoding: {coding}" in head
            chunks = data.encode("latin-1")
            while b"first" not in found:
                while (piece := chunk(chunks)) is None:
                    chunks += await client.stream.receive()
                chunks = chunks[piece[1] :]
                found += decoder.decompress(piece[0])
            assert found == b'"first"\n'
            release.set()
            while piece is None or piece[0]:
                while (piece := chunk(chunks)) is None:
                    chunks += await client.stream.receive()
                chunks = chunks[piece[1] :]
                found += decoder.decompress(piece[0]) if piece[0] else b""
            assert found == b'"first"\n"second"\n'


def chunk(data: bytes) -> tuple[bytes, int] | None:
    line, end, rest = data.partition(b"\r\n")
    if not end or len(rest) < int(line, 16) + 2:
        return None
    size = int(line, 16)
    return rest[:size], len(line) + 2 + size + 2


async def test_streams_end_well_or_visibly_not(web: Any) -> None:
    async with serving(web) as service:
        whole = await service.ask("GET", "/lines", headers=accept("gzip"))
        empty = await service.ask("GET", "/lines?number=0", headers=accept("gzip"))
        failed = await service.ask("GET", "/lines?fail=1", headers=accept("gzip"))
        head = await service.ask("HEAD", "/lines", headers=accept("gzip"))
        async with service.connect() as client:
            await client.send(
                b"GET /lines?fail=2 HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n"
            )
            cut = await client.until_closed()
    assert DECODE["gzip"](whole.body).count(b"\n") == 3
    assert (empty.status, empty.body) == (200, b"")
    assert (failed.status, failed.json["code"]) == (404, "not-found")
    assert "content-encoding" not in failed.headers
    assert head.headers["content-encoding"] == "gzip"
    assert not cut.endswith(b"0\r\n\r\n")


@pytest.mark.parametrize(
    ("line", "chosen"),
    [
        ("gzip", "gzip"),
        ("GZIP", "gzip"),
        ("x-gzip", "gzip"),
        ("gzip, deflate, br, zstd", "zstd"),
        ("gzip;q=1.0, br;q=0.5, zstd;q=0", "gzip"),
        ("br;q=0.001", "br"),
        ("*", "zstd"),
        ("*;q=0.5, zstd;q=0", "br"),
        ("gzip;q=0.5, identity", ""),
        ("gzip;q=0.5, identity;q=0.5", "gzip"),
        ("identity;q=0, gzip", "gzip"),
        ("gzip;q=0", ""),
        ("deflate", ""),
        ("", ""),
        (" , gzip ;q=0.8,, ", "gzip"),
        ("gzip\t;\tQ=0.8", "gzip"),
        ("gzip;q=2", ""),
        ("gzip;q=0.1234", ""),
        ("gzip;q=-1", ""),
        ("gzip;level=9", ""),
        ("gz ip", ""),
        ("gzip;q=0, gzip", "gzip"),
        ("a," * 40 + "gzip", ""),
        ("gzip" + " " * 2000, ""),
    ],
)
def test_what_a_client_wants(line: str, chosen: str) -> None:
    assert wanted_encoding(line.encode(), (b"zstd", b"br", b"gzip")) == chosen.encode()


@given(st.binary(max_size=60))
def test_nothing_it_says_makes_it_fail(line: bytes) -> None:
    assert wanted_encoding(line, (b"br", b"gzip")) in (b"", b"br", b"gzip")


@given(st.sampled_from(ALL), st.lists(st.binary(max_size=200), max_size=6))
def test_what_is_compressed_can_be_restored(name: str, items: list[bytes]) -> None:
    coding = codings({name: 1})[name.encode()]
    stream = coding.stream()
    made = b"".join(stream.item(item) for item in items) + stream.end()
    assert DECODE[name](made) == b"".join(items)
    assert DECODE[name](coding.whole(b"".join(items))) == b"".join(items)


def test_a_library_that_is_missing_is_told_of_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr("covet_http._rules._encodings.import_module", missing)
    assert list(codings({"gzip": 5})) == [b"gzip"]
    for name in ("br", "zstd"):
        with pytest.raises(ConfigurationError) as caught:
            codings({name: 3})
        assert caught.value.code == "COVET-HTTP-ENCODING"


@pytest.mark.parametrize(
    "wrong", [{"encodings": []}, {"encodings": ["gzip", "gzip"]}, {"encodings": ["deflate"]}]
)
def test_what_cannot_be_meant_is_refused(wrong: Any) -> None:
    with pytest.raises(ValidationError):
        CompressionConfig(**wrong)
