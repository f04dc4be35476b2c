"""A target that looks at the request before it says which route answers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

import covet_http as http
from covet_http import Choice, Find, PreparedAnswer, Route, Target
from covet_operations import Conflict, OperationError


class Gone(OperationError):
    """This version is no longer served."""


class ByVersion:
    """A `Choice` as a feature would make one: by a header, with refusals and a ready answer."""

    def __init__(self, among: Sequence[Route | PreparedAnswer]) -> None:
        self.among = among

    def choose(self, method: str, find: Find) -> Route | PreparedAnswer:
        version = find(b"x-version") or b"0"
        if version == b"9":
            raise Conflict(f"{method} has no version 9")
        if version == b"7":
            raise Gone
        return self.among[int(version)]


READY = PreparedAnswer((200, [(b"etag", b'"v"'), (b"content-length", b"5")], b"ready"), b'"v"')


@http.get("/one/{name}")
async def one(name: str) -> str:
    return f"one {name}"


@http.get("/two/{name}")
async def two(name: str) -> AsyncIterator[str]:
    yield "two"
    yield name


@asynccontextmanager
async def chosen(web: Any, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Any]:
    """The service, with a choice of both functions and a ready answer at ``/it/{name}``."""
    import covet_http._plugin as plugin

    route = plugin.route

    def with_choice(*args: Any, **more: Any) -> Any:
        routes, mounts = route(*args, **more)
        found = {path: routes.find(path)[0].methods["GET"] for path in ("/one/x", "/two/x")}
        choice: Choice = ByVersion([found["/one/x"], found["/two/x"], READY])
        target: Target = choice
        routes.add("GET", "/it/{name}", target, types=[str], owner="the test")
        return routes, mounts

    monkeypatch.setattr(plugin, "route", with_choice)
    async with web.serving(one, two) as service:
        yield service


async def test_the_request_decides(web: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async with chosen(web, monkeypatch) as service, service.connect() as client:
        answer = await client.ask("GET", "/it/a%20b")
        assert (answer.status, answer.json) == (200, "one a b")
        answer = await client.ask("GET", "/it/x", headers={"X-Version": "1"})
        assert (answer.status, answer.body) == (200, b'"two"\n"x"\n')
        answer = await client.ask("GET", "/it/x", headers={"X-Version": "2"})
        assert (answer.status, answer.body) == (200, b"ready")
        answer = await client.ask("HEAD", "/it/x", headers={"X-Version": "2"})
        assert (answer.status, answer.headers["content-length"]) == (200, "5")
        # The others are still there, and what the choice does not take is a 405.
        assert (await client.ask("GET", "/one/y")).json == "one y"
        answer = await client.ask("POST", "/it/x", headers={"X-Version": "1"})
        assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD, OPTIONS")


async def test_a_ready_answer_is_conditional(web: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async with chosen(web, monkeypatch) as service, service.connect() as client:
        headers = {"X-Version": "2", "If-None-Match": '"v"', "Connection": "close"}
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        await client.send(f"GET /it/x HTTP/1.1\r\nHost: a\r\n{lines}\r\n".encode())
        data = await client.until_closed()
    assert data.split(b" ")[1] == b"304"
    assert b"ready" not in data


async def test_a_refusal_is_a_problem(web: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async with chosen(web, monkeypatch) as service, service.connect() as client:
        answer = await client.ask("GET", "/it/x", headers={"X-Version": "9"})
        assert (answer.status, answer.json["code"]) == (409, "conflict")
        assert answer.json["detail"] == "GET has no version 9"
        answer = await client.ask("GET", "/it/x", headers={"X-Version": "7"})
        assert (answer.status, answer.json["code"]) == (500, "gone")
        assert (await client.ask("GET", "/it/x")).status == 200


async def test_a_header_that_comes_twice_is_malformed(
    web: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with chosen(web, monkeypatch) as service, service.connect() as client:
        await client.send(b"GET /it/x HTTP/1.1\r\nHost: a\r\nX-Version: 1\r\nx-version: 1\r\n\r\n")
        assert (await client.answer()).status == 400
