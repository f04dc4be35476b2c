"""Whole forms: urlencoded and multipart, fields and files, over the wire."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import anyio
import pytest
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

import covet_http as http
from covet_kernel import ConfigurationError
from covet_operations import TransportBinding, mark, operation


class Signup(BaseModel):
    email: str = Field(alias="e-mail")
    age: int
    tags: list[str] = []
    newsletter: bool = False
    height: float | None = None


class Book(BaseModel):
    title: str
    cover: http.Upload
    pages: Pages = []


Pages = list[http.Upload]


@dataclass
class Point:
    x: int
    y: int = 0


class Size(TypedDict):
    width: int


@http.post("/signup")
async def signup(form: Annotated[Signup, http.Form()]) -> dict[str, Any]:
    return form.model_dump()


@http.post("/login/{realm}")
async def login(
    realm: str,
    user: Annotated[str, http.Form("user-name")],
    password: Annotated[str, http.Form],
    remember: bool = False,
    again: Annotated[int, http.Query()] = 0,
) -> list[Any]:
    return [realm, user, password, remember, again]


@http.post("/point")
async def point(point: Annotated[Point, http.Form()]) -> list[int]:
    return [point.x, point.y]


@http.put("/size")
async def size(size: Annotated[Size, http.Form()]) -> int:
    return size["width"]


@http.post("/optional")
async def optional(q: Annotated[int | None, http.Form()] = None) -> int | None:
    return q


@http.post("/covers")
async def covers(
    cover: http.Upload, title: str = "", more: list[http.Upload] | None = None
) -> list[Any]:
    return [
        title,
        *[
            [each.name, each.filename, each.content_type, each.size, (await each.read()).decode()]
            for each in [cover, *(more or [])]
        ],
    ]


@http.post("/maybe")
async def maybe(cover: http.Upload | None = None) -> str:
    return "none" if cover is None else cover.filename


@http.post("/books")
async def books(book: Annotated[Book, http.Form()]) -> list[Any]:
    return [book.title, book.cover.size, [each.filename for each in book.pages]]


@http.post("/implied")
async def implied(book: Book) -> str:
    return book.cover.filename


FUNCTIONS = (signup, login, point, size, optional, covers, maybe, books, implied)


@pytest.mark.parametrize(
    ("target", "pairs", "expected"),
    [
        (
            "/signup",
            [("e-mail", "a@b"), ("age", "5"), ("tags", "x"), ("tags", "ü y"), ("newsletter", "on")],
            {"email": "a@b", "age": 5, "tags": ["x", "ü y"], "newsletter": True, "height": None},
        ),
        # What a browser sends for inputs that were left empty.
        (
            "/signup",
            [("e-mail", ""), ("age", "5"), ("tags", ""), ("height", "")],
            {"email": "", "age": 5, "tags": [""], "newsletter": False, "height": None},
        ),
        (
            "/login/r?again=3",
            [("user-name", "ann"), ("password", "a=b&c"), ("remember", "true")],
            ["r", "ann", "a=b&c", True, 3],
        ),
        ("/point", [("x", "1"), ("y", "-2")], [1, -2]),
        ("/optional", [("q", "7")], 7),
        ("/optional", [("q", "")], None),
    ],
)  # fmt: skip
async def test_both_kinds_of_form_mean_the_same(
    web: Any, forms: Any, target: str, pairs: list[tuple[str, str]], expected: Any
) -> None:
    from urllib.parse import urlencode

    async with web.serving(*FUNCTIONS) as service, service.connect() as client:
        answer = await client.ask(
            "POST", target, body=urlencode(pairs).encode(), headers=forms.urlencoded
        )
        assert (answer.status, answer.json) == (200, expected)
        answer = await client.ask(
            "POST", target, body=forms.multipart(pairs), headers=forms.headers
        )
        assert (answer.status, answer.json) == (200, expected)


async def test_other_models_and_no_form_at_all(web: Any, forms: Any) -> None:
    async with web.serving(*FUNCTIONS) as service, service.connect() as client:
        answer = await client.ask("PUT", "/size", body=b"width=4", headers=forms.urlencoded)
        assert answer.json == 4
        assert (await client.ask("POST", "/optional")).json is None
        assert (await client.ask("POST", "/maybe")).json == "none"
        answer = await client.ask("POST", "/optional", headers=forms.urlencoded)
        assert answer.json is None
        answer = await client.ask("POST", "/point", headers=forms.urlencoded)
        assert answer.json["errors"] == [
            {"loc": ["body", "x"], "msg": "Field required", "type": "missing"}
        ]


async def test_files(web: Any, forms: Any) -> None:
    body = forms.multipart(
        [
            ("cover", "pixels", "a b.png", "Content-Type: image/PNG; q=1"),
            ("title", "Emma"),
            ("more", "1", "one.txt"),
            ("more", "", "empty.txt"),
            ("more", "", ""),
        ]
    )
    expected = [
        "Emma",
        ["cover", "a b.png", "image/png", 6, "pixels"],
        ["more", "one.txt", "", 1, "1"],
        ["more", "empty.txt", "", 0, ""],
    ]
    async with web.serving(*FUNCTIONS) as service, service.connect() as client:
        answer = await client.ask("POST", "/covers", body=body, headers=forms.headers)
        assert answer.json == expected
        head = (
            f"POST /covers HTTP/1.1\r\nHost: a\r\nContent-Type: {forms.headers['Content-Type']}\r\n"
        )
        await client.send(head.encode() + b"Content-Length: %d\r\n\r\n" % len(body))
        for byte in body:
            await client.send(bytes([byte]))
        assert (await client.answer()).json == expected
        await client.send(head.encode() + b"Transfer-Encoding: chunked\r\n\r\n")
        for at in range(0, len(body), 50):
            await client.send(b"%x\r\n%b\r\n" % (len(body[at : at + 50]), body[at : at + 50]))
        await client.send(b"0\r\n\r\n")
        assert (await client.answer()).json == expected
        body = forms.multipart([("cover", "", "")])
        answer = await client.ask("POST", "/maybe", body=body, headers=forms.headers)
        assert answer.json == "none"
        body = forms.multipart(
            [
                ("title", "t"),
                ("cover", "x" * 70_000, "c"),
                ("pages", "1", "p1"),
                ("pages", "2", "p2"),
            ]
        )
        answer = await client.ask("POST", "/books", body=body, headers=forms.headers)
        assert answer.json == ["t", 70_000, ["p1", "p2"]]
        answer = await client.ask("POST", "/implied", body=body, headers=forms.headers)
        assert answer.json == "c"


@pytest.mark.parametrize(
    ("target", "parts", "fault"),
    [
        ("/covers", [("cover", "text")], ("cover", "is_instance_of")),
        ("/covers", [("cover", "", "")], ("cover", "missing")),
        ("/covers", [("cover", "x", "f"), ("other", "x", "f")], ("other", "extra_forbidden")),
        ("/covers", [("cover", "x", "f"), ("title", "x", "f")], ("title", "string_type")),
        ("/point", [("x", "one")], ("x", "int_parsing")),
        ("/login/r", [("user-name", "u"), ("password", "p"), ("z", "1")], ("z", "extra_forbidden")),
        ("/signup", [("e-mail", "a"), ("age", "")], ("age", "missing")),
        ("/login/r", [("user-name", "u"), ("password", "p"), ("user", "x")], ("user ", "extra_forbidden")),
    ],
)  # fmt: skip
async def test_what_does_not_fit(
    web: Any, forms: Any, target: str, parts: Any, fault: tuple[str, str]
) -> None:
    async with web.serving(*FUNCTIONS) as service:
        answer = await service.ask(
            "POST", target, body=forms.multipart(parts), headers=forms.headers
        )
    assert answer.status == 422
    assert [(each["loc"], each["type"]) for each in answer.json["errors"]] == [
        (["body", fault[0]], fault[1])
    ]


@pytest.fixture
def spool(tmp_path: Path) -> dict[str, Any]:
    """Configuration with which every file goes to disk."""
    folder = tmp_path / "spooled"
    folder.mkdir()
    return {"forms": {"spool_bytes": 1000, "directory": str(folder)}}


@pytest.fixture
def folder(spool: dict[str, Any]) -> str:
    """Where they go."""
    found: str = spool["forms"]["directory"]
    return found


async def test_large_files_go_to_disk_and_are_gone_with_the_call(
    web: Any, forms: Any, spool: dict[str, Any], folder: str, tmp_path: Path
) -> None:
    kept: list[http.Upload] = []
    seen: list[Any] = []

    @http.post("/keep")
    async def keep(files: list[http.Upload]) -> int:
        kept.extend(files)
        seen.append(len(forms.open_files(folder)))
        first, second = files
        assert await first.read(10) == b"0123456789"
        assert await first.read(3) == b"012"
        await first.seek(999_999)
        assert await first.read() == b"9"
        await first.seek(0)
        assert b"".join([piece async for piece in first]) == b"0123456789" * 100_000
        await first.save(tmp_path / "saved")
        assert await second.read(2) == b"ti"
        await second.seek(0)
        assert [piece async for piece in second] == [b"tiny"]
        await second.save(tmp_path / "tiny")
        with pytest.raises(ValueError, match="not within"):
            await second.seek(5)
        with pytest.raises(FileExistsError):
            await second.save(tmp_path / "saved")
        return first.size

    @http.post("/fail")
    async def fail(files: list[http.Upload]) -> int:
        kept.extend(files)
        seen.append(len(forms.open_files(folder)))
        raise ZeroDivisionError

    parts = [("files", b"0123456789" * 100_000, "big"), ("files", "tiny", "small")]
    body = forms.multipart(parts)
    async with web.serving(keep, fail, http=spool) as service, service.connect() as client:
        answer = await client.ask("POST", "/keep", body=body, headers=forms.headers)
        assert answer.json == 1_000_000
        assert (tmp_path / "saved").read_bytes() == b"0123456789" * 100_000
        assert (tmp_path / "tiny").read_bytes() == b"tiny"
        answer = await client.ask("POST", "/fail", body=body, headers=forms.headers)
        assert answer.status == 500
        assert seen == [1, 1]
        for upload in kept:
            with pytest.raises(ValueError, match="its call is over"):
                await upload.read()
            with pytest.raises(ValueError, match="its call is over"):
                await upload.seek(0)
        assert forms.open_files(folder) == []
        assert os.listdir(folder) == []


async def test_plain_files_for_handlers_in_threads(
    web: Any, forms: Any, spool: dict[str, Any]
) -> None:
    kept: list[Any] = []

    @operation(thread=True)
    @http.post("/plain")
    def plain(file: http.Upload) -> list[str]:
        opened = file.open()
        kept.append((file, opened))
        return [opened.read(3).decode(), file.open().read().decode()]

    async with web.serving(plain, http=spool) as service:
        for text in ("small", "large" * 1000):
            body = forms.multipart([("file", text, "f")])
            answer = await service.ask("POST", "/plain", body=body, headers=forms.headers)
            assert answer.json == [text[:3], text]
    for upload, _ in kept:
        with pytest.raises(ValueError, match="its call is over"):
            upload.open()
    assert kept[1][1].closed


async def test_files_that_arrive_whole_and_go_to_disk(
    web: Any, forms: Any, spool: dict[str, Any], folder: str
) -> None:
    opened: list[int] = []

    @http.post("/several")
    async def several(files: list[http.Upload], last: str) -> list[str]:
        opened.append(len(forms.open_files(folder)))
        return [*[(await each.read()).decode() for each in files], last]

    texts = ["a" * 600, "b" * 600, "", "c" * 300, "d" * 5000]
    parts = [*[("files", text, "f") for text in texts], ("last", "z")]
    async with web.serving(several, http=spool) as service:
        body = forms.multipart(parts)
        answer = await service.ask("POST", "/several", body=body, headers=forms.headers)
    assert answer.json == [*texts, "z"]
    assert opened == [2]
    assert forms.open_files(folder) == []


async def test_nothing_is_left_of_an_upload_that_is_refused(
    web: Any, forms: Any, spool: dict[str, Any], folder: str
) -> None:
    """Too large, malformed, or not what was asked for: after the file went to disk."""
    file = ("cover", b"x" * 300_000, "big")
    spool["forms"]["max_file_bytes"] = 400_000
    async with web.serving(covers, http=spool) as service, service.connect() as client:
        for parts, status in [
            ([file, ("title", "a"), ("title", "b")], 400),
            ([file, ("other", "a")], 422),
            ([file, ("more", b"x" * 400_001, "f")], 413),
        ]:
            body = forms.multipart(parts)
            answer = await client.ask("POST", "/covers", body=body, headers=forms.headers)
            assert answer.status == status
            assert forms.open_files(folder) == []


async def test_a_client_that_leaves_in_mid_upload(
    web: Any, forms: Any, spool: dict[str, Any], folder: str
) -> None:
    body = forms.multipart([("cover", b"x" * 3_000_000, "big")])
    head = f"POST /covers HTTP/1.1\r\nHost: a\r\nContent-Type: {forms.headers['Content-Type']}\r\n"
    async with web.serving(covers, http=spool) as service:
        async with service.connect() as client:
            await client.send(
                head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body[:1_500_000]
            )
            with anyio.fail_after(10):
                while not forms.open_files(folder):
                    await anyio.sleep(0.01)
        with anyio.fail_after(10):
            while forms.open_files(folder):
                await anyio.sleep(0.01)


async def test_an_upload_that_dribbles_in_is_408(
    web: Any, forms: Any, spool: dict[str, Any], folder: str
) -> None:
    # bad input 21
    spool["forms"]["timeout"] = 0.3
    head = f"POST /covers HTTP/1.1\r\nHost: a\r\nContent-Type: {forms.headers['Content-Type']}\r\n"
    async with web.serving(covers, http=spool) as service, service.connect() as client:
        await client.send(head.encode() + b"Content-Length: 3000000\r\n\r\n")
        await client.send(forms.part("cover", b"x" * 300_000, "big"))
        answer = await client.answer()
        assert answer.status == 408
        assert forms.open_files(folder) == []


async def test_uploads_are_spooled_without_blocking_the_loop(
    entry: Any, forms: Any, spool: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    # bad input 52: while a file is written, others are answered
    import tempfile
    import threading

    threads: set[bool] = set()
    gate = threading.Event()
    original = tempfile.TemporaryFile

    def slow(*args: Any, **more: Any) -> Any:
        threads.add(threading.current_thread() is threading.main_thread())
        assert gate.wait(10)
        return original(*args, **more)

    monkeypatch.setattr(tempfile, "TemporaryFile", slow)
    body = forms.multipart([("cover", b"x" * 300_000, "big")])
    results: list[int] = []
    async with entry.serving(covers, optional, http=spool) as service:

        async def upload() -> None:
            answer = await service.ask("POST", "/covers", body=body, headers=forms.headers)
            results.append(answer.status)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(upload)
            with anyio.fail_after(10):
                while not threads:
                    await anyio.sleep(0.01)
            assert (await service.ask("POST", "/optional")).status == 200
            assert results == []
            gate.set()
    assert results == [200]
    assert threads == {False}


async def refused(web: Any, *functions: Any, **more: Any) -> list[ConfigurationError]:
    """Why such a service does not start."""
    found: list[ConfigurationError] = []
    pending: list[BaseException] = []
    try:
        async with web.serving(*functions, **more):
            pass
    except (ConfigurationError, ExceptionGroup) as error:
        pending.append(error)
    while pending:
        each = pending.pop()
        if isinstance(each, BaseExceptionGroup):
            pending += each.exceptions
        else:
            assert isinstance(each, ConfigurationError)
            found.append(each)
    return found


class Queue(TransportBinding):
    """Bindings of another transport."""


@pytest.mark.parametrize("name", ["one", "several", "within", "parts"])
async def test_what_comes_with_a_form_is_bound_to_http_only(web: Any, name: str) -> None:
    queue = mark(Queue(protocol="queue", address="covers"))

    @queue
    @http.post("/one")
    async def one(cover: http.Upload) -> None: ...

    @queue
    @http.post("/several")
    async def several(covers: list[http.Upload] | None = None) -> None: ...

    @queue
    @http.post("/within")
    async def within(book: Annotated[Book, http.Form()]) -> None: ...

    @queue
    @http.post("/parts")
    async def parts(parts: http.Parts) -> None: ...

    function = {"one": one, "several": several, "within": within, "parts": parts}[name]
    (error,) = await refused(web, function)
    assert error.code == "COVET-OPERATION-CALL"
    assert "at queue 'covers' the call is a Call" in error.problem


async def test_forms_that_cannot_be(web: Any) -> None:
    @http.get("/a")
    async def on_get(q: Annotated[str, http.Form()]) -> None: ...

    @operation(effect="read")
    @http.post("/b")
    async def nested(
        one: Annotated[Point, http.Form()], two: Annotated[Size, http.Form()]
    ) -> None: ...

    @http.post("/c")
    async def default(one: Annotated[Point | None, http.Form()] = None) -> None: ...

    @http.post("/d")
    async def twice(
        a: Annotated[int, http.Form("x")], b: Annotated[int, http.Form("x")]
    ) -> None: ...

    @http.post("/e")
    async def both(parts: http.Parts, q: Annotated[int, http.Form()]) -> None: ...

    for function, problem in [
        (on_get, "GET has no form"),
        (nested, "'one' is a model in a form, which is flat"),
        (default, "'one' is a model in a form, which is flat"),
        (twice, "two inputs are called 'x' in the form"),
        (both, "reads the body as it arrives cannot take it as a form too"),
    ]:
        errors = await refused(web, function)
        assert any(problem in each.problem for each in errors)


def test_an_upload_for_tests() -> None:
    upload = http.Upload(b"abc", filename="f", content_type="text/plain", name="n")
    assert repr(upload) == "Upload(name='n', filename='f', size=3)"
    assert anyio.run(upload.read) == b"abc"


def test_the_folder_has_to_be_there(tmp_path: Path) -> None:
    assert http.FormLimits(directory=str(tmp_path)).directory == str(tmp_path)
    for path in (str(tmp_path / "nowhere"), "."):
        with pytest.raises(ValueError, match="no absolute path of a directory"):
            http.FormLimits(directory=path)


class Cover(BaseModel):
    heading: str
    cover: http.Upload


@http.upgrade_request("1", "2", Cover)
def heading(old: dict[str, Any]) -> dict[str, Any]:
    return {"heading": old.pop("title"), **old}


class Title(BaseModel):
    heading: str


@http.upgrade_request("1", "2", Title)
def title(old: dict[str, Any]) -> dict[str, Any]:
    return {"heading": old.pop("title"), **old}


def changes(plugin: Any) -> Any:
    return [*vars(heading)["__covet_version_changes__"], *vars(title)["__covet_version_changes__"]]


VERSIONS = {"versions": {"known": [{"name": "1"}, {"name": "2"}]}}


async def test_forms_of_older_versions(web: Any, forms: Any) -> None:
    @http.post("/titles", versions="*")
    async def add(form: Annotated[Title, http.Form()]) -> str:
        return form.heading

    @http.post("/covers", versions="2")
    async def add_cover(form: Annotated[Cover, http.Form()]) -> str:
        return form.heading

    plugin = web.plugin_of(add, add_cover, covet_http_version_changes=changes)
    async with web.serving(plugins={"shop": plugin}, http=VERSIONS) as service:
        for path, name in [("/v1/titles", "title"), ("/v2/titles", "heading")]:
            body = forms.multipart([(name, "t")])
            answer = await service.ask("POST", path, body=body, headers=forms.headers)
            assert answer.json == "t"
        body = forms.multipart([("heading", "t"), ("cover", "x", "f")])
        answer = await service.ask("POST", "/v2/covers", body=body, headers=forms.headers)
        assert answer.json == "t"


async def test_files_do_not_pass_through_changes_between_versions(web: Any) -> None:
    @http.post("/covers", versions="*")
    async def add_cover(form: Annotated[Cover, http.Form()]) -> str:
        return form.heading

    plugin = web.plugin_of(add_cover, covet_http_version_changes=changes)
    (error,) = await refused(web, plugins={"shop": plugin}, http=VERSIONS)
    assert error.code == "COVET-HTTP-VERSION-CHANGE"
    assert "cannot be served in version 1: it takes files of a form" in error.problem
