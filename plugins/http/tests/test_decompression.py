"""Request bodies with a content coding: decoded where that is enabled, bounded, refused elsewhere."""

from __future__ import annotations

import gzip
import random
import zlib
from collections.abc import AsyncIterator
from functools import cache, partial
from typing import Annotated, Any

import anyio
import brotli
import pytest
from backports import zstd
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

import covet_http as http
from covet_http._coding import codings_of, decoded, require_end
from covet_http._problem import Malformed
from covet_kernel import ConfigurationError
from covet_operations import TooLarge

CALLED: list[Any] = []
COMPRESS = {"gzip": gzip.compress, "br": partial(brotli.compress, quality=5), "zstd": zstd.compress}
ALL = {"decompress": ["gzip", "br", "zstd"]}
JSON = "application/json"
NDJSON = "application/x-ndjson"
OCTETS = "application/octet-stream"


class Number(BaseModel):
    n: int
    note: str = ""


@http.post("/number")
async def number(given: Number) -> int:
    CALLED.append(given)
    return given.n


@http.post("/perhaps")
async def perhaps(note: str = "") -> str:
    CALLED.append(note)
    return note


@http.put("/raw")
async def raw(data: Annotated[bytes, http.Body(max_bytes=100_000)]) -> int:
    CALLED.append(len(data))
    return len(data)


@http.post("/lines")
async def lines(given: AsyncIterator[Number]) -> int:
    return sum([each.n async for each in given])


@http.post("/chunks")
async def chunks(data: Annotated[AsyncIterator[bytes], http.Body()]) -> int:
    size = 0
    async for piece in data:
        size += len(piece)
        CALLED.append(len(piece))
    return size


@http.post("/unread")
async def unread(data: Annotated[AsyncIterator[bytes], http.Body()]) -> int:
    return 0


@http.post("/form")
async def form(note: Annotated[str, http.Form()], cover: http.Upload | None = None) -> str:
    CALLED.append(note)
    return note


@http.post("/parts")
async def parts(given: http.Parts) -> int:
    return len([part async for part in given])


@http.post("/slow")
async def slow(data: Annotated[AsyncIterator[bytes], http.Body()]) -> None:
    try:
        async for piece in data:
            CALLED.append(piece)  # noqa: PERF401 - one by one, as they come
    finally:
        CALLED.append("closed")


FUNCTIONS = (number, perhaps, raw, lines, chunks, unread, form, parts, slow)


@pytest.fixture(autouse=True)
def _nothing_called() -> None:
    CALLED.clear()


@pytest.fixture(params=COMPRESS)
def coding(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def test_bodies_are_decoded(web: Any, coding: str) -> None:
    compress = COMPRESS[coding]
    async with web.serving(*FUNCTIONS, http=ALL) as service, service.connect() as client:

        async def ask(
            path: str, body: bytes, kind: str = JSON, method: str = "POST", **more: str
        ) -> Any:
            headers = {"Content-Type": kind, "Content-Encoding": coding, **more}
            return await client.ask(method, path, body=body, headers=headers)

        assert (await ask("/number", compress(b'{"n":7}'))).json == 7
        assert (
            await ask("/number", compress(b'{"n":7}'), **{"Content-Encoding": coding.upper()})
        ).json == 7
        assert (await ask("/number", b'{"n":8}', **{"Content-Encoding": "identity"})).json == 8
        assert (await ask("/perhaps", compress(b'{"note":"x"}'))).json == "x"
        assert (await ask("/perhaps", compress(b""))).json == ""
        assert (await ask("/raw", compress(b"x" * 90_000), OCTETS, "PUT")).json == 90_000
        assert (await ask("/lines", compress(b'{"n":1}\n{"n":2}\n' * 5000), NDJSON)).json == 15_000
        assert (await ask("/chunks", compress(b"x" * 300_000), OCTETS)).json == 300_000
        assert max(each for each in CALLED if isinstance(each, int)) <= 300_000
        answer = await ask("/number", compress(b'{"n":"x"}'))
        assert answer.json["errors"][0]["loc"] == ["body", "n"]


@cache
def bomb_in(coding: str) -> bytes:
    return COMPRESS[coding](b'{"n":1,"note":"' + b" " * 50_000_000 + b'"}')


async def test_bombs_are_bounded_by_what_they_decode_to(entry: Any, coding: str) -> None:
    # bad input 43
    compress, bomb = COMPRESS[coding], bomb_in(coding)
    assert len(bomb) < 100_000
    async with entry.serving(*FUNCTIONS, http=ALL) as service:

        async def ask(path: str, body: bytes, kind: str, method: str = "POST") -> Any:
            return await service.ask(
                method, path, body=body, headers={"Content-Type": kind, "Content-Encoding": coding}
            )

        answer = await ask("/number", bomb, JSON)
        assert (answer.status, answer.json["code"]) == (413, "too-large")
        assert (await ask("/raw", compress(b"x" * 100_001), OCTETS, "PUT")).status == 413
        assert CALLED == []
        assert (await ask("/lines", bomb, NDJSON)).status == 413
        assert (await ask("/chunks", bomb, OCTETS)).status == 413
        assert max(CALLED) < 1_000_000
        assert sum(CALLED) <= 1024 * 1024 + 100 * len(bomb)
        # Nobody reads it, so nobody decodes it; and the next request is answered.
        async with service.connect() as client:
            headers = {"Content-Type": OCTETS, "Content-Encoding": coding}
            assert (await client.ask("POST", "/unread", body=bomb, headers=headers)).json == 0
            assert (await client.ask("POST", "/number", json={"n": 5})).json == 5


async def test_what_is_broken_is_400(web: Any, coding: str) -> None:
    good = COMPRESS[coding](b'{"n":7, "note": "' + bytes(range(97, 120)) * 20 + b'"}')
    async with web.serving(*FUNCTIONS, http=ALL) as service:
        for broken in (b"", b"x", good[:-1], good[:10], good + b"x", good + good, b'{"n":7}'):
            for path, kind in (("/number", JSON), ("/lines", NDJSON), ("/chunks", OCTETS)):
                answer = await service.ask(
                    "POST",
                    path,
                    body=broken,
                    headers={"Content-Type": kind, "Content-Encoding": coding},
                )
                assert answer.status == 400, (path, broken)
                assert answer.json["code"] == "malformed"


@pytest.mark.parametrize(("enabled", "accepted"), [((), "identity"), (("gzip",), "gzip, x-gzip")])
async def test_other_codings_are_415(entry: Any, enabled: tuple[str, ...], accepted: str) -> None:
    # bad input 43: nested ones too, whose bound would have to be the product
    twice = gzip.compress(gzip.compress(b'{"n":7}'))
    async with entry.serving(*FUNCTIONS, http={"decompress": enabled}) as service:
        for said in ("br", "deflate", "gzip, gzip", "gzip,identity", "nonsense"):
            for path, kind in (
                ("/number", JSON),
                ("/lines", NDJSON),
                ("/chunks", OCTETS),
                ("/perhaps", JSON),
            ):
                answer = await service.ask(
                    "POST",
                    path,
                    body=twice,
                    headers={"Content-Type": kind, "Content-Encoding": said},
                )
                assert answer.status == 415
                assert answer.headers["accept-encoding"] == accepted
        async with service.connect() as client:
            line = b"Content-Encoding: gzip\r\n"
            await client.send(
                b"POST /number HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: %d\r\n%b%b\r\n%b"
                % (len(twice), line, line, twice)
            )
            assert (await client.answer()).status in (400, 415)
    assert CALLED == []


async def test_two_lines_of_content_encoding_are_refused(web: Any) -> None:
    body = gzip.compress(gzip.compress(b'{"n":7}'))
    head = b"POST /number HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"
    async with web.serving(*FUNCTIONS, http=ALL) as service, service.connect() as client:
        await client.send(head % len(body) + b"Content-Encoding: gzip\r\n" * 2 + b"\r\n" + body)
        assert (await client.answer()).status == 400
    assert CALLED == []


async def test_who_leaves_amidst_a_compressed_stream_ends_the_call(web: Any, coding: str) -> None:
    body = COMPRESS[coding](random.Random(7).randbytes(200_000))
    async with web.serving(*FUNCTIONS, http=ALL) as service:
        async with service.connect() as client:
            await client.send(
                b"POST /slow HTTP/1.1\r\nHost: a\r\nContent-Type: application/octet-stream\r\n"
                b"Content-Encoding: %b\r\nContent-Length: %d\r\n\r\n" % (coding.encode(), len(body))
            )
            await client.send(body[:150_000])
            with anyio.fail_after(5):
                while not CALLED:
                    await anyio.sleep(0.005)
        with anyio.fail_after(5):
            while CALLED[-1] != "closed":
                await anyio.sleep(0.005)
        assert (await service.ask("POST", "/number", json={"n": 5})).json == 5
    assert 0 < sum(len(each) for each in CALLED[:-2]) <= 150_000


async def test_forms_are_never_compressed(entry: Any) -> None:
    # bad input 43
    multipart = b'--b\r\nContent-Disposition: form-data; name="note"\r\n\r\nx\r\n--b--\r\n'
    async with entry.serving(*FUNCTIONS, http=ALL) as service:
        for path, kind, body in (
            ("/form", "application/x-www-form-urlencoded", b"note=x"),
            ("/form", "multipart/form-data; boundary=b", multipart),
            ("/parts", "multipart/form-data; boundary=b", multipart),
        ):
            headers = {"Content-Type": kind}
            assert (await service.ask("POST", path, body=body, headers=headers)).status == 200
            headers["Content-Encoding"] = "gzip"
            answer = await service.ask("POST", path, body=gzip.compress(body), headers=headers)
            assert answer.status == 415, (path, kind)


async def test_pieces_of_any_size_decode_alike(web: Any, coding: str) -> None:
    text = b"".join(b'{"n":%d}\n' % n for n in range(2000))
    body = COMPRESS[coding](text)
    async with web.serving(*FUNCTIONS, http=ALL) as service, service.connect() as client:
        await client.send(
            b"POST /lines HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-ndjson\r\n"
            b"Content-Encoding: %b\r\nTransfer-Encoding: chunked\r\n\r\n" % coding.encode()
        )
        for at in range(0, len(body), 97):
            piece = body[at : at + 97]
            await client.send(b"%x\r\n%b\r\n" % (len(piece), piece))
        await client.send(b"0\r\n\r\n")
        assert (await client.answer()).json == sum(range(2000))


@given(
    st.sampled_from([*COMPRESS]),
    st.binary(max_size=300) | st.binary(max_size=3).map(lambda part: part * 30_000),
    st.integers(1, 500),
)
def test_everything_comes_back(name: str, data: bytes, step: int) -> None:
    body = COMPRESS[name](data)
    decompressor = codings_of([name])[name]()
    found = b"".join(
        part
        for at in range(0, len(body), step)
        for part in decompressor.pieces(body[at : at + step])
    )
    require_end(decompressor)
    assert found == data == decoded(codings_of([name])[name](), body, len(data))
    if data:
        with pytest.raises(TooLarge):
            decoded(codings_of([name])[name](), body, len(data) - 1)


@given(st.sampled_from([*COMPRESS]), st.binary(max_size=100))
def test_any_bytes_decode_or_are_malformed(name: str, body: bytes) -> None:
    try:
        decoded(codings_of([name])[name](), body, 10_000)
    except (Malformed, TooLarge) as error:
        assert error.detail


def test_a_window_is_no_larger_than_anybody_may_assume() -> None:
    # bad input 43: a frame that asks for 128 MB of memory
    options = {
        zstd.CompressionParameter.window_log: 27,
        zstd.CompressionParameter.content_size_flag: 0,
    }
    compressor = zstd.ZstdCompressor(options=options)
    body = compressor.compress(b"x" * 1000) + compressor.flush()
    with pytest.raises(Malformed):
        decoded(codings_of(["zstd"])["zstd"](), body, 10_000)


def test_no_piece_is_large(coding: str) -> None:
    # bad input 43: whoever counts them sees each before the next is made
    body = COMPRESS[coding](b"\0" * 20_000_000)
    decompressor = codings_of([coding])[coding]()
    assert max(len(piece) for piece in decompressor.pieces(body)) < 300_000


def test_deflate_alone_is_not_gzip() -> None:
    with pytest.raises(Malformed):
        decoded(codings_of(["gzip"])["gzip"](), zlib.compress(b"x"), 100)


def test_a_library_that_is_not_installed_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr("covet_http._coding.import_module", missing)
    assert [*codings_of(["gzip"])] == ["gzip", "x-gzip"]
    for name in ("br", "zstd"):
        with pytest.raises(ConfigurationError) as caught:
            codings_of([name])
        assert caught.value.code == "COVET-HTTP-CODING"
        assert "covet-http[compression]" in caught.value.fix
