"""Which changes of a document break clients, and which do not."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from covet_http._openapi._diff import breaking_changes

Document = dict[str, Any]
Edit = Callable[[Document], None]

BOOK = {
    "type": "object",
    "required": ["id", "title"],
    "properties": {
        "id": {"type": "integer"},
        "title": {"type": "string"},
        "price": {"anyOf": [{"type": "number"}, {"type": "null"}]},
        "kind": {"type": "string", "enum": ["paper", "audio"]},
        "related": {"type": "array", "items": {"$ref": "#/components/schemas/Book"}},
    },
}
DRAFT = {
    "type": "object",
    "additionalProperties": False,
    "required": ["title"],
    "properties": {
        "title": {"type": "string", "maxLength": 200},
        "kind": {"type": "string", "enum": ["paper", "audio"]},
        "stock": {"type": "integer", "minimum": 0},
        "extra": {"type": "object", "additionalProperties": {"type": "integer"}},
    },
}


def ref(name: str) -> Document:
    return {"$ref": f"#/components/schemas/{name}"}


def problem(code: str) -> Document:
    return {"type": "object", "title": code, "properties": {"code": {"const": code}}}


OLD: Document = {
    "openapi": "3.1.1",
    "paths": {
        "/books/{id}": {
            "parameters": [{"name": "id", "in": "path", "required": True, "schema": {}}],
            "get": {
                "parameters": [
                    {"name": "lang", "in": "query", "schema": {"type": "string"}},
                    {"name": "X-Trace", "in": "header", "schema": {"type": "string"}},
                ],
                "responses": {
                    "200": {
                        "description": "",
                        "headers": {"ETag": {"schema": {"type": "string"}}},
                        "content": {"application/json": {"schema": ref("Book")}},
                    },
                    "404": {"$ref": "#/components/responses/Missing"},
                },
            },
        },
        "/books": {
            "post": {
                "security": [{"bearer": ["a"]}, {}],
                "requestBody": {
                    "content": {
                        "application/json": {"schema": ref("Draft")},
                        "application/x-ndjson": {"x-itemSchema": ref("Draft")},
                    }
                },
                "responses": {"204": {"description": ""}},
            }
        },
    },
    "components": {
        "schemas": {
            "Book": BOOK,
            "Draft": DRAFT,
            "Missing": problem("missing"),
            "Gone": problem("gone"),
        },
        "responses": {
            "Missing": {
                "description": "",
                "content": {"application/problem+json": {"schema": {"oneOf": [ref("Missing")]}}},
            }
        },
    },
}


def changed(edit: Edit) -> Document:
    new = copy.deepcopy(OLD)
    edit(new)
    return new


def schema(document: Document, name: str) -> Document:
    found: Document = document["components"]["schemas"][name]
    return found


def get(document: Document) -> Document:
    found: Document = document["paths"]["/books/{id}"]["get"]
    return found


def post(document: Document) -> Document:
    found: Document = document["paths"]["/books"]["post"]
    return found


def put(where: Callable[[Document], Any], **values: Any) -> Edit:
    return lambda document: where(document).update(values)


def drop(where: Callable[[Document], Any], name: str) -> Edit:
    return lambda document: where(document).pop(name)


def book(document: Document) -> Any:
    return schema(document, "Book")["properties"]


def draft(document: Document) -> Any:
    return schema(document, "Draft")["properties"]


NEW_PARAMETER = {"name": "a", "in": "query", "required": True, "schema": {}}
TEXT: Document = {"type": "string"}

BREAKS: dict[str, tuple[Edit, str, str]] = {
    "path": (drop(lambda d: d["paths"], "/books"), "path-removed", "/books"),
    "operation": (
        lambda d: d["paths"]["/books"].update(put=d["paths"]["/books"].pop("post")),
        "operation-removed",
        "POST /books",
    ),
    "status": (drop(lambda d: get(d)["responses"], "404"), "status-removed", "answer 404"),
    "header": (
        drop(lambda d: get(d)["responses"]["200"], "headers"),
        "header-removed",
        "the header ETag is gone",
    ),
    "media type out": (
        put(lambda d: get(d)["responses"]["200"], content={"text/plain": {}}),
        "media-type-removed",
        "application/json is gone, there is text/plain",
    ),
    "media type in": (
        drop(lambda d: post(d)["requestBody"]["content"], "application/x-ndjson"),
        "media-type-removed",
        "application/x-ndjson is gone",
    ),
    "new required parameter": (
        lambda d: get(d)["parameters"].append(NEW_PARAMETER),
        "parameter-required",
        "it is new, and has to be given",
    ),
    "parameter becomes required": (
        put(lambda d: get(d)["parameters"][0], required=True),
        "parameter-required",
        "query parameter 'lang': it has to be given now",
    ),
    "parameter": (lambda d: get(d)["parameters"].pop(), "parameter-removed", "'X-Trace'"),
    "parameter is another type": (
        put(lambda d: get(d)["parameters"][0], schema={"type": "integer"}),
        "type-changed",
        "it was string and is integer",
    ),
    "body becomes required": (
        put(lambda d: post(d)["requestBody"], required=True),
        "body-required",
        "there has to be one now",
    ),
    "no body": (drop(post, "requestBody"), "body-removed", "none is taken any more"),
    "credentials": (
        put(post, security=[{"bearer": ["a"]}]),
        "security-tightened",
        "credentials are required now",
    ),
    "permission": (
        put(post, security=[{"bearer": ["a", "b"]}, {}]),
        "security-tightened",
        "the permission 'b' is required now",
    ),
    "member of an answer": (drop(book, "title"), "member-removed", "200 title: the member is gone"),
    "optional in an answer": (
        put(lambda d: schema(d, "Book"), required=["id"]),
        "member-optional",
        "title: it may be left out now",
    ),
    "type of an answer": (
        put(book, title={"type": "integer"}),
        "type-changed",
        "it was string and is integer",
    ),
    "null in an answer": (
        put(book, id={"type": ["integer", "null"]}),
        "type-changed",
        "it was integer and is integer or null",
    ),
    "any value in an answer": (put(book, kind=TEXT), "values-changed", "any value may come now"),
    "another value in an answer": (
        put(book, kind={"type": "string", "enum": ["paper", "audio", "web"]}),
        "values-changed",
        '"web": new',
    ),
    "alternative in an answer": (
        put(book, title={"anyOf": [TEXT, {"type": "object", "title": "Title"}]}),
        "alternative-added",
        "the alternative Title is new",
    ),
    "deep in an answer": (
        put(book, related={"type": "array", "items": {"type": "integer"}}),
        "type-changed",
        "related[]: it was object and is integer",
    ),
    "required member": (
        put(lambda d: schema(d, "Draft"), required=["title", "stock"]),
        "member-required",
        "stock: it has to be given now",
    ),
    "new required member": (
        lambda d: schema(d, "Draft").update(
            required=["title", "isbn"], properties={**draft(d), "isbn": TEXT}
        ),
        "member-required",
        "isbn: it is new, and has to be given",
    ),
    "member that is refused": (drop(draft, "kind"), "member-removed", "kind: the member is gone"),
    "fewer values": (
        put(draft, kind={"type": "string", "enum": ["paper"]}),
        "values-changed",
        '"audio": not taken any more',
    ),
    "only some values": (
        put(draft, title={"type": "string", "const": "Emma", "maxLength": 200}),
        "values-changed",
        "only some values are taken now",
    ),
    "shorter": (
        put(draft, title={"type": "string", "maxLength": 100}),
        "limit-tightened",
        "maxLength was 200 and is 100",
    ),
    "higher minimum": (
        put(draft, stock={"type": "integer", "minimum": 1}),
        "limit-tightened",
        "minimum was 0 and is 1",
    ),
    "pattern": (
        put(draft, title={"type": "string", "maxLength": 200, "pattern": "^a"}),
        "limit-tightened",
        'pattern is new, now "^a"',
    ),
    "unique": (
        put(draft, kind={**DRAFT["properties"]["kind"], "uniqueItems": True}),  # type: ignore[index]
        "limit-tightened",
        "items have to be unique now",
    ),
    "narrower type": (
        put(draft, extra={"type": "object", "additionalProperties": {"type": "boolean"}}),
        "type-changed",
        "extra.*: it was integer and is boolean",
    ),
}


@pytest.mark.parametrize("name", BREAKS)
def test_what_breaks(name: str) -> None:
    edit, kind, words = BREAKS[name]
    found = breaking_changes(OLD, changed(edit))
    assert {change.kind for change in found} == {kind}, found
    assert words in "\n".join(map(str, found))


HARMLESS: dict[str, Edit] = {
    "nothing": lambda d: None,
    "path": put(lambda d: d["paths"], **{"/new": {"get": {"responses": {}}}}),
    "operation": lambda d: d["paths"]["/books"].update(get={"responses": {}}),
    "name of a path's parameter": lambda d: (
        d["paths"].update({"/books/{book}": d["paths"].pop("/books/{id}")}),
        d["paths"]["/books/{book}"]["parameters"][0].update(name="book"),
    )[0],
    "optional parameter": lambda d: get(d)["parameters"].append({"name": "b", "in": "query"}),
    "case of a header": put(lambda d: get(d)["parameters"][1], name="x-trace"),
    "status": put(lambda d: get(d)["responses"], **{"410": {"description": ""}}),
    "media type": lambda d: get(d)["responses"]["200"]["content"].update({"text/plain": {}}),
    "member of an answer": put(book, isbn=TEXT),
    "required in an answer": put(lambda d: schema(d, "Book"), required=["id", "title", "kind"]),
    "narrower answer": put(book, price={"type": "integer"}),
    "fewer values in an answer": put(book, kind={"type": "string", "const": "paper"}),
    "optional member": put(draft, isbn=TEXT),
    "not required any more": drop(lambda d: schema(d, "Draft"), "required"),
    "wider type": put(draft, stock={"type": ["number", "null"]}),
    "more values": put(draft, kind={"enum": ["paper", "audio", "web"]}),
    "more room": put(draft, title={"type": "string", "maxLength": 300}),
    "open object": drop(lambda d: schema(d, "Draft"), "additionalProperties"),
    "another error of a status": put(
        lambda d: d["components"]["responses"]["Missing"]["content"]["application/problem+json"],
        schema={"oneOf": [ref("Missing"), ref("Gone")]},
    ),
    "no credentials": drop(post, "security"),
    "alternative in a body": put(draft, title={"anyOf": [{**TEXT, "maxLength": 200}, {}]}),
    "words": put(get, summary="Other words", description="More words"),
}


@pytest.mark.parametrize("name", HARMLESS)
def test_what_does_not_break(name: str) -> None:
    assert breaking_changes(OLD, changed(HARMLESS[name])) == []


def test_all_of_is_one_object() -> None:
    parts = {"allOf": [ref("Draft"), {"required": ["kind"]}]}
    new = changed(lambda d: d["components"]["schemas"].update(Both=parts))
    post(new)["requestBody"]["content"]["application/json"]["schema"] = ref("Both")
    (change,) = breaking_changes(OLD, new)
    assert str(change) == (
        "POST /books request body kind: it has to be given now (member-required)"
    )


def test_references_may_lead_nowhere_or_in_circles() -> None:
    loop = changed(
        lambda d: d["components"]["schemas"].update(Book=ref("Other"), Other=ref("Book"))
    )
    lost = changed(lambda d: d["components"]["schemas"].pop("Book"))
    for one in (OLD, loop, lost):
        for two in (loop, lost, OLD):
            assert isinstance(breaking_changes(one, two), list)


SCHEMA = st.recursive(
    st.sampled_from(
        [{}, True, False, {"type": "string"}, ref("Book"), {"type": ["null", "integer"]}]
    ),
    lambda inner: st.one_of(
        st.builds(lambda each: {"type": "array", "items": each}, inner),
        st.builds(lambda each: {"anyOf": each}, st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda each: {"allOf": each}, st.lists(inner, max_size=3)),
        st.builds(
            lambda each: {"type": "object", "properties": each, "required": list(each)},
            st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
        ),
    ),
    max_leaves=5,
)


@given(SCHEMA, SCHEMA)
def test_any_two_schemas_can_be_compared(one: Any, two: Any) -> None:
    def document(given: Any) -> Document:
        return changed(lambda d: book(d).update(any=given))

    assert breaking_changes(document(one), document(one)) == []
    assert all(change.problem for change in breaking_changes(document(one), document(two)))
