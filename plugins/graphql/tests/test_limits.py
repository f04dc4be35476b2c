"""What a request may cost."""

from __future__ import annotations

import json
from itertools import product
from typing import Any

from graphql import parse
from graphql_bad import DOCUMENTS
from graphql_serving import ask, serving
from hypothesis import given
from hypothesis import strategies as st

from covet_graphql._accept import JSON
from covet_graphql._config import GraphqlConfig
from covet_graphql._costs import Meter
from covet_graphql._documents import Documents
from covet_graphql._request import BadRequestError
from covet_graphql._schema import Served
from covet_http.testing import Client


async def test_what_costs_too_much_is_refused_before_it_runs() -> None:
    # bad input 62
    async with serving() as client:
        for name, accept in product(DOCUMENTS, ("application/graphql-response+json", JSON)):
            answer = await client.post(
                "/graphql", json={"query": DOCUMENTS[name]}, headers={"accept": accept}
            )
            found = answer.json()
            assert "data" not in found, name
            assert 1 <= len(found["errors"]) <= 20
            assert len(answer.body) < 10_000
            # To older clients all that is well-formed is a success.
            assert answer.status == (400 if accept != JSON else 200)
            assert "Traceback" not in answer.text


async def refused(client: Client, query: str, **more: Any) -> dict[str, Any]:
    found = await ask(client, query, **more)
    assert "data" not in found
    error: dict[str, Any] = found["errors"][0]
    return error


async def test_limits_say_what_they_are() -> None:
    async with serving(max_depth=2, max_complexity=49, list_size=7) as client:
        assert (
            "nested 3 fields deep, and 2 are allowed"
            in (await refused(client, "{ books { author { name } } }"))["message"]
        )
        # The list, seven items with a field of one each.
        assert await ask(client, "{ books { id } }")
        error = await refused(client, "{ books { id a: id b: id c: id d: id e: id f: id } }")
        assert error["message"].startswith("The operation costs 50, and 49 are allowed")
        assert error["extensions"]["code"] == "graphql-limit"


async def test_sizes_that_clients_ask_for_count() -> None:
    query = "query($n: Int!) { books { author { works(limit: $n) { id } } } }"
    async with serving(max_complexity=1000) as client:
        assert "errors" not in await ask(client, query, variables={"n": 3})
        error = await refused(client, query, variables={"n": 2_000_000})
        assert "costs" in error["message"]
        assert "errors" not in await ask(client, query, variables={"n": 3})


async def test_a_batch_is_refused_unless_it_is_small_and_allowed() -> None:
    one = {"query": "{ who }"}
    async with serving() as client:
        answer = await client.post("/graphql", json=[one])
        assert (answer.status, "data" in answer.text) == (400, False)
    async with serving(max_batch=3) as client:
        answer = await client.post("/graphql", json=[one, {"query": "{ no }"}, one])
        assert answer.status == 200
        assert [sorted(each) for each in answer.json()] == [["data"], ["errors"], ["data"]]
        for batch in ([], [one] * 4, [one] * 1000, [one, 7]):
            assert (await client.post("/graphql", json=batch)).status == 400


async def test_introspection_and_suggestions_are_off_unless_asked_for() -> None:
    query = "{ __schema { types { name } } }"
    async with serving() as client:
        assert "introspection" in (await refused(client, query))["message"]
        assert "Did you mean" not in (await refused(client, "{ bok { id } }"))["message"]
        assert await ask(client, "{ __typename }") == {"data": {"__typename": "Query"}}
    async with serving(introspection=True) as client:
        assert "errors" not in await ask(client, query)
        assert "Did you mean" in (await refused(client, "{ bok { id } }"))["message"]


async def test_many_errors_are_cut_short() -> None:
    async with serving(max_errors=3) as client:
        found = await ask(client, "{ books(count: 10) { maybe } }")
        assert len(found["errors"]) == 3
        assert found["extensions"] == {"errorsLeftOut": 7}


@given(
    st.recursive(st.just("{ a }"), lambda inner: inner.map(lambda each: "{ a " + each + " b: c }"))
)
def test_depth_and_aliases_are_counted(text: str) -> None:
    document = parse(text)
    meter = Meter(document)
    found = meter.measure(meter.operations[0])
    assert found.depth == text.count("{")
    assert found.aliases == text.count("b: c")


@given(st.text(alphabet='{}[]()"#\\\n,:@$!a1. ', max_size=400) | st.text(max_size=40))
def test_whatever_is_sent_is_a_document_or_refused(text: str) -> None:
    from graphql import build_schema

    served = Served(build_schema("type Query { a(b: [Int]): Int }"), {}, {}, {}, [])
    documents = Documents(served, GraphqlConfig())
    try:
        documents.get(text)
    except BadRequestError as error:
        assert json.dumps([each.message for each in error.errors])


async def test_documents_that_are_kept_are_bounded() -> None:
    from graphql import build_schema

    served = Served(build_schema("type Query { a: Int }"), {}, {}, {}, [])
    documents = Documents(served, GraphqlConfig(max_documents=5))
    for each in range(50):
        documents.get(f"query Q{each} {{ a }}")
    assert len(documents._kept) == 5
    for each in range(30):
        documents.get(f"query L{each} {{ a }} #" + "x" * 40_000)
    assert documents._kept.text <= 250_000
    assert documents.get("query Q49 { a }") is documents.get("query Q49 { a }")
