"""What rules add to answers is announced in the OpenAPI document, and held to it in contract mode."""

from __future__ import annotations

from typing import Any

import covet_http as http
from covet_memory import Memory

TEXT = "Emma " * 500


@http.get("/books", etag=True)
async def books() -> str:
    return TEXT


@http.post("/orders", idempotency="required")
async def order(book: str) -> str:
    return book


@http.get("/plain")
def plain() -> str:
    return "Emma"


RULES: dict[str, Any] = {
    "openapi": {"contract": True},
    "request_id": {},
    "compression": {"encodings": ["gzip"]},
    "cors": {"origins": ["https://app.example"]},
}


async def test_answers_are_as_the_document_says(web: Any) -> None:
    plugins = {"memory": Memory}
    async with web.serving(books, order, plain, plugins=plugins, http=RULES) as service:
        async with service.connect() as client:
            document = (await client.ask("GET", "/openapi.json")).json
            for headers, status in (({"Accept-Encoding": "gzip"}, 200), ({"If-Match": '"x"'}, 412)):
                answer = await client.ask("GET", "/books", headers=headers)
                assert answer.status == status
            await client.send(b"GET /books HTTP/1.1\r\nHost: a\r\nIf-None-Match: *\r\n\r\n")
            assert (await client.answer("HEAD")).status == 304
            for book, key, status in (
                ("Emma", "a", 200), ("Emma", "a", 200), ("Persuasion", "a", 422), ("Emma", "", 400),
            ):  # fmt: skip
                headers = {"Idempotency-Key": key, "Origin": "https://app.example"}
                answer = await client.ask("POST", "/orders", json={"book": book}, headers=headers)
                assert answer.status == status
    paths = document["paths"]
    assert {"ETag", "x-request-id"} <= paths["/books"]["get"]["responses"]["200"]["headers"].keys()
    assert {"304", "412"} <= paths["/books"]["get"]["responses"].keys()
    (key,) = paths["/orders"]["post"]["parameters"]
    assert (key["name"], key["required"]) == ("Idempotency-Key", True)
    assert {"400", "409", "422"} <= paths["/orders"]["post"]["responses"].keys()
    assert "parameters" not in paths["/plain"]["get"]
    assert "304" not in paths["/plain"]["get"]["responses"]
