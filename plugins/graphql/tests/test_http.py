"""GraphQL over HTTP: methods, media types, statuses, persisted documents."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import graphql_shop
import pytest
from graphql_serving import ask, serving
from hypothesis import given
from hypothesis import strategies as st

from covet_graphql import Graphql
from covet_graphql._accept import JSON, RESPONSE, chosen
from covet_http.testing import run_service

ORDER = "mutation { placeOrder(lines: [{bookId: 1}]) { note } }"


async def test_get_is_for_queries(server: str) -> None:
    async with serving(server=server) as client:
        query = "query A($n: Int!) { books(count: $n) { id } } query B { who }"
        variables = json.dumps({"n": 1})
        asked = {"query": query, "operationName": "A", "variables": variables}
        found = await client.get("/graphql", params=asked)
        assert (found.status, found.json()) == (200, {"data": {"books": [{"id": 0}]}})
        for text in (ORDER, "subscription { arrivals { id } }"):
            refused = await client.get("/graphql", params={"query": text})
            assert (refused.status, refused.headers["allow"]) == (405, "POST")
            assert "data" not in refused.json()
        for wrong in (
            {"query": "{ who }", "variables": "{"},
            {"query": "{ who }", "variables": "[1]"},
            {"query": ["{ who }", "{ who }"]},
            {"extensions": "{}"},
            {},
        ):
            assert (await client.get("/graphql", params=wrong)).status == 400
        assert (await client.put("/graphql", json={})).status == 405


FORMS = [
    ("", JSON),
    ("application/json", JSON),
    ("application/json; charset=utf-8", JSON),
    ("application/graphql-response+json", RESPONSE),
    ("*/*", JSON),
    ("application/*;q=0.5, application/graphql-response+json;q=0.1", JSON),
    ("application/json, application/graphql-response+json;q=0.9", JSON),
    ("application/graphql-response+json, application/json;q=0.9", RESPONSE),
    ("text/html, */*;q=0.1", JSON),
    ("application/json;q=0", None),
    ("text/html", None),
    ("application/json;q=x", None),
]


async def test_the_form_of_an_answer_is_the_clients_to_choose() -> None:
    async with serving() as client:
        for accept, media_type in FORMS:
            headers = {"accept": accept} if accept else {}
            good = await client.post("/graphql", json={"query": "{ who }"}, headers=headers)
            bad = await client.post("/graphql", json={"query": "{ nobody }"}, headers=headers)
            unread = await client.post("/graphql", json={"query": "{"}, headers=headers)
            if media_type is None:
                assert (good.status, good.media_type) == (406, JSON), accept
                continue
            assert (good.status, good.media_type) == (200, media_type), accept
            statuses = (bad.status, unread.status)
            assert statuses == ((400, 400) if media_type == RESPONSE else (200, 200))


@given(
    st.text(max_size=60)
    | st.lists(st.sampled_from([JSON, RESPONSE, "*/*", ";q=", "0.5", ",", " "])).map("".join)
)
def test_any_accept_has_an_answer(line: str) -> None:
    assert chosen(line) in (JSON, RESPONSE, None)


BODIES = [
    (b"{", "application/json", 400),
    (b"", "application/json", 400),
    (b"[]", "application/json", 400),
    (b"7", "application/json", 400),
    (b'{"query": 7}', "application/json", 400),
    (b'{"query": null}', "application/json", 400),
    (b'{"query": "{ who }", "variables": [1]}', "application/json", 400),
    (b'{"query": "{ who }", "variables": {"a": NaN}}', "application/json", 400),
    (b'{"query": "{ who }", "operationName": 1}', "application/json", 400),
    (b'{"query": "{ who }", "extensions": "a"}', "application/json", 400),
    (b'{"query": "{ who }"}', "text/plain", 415),
    (b'{"query": "{ who }"}', "multipart/form-data; boundary=a", 415),
    (b'{"query": "{ who }"}', "application/x-www-form-urlencoded", 415),
    (b"{ who }", "application/graphql", 415),
    (b'{"query": "{ who }", "variables": null, "operationName": ""}', "application/json", 200),
    (b'{"query": "{ who }", "more": 1}', "application/json; charset=utf-8", 200),
]


async def test_bodies() -> None:
    # bad input 62: a form, which any page may send to any site, is never taken
    async with serving() as client:
        for body, content_type, status in BODIES:
            headers = {"content-type": content_type, "accept": RESPONSE}
            answer = await client.post("/graphql", content=body, headers=headers)
            assert answer.status == status, body
            assert "Traceback" not in answer.text


async def test_operations_are_chosen_by_name() -> None:
    async with serving() as client:
        query = "query A { who } query B { w: who }"
        assert (await ask(client, query, operationName="B"))["data"] == {"w": ""}
        for name in (None, "C"):
            assert "errors" in await ask(client, query, operationName=name)
        assert "errors" in await ask(client, "fragment A on Query { who }")


async def test_documents_may_be_named_by_their_hash() -> None:
    query = "{ who }"
    said = {"persistedQuery": {"version": 1, "sha256Hash": sha256(query.encode()).hexdigest()}}
    async with serving(max_documents=2) as client:
        unknown = await client.post("/graphql", json={"extensions": said})
        assert unknown.json()["errors"] == [
            {
                "message": "PersistedQueryNotFound",
                "extensions": {"code": "PERSISTED_QUERY_NOT_FOUND"},
            }
        ]
        assert (await ask(client, query, extensions=said))["data"] == {"who": ""}
        known = await client.post("/graphql", json={"extensions": said})
        assert known.json() == {"data": {"who": ""}}
        by_url = await client.get("/graphql", params={"extensions": json.dumps(said)})
        assert by_url.json() == {"data": {"who": ""}}
        wrong = await client.post("/graphql", json={"query": "{ w: who }", "extensions": said})
        assert "data" not in wrong.json()
        for name in (7, "x", "z" * 64, None):
            odd = {"persistedQuery": {"sha256Hash": name}}
            answer = await client.post("/graphql", json={"query": query, "extensions": odd})
            assert (answer.status, "data" in answer.json()) == (400, False)
        for each in range(3):  # others push it out
            text = f"{{ w{each}: who }}"
            other = {"persistedQuery": {"sha256Hash": sha256(text.encode()).hexdigest()}}
            await ask(client, text, extensions=other)
        assert "errors" in (await client.post("/graphql", json={"extensions": said})).json()
    async with serving(persisted=False) as client:
        assert "errors" in await ask(client, query, extensions=said)


async def test_only_documents_the_service_knows(tmp_path: Path) -> None:
    known = {"who": "{ who }", "books": "query($n: Int!) { books(count: $n) { id } }"}
    (tmp_path / "documents.json").write_text(json.dumps(known), "utf-8")
    config = {"graphql": {"trusted_documents": "documents.json"}}
    async with run_service(
        *graphql_shop.ALL, plugins={"graphql": Graphql}, config=config, directory=tmp_path
    ) as client:
        assert (await ask(client, "who"))["data"] == {"who": ""}
        assert (await ask(client, "{ who }"))["data"] == {"who": ""}
        assert "errors" in await ask(client, "{ w: who }")
        said: dict[str, Any] = {
            "persistedQuery": {"sha256Hash": sha256(known["books"].encode()).hexdigest()}
        }
        asked = {"extensions": said, "variables": {"n": 1}}
        answer = await client.post("/graphql", json=asked)
        assert answer.json() == {"data": {"books": [{"id": 0}]}}


@pytest.mark.parametrize("text", ["", "[]", '{"a": 1}'])
async def test_a_file_of_documents_that_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "d.json").write_text(text, "utf-8")
    with pytest.raises(ExceptionGroup) as caught:
        async with run_service(
            *graphql_shop.ALL,
            plugins={"graphql": Graphql},
            config={"graphql": {"trusted_documents": "d.json"}},
            directory=tmp_path,
        ):
            pass
    assert "COVET-GRAPHQL-DOCUMENTS" in str(caught.value.exceptions)
