"""Which changes of an OpenAPI document break clients, which may, and which do not."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
from edits import edited
from hypothesis import given, settings
from hypothesis import strategies as st

from covet_contract import compare
from covet_contract._openapi._diff import compare_documents
from covet_kernel import ConfigurationError
from covet_operations import Finding, Severity

pytestmark = pytest.mark.once

Document = dict[str, Any]
Edit = Callable[[Document], None]

BOOK = {
    "type": "object",
    "required": ["id", "title"],
    "properties": {
        "id": {"type": "integer", "multipleOf": 1},
        "title": {"type": "string", "maxLength": 80},
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


def compared(old: Document, new: Document) -> list[Finding]:
    return [*compare_documents(old, new)]


def ref(name: str) -> Document:
    return {"$ref": f"#/components/schemas/{name}"}


def problem(code: str) -> Document:
    return {"type": "object", "title": code, "properties": {"code": {"const": code}}}


OLD: Document = {
    "openapi": "3.1.1",
    "servers": [{"url": "https://shop.example"}],
    "paths": {
        "/books/{id}": {
            "parameters": [{"name": "id", "in": "path", "required": True, "schema": {}}],
            "get": {
                "operationId": "find",
                "parameters": [
                    {
                        "name": "lang",
                        "in": "query",
                        "schema": {"type": "string", "default": "en"},
                    },
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
    "status": (drop(lambda d: get(d)["responses"], "404"), "error-removed", "answer 404"),
    "header": (
        drop(lambda d: get(d)["responses"]["200"], "headers"),
        "header-removed",
        "the header ETag is gone",
    ),
    "media type out": (
        put(lambda d: get(d)["responses"]["200"], content={"text/plain": {}}),
        "output-media-type-removed",
        "application/json is gone, there is text/plain",
    ),
    "media type in": (
        drop(lambda d: post(d)["requestBody"]["content"], "application/x-ndjson"),
        "input-media-type-removed",
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
        "input-type-changed",
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
    "member of an answer": (
        drop(book, "title"),
        "output-member-removed",
        "200 title: the member is gone",
    ),
    "optional in an answer": (
        put(lambda d: schema(d, "Book"), required=["id"]),
        "output-member-optional",
        "title: it may be left out now",
    ),
    "type of an answer": (
        put(book, title={"type": "integer"}),
        "output-type-changed",
        "it was string and is integer",
    ),
    "null in an answer": (
        put(book, id={"type": ["integer", "null"]}),
        "output-null-added",
        "it may be null now",
    ),
    "any value in an answer": (
        put(book, kind=TEXT),
        "output-value-added",
        "any value may come now",
    ),
    "another value in an answer": (
        put(book, kind={"type": "string", "enum": ["paper", "audio", "web"]}),
        "output-value-added",
        '"web": new',
    ),
    "alternative in an answer": (
        put(book, title={"anyOf": [TEXT, {"type": "object", "title": "Title"}]}),
        "output-alternative-added",
        "the alternative Title is new",
    ),
    "deep in an answer": (
        put(book, related={"type": "array", "items": {"type": "integer"}}),
        "output-type-changed",
        "related[]: it was object and is integer",
    ),
    "required member": (
        put(lambda d: schema(d, "Draft"), required=["title", "stock"]),
        "input-member-required",
        "stock: it has to be given now",
    ),
    "new required member": (
        lambda d: schema(d, "Draft").update(
            required=["title", "isbn"], properties={**draft(d), "isbn": TEXT}
        ),
        "input-member-required",
        "isbn: it is new, and has to be given",
    ),
    "member that is refused": (
        drop(draft, "kind"),
        "input-member-removed",
        "kind: the member is gone",
    ),
    "fewer values": (
        put(draft, kind={"type": "string", "enum": ["paper"]}),
        "input-value-removed",
        '"audio": gone',
    ),
    "only some values": (
        put(draft, title={"type": "string", "const": "Emma", "maxLength": 200}),
        "input-value-removed",
        "only some values are left",
    ),
    "shorter": (
        put(draft, title={"type": "string", "maxLength": 100}),
        "input-limit-tightened",
        "maxLength was 200 and is 100",
    ),
    "higher minimum": (
        put(draft, stock={"type": "integer", "minimum": 1}),
        "input-limit-tightened",
        "minimum was 0 and is 1",
    ),
    "pattern": (
        put(draft, title={"type": "string", "maxLength": 200, "pattern": "^a"}),
        "input-limit-tightened",
        'pattern was null and is "^a"',
    ),
    "unique": (
        put(draft, kind={**DRAFT["properties"]["kind"], "uniqueItems": True}),  # type: ignore[index]
        "input-limit-tightened",
        "uniqueItems was null and is true",
    ),
    "narrower type": (
        put(draft, extra={"type": "object", "additionalProperties": {"type": "boolean"}}),
        "input-type-changed",
        "extra.*: it was integer and is boolean",
    ),
}


@pytest.mark.parametrize("name", BREAKS)
def test_what_breaks(name: str) -> None:
    edit, code, words = BREAKS[name]
    found = compared(OLD, changed(edit))
    assert {each.code for each in found if each.severity == Severity.BREAKING} == {code}, found
    assert words in "\n".join(f"{each.subject}: {each.problem}" for each in found)
    assert all(each.breaks for each in found if each.severity == Severity.BREAKING)


RISKY: dict[str, tuple[Edit, str]] = {
    "status": (put(lambda d: post(d)["responses"], **{"202": {"description": ""}}), "status-added"),
    "name": (put(get, operationId="other"), "operation-renamed"),
    "member of an open body": (
        lambda d: (
            schema(d, "Draft").pop("additionalProperties"),
            draft(d).pop("kind"),
        )[1],
        "input-member-ignored",
    ),
    "default": (
        put(lambda d: get(d)["parameters"][0]["schema"], default="de"),
        "default-changed",
    ),
    "longer answers": (
        put(book, title={"type": "string", "maxLength": 200}),
        "output-limit-loosened",
    ),
    "pattern of an answer": (
        put(book, id={"type": "integer", "multipleOf": 3}),
        "output-limit-loosened",
    ),
    "server": (lambda d: d.update(servers=[]), "server-removed"),
}


@pytest.mark.parametrize("name", RISKY)
def test_what_may_break(name: str) -> None:
    edit, code = RISKY[name]
    found = compared(OLD, changed(edit))
    assert {each.code for each in found if each.severity != Severity.COMPATIBLE} == {code}, found


HARMLESS: dict[str, tuple[Edit, set[str]]] = {
    "nothing": (lambda d: None, set()),
    "path": (put(lambda d: d["paths"], **{"/new": {"get": {"responses": {}}}}), {"path-added"}),
    "operation": (
        lambda d: d["paths"]["/books"].update(get={"responses": {}}),
        {"operation-added"},
    ),
    "deprecated": (put(get, deprecated=True), {"operation-deprecated"}),
    "name of a path's parameter": (
        lambda d: (
            d["paths"].update({"/books/{book}": d["paths"].pop("/books/{id}")}),
            d["paths"]["/books/{book}"]["parameters"][0].update(name="book"),
        )[0],
        set(),
    ),
    "optional parameter": (
        lambda d: get(d)["parameters"].append({"name": "b", "in": "query"}),
        {"parameter-added"},
    ),
    "case of a header": (put(lambda d: get(d)["parameters"][1], name="x-trace"), set()),
    "error": (put(lambda d: get(d)["responses"], **{"410": {"description": ""}}), {"error-added"}),
    "media type out": (
        lambda d: get(d)["responses"]["200"]["content"].update({"text/plain": {}}),
        {"output-media-type-added"},
    ),
    "media type in": (
        lambda d: post(d)["requestBody"]["content"].update({"text/plain": {}}),
        {"input-media-type-added"},
    ),
    "header": (
        put(lambda d: get(d)["responses"]["200"]["headers"], Age={"schema": {}}),
        {"header-added"},
    ),
    "member of an answer": (put(book, isbn=TEXT), {"output-member-added"}),
    "required in an answer": (
        put(lambda d: schema(d, "Book"), required=["id", "title", "kind"]),
        {"output-member-guaranteed"},
    ),
    "narrower answer": (put(book, price={"type": ["integer", "null"]}), {"output-type-narrowed"}),
    "never null": (put(book, price={"type": "number"}), {"output-null-removed"}),
    "fewer values in an answer": (
        put(book, kind={"type": "string", "const": "paper"}),
        {"output-value-removed"},
    ),
    "shorter answers": (
        put(book, title={"type": "string", "maxLength": 3}),
        {"output-limit-tightened"},
    ),
    "optional member": (put(draft, isbn=TEXT), {"input-member-added"}),
    "not required any more": (
        drop(lambda d: schema(d, "Draft"), "required"),
        {"input-member-optional"},
    ),
    "wider type": (
        put(draft, stock={"type": ["number", "null"], "minimum": 0}),
        {"input-type-widened"},
    ),
    "null is taken": (
        put(draft, stock={"type": ["integer", "null"], "minimum": 0}),
        {"input-null-taken"},
    ),
    "more values": (
        put(draft, kind={"enum": ["paper", "audio", "web"]}),
        {"input-value-added"},
    ),
    "more room": (
        put(draft, title={"type": "string", "maxLength": 300}),
        {"input-limit-loosened"},
    ),
    "open object": (
        drop(lambda d: schema(d, "Draft"), "additionalProperties"),
        {"input-members-opened"},
    ),
    "another error of a status": (
        put(
            lambda d: d["components"]["responses"]["Missing"]["content"][
                "application/problem+json"
            ],
            schema={"oneOf": [ref("Missing"), ref("Gone")]},
        ),
        {"error-added"},
    ),
    "no credentials": (drop(post, "security"), set()),
    "another scheme": (
        put(post, security=[{"bearer": ["a"]}, {"basic": ["a"]}, {}]),
        {"security-loosened"},
    ),
    "alternative in a body": (
        put(draft, title={"anyOf": [{**TEXT, "maxLength": 200}, {"type": "integer"}]}),
        {"input-alternative-added"},
    ),
    "words": (put(get, summary="Other words", description="More words"), set()),
}


@pytest.mark.parametrize("name", HARMLESS)
def test_what_does_not_break(name: str) -> None:
    edit, codes = HARMLESS[name]
    found = compared(OLD, changed(edit))
    assert {each.code for each in found} == codes, found
    assert {each.severity for each in found} <= {Severity.COMPATIBLE}


def test_all_of_is_one_object() -> None:
    parts = {"allOf": [ref("Draft"), {"required": ["kind"]}]}
    new = changed(lambda d: d["components"]["schemas"].update(Both=parts))
    for media in post(new)["requestBody"]["content"].values():
        media["schema" if "schema" in media else "x-itemSchema"] = ref("Both")
    # Both media types have it.
    (change,) = set(compared(OLD, new))
    assert change.code == "input-member-required"
    assert change.subject == "POST /books request body kind"
    assert change.place == "/components/schemas/Draft/properties/kind"
    assert change.problem == "it has to be given now"


def test_all_of_itself_ends() -> None:
    both = {"allOf": [ref("Book"), {"required": ["kind"]}]}
    new = changed(lambda d: schema(d, "Book").update(both))
    (change,) = compared(OLD, new)
    assert change.code == "output-member-guaranteed"


def test_references_may_lead_nowhere_or_in_circles() -> None:
    loop = changed(
        lambda d: d["components"]["schemas"].update(Book=ref("Other"), Other=ref("Book"))
    )
    lost = changed(lambda d: d["components"]["schemas"].pop("Book"))
    for one in (OLD, loop, lost):
        assert compared(one, one) == []
        for two in (loop, lost, OLD):
            assert isinstance(compared(one, two), list)


def test_what_is_sent_is_read_by_others() -> None:
    """Webhooks and callbacks: their bodies are outputs."""
    request = {"requestBody": {"content": {"application/json": {"schema": ref("Book")}}}}
    sent = changed(
        lambda d: (
            d.update(webhooks={"sold": {"post": request}}),
            post(d).update(callbacks={"done": {"{$request.body#/url}": {"post": request}}}),
        )[0]
    )
    less = copy.deepcopy(sent)
    del schema(less, "Book")["properties"]["title"]
    found = [each for each in compared(sent, less) if "answer" not in each.subject]
    assert {(each.subject, each.code) for each in found} == {
        ("webhook sold body title", "output-member-removed"),
        ("POST /books callback done body title", "output-member-removed"),
    }
    assert {each.code for each in compared(sent, OLD)} == {"webhook-removed"}
    assert {each.code for each in compared(OLD, sent)} == {"webhook-added"}


def test_one_is_found_by_its_place_in_the_document() -> None:
    new = changed(drop(book, "title"))
    (change,) = [each for each in compared(OLD, new) if each.severity == Severity.BREAKING]
    assert change.place == "/components/schemas/Book/properties/title"
    assert change.subject == "GET /books/{id} answer 200 title"
    assert change.breaks == "readers that use it"


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

    assert compared(document(one), document(one)) == []
    assert all(each.problem for each in compared(document(one), document(two)))


@settings(max_examples=40)
@given(st.data())
def test_any_edit_of_a_document_can_be_compared(data: st.DataObject) -> None:
    """Whatever is cut out of a document or put into it: no traceback, and no change of itself."""
    new = edited(OLD, data)
    assert compared(new, copy.deepcopy(new)) == []
    assert all(each.problem for each in compared(OLD, new))
    assert all(each.problem for each in compared(new, OLD))


def test_a_document_that_is_nested_too_deeply_is_refused() -> None:
    def document(kind: str) -> str:
        depth = 400
        text = '{"type":"array","items":' * depth + json.dumps({"type": kind}) + "}" * depth
        parameter = '{"name":"a","in":"query","schema":' + text + "}"
        operation = '{"parameters":[' + parameter + '],"responses":{}}'
        return '{"openapi":"3.1.1","paths":{"/a":{"get":' + operation + "}}}"

    with pytest.raises(ConfigurationError, match="nested too deeply"):
        compare("openapi", {"a": document("string")}, {"a": document("integer")})


def test_schemas_that_branch_at_each_step_are_looked_at_once() -> None:
    """Thirty schemas with two ways to the next are a billion ways to the last."""
    schemas = {
        f"S{number}": {
            "type": "object",
            "properties": {"a": ref(f"S{number + 1}"), "b": ref(f"S{number + 1}")},
        }
        for number in range(30)
    }

    def document(kind: str) -> Document:
        last = {"S30": {"type": kind}}
        return changed(
            lambda d: (
                d["components"].update(schemas={**d["components"]["schemas"], **schemas, **last}),
                book(d).update(any=ref("S0")),
            )[0]
        )

    (found,) = compared(document("string"), document("integer"))
    assert found.place == "/components/schemas/S30/type"
