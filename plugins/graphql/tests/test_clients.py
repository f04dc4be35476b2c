"""Clients that others have written: the audit of graphql-http, graphql-sse and graphql-ws, from npm."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anyio
import graphql_shop as shop
import pytest
from graphql_serving import listening, until
from services.embedded_postgres import NotFetchedError
from services.missing import skipped_without
from services.node import beside_packages, node

pytestmark = pytest.mark.once
NPM = Path(__file__).with_name("npm")


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The script of clients, beside what it imports."""
    with skipped_without(NotFetchedError):
        return beside_packages(NPM / "clients.mjs", tmp_path_factory.mktemp("npm"))


async def clients(script: Path, url: str, *what: str) -> Any:
    """What they got."""
    with anyio.fail_after(90):
        done = await anyio.run_process([node(), str(script), url + "/graphql", *what])
    return json.loads(done.stdout)


async def test_the_audit_of_graphql_over_http(script: Path, server: str) -> None:
    async with listening(server, introspection=True) as url:
        results = (await clients(script, url, "audit"))["audit"]
    assert len(results) > 50
    # Errors are what MUST, warnings what SHOULD; a notice is about what MAY.
    assert [each for each in results if each["status"] in ("error", "warn")] == []


def check_streams(found: Any) -> None:
    books = [
        {"data": {"arrivals": {"id": each, "author": {"name": f"Author {each}"}}}}
        for each in range(3)
    ]
    assert found["stream"] == {"items": books}
    assert found["query"] == {"items": [{"data": {"books": [{"id": 0}, {"id": 1}]}}]}
    assert [sorted(each) for each in found["mutation"]["items"]] == [["data"]]
    assert found["together"] == [3, 3, 3]
    assert found["left"] == "complete"
    assert "sold-out" in json.dumps(found["failing"])


async def test_graphql_sse(script: Path, server: str) -> None:
    async with listening(server) as url:
        found = (await clients(script, url, "sse"))["sse"]
        await until(lambda: len(shop.ENDED) == 2 * 6)
    for mode in ("distinct", "single"):
        check_streams(found[mode])
    assert "graphql-invalid" in json.dumps(found["distinct"]["invalid"])
    assert found["single"]["invalid"]["items"] == []


async def test_graphql_ws(script: Path, server: str) -> None:
    async with listening(server) as url:
        found = (await clients(script, url, "ws"))["ws"]
        await until(lambda: len(shop.ENDED) == 6)
    check_streams(found)
    assert "graphql-invalid" in json.dumps(found["invalid"])
    # What a browser can only say behind the handshake.
    assert found["who"] == {"items": [{"data": {"named": "Bearer me"}}]}
