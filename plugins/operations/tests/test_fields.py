"""Types of fields: HTML without anything that runs, money, phone numbers, slugs."""

from __future__ import annotations

import sys
from decimal import Decimal
from html.parser import HTMLParser
from typing import Annotated, Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import BaseModel, EmailStr, HttpUrl, TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError

from covet_kernel import ConfigurationError
from covet_operations import Html, Money, Phone, PhoneNumber, SafeHtml, Slug
from covet_operations._fields._html import ATTRIBUTES, SCHEMES, TAGS, _settled

HTML = TypeAdapter(SafeHtml)
MONEY = TypeAdapter(Money)
SLUG = TypeAdapter(Slug)
PHONE = TypeAdapter(Phone)

# HTML.


class Reader(HTMLParser):
    """Collects what a browser would see as elements and attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, str, str | None]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [(tag, name, value) for name, value in attrs] or [(tag, "", "")]

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_comment(self, data: str) -> None:
        self.found.append(("!--", "", data))

    def handle_decl(self, decl: str) -> None:
        self.found.append(("!", "", decl))


def read(text: str) -> Reader:
    reader = Reader()
    reader.feed(text)
    reader.close()
    return reader


def assert_safe(text: str) -> None:
    for tag, name, value in read(text).found:
        assert tag in TAGS, tag
        allowed = {"", *ATTRIBUTES.get(tag, ()), *(["rel"] if tag == "a" else [])}
        assert name in allowed, (tag, name)
        if name == "href" and ":" in (value or "").partition("/")[0]:
            assert (value or "").partition(":")[0].lower() in SCHEMES, value


PIECES = st.sampled_from(
    ["<script>", "</script>", "<b>", "</b>", "<a href=", "'javascript:alert(1)'", '"https://x/"',
     " onclick=x", ">", "<", "/>", "<img src=x onerror=y>", "<svg>", "<style>", "</style>", "<!--",
     "-->", "<!", "&lt;", "&#x3c;", "\x00", "<table>", "<td style='x'>", "<math><mi>", "<iframe>",
     "<noscript>", "<template>", "java\nscript:", "text", '"', "'", "`", "\U0001f4d6", "<p>"]
)  # fmt: skip


LINK_IN_A_CELL = "<a href=x><b>1<a href=y></a><table><td><a href=z>2</a></td></table></b>"
"""Reading it moves the inner link, and reading what was written of that moves it again."""


@example(LINK_IN_A_CELL)
@given(st.lists(PIECES, max_size=20).map("".join) | st.text(max_size=60))
def test_nothing_that_runs_is_left(text: str) -> None:
    try:
        cleaned = HTML.validate_python(text)
    except ValidationError as refused:
        assert [error["type"] for error in refused.errors()] == ["html_unstable"]
        return
    assert_safe(cleaned)
    assert HTML.validate_python(cleaned) == cleaned


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("<b>bold</b> &amp; <i>more</i>", "<b>bold</b> &amp; <i>more</i>"),
        ("<b onclick=alert(1)>x", "<b>x</b>"),
        ("a<script>alert(1)</script>b", "ab"),
        ("<a href='javascript:alert(1)'>x</a>", '<a rel="noopener noreferrer nofollow">x</a>'),
        ("<a href=' jAva\tscript:x'>x</a>", '<a rel="noopener noreferrer nofollow">x</a>'),
        ("<img src=x onerror=alert(1)>", ""),
        ("<svg><script>x</script></svg>", ""),
        ("1 < 2", "1 &lt; 2"),
        ("<!-- x -->y", "y"),
        ("<p style='position:fixed'>x</p>", "<p>x</p>"),
    ],
)
def test_what_is_kept(sent: str, kept: str) -> None:
    assert HTML.validate_python(sent) == kept


def test_what_reads_differently_the_second_time_is_settled_or_refused() -> None:
    settled = HTML.validate_python(LINK_IN_A_CELL)
    assert_safe(settled)
    assert HTML.validate_python(settled) == settled

    never = iter(range(100))
    with pytest.raises(PydanticCustomError, match="nested wrongly"):
        _settled(lambda text: f"{text}{next(never)}")("x")


def test_other_rules_and_limits() -> None:
    plain = TypeAdapter(Annotated[str, Html(tags=(), max_length=10)])
    assert plain.validate_python("<b>x</b>") == "x"
    with pytest.raises(ValidationError, match="at most 10"):
        plain.validate_python("x" * 11)
    assert plain.json_schema() == {
        "type": "string",
        "contentMediaType": "text/html",
        "maxLength": 10,
    }
    pictures = TypeAdapter(Annotated[str, Html(tags=["img"], attributes={"img": ["src"]})])
    assert pictures.validate_python("<img src=https://x/ alt=y>") == '<img src="https://x/">'
    with pytest.raises(ValidationError):
        HTML.validate_python("\ud800")
    with pytest.raises(ValidationError):
        HTML.validate_python(7)


# Money.


@given(st.integers(-(10**20) + 1, 10**20 - 1), st.sampled_from(["EUR", "JPY", "KWD", "CLF"]))
def test_money_keeps_what_it_is(minor: int, currency: str) -> None:
    try:
        money = Money.of_minor(minor, currency)
    except ValidationError:
        assert abs(minor) >= 10**18
        return
    assert money.minor == minor
    assert MONEY.validate_json(MONEY.dump_json(money)) == money
    assert MONEY.validate_python(MONEY.dump_python(money)) == money


@given(st.integers(-(10**12), 10**12), st.integers(-(10**12), 10**12), st.integers(-99, 99))
def test_arithmetic_is_exact(one: int, two: int, times: int) -> None:
    first, second = Money.of_minor(one, "EUR"), Money.of_minor(two, "EUR")
    assert (first + second).minor == one + two
    assert (first - second).minor == one - two
    assert (first * times).minor == (times * first).minor == one * times
    assert (-first).minor == -one
    assert (first < second, first <= second) == (one < two, one <= two)
    assert (first > second, first >= second) == (one > two, one >= two)


@given(st.integers(-(10**12), 10**12), st.integers(1, 50))
def test_parts_are_the_whole(minor: int, parts: int) -> None:
    split = Money.of_minor(minor, "EUR").split(parts)
    assert sum(each.minor for each in split) == minor
    assert len(split) == parts
    assert max(split).minor - min(split).minor <= 1


def test_money_has_the_digits_of_its_currency() -> None:
    assert str(Money(amount=Decimal("12.5"), currency="EUR")) == "12.50 EUR"
    assert str(Money(amount=Decimal(12), currency="JPY")) == "12 JPY"
    assert MONEY.dump_json(MONEY.validate_python({"amount": "-0", "currency": "EUR"})) == (
        b'{"amount":"0.00","currency":"EUR"}'
    )


# bad input 41: numbers that are large, inexact or none.
@pytest.mark.parametrize(
    "text",
    [
        b'{"amount": 12.05, "currency": "EUR"}', b'{"amount": true, "currency": "EUR"}',
        b'{"amount": "12.055", "currency": "EUR"}', b'{"amount": "12.5", "currency": "JPY"}',
        b'{"amount": "1e999999", "currency": "EUR"}', b'{"amount": "NaN", "currency": "EUR"}',
        b'{"amount": "1_000", "currency": "EUR"}', b'{"amount": " 1", "currency": "EUR"}',
        b'{"amount": "1\\n", "currency": "EUR"}', b'{"amount": "\xd9\xa1", "currency": "EUR"}',
        b'{"amount": "1000000000000000000", "currency": "EUR"}', b'{"amount": "", "currency": "EUR"}',
        b'{"amount": 1000000000000000000, "currency": "EUR"}', b'{"amount": "1", "currency": "eur"}',
        b'{"amount": "1", "currency": "XXX1"}', b'{"amount": "1", "currency": "QQQ"}',
        b'{"amount": "1"}', b'{"amount": "1", "currency": "EUR", "x": 1}', b'"1 EUR"', b"1e999999",
    ],
)  # fmt: skip
def test_what_is_no_money(text: bytes) -> None:
    with pytest.raises(ValidationError):
        MONEY.validate_json(text)


@pytest.mark.parametrize("amount", ["NaN", "sNaN", "Infinity", "1E+999999", "1E-999999"])
def test_decimals_that_are_no_money(amount: str) -> None:
    with pytest.raises(ValidationError):
        Money(amount=Decimal(amount), currency="EUR")


def test_money_is_not_mixed() -> None:
    euro, yen = Money.of_minor(1, "EUR"), Money.of_minor(1, "JPY")
    for mix in (
        lambda: euro + yen,
        lambda: euro < yen,
        lambda: euro + 1,  # type: ignore[operator]
        lambda: euro * 1.5,  # type: ignore[operator]
        lambda: euro * True,
    ):
        with pytest.raises(TypeError):
            mix()
    assert euro != yen
    with pytest.raises(ValueError, match="one part"):
        euro.split(0)


# Phone numbers, slugs, and what pydantic has.


def test_phone_numbers() -> None:
    assert PHONE.validate_python(" +44 (20) 7946-0958 ") == "+442079460958"
    british = TypeAdapter(Annotated[str, PhoneNumber("GB")])
    assert british.validate_json(b'"020 7946 0958"') == "+442079460958"
    assert PHONE.dump_json(PHONE.validate_python("+442079460958")) == b'"+442079460958"'


@given(st.text(max_size=60) | st.text(alphabet="+0123456789-() ;ext=", max_size=60))
def test_any_text_is_a_number_or_refused(text: str) -> None:
    try:
        number = PHONE.validate_python(text)
    except ValidationError:
        return
    assert number[0] == "+"
    assert number[1:].isascii()
    assert number[1:].isdigit()
    assert PHONE.validate_python(number) == number


@pytest.mark.parametrize("text", ["020 7946 0958", "+1", "+44" + "1" * 40, "+442079460958; DROP"])
def test_what_is_no_phone_number(text: str) -> None:
    with pytest.raises(ValidationError):
        PHONE.validate_python(text)


@pytest.mark.parametrize("text", ["a", "a1", "pride-and-prejudice", "1984"])
def test_slugs(text: str) -> None:
    assert SLUG.validate_python(text) == text


@pytest.mark.parametrize(
    "text", ["", "-a", "a-", "a--b", "A", "a b", "é", "a\n", "../a", "a" * 101]
)
def test_what_is_no_slug(text: str) -> None:
    with pytest.raises(ValidationError):
        SLUG.validate_python(text)


def test_pydantic_has_the_others() -> None:
    class Customer(BaseModel):
        email: EmailStr
        site: HttpUrl

    customer = Customer.model_validate({"email": "a@EXAMPLE.com", "site": "https://example.com"})
    assert customer.model_dump_json() == '{"email":"a@example.com","site":"https://example.com/"}'
    with pytest.raises(ValidationError):
        Customer.model_validate({"email": "a@b\n.com", "site": "javascript:alert(1)"})


@pytest.mark.parametrize(
    ("module", "annotation", "extra"),
    [
        ("nh3", SafeHtml, "html"),
        ("phonenumbers", Phone, "phone"),
        ("pydantic_extra_types.phone_numbers", Phone, "phone"),
    ],
)
def test_a_library_that_is_not_installed(
    monkeypatch: pytest.MonkeyPatch, module: str, annotation: Any, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigurationError) as caught:
        TypeAdapter(Annotated[annotation, "again"])
    assert caught.value.code == "COVET-OPERATION-EXTRA"
    assert f"covet-operations[{extra}]" in str(caught.value)
