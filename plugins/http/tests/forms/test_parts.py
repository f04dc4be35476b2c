"""Forms that are handled as they arrive."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

import covet_http as http


@http.post("/all")
async def everything(parts: http.Parts, sum: bool = False) -> list[Any]:
    found: list[Any] = []
    async for part in parts:
        content = await part.read() if part.filename is None else b""
        size = len(content)
        async for piece in part:
            size += len(piece)
        found.append([part.name, part.filename, part.content_type, content.decode(), size])
    return [size for *_, size in found] if sum else found


@http.post("/names")
async def names(parts: http.Parts) -> list[str]:
    return [part.name async for part in parts]


@http.post("/first")
async def first(parts: http.Parts) -> str:
    async for part in parts:
        return await part.text()
    return ""


@http.post("/limited")
async def limited(parts: http.Parts) -> int:
    with pytest.raises(ValueError):
        parts.limited(max_files=-1)
    size = 0
    parts = parts.limited(max_form_bytes=200_000, max_file_bytes=150_000, max_files=2)
    async for part in parts:
        with pytest.raises(RuntimeError):
            parts.limited(max_files=3)
        async for piece in part:
            size += len(piece)
    return size


FUNCTIONS = (everything, names, first)
PARTS = [("a", "1"), ("b", b"x" * 100_000, "f.bin", "Content-Type: a/b"), ("c", ""), ("d", "", "")]


async def test_parts(web: Any, forms: Any) -> None:
    body = forms.multipart(PARTS)
    async with web.serving(*FUNCTIONS) as service, service.connect() as client:
        answer = await client.ask("POST", "/all", body=body, headers=forms.headers)
        assert answer.json == [
            ["a", None, "", "1", 1],
            ["b", "f.bin", "a/b", "", 100_000],
            ["c", None, "", "", 0],
            ["d", "", "", "", 0],
        ]
        answer = await client.ask("POST", "/all?sum=1", body=body, headers=forms.headers)
        assert answer.json == [1, 100_000, 0, 0]
        answer = await client.ask("POST", "/names", body=body, headers=forms.headers)
        assert answer.json == ["a", "b", "c", "d"]
        answer = await client.ask("POST", "/names", body=forms.end(), headers=forms.headers)
        assert answer.json == []
        # The rest of the body is passed over, and the connection goes on.
        answer = await client.ask("POST", "/first", body=body, headers=forms.headers)
        assert answer.json == "1"
        answer = await client.ask("POST", "/names", body=body, headers=forms.headers)
        assert answer.json == ["a", "b", "c", "d"]


async def test_parts_are_there_before_the_form_is_whole(web: Any, forms: Any) -> None:
    seen = anyio.Event()
    pieces: list[bytes] = []

    @http.post("/live")
    async def live(parts: http.Parts) -> int:
        async for part in parts:
            async for piece in part:
                pieces.append(piece)
                seen.set()
        return sum(map(len, pieces))

    body = forms.multipart([("a", b"x" * 1000, "f")])
    head = f"POST /live HTTP/1.1\r\nHost: a\r\nContent-Type: {forms.headers['Content-Type']}\r\n"
    async with web.serving(live) as service, service.connect() as client:
        await client.send(head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body[:300])
        await seen.wait()
        assert 0 < len(b"".join(pieces)) < 300
        await client.send(body[300:])
        assert (await client.answer()).json == 1000


async def test_a_handler_that_does_not_ask_holds_the_client_back(web: Any, forms: Any) -> None:
    go = anyio.Event()

    @http.post("/slow")
    async def slow(parts: http.Parts) -> int:
        size = 0
        async for part in parts:
            async for piece in part:
                size += len(piece)
                await go.wait()
        return size

    total = 12_000_000
    head = f"POST /slow HTTP/1.1\r\nHost: a\r\nContent-Type: {forms.headers['Content-Type']}\r\n"
    begin = forms.part("a", b"", "f")[:-2]
    length = len(begin) + total + 2 + len(forms.end())
    sent = 0
    async with web.serving(slow) as service, service.connect() as client:

        async def send() -> None:
            nonlocal sent
            await client.send(head.encode() + b"Content-Length: %d\r\n\r\n" % length + begin)
            for _ in range(total // 100_000):
                await client.send(b"x" * 100_000)
                sent += 100_000
            await client.send(b"\r\n" + forms.end())

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(send)
            before = -1
            while before != sent:
                before = sent
                await anyio.sleep(0.2)
            # What the system's buffers hold, and no more.
            assert sent < total
            go.set()
        assert (await client.answer()).json == total


@pytest.mark.parametrize(
    ("parts", "status"),
    [
        ([("a", b"x" * 150_000, "f")], 200),
        ([("a", b"x" * 150_001, "f")], 413),
        ([("a", b"x" * 110_000, "f"), ("a", b"x" * 110_000, "f")], 413),
        ([("a", b"", "f")] * 2, 200),
        ([("a", b"", "f")] * 3, 413),
    ],
)
async def test_a_handler_sets_its_own_limits(web: Any, forms: Any, parts: Any, status: int) -> None:
    body = forms.multipart(parts)
    config = {"forms": {"max_form_bytes": 1000, "max_file_bytes": 500}}
    async with web.serving(limited, http=config) as service:
        answer = await service.ask("POST", "/limited", body=body, headers=forms.headers)
    assert answer.status == status


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"a=1", 400),
        (b"PART", 400),
        (b"PARTEND" + b"x" * 2000, 400),
        (b"PARTPARTPARTEND", 413),
        (b"PARTEND", 200),
        (b"LARGEEND", 413),
    ],
)
async def test_skipped_parts_keep_the_limits(
    entry: Any, forms: Any, body: bytes, status: int
) -> None:
    # bad input 46, 48
    for name, value in [
        (b"PART", forms.part("a", "1")),
        (b"LARGE", forms.part("a", "x" * 101)),
        (b"END", forms.end()),
    ]:
        body = body.replace(name, value)
    config = {"forms": {"max_fields": 2, "max_field_bytes": 100}}
    async with entry.serving(names, http=config) as service:
        answer = await service.ask("POST", "/names", body=body, headers=forms.headers)
        assert answer.status == status
        answer = await service.ask("POST", "/names", body=body, headers=forms.urlencoded)
        assert answer.status == 415


async def test_too_much_for_memory_and_no_text(web: Any, forms: Any) -> None:
    config = {"forms": {"max_field_bytes": 100}}
    async with web.serving(first, http=config) as service, service.connect() as client:
        for part, status in [
            (("a", b"x" * 100, "f"), 200),
            (("a", b"x" * 101, "f"), 413),
            (("a", b"\xff"), 400),
        ]:
            body = forms.multipart([part])
            answer = await client.ask("POST", "/first", body=body, headers=forms.headers)
            assert answer.status == status


async def test_a_part_is_over_when_the_next_begins(web: Any, forms: Any) -> None:
    @http.post("/late")
    async def late(parts: http.Parts) -> list[str]:
        kept = [part async for part in parts]
        again = [part async for part in parts]
        return [(await part.read()).decode() for part in kept + again]

    body = forms.multipart([("a", "1"), ("b", "2")])
    async with web.serving(late) as service:
        answer = await service.ask("POST", "/late", body=body, headers=forms.headers)
    assert answer.json == ["", ""]


async def test_a_client_that_leaves_in_mid_part_cancels_the_call(web: Any, forms: Any) -> None:
    ended: list[str] = []

    @http.post("/left")
    async def left(parts: http.Parts) -> None:
        try:
            async for part in parts:
                async for _ in part:
                    pass
        except BaseException as error:
            ended.append(type(error).__name__)
            raise

    head = f"POST /left HTTP/1.1\r\nHost: a\r\nContent-Type: {forms.headers['Content-Type']}\r\n"
    async with web.serving(left) as service:
        async with service.connect() as client:
            await client.send(
                head.encode() + b"Content-Length: 1000\r\n\r\n" + forms.part("a", "x" * 50)
            )
            await anyio.sleep(0.05)
        with anyio.fail_after(10):
            while not ended:
                await anyio.sleep(0.01)
    assert ended[0] in ("CancelledError", "Cancelled")
