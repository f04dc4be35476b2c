"""Requests have names, which go with their answers and into the log."""

from __future__ import annotations

import logging
import re
from typing import Any

import anyio.lowlevel
import pytest

import covet_http as http
from covet_operations import NotFound

MADE = re.compile(r"[0-9a-f]{32}\Z")
IDS = {"request_id": {}}


@http.get("/id/{kind}")
async def named(kind: str) -> str:
    if kind == "missing":
        raise NotFound
    if kind == "broken":
        await anyio.lowlevel.checkpoint()
        raise ValueError("broken")
    logging.getLogger("shop").warning("asked for %s", kind)
    await anyio.lowlevel.checkpoint()
    return http.request_id()


def fixed(self: Any) -> Any:
    yield http.fixed("/robots.txt", "x", content_type="text/plain")


async def test_every_answer_names_its_request(web: Any, caplog: pytest.LogCaptureFixture) -> None:
    site = {"site": web.plugin_of(covet_http_fixed=fixed)}
    seen = set()
    caplog.handler.addFilter(http.RequestIdFilter())
    async with web.serving(named, plugins=site, http=IDS) as service, service.connect() as client:
        for target, status in (
            ("/id/x", 200), ("/id/y", 200), ("/id/missing", 404), ("/id/broken", 500), ("/none", 404),
            ("/robots.txt", 200),
        ):  # fmt: skip
            answer = await client.ask("GET", target, headers={"X-Request-ID": "theirs"})
            assert answer.status == status
            assert MADE.match(answer.headers["x-request-id"])
            seen.add(answer.headers["x-request-id"])
            if status == 200 and target.startswith("/id"):
                assert answer.json == answer.headers["x-request-id"]
    assert len(seen) == 6
    ours = [each for each in caplog.records if each.name == "shop"]
    assert len({each.request_id for each in ours} & seen) == 2  # type: ignore[attr-defined]
    failure = next(each for each in caplog.records if each.exc_info)
    assert any(f"request id: {name}" in (failure.exc_text or "") for name in seen)
    assert http.request_id() == ""


@pytest.mark.parametrize(
    ("proxies", "config", "given", "taken"),
    [
        ({"hops": 1}, {}, "a-1.B:c/d=", True),
        ({"networks": ["127.0.0.0/8"]}, {}, "x" * 128, True),
        ({"networks": ["10.0.0.0/8"]}, {}, "theirs", False),
        ({"hops": 1}, {"accept": False}, "theirs", False),
        ({"hops": 1}, {}, "x" * 129, False),
        ({"hops": 1}, {}, "a b", False),
        ({"hops": 1}, {}, "{}", False),
        (None, {}, "theirs", False),
    ],
)
async def test_only_a_trusted_proxy_gives_names(
    web: Any, proxies: Any, config: dict[str, Any], given: str, taken: bool
) -> None:
    tables = {"request_id": {"header": "X-Trace", **config}, "proxies": proxies}
    tables = {name: table for name, table in tables.items() if table is not None}
    async with web.serving(named, http=tables) as service:
        answer = await service.ask("GET", "/id/x", headers={"X-Trace": given})
    assert (answer.headers["x-trace"] == given) is taken
    assert answer.json == answer.headers["x-trace"]


async def test_without_the_table_there_are_none(web: Any) -> None:
    async with web.serving(named) as service:
        answer = await service.ask("GET", "/id/x")
    assert answer.json == ""
    assert "x-request-id" not in answer.headers
