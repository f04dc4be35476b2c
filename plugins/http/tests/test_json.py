"""What counts as JSON: the cases of JSONTestSuite, and what blows up others."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import anyio
import pytest
from pydantic import BaseModel, ConfigDict

import covet_http as http
from covet_http import HTTP_SERVER, Http
from covet_kernel import Plugin
from covet_kernel.testing import run_kernel
from covet_operations import Operations

CASES = json.loads(
    Path(__file__).parent.joinpath("vectors", "json-parsing.json").read_text("utf-8")
)
CALLED: list[Any] = []


class Model(BaseModel):
    n: int = 0
    x: float = 0.0
    items: list[Any] = []
    text: str = ""
    amount: Decimal = Decimal(0)


class Free(BaseModel):
    model_config = ConfigDict(allow_inf_nan=True)
    x: float = 0.0


@http.post("/any")
async def anything(value: Annotated[Any, http.Body()]) -> None:
    CALLED.append(value)


@http.post("/model")
async def model(value: Model) -> None:
    CALLED.append(value)


@http.post("/free")
async def free(value: Free, more: Annotated[float, http.Query()] = 0) -> None:
    CALLED.append(value)


@http.post("/members")
async def members(n: int = 0, x: float = 0.0) -> None:
    CALLED.append((n, x))


@http.post("/stream")
async def stream(values: AsyncIterator[dict[str, Any]]) -> int:
    return len([each async for each in values])


FUNCTIONS = (anything, model, free, members, stream)


@pytest.fixture(autouse=True)
def _nothing_called() -> None:
    CALLED.clear()


def bytes_of(case: Any) -> bytes:
    if "pattern_base64" in case:
        return base64.b64decode(case["pattern_base64"]) * int(case["repeat"])
    return base64.b64decode(case["input_base64"])


def as_expected(case: Any, status: int) -> bool:
    if case["expect"] == "accept":
        return status == 204
    return status == 400 if case["expect"] == "reject" else status in (204, 400, 422)


async def test_the_suite_through_a_server(entry: Any) -> None:
    # bad input 41
    wrong = []
    async with entry.serving(*FUNCTIONS) as service, service.connect() as client:
        for case in CASES["cases"]:
            body = bytes_of(case)
            answer = await client.ask(
                "POST", "/any", body=body, headers={"Content-Type": "application/json"}
            )
            if not as_expected(case, answer.status):
                wrong.append((case["name"], answer.status))
    assert wrong == []
    assert len(CALLED) >= sum(case["expect"] == "accept" for case in CASES["cases"])


async def test_the_suite_at_the_asgi_boundary(web: Any) -> None:
    # bad input 41
    wrong = []
    async with application(web, *FUNCTIONS) as call:
        for case in CASES["cases"]:
            status, _ = await posted(call, "/any", bytes_of(case))
            if not as_expected(case, status):
                wrong.append((case["name"], status))
    assert wrong == []


BODIES = [
    ("/model", b'{"x":NaN}', 400),
    ("/model", b'{"x":-Infinity}', 400),
    ("/model", b'{"unknown":NaN}', 400),
    ("/model", b'{"text":"NaN Infinity"}', 204),
    ("/members", b'{"x":NaN}', 400),
    ("/members", b'{"n":NaN}', 400),
    ("/model", b'{"x":1e999999}', 422),
    ("/model", b'{"x":-1e999999}', 422),
    ("/model", b'{"x":' + b"9" * 400 + b"}", 422),
    ("/model", b'{"x":"inf"}', 422),
    ("/model", b'{"items":[1,{"a":[1e999]}]}', 422),
    ("/members", b'{"x":1e999}', 422),
    ("/any", b"1e999", 422),
    ("/free?more=1", b'{"x":1e999}', 204),
    ("/free?more=inf", b'{"x":1}', 422),
    ("/free", b'{"x":Infinity}', 400),
    ("/model", b'{"n":' + b"9" * 10_000_00 + b"}", 400),
    ("/model", b'{"n":1e3}', 204),
    ("/model", b'{"amount":1e999999}', 422),
    ("/model", b'{"items":' + b"[" * 150 + b"]" * 150 + b"}", 204),
    ("/model", b'{"items":' + b"[" * 400_000 + b"]" * 400_000 + b"}", 400),
    ("/any", b'{"a":' * 100_000 + b"1" + b"}" * 100_000, 400),
    ("/model", b'{"text":"\\ud800"}', 400),
    ("/model", b'{"text":"\\udc00\\ud800"}', 400),
    ("/model", b'{"\\ud800":1}', 400),
    ("/model", b'{"text":"\xed\xa0\x80"}', 400),
    # The last of a name counts, for the document and for who looks into it on the way (RFC 8259, 4).
    ("/model", b'{"n":"x","n":7}', 204),
    ("/model", b'{"n":7,"n":"x"}', 422),
]


async def test_numbers_depth_names_and_surrogates(entry: Any) -> None:
    # bad input 41
    async with entry.serving(*FUNCTIONS) as service:
        for path, body, status in BODIES:
            answer = await service.ask(
                "POST", path, body=body, headers={"Content-Type": "application/json"}
            )
            assert answer.status == status, (path, body[:60], answer.body[:200])
            assert len(answer.body) < 2000
    assert CALLED[-1].n == 7


async def test_the_same_holds_for_the_lines_of_a_stream(entry: Any) -> None:
    # bad input 41
    async with entry.serving(*FUNCTIONS) as service:
        for line, status in (
            (b'{"a":1}', 200), (b'{"a":NaN}', 400), (b'{"a":1e999}', 422), (b"[" * 10_000, 400),
        ):  # fmt: skip
            answer = await service.ask(
                "POST", "/stream", body=line, headers={"Content-Type": "application/x-ndjson"}
            )
            assert answer.status == status, line[:20]


QUERIES = [
    ("&".join(f"k{n}" for n in range(100_000)), 400),
    ("&" * 100_000, 400),
    ("more=1;more=2", 422),
    ("more=%00", 400),
    ("more=%zz", 400),
    ("more=%ED%A0%80", 400),
    ("more=1&more=2", 400),
    ("more=" + "9" * 20_000, 422),
    ("more=NaN", 422),
]


async def test_queries(entry: Any) -> None:
    # bad input 41
    async with entry.serving(*FUNCTIONS, http={"max_header_bytes": 1_000_000}) as service:
        for query, status in QUERIES:
            answer = await service.ask("POST", f"/free?{query}", json={})
            # The engine takes no target that is longer than it can number.
            assert answer.status in (status, *((431, 414) if len(query) > 60_000 else ())), query[
                :60
            ]
    assert CALLED == []
    async with application(entry, *FUNCTIONS) as call:
        for query, status in QUERIES:
            assert (await posted(call, "/free", b"{}", query))[0] == status, query[:60]
    assert CALLED == []


async def test_json_by_another_name_is_refused_with_cookies_too(entry: Any) -> None:
    # bad input 44
    async with entry.serving(*FUNCTIONS) as service:
        for kind in (
            "text/plain",
            "text/plain; x=application/json",
            "application/x-www-form-urlencoded",
        ):
            for path in ("/any", "/model", "/members"):
                answer = await service.ask(
                    "POST", path, body=b"{}", headers={"Content-Type": kind, "Cookie": "session=s"}
                )
                assert answer.status == 415
    assert CALLED == []


async def test_cookies_that_blow_up_others(entry: Any) -> None:
    # bad input 42
    @http.get("/session")
    async def session(
        request: http.Request, x: Annotated[str, http.Cookie("__Host-x")] = "none"
    ) -> Any:
        return [x, sorted(request.cookies)]

    async with entry.serving(session) as service:
        for line, expected in (
            ("\\" * 15_000 + "; a=b", ["none", ["a"]]),
            ('c="' + '\\"' * 7_000 + "; a=b", ["none", ["a"]]),
            ("=__Host-x=y; a=b", ["none", ["a"]]),
            ("n" * 8192 + "=v; a=b", ["none", ["a"]]),
            ("__Host-x=y", ["y", ["__Host-x"]]),
        ):
            answer = await service.ask("GET", "/session", headers={"Cookie": line})
            assert (answer.status, answer.json) == (200, expected), line[:20]


@asynccontextmanager
async def application(web: Any, *functions: Any) -> AsyncIterator[Any]:
    """The service as an ASGI application, without sockets."""
    begun: list[Any] = []

    class Listener:
        def begin(self, application: Any) -> None:
            begun.append(application)

        async def pause(self) -> None: ...

        async def stop(self) -> None: ...

    class Server(Plugin[None]):
        provides = (HTTP_SERVER,)

        @asynccontextmanager
        async def covet_lifespan(self, ctx: Any) -> AsyncIterator[None]:
            ctx.provide(HTTP_SERVER, self)
            yield

        @asynccontextmanager
        async def listen(self, sockets: Any, options: Any) -> AsyncIterator[Any]:
            try:
                yield Listener()
            finally:
                for each in sockets:
                    each.close()

    classes = {
        "operations": Operations, "hypercorn": Server, "http": Http, "shop": web.plugin_of(*functions),
    }  # fmt: skip
    async with run_kernel(classes, {"http": {"port": 0, "server": "hypercorn"}}):
        await anyio.wait_all_tasks_blocked()
        yield begun[0]


async def posted(call: Any, path: str, body: bytes, query: str = "") -> tuple[int, bytes]:
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http", "method": "POST", "path": path, "raw_path": path.encode(), "client": None,
        "query_string": query.encode(), "headers": [(b"content-type", b"application/json")],
    }  # fmt: skip
    await call(scope, receive, send)
    return sent[0]["status"], sent[1]["body"]
