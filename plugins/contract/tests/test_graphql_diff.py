"""Which changes of a GraphQL schema break documents and readers, which may, and which do not."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from covet_contract._graphql import compare
from covet_operations import Finding

pytestmark = pytest.mark.once

OLD = '''
directive @fast(how: Int = 1) repeatable on FIELD | QUERY

"""What there is."""
type Query {
  book(id: ID!, edition: Int = 1): Book
  search(words: String, kind: Kind, filter: Filter): [Thing!]!
}

interface Named { name: String! }

type Book implements Named {
  name: String!
  pages: Int
  kind: Kind!
  cover: Cover!
}

enum Cover { SOFT HARD }
enum Kind { NOVEL PLAY }
enum Asked { YES NO }

input Filter {
  year: Int = 1900
  asked: Asked
  from: Int!
}

type Author { born: Int }
union Thing = Book | Author
'''

CHANGES: dict[str, tuple[str, str, str, str, str]] = {
    "field": ("  pages: Int\n", "", "graphql-field-removed", "breaking", "Book.pages"),
    "new field": ("  pages: Int\n", "  pages: Int\n  isbn: ID\n", "graphql-field-added", "compatible", "Book.isbn"),
    "nullable": ("name: String!\n  pages", "name: String\n  pages", "graphql-field-type-changed", "breaking", "Book.name"),
    "never null": ("pages: Int\n", "pages: Int!\n", "graphql-field-type-compatible", "compatible", "Book.pages"),
    "argument": (", edition: Int = 1", "", "graphql-argument-removed", "breaking", "Query.book(edition:)"),
    "new argument": ("words: String,", "words: String, limit: Int,", "graphql-argument-added", "compatible", "Query.search(limit:)"),
    "required argument": ("words: String,", "words: String, limit: Int!,", "graphql-argument-required", "breaking", "Query.search(limit:)"),
    "narrower argument": ("words: String,", "words: String!,", "graphql-argument-type-changed", "breaking", "Query.search(words:)"),
    "wider argument": ("book(id: ID!", "book(id: ID", "graphql-argument-type-compatible", "compatible", "Query.book(id:)"),
    "default": ("edition: Int = 1", "edition: Int = 2", "graphql-default-changed", "risky", "Query.book(edition:)"),
    "no default": ("year: Int = 1900", "year: Int", "graphql-default-changed", "risky", "Filter.year"),
    "a default": ("words: String,", 'words: String = "",', "graphql-default-added", "compatible", "Query.search(words:)"),
    "input field": ("  asked: Asked\n", "", "graphql-field-removed", "breaking", "Filter.asked"),
    "new input field": ("  asked: Asked\n", "  asked: Asked\n  to: Int\n", "graphql-input-field-added", "compatible", "Filter.to"),
    "required input field": ("  asked: Asked\n", "  asked: Asked\n  to: Int!\n", "graphql-input-field-required", "breaking", "Filter.to"),
    "input field becomes required": ("asked: Asked\n", "asked: Asked!\n", "graphql-field-type-changed", "breaking", "Filter.asked"),
    "value": ("NOVEL PLAY", "NOVEL", "graphql-value-removed", "breaking", "Kind.PLAY"),
    "value that is read": ("SOFT HARD", "SOFT HARD NONE", "graphql-value-added", "risky", "Cover.NONE"),
    "value that is only sent": ("YES NO", "YES NO MAYBE", "graphql-input-value-added", "compatible", "Asked.MAYBE"),
    "member of a union": ("Book | Author", "Book", "graphql-union-member-removed", "breaking", "Thing"),
    "new member of a union": ("= Book | Author", "= Book | Author | Query", "graphql-union-member-added", "risky", "Thing"),
    "interface": ("type Author {", "type Author implements Named {\n name: String!", "graphql-interface-added", "risky", "Author"),
    "no interface": ("type Book implements Named {", "type Book {", "graphql-interface-removed", "breaking", "Book"),
    "type": ("type Author { born: Int }\nunion Thing = Book | Author", "union Thing = Book", "graphql-type-removed", "breaking", "Author"),
    "new type": ("type Author", "type Shop { id: ID }\ntype Author", "graphql-type-added", "compatible", "Shop"),
    "kind of a type": ("enum Asked { YES NO }", "scalar Asked", "graphql-type-kind-changed", "breaking", "Asked"),
    "directive": ("directive @fast(how: Int = 1) repeatable on FIELD | QUERY", "", "graphql-directive-removed", "breaking", "@fast"),
    "new directive": ("directive @fast", "directive @slow on FIELD\ndirective @fast", "graphql-directive-added", "compatible", "@slow"),
    "directive once": ("repeatable ", "", "graphql-directive-narrowed", "breaking", "@fast"),
    "directive elsewhere": ("FIELD | QUERY", "FIELD | QUERY | MUTATION", "graphql-directive-widened", "compatible", "@fast"),
    "directive's argument": ("(how: Int = 1)", "", "graphql-argument-removed", "breaking", "@fast(how:)"),
    "deprecated": ("pages: Int\n", 'pages: Int @deprecated(reason: "use size")\n', "graphql-deprecated", "compatible", "Book.pages"),
}  # fmt: skip


def found(old: str, new: str) -> list[Finding]:
    return [*compare(old, new)]


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_found(name: str) -> None:
    before, after, code, severity, place = CHANGES[name]
    assert before in OLD
    new = OLD.replace(before, after, 1)
    each = next(each for each in found(OLD, new) if each.code == code)
    assert (each.severity.value, each.place) == (severity, place)
    # What belongs to it is all there is: a type that goes leaves its union.
    others = {other.code for other in found(OLD, new)} - {code}
    assert others <= {"graphql-union-member-removed", "graphql-field-added"}


def test_words_for_people_are_no_contract() -> None:
    new = OLD.replace("What there is.", "All there is.")
    assert found(OLD, new) == []


def test_a_scalar_that_nobody_uses_is_no_change() -> None:
    old, new = "type Query { a: Int b: Float }", "type Query { a: Int }"
    assert [each.code for each in found(old, new)] == ["graphql-field-removed"]


@settings(max_examples=25)
@given(st.permutations([each for each in OLD.split("\n\n") if each.strip()]))
def test_the_order_of_definitions_does_not_matter(parts: list[str]) -> None:
    assert found(OLD, "\n\n".join(parts)) == []


@settings(max_examples=40)
@given(st.lists(st.sampled_from(sorted(CHANGES)), max_size=4, unique=True))
def test_any_changes_together_can_be_compared(names: list[str]) -> None:
    new = OLD
    for name in names:
        before, after, *_ = CHANGES[name]
        new = new.replace(before, after, 1)
    try:
        assert found(new, new) == []
        findings = found(OLD, new)
    except ValueError:
        return  # together they are no schema
    assert bool(findings) == (new != OLD)
    assert all(each.problem and each.place for each in findings)


@pytest.mark.parametrize("text", ["", "type", "type Query { a: Nothing }", "{" * 9999])
def test_what_is_no_schema_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        found(OLD, text)
