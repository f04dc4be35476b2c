"""Forms that must not reach a handler, and what they must not cost."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Annotated, Any

import anyio
import pytest

import covet_http as http
from covet_http._forms._filename import base_name
from covet_http._forms._parameters import split_parameters
from covet_http._forms._urlencoded import parse_urlencoded
from covet_operations import OperationError

CALLED: list[Any] = []


@http.post("/form")
async def form(
    a: Annotated[str, http.Form()] = "",
    b: Annotated[list[str] | None, http.Form()] = None,
    f: list[http.Upload] | None = None,
) -> list[Any]:
    CALLED.append((a, b, f))
    return [a, b, [each.filename for each in f or []]]


@pytest.fixture(autouse=True)
def _nothing_called() -> None:
    CALLED.clear()


@asynccontextmanager
async def asking(web: Any, **config: Any) -> AsyncIterator[Any]:
    """A function that sends a form, in one piece and in many, and gives the answer to both."""
    async with web.serving(form, http={"forms": config}) as service:

        async def send(client: Any, pieces: list[bytes]) -> None:
            try:
                for piece in pieces:
                    await client.send(piece)
            except anyio.BrokenResourceError:
                pass  # refused before all of it was sent

        async def ask(body: bytes, content_type: str) -> Any:
            head = f"POST /form HTTP/1.1\r\nHost: a\r\nContent-Type: {content_type}\r\n"
            head += f"Content-Length: {len(body)}\r\n\r\n"
            answers = []
            CALLED.clear()
            for size in (len(body) or 1, max(1, len(body) // 20)):
                pieces = [body[at : at + size] for at in range(0, len(body), size)]
                async with service.connect() as client, anyio.create_task_group() as tasks:
                    await client.send(head.encode("latin-1"))
                    tasks.start_soon(send, client, pieces)
                    answers.append(await client.answer())
                    tasks.cancel_scope.cancel()
            assert answers[0].status == answers[1].status, (body[:200], content_type[:200])
            if answers[0].status != 200:
                assert CALLED == []
                assert answers[0].headers["content-type"] == "application/problem+json"
            return answers[0]

        yield ask
        assert (await service.ask("POST", "/form")).status == 200


async def expect(web: Any, cases: Iterable[tuple[bytes, str, int]], **config: Any) -> None:
    """That these bodies of these media types have these statuses."""
    async with asking(web, **config) as ask:
        for body, content_type, status in cases:
            answer = await ask(body, content_type)
            assert answer.status == status, (body[:200], content_type[:200], answer.body)


URLENCODED = "application/x-www-form-urlencoded"


URLENCODED_FORMS = [
    (b"a=1", 200),
    (b"a=%zz", 400),
    (b"a=%", 400),
    (b"a=%00", 400),
    (b"a=\0", 400),
    (b"a=%ff", 400),
    (b"a=\xc3\xbc", 400),
    (b"a=1&a=2", 400),
    (b"a=1;b=2", 200),
    (b"&" * 100_000, 413),
    (b"b=&" * 100_000, 413),
    (b"&".join(b"k%d=" % n for n in range(100_000)), 413),
    (b"b=" * 50 + b"&b" * 99, 200),
    (b"b=1" + b"&b" * 100, 413),
    (b"a=" + b"x" * 1000, 200),
    (b"a=" + b"x" * 1001, 413),
    (b"a=" + b"%C3%BC" * 500, 200),
    (b"a=" + b"%C3%BC" * 501, 413),
    (b"a=" + b"x" * 2_000_000, 413),
]


async def test_urlencoded_forms(entry: Any) -> None:
    # bad input 41, 46, 47
    cases = [(body, URLENCODED, status) for body, status in URLENCODED_FORMS]
    await expect(entry, cases, max_fields=100, max_field_bytes=1000)


MULTIPART_FORMS: list[tuple[list[tuple[Any, ...]], int]] = [
    ([("b", "x")] * 100, 200),
    ([("b", "x")] * 101, 413),
    ([("b", "")] * 20_000, 413),
    ([("f", "", "")] * 10, 200),
    ([("f", "", "f")] * 11, 413),
    ([("f", "", "")] * 20_000, 413),
    ([("other", "", "f")] * 20_000, 413),
    ([("a", "x" * 1000)], 200),
    ([("a", "ü" * 500)], 200),
    ([("a", "x" * 1001)], 413),
    ([("a", "x" * 3_000_000)], 413),
    ([("f", "x" * 50_000, "f")], 200),
    ([("f", "x" * 50_001, "f")], 413),
    ([("other", "x" * 50_001, "f")], 413),
    ([("f", "x" * 50_000, "f")] * 3, 413),
    ([("a", "1"), ("a", "2")], 400),
    ([("a", b"\xff")], 400),
    ([("a", b"\0")], 400),
]


async def test_multipart_forms(entry: Any, forms: Any) -> None:
    # bad input 46
    await expect(
        entry,
        [
            (forms.multipart(parts), forms.headers["Content-Type"], status)
            for parts, status in MULTIPART_FORMS
        ],
        max_fields=100,
        max_files=10,
        max_field_bytes=1000,
        max_file_bytes=50_000,
        max_form_bytes=120_000,
    )


PART_HEADERS = [
    "",
    "X: 1",
    "Content-Disposition: form-data",
    "Content-Disposition: form-data; filename=x",
    "Content-Disposition: attachment; name=a",
    'Content-Disposition: form-data; name="a',
    'Content-Disposition: form-data; name="a"; name="b"',
    'Content-Disposition: form-data; name="a"; Name="b"',
    "Content-Disposition: form-data; name=a; filename*=UTF-8''x",
    "Content-Disposition: form-data; name*=UTF-8''a",
    "Content-Disposition: form-data; name=a\r\nContent-Disposition: form-data; name=b",
    'Content-Disposition: form-data; name="a\rX: 1"',
    'Content-Disposition: form-data; name="a\nX: 1"',
    'Content-Disposition: form-data; name="a\0"',
    'Content-Disposition: form-data; name="\x1b[31m"',
    "Content-Disposition: form-data; name=a\r\n folded",
    "Content-Disposition : form-data; name=a",
    "Content-Disposition",
    ": form-data; name=a",
    "Content-Disposition: form-data; name=a\r\nContent-Length: x",
    "Content-Disposition: form-data; name=a\r\nContent-Length: -1",
    "Content-Disposition: form-data; name=a\r\nContent-Length: \u0663",
    "Content-Disposition: form-data; name=a\r\nContent-Transfer-Encoding: base64",
    "Content-Disposition: form-data; name=a\r\nContent-Type: text",
    "Content-Disposition: form-data; name=a\r\nContent-Type: text/plain; charset=utf-16",
    'Content-Disposition: form-data; name="a' + '\\"' * 4000,
    "Content-Disposition: form-data; name=a" + ";" * 4000,
    "Content-Disposition: form-data; name=a" + "; x=" * 1500,
    "\r\n".join(["Content-Disposition: form-data; name=a"] + [f"X-{n}: 1" for n in range(16)]),
    "\r\n".join(f"X-{n}: 1" for n in range(10_000)),
    "X: " + "x" * 100_000,
]


async def test_part_headers(entry: Any, forms: Any) -> None:
    # bad input 48, 49
    async with asking(entry) as ask:
        for head in PART_HEADERS:
            part = f"--{forms.boundary}\r\n{head}\r\n\r\n1\r\n".encode()
            answer = await ask(part + forms.end(), forms.headers["Content-Type"])
            assert (answer.status, answer.json["code"]) == (400, "malformed"), head[:200]


CONTENT_TYPES = [
    ("multipart/form-data; boundary=b", 200),
    ('Multipart/Form-Data;  charset=utf-8; Boundary="b"', 200),
    ("multipart/form-data", 400),
    ("multipart/form-data; boundary=", 400),
    ('multipart/form-data; boundary=""', 400),
    ("multipart/form-data; boundary=b; boundary=c", 400),
    ("multipart/form-data; boundary=" + "b" * 71, 400),
    ("multipart/form-data; boundary=" + "b" * 10_000, 400),
    ('multipart/form-data; boundary="b ', 400),
    ('multipart/form-data; boundary="b "', 400),
    ("multipart/form-data; boundary=b\u00fc", 400),
    ("multipart/form-data; boundary*=UTF-8''b", 400),
    ("multipart/form-data boundary=b", 415),
    ("multipart/mixed; boundary=b", 415),
    ("application/json", 415),
    ("text/plain", 415),
    (URLENCODED + "; charset=utf-16", 415),
    ('multipart/form-data; x="' + "\\" * 9999, 400),
    ("multipart/form-data; " + "!=" * 9999, 400),
    (URLENCODED + "; a" * 9999, 400),
]


async def test_content_types(entry: Any) -> None:
    # bad input 44, 48, 49
    body = b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--b--\r\n'
    await expect(entry, [(body, content_type, status) for content_type, status in CONTENT_TYPES])


FRAMING = [
    (b"PART", 400),
    (b"PART--b", 400),
    (b"junk\r\nPART--b--", 200),
    (b"x" * 50_000 + b"\r\nPART--b--", 400),
    (b"PART--b--" + b"x" * 50_000, 400),
    (b"\r\n" * 500_000, 400),
    (b"\r" * 1_000_000, 400),
    (b"PART--b--" + b"\r\n" * 500_000, 400),
    (b"PART" + b"--b\r\n" * 100_000, 400),
    (b"--b\r\nContent-Disposition: form-data; name=a\r\n\r\n" + b"\r\n" * 500_000, 413),
    (b"--b\r\nContent-Disposition: form-data; name=a\r\n\r\n" + b"\r\n--" * 250_000, 413),
    (b"--b\r\n" + b"\r" * 1_000_000, 400),
    (b"--b\r\n" + b"\n" * 1_000_000, 400),
    (b"--b" + b" " * 1_000_000, 400),
]


async def test_framing(entry: Any) -> None:
    # bad input 48
    part = b"--b\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n"
    content_type = "multipart/form-data; boundary=b"
    cases = [(body.replace(b"PART", part), content_type, status) for body, status in FRAMING]
    await expect(entry, cases)


async def test_declared_too_large_is_refused_unread(entry: Any, forms: Any) -> None:
    # bad input 18, 46
    head = f"POST /form HTTP/1.1\r\nHost: a\r\nContent-Type: {forms.headers['Content-Type']}\r\n"
    async with entry.serving(form) as service, service.connect() as client:
        await client.send(head.encode() + b"Content-Length: 40000000\r\n\r\n")
        assert (await client.answer()).status == 413


async def test_the_text_of_a_form_is_limited_like_other_bodies(entry: Any, forms: Any) -> None:
    # bad input 46: no field is too long, but together they are
    body = forms.multipart([("b", "x" * 100)] * 30)
    async with entry.serving(form, http={"max_body_bytes": 3000}) as service:
        answer = await service.ask("POST", "/form", body=body, headers=forms.headers)
        assert answer.status == 200
        body = forms.multipart([("b", "x" * 100)] * 31)
        answer = await service.ask("POST", "/form", body=body, headers=forms.headers)
        assert answer.status == 413


async def test_a_route_for_large_files_keeps_no_more_text(entry: Any, forms: Any) -> None:
    # bad input 46, 47
    @http.post("/large", max_body=10_000_000)
    async def large(b: Annotated[str, http.Form()] = "", f: http.Upload | None = None) -> int:
        return f.size if f is not None else len(b)

    config = {"forms": {"max_text_bytes": 3000, "max_file_bytes": 1000}}
    file = ("f", b"x" * 5_000_000, "f")
    urlencoded = "application/x-www-form-urlencoded"
    async with entry.serving(large, http=config) as service:

        async def status(body: bytes, content_type: str, *, chunked: bool) -> int:
            head = f"POST /large HTTP/1.1\r\nHost: a\r\nContent-Type: {content_type}\r\n"
            if chunked:
                head += "Transfer-Encoding: chunked\r\n\r\n"
                body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
            else:
                head += f"Content-Length: {len(body)}\r\n\r\n"
            async with service.connect() as client:
                await client.send(head.encode() + body)
                found: int = (await client.answer()).status
                return found

        for chunked in (False, True):
            for body, content_type, expected in [
                (forms.multipart([file, ("b", "x" * 3000)]), forms.headers["Content-Type"], 200),
                (forms.multipart([file, ("b", "x" * 3001)]), forms.headers["Content-Type"], 413),
                (b"b=" + b"x" * 2998, urlencoded, 200),
                (b"b=" + b"x" * 2999, urlencoded, 413),
            ]:
                assert await status(body, content_type, chunked=chunked) == expected


async def test_a_refused_form_is_one_line_in_the_log_at_most(
    entry: Any, forms: Any, caplog: pytest.LogCaptureFixture
) -> None:
    # bad input 50
    caplog.set_level(0)
    body = (b"--%b\r\nbroken\r\n\r\n\r\n" % forms.boundary.encode()) * 10_000
    async with entry.serving(form) as service:
        caplog.clear()
        answer = await service.ask("POST", "/form", body=body, headers=forms.headers)
        records = [each for each in caplog.records if each.name.startswith("covet")]
    assert answer.status == 400
    assert len(records) <= 1


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("a.txt", "a.txt"),
        ("../../x", "x"),
        ("/etc/passwd", "passwd"),
        ("C:\\dir\\x.txt", "x.txt"),
        ("C:x", "C_x"),
        ("\\\\server\\share\\x", "x"),
        ("..", ""),
        (".", ""),
        ("../", ""),
        ("a/", ""),
        ("", ""),
        (" a .", "a"),
        (".htaccess", ".htaccess"),
        ("x\0.png", "x.png"),
        ("a\x1b\x85b", "ab"),
        ("photo\u202egnp.exe", "photognp.exe"),
        ("NUL", "_NUL"),
        ("con.txt", "_con.txt"),
        ("Com1 .txt", "_Com1 .txt"),
        ("console.txt", "console.txt"),
        ("a.txt::$DATA", "a.txt__$DATA"),
        ('a"<>|?*b', "a______b"),
        ("x" * 4096 + ".png", "x" * 251 + ".png"),
        ("ü" * 4096, "ü" * 127),
        ("x" * 300 + "." + "y" * 300, "x" * 255),
    ],
)
def test_names_of_files(given: str, expected: str) -> None:
    # bad input 51
    assert base_name(given) == expected
    assert base_name(expected) == expected


async def test_names_of_files_on_the_wire(entry: Any, forms: Any) -> None:
    # bad input 49, 51
    parts = [
        "filename=../../x",
        'filename="C:\\Users\\me\\y.txt"',
        'filename="a \\"quoted\\" z"',
        "filename=\"plain\"; filename*=UTF-8''other",
        'FileName="ü.png"',
    ]
    body = "".join(
        f"--{forms.boundary}\r\nContent-Disposition: form-data; name=f; {each}\r\n\r\n\r\n"
        for each in parts
    )
    async with asking(entry) as ask:
        answer = await ask(body.encode() + forms.end(), forms.headers["Content-Type"])
    assert answer.json[2] == ["x", "y.txt", "a _quoted_ z", "plain", "ü.png"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("a/b", ("a/b", {})),
        ('A/B ; x=1;y="2;3" ; z="\\""', ("a/b", {"x": "1", "y": "2;3", "z": '"'})),
        ('form-data; name="C:\\new"', ("form-data", {"name": "C:\\new"})),
        ("a; x=1;", ("a", {"x": "1"})),
        ('a; x=""', ("a", {"x": ""})),
    ],
)
def test_parameters(value: str, expected: Any) -> None:
    assert split_parameters(value) == expected


def test_the_urlencoded_parser_stops_at_the_first_fault() -> None:
    # bad input 46: neither list nor text of what comes behind is made
    limits = http.FormLimits(max_fields=10**9, max_field_bytes=10)
    found = parse_urlencoded(b"a=1&b=%zz&" + b"c=" * 100, limits)
    assert next(found) == ("a", "1")
    with pytest.raises(http.Malformed):
        next(found)


def test_every_refusal_is_an_error_for_the_client() -> None:
    with pytest.raises(OperationError):
        list(parse_urlencoded(b"a&b", http.FormLimits(max_fields=1)))
    assert list(parse_urlencoded(b"", http.FormLimits(max_fields=0))) == []
