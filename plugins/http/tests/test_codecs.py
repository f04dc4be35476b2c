"""JSON, MessagePack and codecs of one's own: chosen by Content-Type and Accept."""

from __future__ import annotations

import json
import math
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import msgpack
from pydantic import BaseModel, ConfigDict

import covet_http as http
from covet_http._codecs import Codecs
from covet_kernel import ConfigurationError
from covet_operations import Conflict, Parsed

CALLED: list[Any] = []
PACKED = "application/vnd.msgpack"


class Book(BaseModel):
    model_config = ConfigDict(extra="forbid")
    id: int
    title: str
    when: datetime = datetime(2026, 1, 2, tzinfo=UTC)
    cover: bytes = b""
    price: float = 1.5


class Line(msgspec.Struct):
    book_id: int


@http.post("/books", status=201)
async def add(book: Book) -> Book:
    CALLED.append(book)
    if book.id == 409:
        raise Conflict("taken")
    return book


@http.put("/books/{id}")
async def put(id: int, title: str, note: str | None = None) -> list[Any]:
    return [id, title, note]


@http.get("/books/{id}")
async def get(id: int) -> dict[str, Any]:
    return {"id": id}


@http.post("/lines")
async def line(line: Line) -> list[Line]:
    return [line]


@http.post("/any")
async def anything(value: Annotated[Any, http.Body()]) -> str:
    CALLED.append(value)
    return type(value).__name__


@http.post("/nothing")
async def nothing(value: Annotated[int | None, http.Body()] = None) -> None:
    CALLED.append(value)


@http.get("/stream")
async def stream() -> AsyncIterator[int]:
    yield 1


@http.put("/raw")
async def raw(data: bytes) -> int:
    return len(data)


FUNCTIONS = (add, put, get, line, anything, nothing, stream, raw)


@pytest.fixture(autouse=True)
def _nothing_called() -> None:
    CALLED.clear()


async def test_message_pack_both_ways(web: Any) -> None:
    async with web.serving(*FUNCTIONS, http={"message_pack": True}) as service:
        async with service.connect() as client:

            async def ask(
                path: str,
                value: Any,
                *,
                kind: str = PACKED,
                accept: str = PACKED,
                method: str = "POST",
            ) -> Any:
                headers = {"Content-Type": kind, "Accept": accept}
                body = value if isinstance(value, bytes) else msgpack.encode(value)
                return await client.ask(method, path, body=body, headers=headers)

            answer = await ask("/books", {"id": 1, "title": "ü", "cover": b"\x01\x02"})
            assert (answer.status, answer.headers["content-type"]) == (201, PACKED)
            assert answer.headers["vary"] == "accept"
            assert CALLED[-1].cover == b"\x01\x02"
            assert msgpack.decode(answer.body) == {
                "id": 1, "title": "ü", "when": "2026-01-02T00:00:00Z", "cover": "\x01\x02", "price": 1.5,
            }  # fmt: skip
            for kind in ("application/msgpack", "Application/X-MsgPack; a=b"):
                answer = await ask("/books", {"id": 1, "title": "t"}, kind=kind, accept="*/*")
                assert answer.headers["content-type"] == "application/json"
                assert answer.headers["vary"] == "accept"
                assert answer.json["title"] == "t"
            for kind in ("application/msgpack", "application/x-msgpack"):
                answer = await client.ask("GET", "/books/5", headers={"Accept": kind})
                assert (answer.status, answer.headers["content-type"]) == (200, kind)
                assert msgpack.decode(answer.body) == {"id": 5}
            several = {"Accept": f"application/msgpack;q=0.9, {PACKED}, */*;q=0.1"}
            answer = await client.ask("GET", "/books/5", headers=several)
            assert answer.headers["content-type"] == PACKED
            answer = await ask(
                "/books", {"id": 1, "title": "t", "when": datetime(2025, 1, 1, tzinfo=UTC)}
            )
            assert msgpack.decode(answer.body)["when"] == "2025-01-01T00:00:00Z"
            answer = await ask("/books/7", {"title": "t"}, method="PUT")
            assert msgpack.decode(answer.body) == [7, "t", None]
            answer = await ask("/lines", {"book_id": 3})
            assert msgpack.decode(answer.body) == [{"book_id": 3}]
            answer = await client.ask("GET", "/books/5", headers={"Accept": PACKED})
            assert msgpack.decode(answer.body) == {"id": 5}
            answer = await client.ask("HEAD", "/books/5", headers={"Accept": PACKED})
            assert (answer.headers["content-type"], answer.headers["content-length"]) == (
                PACKED,
                "5",
            )
            await client.send(
                b"GET /books/5 HTTP/1.1\r\nHost: a\r\nAccept: text/html\r\naccept: "
                + PACKED.encode()
                + b"\r\n\r\n"
            )
            assert (await client.answer()).headers["content-type"] == PACKED

            # What goes wrong is a problem document whatever is accepted.
            answer = await ask("/books", {"id": "x"})
            assert (answer.status, answer.headers["content-type"]) == (
                422,
                "application/problem+json",
            )
            assert [fault["loc"] for fault in answer.json["errors"]] == [
                ["body", "id"],
                ["body", "title"],
            ]
            assert answer.headers["vary"] == "accept"
            answer = await ask("/books", {"id": 409, "title": "t"})
            assert (answer.status, answer.json["code"]) == (409, "conflict")

            # Where there is no choice, nothing varies.
            answer = await ask("/nothing", 5)
            assert (answer.status, "vary" in answer.headers, CALLED[-1]) == (204, False, 5)
            answer = await client.ask("GET", "/stream", headers={"Accept": "text/html"})
            assert (answer.status, "vary" in answer.headers) == (200, False)
            answer = await client.ask("POST", "/nothing")
            assert (answer.status, CALLED[-1]) == (204, None)


async def test_nothing_that_fits_is_406_and_never_called(web: Any) -> None:
    async with web.serving(*FUNCTIONS, http={"message_pack": True}) as service:
        async with service.connect() as client:
            for accept in ("text/html", "application/json;q=0", "nonsense"):
                answer = await client.ask(
                    "POST", "/books", json={"id": 1, "title": "t"}, headers={"Accept": accept}
                )
                assert (answer.status, answer.json["code"]) == (406, "not-acceptable")
                assert answer.json["detail"] == f"answers come as application/json or {PACKED}"
            answer = await client.ask("GET", "/books/1", headers={"Accept": "a/b," * 100})
            assert answer.status == 400
    assert CALLED == []


async def test_with_json_alone_accept_is_not_looked_at(web: Any) -> None:
    async with web.serving(*FUNCTIONS) as service, service.connect() as client:
        answer = await client.ask("GET", "/books/1", headers={"Accept": "text/html"})
        assert (answer.status, "vary" in answer.headers) == (200, False)
        answer = await client.ask("POST", "/books", body=b"\x80", headers={"Content-Type": PACKED})
        assert answer.status == 415


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"\xc1", 400),
        (b"\x01\x02", 400),
        (b"\xa1\xff", 400),
        (b"\xd4\x05\x00", 400),
        (b"\xdd\xff\xff\xff\xff", 400),
        (b"\xdf\xff\xff\xff\xff\x01", 400),
        (b"\xc6\xff\xff\xff\xff", 400),
        (b"\x91" * 500_000, 400),
        (b"\x81\xa1a" * 200_000, 400),
        (msgpack.encode({1: 2}), 200),
        (msgpack.encode(math.nan), 422),
        (msgpack.encode([{"a": math.inf}]), 422),
        (msgpack.encode(2**64 - 1), 200),
    ],
)
async def test_broken_message_pack(entry: Any, body: bytes, status: int) -> None:
    # bad input 41, in another encoding
    async with entry.serving(*FUNCTIONS, http={"message_pack": True}) as service:
        answer = await service.ask("POST", "/any", body=body, headers={"Content-Type": PACKED})
    assert answer.status == status, answer.body
    assert len(CALLED) == (status == 200)


class Lines:
    """A codec of somebody's own."""

    media_types = ("text/x-lines", "text/lines")

    def decode(self, data: bytes) -> Any:
        try:
            return dict(line.split("=", 1) for line in data.decode().splitlines())
        except ValueError:
            raise ValueError("no lines of names and values") from None

    def encode(self, value: Any) -> bytes:
        return "".join(f"{name}={each}\n" for name, each in value.items()).encode()


async def test_a_codec_of_ones_own(web: Any) -> None:
    codecs = {"site": web.plugin_of(covet_http_codecs=lambda self: [Lines()])}
    async with web.serving(*FUNCTIONS, plugins=codecs) as service, service.connect() as client:
        headers = {"Content-Type": "text/lines", "Accept": "text/x-lines"}
        answer = await client.ask("POST", "/books", body=b"id=7\ntitle=Emma\n", headers=headers)
        assert answer.headers["content-type"] == "text/x-lines"
        assert answer.body.startswith(b"id=7\ntitle=Emma\nwhen=2026")
        answer = await client.ask("POST", "/books", body=b"id\n", headers=headers)
        assert (answer.status, answer.json["detail"]) == (
            400,
            "the body is no lines of names and values",
        )
        answer = await client.ask(
            "POST", "/books", body=b"id=7\n", headers={**headers, "Content-Type": "text/plain"}
        )
        assert answer.status == 415
        assert "application/json or text/x-lines or text/lines" in answer.json["detail"]


class Nameless:
    media_types: tuple[str, ...] = ()
    decode = encode = print


class Json(Lines):
    media_types = ("application/json",)


class Upper(Lines):
    media_types = ("text/Lines",)


@pytest.mark.parametrize(
    ("codecs", "says"),
    [
        ([object()], "which is no MediaCodec"),
        ([Nameless()], "that has to be one media type"),
        ([Upper()], "that has to be one media type"),
        ([Json()], "covet-http and shop both register 'application/json'"),
        ([Lines(), Lines()], "both register 'text/x-lines'"),
    ],
)
def test_what_is_no_codec_is_refused(codecs: Any, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says) as caught:
        Codecs([("shop", codec) for codec in codecs])
    assert caught.value.code == "COVET-HTTP-CODEC"


def test_a_library_that_is_not_installed_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr("covet_http._codecs.import_module", missing)
    with pytest.raises(ConfigurationError) as caught:
        http.MessagePack()
    assert caught.value.code == "COVET-HTTP-CODEC"
    assert "covet-http[msgpack]" in caught.value.fix


DATA = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=10,
)  # fmt: skip


@given(DATA)
def test_data_comes_back(data: Any) -> None:
    codec = http.MessagePack()
    assert codec.decode(codec.encode(data)) == data


@given(st.binary(max_size=40))
def test_any_bytes_are_data_or_a_value_error(data: bytes) -> None:
    try:
        http.MessagePack().decode(data)
    except ValueError as error:
        assert str(error).startswith("no MessagePack")


def test_documents_that_are_parsed_are_taken_as_they_are() -> None:
    assert Codecs().decode(http.MessagePack(), b"\x81\xa1a\x01").value == {"a": 1}
    assert isinstance(Parsed(json.loads("[]")).value, list)
