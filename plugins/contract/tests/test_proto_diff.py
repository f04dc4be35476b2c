"""Which changes of ``.proto`` files break what is sent, which may break programs, and which do not."""

from __future__ import annotations

import pytest

from covet_contract._proto._diff import compare
from covet_operations import Finding

pytestmark = pytest.mark.once

NAME = "shop/v1/shop.proto"
OLD = """syntax = "proto3";
package shop.v1;
import "google/protobuf/timestamp.proto";
import "google/rpc/status.proto";

service Shop {
  rpc Find(Wanted) returns (Book);
  rpc Watch(Wanted) returns (stream Book);
}

message Wanted {
  int64 id = 1;
  string words = 2;
  Asked asked = 3;
}

message Book {
  int64 id = 1;
  string title = 2;
  optional int32 pages = 3;
  repeated string tags = 4;
  map<string, int32> prices = 5;
  Kind kind = 6;
  google.protobuf.Timestamp printed = 7;
  google.rpc.Status status = 8;
  oneof cover {
    string picture = 9;
    bytes image = 10;
  }
  Inner inner = 11;
  message Inner { bool deep = 1; }
}

enum Kind {
  KIND_UNSPECIFIED = 0;
  KIND_NOVEL = 1;
  KIND_PLAY = 2;
}

enum Asked {
  ASKED_UNSPECIFIED = 0;
  ASKED_YES = 1;
}
"""

CHANGES: dict[str, tuple[str, str, str, str, str]] = {
    "service": ("service Shop", "service Store", "proto-service-removed", "breaking", "shop.v1.Shop"),
    "method": ("  rpc Watch(Wanted) returns (stream Book);\n", "", "proto-method-removed", "breaking", "shop.v1.Shop.Watch"),
    "new method": ("  rpc Watch", "  rpc More(Book) returns (Book);\n  rpc Watch", "proto-method-added", "compatible", "shop.v1.Shop.More"),
    "request": ("rpc Find(Wanted)", "rpc Find(Book)", "proto-request-changed", "breaking", "shop.v1.Shop.Find"),
    "response": ("Find(Wanted) returns (Book)", "Find(Wanted) returns (Wanted)", "proto-response-changed", "breaking", "shop.v1.Shop.Find"),
    "stream": ("Find(Wanted) returns (Book)", "Find(Wanted) returns (stream Book)", "proto-streaming-changed", "breaking", "shop.v1.Shop.Find"),
    "deprecated method": ("returns (stream Book);", "returns (stream Book) { option deprecated = true; }", "proto-deprecated", "compatible", "shop.v1.Shop.Watch"),
    "field that is read": ("  string title = 2;\n", "  reserved 2;\n", "proto-field-removed", "breaking", "shop.v1.Book.title"),
    "field that is sent": ("  string words = 2;\n", "  reserved 2;\n", "proto-input-field-removed", "risky", "shop.v1.Wanted.words"),
    "new field": ("  string words = 2;\n", "  string words = 2;\n  bool more = 9;\n", "proto-field-added", "compatible", "shop.v1.Wanted.more"),
    "number": ("string title = 2", "string title = 22", "proto-field-number-changed", "breaking", "shop.v1.Book.title"),
    "name": ("string title = 2", "string name = 2", "proto-field-renamed", "risky", "shop.v1.Book.title"),
    "name in JSON": ("string title = 2", 'string title = 2 [json_name = "t"]', "proto-field-renamed", "risky", "shop.v1.Book.title"),
    "type": ("string title = 2", "int64 title = 2", "proto-field-type-changed", "breaking", "shop.v1.Book.title"),
    "type written alike": ("optional int32 pages", "optional int64 pages", "proto-field-type-alike", "risky", "shop.v1.Book.pages"),
    "zigzag": ("optional int32 pages", "optional sint32 pages", "proto-field-type-changed", "breaking", "shop.v1.Book.pages"),
    "message": ("Timestamp printed", "Duration printed", "proto-field-type-changed", "breaking", "shop.v1.Book.printed"),
    "values of a map": ("map<string, int32>", "map<string, string>", "proto-field-type-changed", "breaking", "shop.v1.Book.prices"),
    "one of many": ("repeated string tags", "string tags", "proto-field-repeated-changed", "breaking", "shop.v1.Book.tags"),
    "presence": ("optional int32 pages", "int32 pages", "proto-field-presence-changed", "risky", "shop.v1.Book.pages"),
    "choice": ("    bytes image = 10;\n  }", "  }\n  bytes image = 10;", "proto-field-oneof-changed", "breaking", "shop.v1.Book.image"),
    "deprecated": ("string title = 2", "string title = 2 [deprecated = true]", "proto-deprecated", "compatible", "shop.v1.Book.title"),
    "within": ("bool deep = 1", "string deep = 1", "proto-field-type-changed", "breaking", "shop.v1.Book.Inner.deep"),
    "value": ("  KIND_PLAY = 2;\n", "", "proto-value-removed", "breaking", "shop.v1.Kind.KIND_PLAY"),
    "number of a value": ("KIND_PLAY = 2", "KIND_PLAY = 3", "proto-value-number-changed", "breaking", "shop.v1.Kind.KIND_PLAY"),
    "name of a value": ("KIND_PLAY = 2", "KIND_DRAMA = 2", "proto-value-renamed", "risky", "shop.v1.Kind.KIND_PLAY"),
    "value that is read": ("  KIND_PLAY = 2;\n", "  KIND_PLAY = 2;\n  KIND_POEM = 3;\n", "proto-value-added", "risky", "shop.v1.Kind.KIND_POEM"),
    "value that is only sent": ("  ASKED_YES = 1;\n", "  ASKED_YES = 1;\n  ASKED_NO = 2;\n", "proto-input-value-added", "compatible", "shop.v1.Asked.ASKED_NO"),
    "new message": ("message Book", "message More {}\nmessage Book", "proto-message-added", "compatible", "shop.v1.More"),
    "new enum": ("enum Kind", "enum More { MORE = 0; }\nenum Kind", "proto-enum-added", "compatible", "shop.v1.More"),
    "enum": ("  Asked asked = 3;\n", "  reserved 3;\n", "proto-input-field-removed", "risky", "shop.v1.Wanted.asked"),
}  # fmt: skip

TOGETHER = {"proto-service-added"}
"""What a change of another name brings along."""


def found(old: str, new: str) -> list[Finding]:
    return [*compare({NAME: old}, {NAME: new})]


@pytest.fixture(scope="module")
def findings() -> dict[str, list[Finding]]:
    """All changes, each in a package of its own: a compiler takes longer to start than to compile."""
    old, new = {}, {}
    for number, (before, after, *_) in enumerate(CHANGES.values()):
        assert before in OLD
        name, package = f"p{number}/shop.proto", f"package p{number}.shop.v1;"
        old[name] = OLD.replace("package shop.v1;", package)
        text = old[name].replace(before, after, 1)
        if "Duration" in after:
            text = text.replace("timestamp.proto", "duration.proto")
        new[name] = text
    by_file: dict[str, list[Finding]] = {}
    for each in compare(old, new):
        by_file.setdefault(each.document, []).append(each)
    return {name: by_file.get(f"p{number}/shop.proto", []) for number, name in enumerate(CHANGES)}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_found(findings: dict[str, list[Finding]], name: str) -> None:
    _, _, code, severity, place = CHANGES[name]
    (each,) = [each for each in findings[name] if each.code not in TOGETHER]
    assert (each.code, each.severity.value) == (code, severity)
    assert each.place.partition(".")[2] == place


def test_numbers_that_nothing_reserves_are_told() -> None:
    new = OLD.replace("  string title = 2;\n", "")
    assert {each.code for each in found(OLD, new)} == {
        "proto-field-removed",
        "proto-number-not-reserved",
    }


def test_nothing_changes_from_a_file_to_itself() -> None:
    assert found(OLD, OLD) == []
    # Words, order and the file are not sent.
    other = OLD.replace("service Shop", "// Words.\nservice Shop")
    assert [*compare({NAME: OLD}, {"other.proto": other})] == []


def test_required_fields_of_proto2_break() -> None:
    old = 'syntax = "proto2"; message A { optional int32 a = 1; required int32 b = 2; }'
    new = 'syntax = "proto2"; message A { required int32 a = 1; optional int32 b = 2; required int32 c = 3; }'
    assert [each.code for each in found(old, new)] == ["proto-field-required"] * 3


def test_files_may_import_each_other() -> None:
    one = 'syntax = "proto3"; package a; import "b/b.proto"; message A { b.B b = 1; }'
    two = 'syntax = "proto3"; package b; message B { int32 n = 1; }'
    old = {"a/a.proto": one, "b/b.proto": two}
    new = {"a/a.proto": one, "b/b.proto": two.replace("int32", "string")}
    (each,) = compare(old, new)
    assert (each.document, each.place) == ("b/b.proto", "b.B.n")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (NAME, "message"),
        (NAME, 'syntax = "proto3"; import "none.proto";'),
        ("../up.proto", OLD),
        ("/top.proto", OLD),
    ],
)
def test_what_is_no_file_of_protobuf_is_refused(name: str, text: str) -> None:
    with pytest.raises(ValueError):
        [*compare({NAME: OLD}, {name: text})]
