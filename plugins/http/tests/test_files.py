"""Files as answers: types, conditions, ranges, names, and what happens while one is sent."""

from __future__ import annotations

import email.parser
import errno
import os
import warnings
from email.message import Message
from pathlib import Path
from typing import Any, BinaryIO

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given
from hypothesis import strategies as st

import covet_http as http
from covet_http import _file
from covet_http._asgi_request import AsgiRequest
from covet_http._conditional import format_date
from covet_http._file import BLOCK, disposition, type_of
from covet_http._folder import Folder, open_path, safe_segments
from covet_http._results import deliver
from covet_kernel import Plugin
from covet_kernel.contracts import Layer, Operation, Phase
from covet_kernel.testing import cancel_at_every_await
from covet_operations import Conflict, operation

MODIFIED = 784111777
SMALL = bytes(range(256)) * 4
LARGE = os.urandom(BLOCK * 3 + 17)
HERE: dict[str, Path] = {}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path) -> Path:
    HERE["folder"] = tmp_path
    for name, content in (("small.bin", SMALL), ("large.bin", LARGE), ("empty.txt", b"")):
        path = tmp_path / name
        path.write_bytes(content)
        os.utime(path, (MODIFIED, MODIFIED))
    return tmp_path


@http.get("/files/{name}")
async def file(name: str) -> http.File:
    return http.File(HERE["folder"] / name, cache="max-age=60")


@http.get("/in/{name}")
async def inside(name: str) -> http.File:
    return http.File(name, within=HERE["folder"])


@http.get("/save")
async def save(name: str, inline: bool = False) -> http.File:
    return http.File(HERE["folder"] / "small.bin", name=name, inline=inline)


@http.get("/missing-page")
async def missing_page(request: http.Request) -> http.File:
    request.response.status = 404
    return http.File(HERE["folder"] / "small.bin", media_type="text/html")


@http.post("/made")
async def made() -> http.File:
    return http.File(HERE["folder"] / "small.bin")


FUNCTIONS = (file, inside, save, missing_page, made)


async def test_a_whole_file(web: Any) -> None:
    async with web.serving(*FUNCTIONS) as service, service.connect() as client:
        for name, content in (("small.bin", SMALL), ("large.bin", LARGE), ("empty.txt", b"")):
            answer = await client.ask("GET", f"/files/{name}")
            assert (answer.status, answer.body) == (200, content)
            assert answer.headers["content-length"] == str(len(content))
            assert "transfer-encoding" not in answer.headers
            assert answer.headers["last-modified"] == "Sun, 06 Nov 1994 08:49:37 GMT"
            assert answer.headers["accept-ranges"] == "bytes"
            assert answer.headers["cache-control"] == "max-age=60"
            assert answer.headers["etag"].startswith('"')
            head = await client.ask("HEAD", f"/files/{name}")
            for each in ("content-length", "content-type", "etag", "last-modified"):
                assert head.headers[each] == answer.headers[each]
            assert (head.status, head.body) == (200, b"")
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"


async def test_there_is_no_such_file(web: Any, folder: Path) -> None:
    (folder / "sub").mkdir()
    async with web.serving(*FUNCTIONS) as service, service.connect() as client:
        nowhere = await client.ask("GET", "/nowhere")
        for path in ("/files/none", "/files/sub", "/files/a%0a", "/in/none", "/in/sub", "/in/.."):
            answer = await client.ask("GET", path)
            assert (answer.status, answer.json) == (404, nowhere.json)
            assert "cache-control" not in answer.headers


async def test_a_pipe_is_no_file(web: Any, folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    async with web.serving(*FUNCTIONS) as service:
        with anyio.fail_after(5):
            assert (await service.ask("GET", "/files/pipe")).status == 404
            assert (await service.ask("GET", "/in/pipe")).status == 404


async def test_who_has_it_already(web: Any) -> None:
    async with web.serving(*FUNCTIONS) as service, service.connect() as client:
        etag = (await client.ask("GET", "/files/large.bin")).headers["etag"]
        other = (await client.ask("GET", "/files/small.bin")).headers["etag"]
        assert etag != other
        date = format_date(MODIFIED)
        for headers, status in (
            ({"If-None-Match": f"{other}, {etag}"}, 304),
            ({"If-None-Match": f"W/{etag}"}, 304),
            ({"If-None-Match": other}, 200),
            ({"If-Modified-Since": date}, 304),
            ({"If-Modified-Since": format_date(MODIFIED - 1)}, 200),
            ({"If-Match": other}, 412),
            ({"If-Match": etag}, 200),
            ({"If-Unmodified-Since": format_date(MODIFIED - 1)}, 412),
            ({"If-Unmodified-Since": date}, 200),
        ):
            for method in ("GET", "HEAD"):
                lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
                request = f"{method} /files/large.bin HTTP/1.1\r\nHost: a\r\n{lines}\r\n"
                async with service.connect() as one:
                    await one.send(request.encode() + b"GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n")
                    data = await one.until(b"no-such-path")
                head, _, body = data.partition(b"\r\n\r\n")
                assert int(head.split(b" ")[1]) == status, headers
                if status == 304:
                    assert b"etag: " + etag.encode() in head
                    assert b"cache-control: max-age=60" in head
                    assert b"content-type:" not in head
                    assert body.startswith(b"HTTP/1.1 404")
                if status == 412 and method == "GET":
                    assert b'"code":"precondition-failed"' in body


async def test_a_file_that_has_just_changed_has_a_weak_tag(web: Any, folder: Path) -> None:
    (folder / "small.bin").write_bytes(b"new")
    async with web.serving(*FUNCTIONS) as service:
        answer = await service.ask("GET", "/files/small.bin")
        assert answer.headers["etag"].startswith('W/"')
        headers = {"Range": "bytes=0-0", "If-Range": answer.headers["etag"]}
        answer = await service.ask("GET", "/files/small.bin", headers=headers)
        assert (answer.status, answer.body) == (200, b"new")


@pytest.mark.parametrize(("name", "content"), [("small.bin", SMALL), ("large.bin", LARGE)])
async def test_a_range(entry: Any, name: str, content: bytes) -> None:
    # bad input 54
    size = len(content)
    async with entry.serving(*FUNCTIONS) as service, service.connect() as client:
        whole = await client.ask("GET", f"/files/{name}")
        for value, first, last in (
            ("0-", 0, size - 1),
            ("0-0", 0, 0),
            ("5-9", 5, 9),
            (f"{size - 3}-", size - 3, size - 1),
            ("-3", size - 3, size - 1),
            (f"7-{size + 100}", 7, size - 1),
            ("1-2,2-9,0-1", 0, 9),
        ):
            answer = await client.ask("GET", f"/files/{name}", headers={"Range": f"bytes={value}"})
            assert (answer.status, answer.body) == (206, content[first : last + 1])
            assert answer.headers["content-range"] == f"bytes {first}-{last}/{size}"
            assert answer.headers["etag"] == whole.headers["etag"]
            assert answer.headers["content-type"] == "application/octet-stream"
        for value in ("5-2", "x", "0-0," * 10_000 + "0-0", "9" * 30 + "-", "0-," * 9_000):
            headers = {"Range": f"bytes={value}"}
            async with service.connect() as other:
                answer = await other.ask("GET", f"/files/{name}", headers=headers)
            # The server itself may find the header too long.
            assert answer.status in (200, 431)
            assert answer.status == 431 or answer.body == content
        for value in (f"{size}-", "-0", f"{size}-{size + 5},{size + 7}-"):
            answer = await client.ask("GET", f"/files/{name}", headers={"Range": f"bytes={value}"})
            assert answer.status == 416
            assert answer.headers["content-range"] == f"bytes */{size}"
            assert (answer.json["code"], answer.json["size"]) == ("range-not-satisfiable", size)


@pytest.mark.parametrize(("name", "content"), [("small.bin", SMALL), ("large.bin", LARGE)])
async def test_several_ranges(entry: Any, name: str, content: bytes) -> None:
    # bad input 54
    end = len(content) - 1
    async with entry.serving(*FUNCTIONS) as service:
        headers = {"Range": f"bytes=0-1,10-{end - 5},-2"}
        answer = await service.ask("GET", f"/files/{name}", headers=headers)
    assert answer.status == 206
    assert answer.headers["content-length"] == str(len(answer.body))
    kind = answer.headers["content-type"]
    assert kind.startswith("multipart/byteranges; boundary=")
    boundary = kind.partition("=")[2].encode()
    before, *parts, after = answer.body.split(b"--" + boundary)
    assert (before, after) == (b"", b"--\r\n")
    spans = [(0, 1), (10, end - 5), (end - 1, end)]
    for part, (first, last) in zip(parts, spans, strict=True):
        head, _, body = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        said: Message = email.parser.BytesHeaderParser().parsebytes(head + b"\r\n\r\n")
        assert said["content-range"] == f"bytes {first}-{last}/{len(content)}"
        assert said["content-type"] == "application/octet-stream"
        assert body == content[first : last + 1] + b"\r\n"


async def test_when_a_range_does_not_count(entry: Any) -> None:
    # bad input 54
    async with entry.serving(*FUNCTIONS) as service, service.connect() as client:
        etag = (await client.ask("GET", "/files/small.bin")).headers["etag"]
        half = {"Range": "bytes=0-1"}
        for headers, status in (
            ({**half, "If-Range": etag}, 206),
            ({**half, "If-Range": '"other"'}, 200),
            ({**half, "If-Range": format_date(MODIFIED)}, 206),
            ({**half, "If-Range": format_date(MODIFIED + 1)}, 200),
            ({"Range": "pages=0-1"}, 200),
        ):
            answer = await client.ask("GET", "/files/small.bin", headers=headers)
            assert answer.status == status, headers
        answer = await client.ask("HEAD", "/files/small.bin", headers=half)
        assert (answer.status, answer.headers["content-length"]) == (200, str(len(SMALL)))
        answer = await client.ask("POST", "/made", headers={**half, "If-None-Match": etag})
        assert (answer.status, answer.body) == (200, SMALL)
        answer = await client.ask("GET", "/missing-page", headers={**half, "If-None-Match": etag})
        assert (answer.status, answer.body) == (404, SMALL)
        assert answer.headers["content-type"] == "text/html"


async def test_what_it_is_saved_as(entry: Any) -> None:
    async with entry.serving(*FUNCTIONS) as service, service.connect() as client:
        answer = await client.ask("GET", "/save?name=r%C3%A9sum%C3%A9.pdf")
        assert answer.headers["content-disposition"] == (
            "attachment; filename=\"r_sum_.pdf\"; filename*=UTF-8''r%C3%A9sum%C3%A9.pdf"
        )
        answer = await client.ask("GET", "/save?name=a.pdf&inline=1")
        assert answer.headers["content-disposition"] == 'inline; filename="a.pdf"'
        # bad input 39
        answer = await client.ask("GET", "/save?name=a%0d%0aset-cookie:b=c")
        assert (answer.status, "set-cookie" in answer.headers) == (500, False)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("a b.txt", 'attachment; filename="a b.txt"'),
        ('a"; b.txt', "attachment; filename=\"a_; b.txt\"; filename*=UTF-8''a%22%3B%20b.txt"),
        ("../../etc/passwd", 'attachment; filename="passwd"'),
        ("C:\\x\\boot.ini", 'attachment; filename="boot.ini"'),
        ("100%.txt", "attachment; filename=\"100_.txt\"; filename*=UTF-8''100%25.txt"),
        ("", "attachment"),
    ],
)
def test_dispositions(name: str, value: str) -> None:
    assert disposition(name) == value


@given(st.text(max_size=20))
def test_a_disposition_is_one_header(name: str) -> None:
    # bad input 39
    try:
        value = disposition(name)
    except ValueError:
        return
    assert value.isascii()
    assert value.isprintable()
    head = http.ResponseHead()
    head.add("content-disposition", value)
    parsed = Message()
    parsed["content-disposition"] = value
    assert "/" not in (parsed.get_filename() or "")


@pytest.mark.parametrize("bad", ["\r\n", "\n", "\0", "\x7f", "\ud800"])
def test_what_cannot_be_said_of_a_file(bad: str) -> None:
    # bad input 39
    for arguments in ({"name": f"a{bad}"}, {"media_type": f"text/html{bad}"}):
        with pytest.raises(ValueError, match=r".+"):
            http.File("x", **arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.html", "text/html; charset=utf-8"),
        ("A.JS", "text/javascript; charset=utf-8"),
        ("a.css", "text/css; charset=utf-8"),
        ("a.svg", "image/svg+xml"),
        ("a.json", "application/json"),
        ("a.webp", "image/webp"),
        ("a.woff2", "font/woff2"),
        ("a.wasm", "application/wasm"),
        ("a.tar.gz", "application/gzip"),
        ("a.pdf", "application/pdf"),
        ("a", "application/octet-stream"),
        ("a.unheard-of", "application/octet-stream"),
        (".gz", "application/octet-stream"),
    ],
)
def test_types(name: str, kind: str) -> None:
    assert type_of(name) == kind


@pytest.fixture(params=["memory", "disk"])
def blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of the blocks that are read, out of memory or as if they were not there."""
    sizes: list[int] = []
    block, at_hand = http.FileContent._block, http.FileContent._at_hand

    def counted(self: http.FileContent, at: int, size: int) -> bytes:
        sizes.append(size)
        return block(self, at, size)

    def counted_if_there(self: http.FileContent, at: int, size: int) -> bytes:
        found = b"" if request.param == "disk" else at_hand(self, at, size)
        sizes.extend([len(found)] if found else [])
        return found

    async def never(self: AsgiRequest, file: BinaryIO, at: int, size: int) -> bool:
        return False

    monkeypatch.setattr(http.FileContent, "_block", counted)
    monkeypatch.setattr(http.FileContent, "_at_hand", counted_if_there)
    # What the system sends by itself is not read.
    monkeypatch.setattr(AsgiRequest, "send_span", never)
    return sizes


@pytest.fixture
def closed(monkeypatch: pytest.MonkeyPatch) -> list[http.FileContent]:
    """The contents that were closed."""
    contents: list[http.FileContent] = []
    close = http.FileContent.close

    def noted(self: http.FileContent) -> None:
        contents.append(self)
        close(self)

    monkeypatch.setattr(http.FileContent, "close", noted)
    return contents


async def test_a_slow_reader_holds_the_file_back(
    web: Any, folder: Path, blocks: list[int], closed: list[http.FileContent]
) -> None:
    with (folder / "huge.bin").open("wb") as huge:
        huge.truncate(60_000_000)
    async with web.serving(*FUNCTIONS) as service:
        async with service.connect() as client:
            await client.send(b"GET /files/huge.bin HTTP/1.1\r\nHost: a\r\n\r\n")
            await client.stream.receive(100)
            await anyio.sleep(0.3)
            before = len(blocks)
            await anyio.sleep(0.2)
            assert len(blocks) == before < 300
            # The engine takes the file over, and Python reads none of it.
            if web.server == "engine":
                assert not blocks
            else:
                assert blocks.count(BLOCK) > len(blocks) / 2
        # And a client that leaves ends it.
        with anyio.fail_after(5):
            while not closed:
                await anyio.sleep(0.01)
        assert len(blocks) < 400
        assert (await service.ask("GET", "/files/small.bin")).status == 200


@pytest.mark.parametrize("policy", ["finish", "notify"])
async def test_nobody_reads_a_file_for_nobody(
    web: Any, folder: Path, blocks: list[int], closed: list[http.FileContent], policy: Any
) -> None:
    with (folder / "huge.bin").open("wb") as huge:
        huge.truncate(60_000_000)

    @operation(on_disconnect=policy)
    @http.get("/it")
    async def it() -> http.File:
        return http.File(folder / "huge.bin")

    async with web.serving(it) as service:
        async with service.connect() as client:
            await client.send(b"GET /it HTTP/1.1\r\nHost: a\r\n\r\n")
            await client.stream.receive(100)
        with anyio.fail_after(5):
            while not closed:
                await anyio.sleep(0.01)
    assert len(blocks) < 400


async def test_a_file_that_shrinks_while_it_is_sent_never_looks_complete(
    web: Any, folder: Path
) -> None:
    with (folder / "huge.bin").open("wb") as huge:
        huge.truncate(60_000_000)
    async with web.serving(*FUNCTIONS) as service, service.connect() as client:
        await client.send(b"GET /files/huge.bin HTTP/1.1\r\nHost: a\r\n\r\n")
        await client.stream.receive(100)
        os.truncate(folder / "huge.bin", 0)
        data = await client.until_closed()
        assert len(data) < 60_000_000
        assert (await service.ask("GET", "/files/small.bin")).body == SMALL


async def test_the_deadline_is_the_handlers_and_not_the_files(web: Any, folder: Path) -> None:
    with (folder / "huge.bin").open("wb") as huge:
        huge.truncate(20_000_000)

    @http.get("/late", deadline=0.05)
    async def late() -> http.File:
        await anyio.sleep(60)
        return http.File(folder / "huge.bin")

    @http.get("/it", deadline=0.2)
    async def it() -> http.File:
        return http.File(folder / "huge.bin")

    async with web.serving(late, it) as service:
        assert (await service.ask("GET", "/late")).status == 504
        begun = b"504"
        while b"504" in begun:  # a machine that pauses for so long makes the handler late
            async with service.connect() as client:
                await client.send(b"GET /it HTTP/1.1\r\nHost: a\r\n\r\n")
                begun = await client.stream.receive(100)
                if b"504" not in begun:
                    await anyio.sleep(0.3)
                    received = 0
                    while received < 20_000_000:
                        received += len(await client.stream.receive(1 << 20))


async def test_an_interceptor_that_refuses_late_closes_the_file(
    web: Any, folder: Path, closed: list[http.FileContent]
) -> None:
    class Late:
        name = "late"
        phase = Phase.OBSERVE
        after = before = ()

        def bind(self, op: Any, binding: Any) -> Layer:
            async def around(call: Any, inner: Any) -> Any:
                await inner(call)
                raise Conflict("after all")

            return Layer(around=around)

    class Refusing(Plugin[None]):
        def covet_interceptors(self) -> Any:
            return [Late()]

    async with web.serving(*FUNCTIONS, plugins={"late": Refusing}) as service:
        assert (await service.ask("GET", "/files/large.bin")).status == 409
    assert len(closed) == 1


class Sending(http.Request):
    """A request whose bytes go nowhere."""

    def __init__(self) -> None:
        binding = http.HttpBinding(protocol="http", address="GET /", method="GET", path="/")
        super().__init__(Operation(name="x", handler=int), binding)
        self.method, self.head_only = "GET", False
        self.raw_headers = [(b"range", b"bytes=0-9,20-400000")]
        self.sent = b""

    async def send(self, item: Any) -> None:
        await anyio.lowlevel.checkpoint()
        self.sent += item


async def test_wherever_it_is_cancelled_the_file_is_closed(
    folder: Path, closed: list[http.FileContent]
) -> None:
    opened: list[Sending] = []

    async def chain(request: Any) -> None:
        await anyio.lowlevel.checkpoint()
        request.body = await http.File(folder / "large.bin").answer(request)
        await anyio.lowlevel.checkpoint()

    async def one() -> None:
        opened.append(Sending())
        await deliver(opened[-1], chain)

    async def check() -> None:
        await anyio.lowlevel.checkpoint()
        content = opened[-1].content
        assert content is None or content in closed

    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        assert await cancel_at_every_await(one, check=check) > 5
    assert len(opened[-1].sent) == opened[-1].response.length


# Folders: what may be opened by a name from outside.


@pytest.fixture(params=[True, False], ids=["by steps", "resolved"])
def public(request: pytest.FixtureRequest, folder: Path) -> Folder:
    """A folder with a secret beside it, and with everything in it that leads there."""
    root = folder / "public"
    (root / "sub" / "deep").mkdir(parents=True)
    (root / "sub" / "deep" / "a.txt").write_text("a")
    (root / "a.txt").write_text("a")
    (root / ".env").write_text("secret")
    secret = folder / "public-secret"
    secret.mkdir()
    (secret / "a.txt").write_text("secret")
    (root / "link.txt").symlink_to(secret / "a.txt")
    (root / "inner-link.txt").symlink_to(root / "a.txt")
    (root / "linked").symlink_to(secret)
    (root / "up").symlink_to("..")
    (root / "loop").symlink_to("loop")
    return Folder(root, by_steps=request.param)


@pytest.mark.parametrize("name", ["a.txt", "sub/deep/a.txt"])
def test_what_is_in_a_folder(public: Folder, name: str) -> None:
    segments = safe_segments(name)
    assert segments is not None
    file = public.open(segments)
    assert file is not None
    with file:
        assert file.read() == b"a"


@pytest.mark.parametrize(
    "name",
    [
        "", "/", "sub", "sub/", "sub//deep/a.txt", "/a.txt", "//a.txt", "../public-secret/a.txt",
        "sub/../a.txt", "./a.txt", "..", ".", "..\\public-secret\\a.txt", "sub\\deep\\a.txt", "a.txt\0",
        "a.txt\0.png", "\0", "link.txt", "inner-link.txt", "linked/a.txt", "up/public-secret/a.txt",
        "up/public/a.txt", "loop", "loop/a.txt", ".env", "a.txt/", "a.txt/b", "none", "none/a.txt",
        "\\\\server\\share", "//server/share/a.txt", "x" * 300, "x/" * 3000 + "x", "\ud800",
        "a.txt/../a.txt", "...", "sub/.../a.txt", "sub/deep",
    ],
)  # fmt: skip
def test_what_is_not(public: Folder, name: str) -> None:
    # bad input 53
    segments = safe_segments(name)
    assert segments is None or public.open(segments) is None


@pytest.mark.parametrize(
    "name",
    [
        "C:",
        "C:/x",
        "a.txt:stream",
        "CON",
        "sub/nul.txt",
        "a.txt.",
        "a.txt ",
        "LPT1",
        "com1 .x",
        "conin$",
    ],
)
def test_what_windows_would_take_for_something_else(name: str) -> None:
    # bad input 53
    assert safe_segments(name, windows=True) is None
    assert safe_segments(name, windows=False) is not None
    assert safe_segments("sub/a.txt", windows=True) == ("sub", "a.txt")


@given(st.text(alphabet="./\\abup\0", max_size=12) | st.text(max_size=6))
def test_no_name_leaves_a_folder(name: str) -> None:
    # bad input 53
    segments = safe_segments(name)
    if segments is not None:
        joined = os.path.normpath(os.path.join("/srv/public", *segments))
        assert joined == "/srv/public/" + name
        assert not any(each.startswith(".") for each in segments)


def test_folders_in_a_folder(public: Folder) -> None:
    assert public.has_folder(())
    assert public.has_folder(("sub", "deep"))
    for segments in (("a.txt",), ("none",), ("linked",), ("up",), ("loop",), ("a\0",)):
        assert not public.has_folder(segments)


def test_the_folder_itself_may_be_reached_by_a_link(folder: Path) -> None:
    (folder / "release-1").mkdir()
    (folder / "release-1" / "a.txt").write_text("1")
    (folder / "current").symlink_to("release-1")
    for by_steps in (True, False):
        file = Folder(folder / "current", by_steps=by_steps).open(("a.txt",))
        assert file is not None
        with file:
            assert file.read() == b"1"


def test_the_systems_own_trouble_is_not_a_missing_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exhausted(*args: Any, **more: Any) -> int:
        raise OSError(24, "too many open files")

    monkeypatch.setattr(os, "open", exhausted)
    with pytest.raises(OSError, match="too many"):
        open_path(folder / "small.bin")


def test_without_the_means_to_ask_nothing_is_at_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.bin").write_bytes(b"0123456789")
    with (tmp_path / "a.bin").open("rb", buffering=0) as file:
        content = http.FileContent(file, [], 0)
        assert content._at_hand(2, 3) in (b"234", b"")
        assert content._at_hand(50, 3) == b""
        monkeypatch.setattr(_file, "_NOWAIT", 0)
        assert content._at_hand(2, 3) == b""

        def cannot(*_: object) -> int:
            raise OSError(errno.EOPNOTSUPP, "this file system cannot tell")

        monkeypatch.setattr(_file, "_NOWAIT", 8)
        monkeypatch.setattr(os, "preadv", cannot)
        assert content._at_hand(2, 3) == b""
