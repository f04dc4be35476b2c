"""Folders of files: what is served, what never is, and in which form."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import covet_http as http
from covet_http._codings import acceptable
from covet_http._static import wants_page
from covet_kernel import ConfigurationError, Plugin
from covet_kernel.contracts import Operation

MODIFIED = 784111777


@pytest.fixture
def public(tmp_path: Path) -> Path:
    root = tmp_path / "public"
    for name, content in {
        "index.html": "<h1>shop</h1>",
        "app.js": "let a",
        "app.js.br": "br of it",
        "app.js.gz": "gz of it",
        "only.js.gz": "gz alone",
        "linked.css": "a{}",
        "docs/index.html": "<h1>docs</h1>",
        "docs/deep/a b.txt": "deep",
        "empty/none.txt": "",
        ".env": "hidden secret",
        ".well-known/security.txt": "hidden text",
        "sub/.git/config": "hidden secret",
    }.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        os.utime(path, (MODIFIED, MODIFIED))
    beside = tmp_path / "public-secret"
    beside.mkdir()
    (beside / "x.txt").write_text("secret")
    (root / "link.txt").symlink_to(beside / "x.txt")
    (root / "linked").symlink_to(beside)
    (root / "linked.css.gz").symlink_to(beside / "x.txt")
    (root / "inner.txt").symlink_to(root / "app.js")
    os.mkfifo(root / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(root / "socket"))
    return root


def at_assets(public: Path, **options: Any) -> dict[str, Any]:
    return {"static": {"/assets": {"folder": str(public), **options}}}


async def test_a_relative_folder_starts_at_that_of_the_configuration(
    web: Any, public: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    static = {"/assets": "public", "/whole": {"folder": str(public)}}
    async with web.serving(http={"static": static}, directory=tmp_path) as service:
        for path in ("/assets/app.js", "/whole/app.js"):
            answer = await service.ask("GET", path)
            assert (answer.status, answer.body) == (200, b"let a")


async def test_what_is_there(web: Any, public: Path) -> None:
    config = at_assets(public, cache="max-age=60", precompressed=False)
    async with web.serving(http=config) as service, service.connect() as client:
        answer = await client.ask("GET", "/assets/app.js")
        assert (answer.status, answer.body) == (200, b"let a")
        assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
        assert answer.headers["cache-control"] == "max-age=60"
        assert "vary" not in answer.headers
        etag = answer.headers["etag"]
        head = await client.ask("HEAD", "/assets/app.js")
        assert (head.status, head.headers["content-length"]) == (200, "5")
        answer = await client.ask("GET", "/assets/app.js", headers={"Range": "bytes=0-2"})
        assert (answer.status, answer.body) == (206, b"let")
        answer = await client.ask("GET", "/assets/docs/deep/a%20b.txt")
        assert (answer.status, answer.body) == (200, b"deep")
        answer = await client.ask("POST", "/assets/app.js")
        assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD, OPTIONS")
        await client.send(
            b"GET /assets/app.js HTTP/1.1\r\nHost: a\r\nConnection: close\r\nIf-None-Match: %b\r\n\r\n"
            % etag.encode()
        )
        assert (await client.until_closed()).startswith(b"HTTP/1.1 304")


async def test_folders_have_an_index(web: Any, public: Path) -> None:
    config = at_assets(public, cache="max-age=60")
    async with web.serving(http=config) as service, service.connect() as client:
        for path, body in ("/assets/", b"<h1>shop</h1>"), ("/assets/docs/", b"<h1>docs</h1>"):
            answer = await client.ask("GET", path)
            assert (answer.status, answer.body) == (200, body)
            assert answer.headers["content-type"] == "text/html; charset=utf-8"
            # Nobody can tell by its name that it has changed.
            assert answer.headers["cache-control"] == "no-cache"
            answer = await client.ask("GET", path.removesuffix("/"))
            assert (answer.status, answer.headers["location"]) == (308, path)
        answer = await client.ask("GET", "/assets/docs?a=%2f&b")
        assert (answer.status, answer.headers["location"]) == (308, "/assets/docs/?a=%2f&b")
        for path in ("/assets/empty", "/assets/empty/", "/assets/docs//", "/assets/app.js/"):
            assert (await client.ask("GET", path)).status == 404


async def test_no_index(web: Any, public: Path) -> None:
    config = at_assets(public, index="")
    async with web.serving(http=config) as service, service.connect() as client:
        for path in ("/assets", "/assets/", "/assets/docs", "/assets/docs/"):
            assert (await client.ask("GET", path)).status == 404
        assert (await client.ask("GET", "/assets/docs/index.html")).status == 200


NEVER = [
    "/assets/none.txt",
    "/assets/..%2fpublic-secret%2fx.txt",
    "/assets/%2e%2e/public-secret/x.txt",
    "/assets/%2e%2e%2fpublic-secret/x.txt",
    "/assets/../public-secret/x.txt",
    "/assets/docs/../../public-secret/x.txt",
    "/assets/..%5cpublic-secret%5cx.txt",
    "/assets/..\\public-secret\\x.txt",
    "/assets/docs%5cdeep",
    "/assets/../assets-secret/x.txt",
    "/assets-secret/x.txt",
    "/assets//etc/passwd",
    "/assets/%2fetc/passwd",
    "/assets/%2f%2fserver/share",
    "/assets/%5c%5cserver%5cshare",
    "/assets//server/share/x.txt",
    "/assets/C:%5cx",
    "/assets/app.js%00",
    "/assets/app.js%00.png",
    "/assets/%00",
    "/assets/link.txt",
    "/assets/linked/x.txt",
    "/assets/inner.txt",
    "/assets/linked.css.gz",
    "/assets/.env",
    "/assets/.well-known/security.txt",
    "/assets/sub/.git/config",
    "/assets/pipe",
    "/assets/socket",
    "/assets/app.js/",
    "/assets/app.js/x",
    "/assets/" + "x" * 300,
    "/assets/" + "x/" * 60 + "x",
    "/assets/app.js%ff",
    "/assets/%",
]


async def test_what_never_is(entry: Any, public: Path) -> None:
    # bad input 53
    async with entry.serving(http=at_assets(public)) as service:
        async with service.connect() as client:
            missing = await client.ask("GET", "/assets/none.txt")
        assert missing.status == 404
        for path in NEVER:
            for method in ("GET", "HEAD"):
                async with service.connect() as client:
                    answer = await client.ask(method, path)
                # What cannot be decoded is malformed before anybody looks for a file.
                if answer.status == 400 and ("%00" in path or "%ff" in path or path.endswith("%")):
                    continue
                if answer.status == 400 and "\\" in path:
                    continue
                assert answer.status == 404, path
                if method == "GET":
                    assert answer.body == missing.body, path
                different = {"date", "connection"}
                assert {k: v for k, v in answer.headers.items() if k not in different} == {
                    k: v for k, v in missing.headers.items() if k not in different
                }, path


async def test_what_decides_is_named_once(web: Any, public: Path) -> None:
    config = {**at_assets(public), "compression": {}, "cors": {"origins": ["https://a.example"]}}
    async with web.serving(http=config) as service:
        answer = await service.ask("GET", "/assets/app.js")
    assert sorted(answer.headers["vary"].split(", ")) == ["accept-encoding", "origin"]


async def test_hidden_names_where_they_are_wanted(web: Any, public: Path) -> None:
    config = at_assets(public, hidden=True)
    async with web.serving(http=config) as service, service.connect() as client:
        answer = await client.ask("GET", "/assets/.well-known/security.txt")
        assert answer.body == b"hidden text"
        assert (await client.ask("GET", "/assets/%2e%2e/public-secret/x.txt")).status == 404
        assert (await client.ask("GET", "/assets/.../x.txt")).status == 404


async def test_precompressed_variants(web: Any, public: Path) -> None:
    async with web.serving(http=at_assets(public)) as service, service.connect() as client:
        tags = set()
        for accepts, coding, body in (
            ("br, gzip", "br", b"br of it"),
            ("gzip", "gzip", b"gz of it"),
            ("gzip;q=1, br;q=0.5", "gzip", b"gz of it"),
            ("zstd", "", b"let a"),
            ("br;q=0", "", b"let a"),
            ("identity", "", b"let a"),
            ("*", "br", b"br of it"),
        ):
            answer = await client.ask("GET", "/assets/app.js", headers={"Accept-Encoding": accepts})
            assert (answer.status, answer.body) == (200, body), accepts
            assert answer.headers.get("content-encoding", "") == coding
            assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
            assert answer.headers["vary"] == "accept-encoding"
            tags.add(answer.headers["etag"])
        assert len(tags) == 3
        # One that is a link is as if it were not there, and what is only compressed is not sent else.
        packed = {"Accept-Encoding": "gzip"}
        answer = await client.ask("GET", "/assets/linked.css", headers=packed)
        assert (answer.body, answer.headers.get("content-encoding")) == (b"a{}", None)
        answer = await client.ask("GET", "/assets/only.js", headers=packed)
        assert (answer.body, answer.headers["content-encoding"]) == (b"gz alone", "gzip")
        assert (await client.ask("GET", "/assets/only.js")).status == 404
        answer = await client.ask("GET", "/assets/app.js.gz")
        assert (answer.body, answer.headers["content-type"]) == (b"gz of it", "application/gzip")
        assert "content-encoding" not in answer.headers


async def test_an_application_that_routes_by_itself(web: Any, public: Path) -> None:
    @http.get("/api/hello")
    async def hello() -> str:
        return "hello"

    config = {"static": {"/": {"folder": str(public), "fallback": "index.html"}}}
    page = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
    async with web.serving(hello, http=config) as service, service.connect() as client:
        for path in ("/", "/books/7", "/sub/none", "/.env", "/linked/x.txt", "/books/"):
            answer = await client.ask("GET", path, headers=page)
            assert (answer.status, answer.body) == (200, b"<h1>shop</h1>"), path
            assert answer.headers["cache-control"] == "no-cache"
        # Scripts and calls that are not there are not pages.
        for headers in ({"Accept": "*/*"}, {}, {"Accept": "text/html;q=0"}):
            assert (await client.ask("GET", "/none.js", headers=headers)).status == 404
        assert (await client.ask("GET", "/app.js", headers=page)).body == b"let a"
        assert (await client.ask("GET", "/docs/", headers=page)).body == b"<h1>docs</h1>"
        assert (await client.ask("GET", "/api/hello", headers=page)).json == "hello"


async def test_folders_of_plugins_are_operations(web: Any, public: Path) -> None:
    class Site(Plugin[None]):
        def covet_operations(self) -> Iterable[Operation]:
            return (
                *http.static_folder("/site", public, index=""),
                *http.static_folder("/members", public, requires=("members:read",)),
            )

    async with web.serving(plugins={"site": Site}) as service, service.connect() as client:
        assert (await client.ask("GET", "/site/app.js")).body == b"let a"
        assert (await client.ask("GET", "/site/")).status == 404
        assert (await client.ask("GET", "/members/app.js")).status == 401
        assert (await client.ask("GET", "/members/none")).status == 401


async def test_a_folder_in_one_line(web: Any, public: Path) -> None:
    config = {"static": {"/assets": str(public)}}
    async with web.serving(http=config) as service:
        assert (await service.ask("GET", "/assets/app.js")).body == b"let a"


def test_what_cannot_be_served(tmp_path: Path) -> None:
    for path in ("a", "/{a}", "/a//b", "/../a"):
        with pytest.raises(ConfigurationError) as caught:
            http.static_folder(path, tmp_path)
        assert caught.value.code == "COVET-HTTP-PATH-INVALID"
        with pytest.raises(ValueError, match="static"):
            http.HttpConfig.model_validate({"static": {path: str(tmp_path)}})
    for name in ("../x.html", "/x.html", "a\\b", "a//b"):
        with pytest.raises(ValueError, match="no relative name"):
            http.StaticFolder(folder=tmp_path, index=name)
        with pytest.raises(ValueError, match="no relative name"):
            http.StaticFolder(folder=tmp_path, fallback=name)


async def test_folders_that_are_not_there(web: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ExceptionGroup) as caught:
        async with web.serving(http={"static": {"/a": str(tmp_path / "none")}}):
            raise AssertionError("it was served")
    assert caught.group_contains(
        ConfigurationError, match="COVET-HTTP-STATIC-FOLDER.*/a.*no folder"
    )
    both = {"/a": str(tmp_path / "none"), "/b": {"folder": str(tmp_path / "file")}}
    with pytest.raises(ExceptionGroup) as caught:
        async with web.serving(http={"static": both}):
            raise AssertionError("it was served")
    for path in both:
        assert caught.group_contains(ConfigurationError, match=f"GET {path}")


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("", []),
        ("br", ["br"]),
        ("gzip, br", ["br", "gzip"]),
        ("gzip;q=0.9, br;q=0.8", ["gzip", "br"]),
        ("BR ; Q=1.0", ["br"]),
        ("x-gzip", ["gzip"]),
        ("*", ["br", "gzip"]),
        ("*;q=0.5, gzip", ["gzip", "br"]),
        ("*, br;q=0", ["gzip"]),
        ("br;q=0, *;q=0", []),
        ("br;q=2", []),
        ("br;level=3, gzip", []),
        ("br;q=0.1234, gzip", []),
        ("identity, gzip;q=0.5", []),
        ("identity", []),
        (", ,gzip,,", ["gzip"]),
        ("gzip;q=0.1, gzip;q=1, br;q=0.5", ["gzip", "br"]),
        ("a, " * 10_000 + "br", []),
    ],
)
def test_codings_that_are_taken(value: str, found: list[str]) -> None:
    assert acceptable(value, ("br", "gzip")) == found


@given(st.text(max_size=40), st.text(alphabet="brgzip*;q=0.1, ", max_size=40))
def test_any_accept_header_will_do(any_text: str, text: str) -> None:
    for value in (any_text, text):
        assert set(acceptable(value, ("br", "gzip"))) <= {"br", "gzip"}
        assert wants_page(value) in (True, False)


@pytest.mark.parametrize(
    ("value", "taken"),
    [
        ("text/html", True),
        ("text/plain, Text/HTML;q=0.1", True),
        ("text/html;q=0.5, */*;q=0.4", True),
        ("text/html;q=0.5, */*", False),
        ("text/html, " * 100, False),
        ("text/html;q=0", False),
        ("text/html; Q=0.000", False),
        ("text/*", True),
        ("*/*", False),
        ("text/html2", False),
        ("", False),
    ],
)
def test_who_wants_a_page(value: str, taken: bool) -> None:
    assert wants_page(value) is taken
