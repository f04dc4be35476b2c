"""What is small and read by hand: part headers, parameters, names of files, urlencoded pairs."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import covet_http as http
from covet_http._forms._filename import base_name
from covet_http._forms._head import field_name, part_head
from covet_http._forms._parameters import split_parameters
from covet_http._forms._urlencoded import parse_urlencoded
from covet_http._target import parse_query

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
PIECES = st.sampled_from(
    [";", '"', "\\", "=", " ", "\t", "name", "filename", "*", "a", "form-data", "Content-Disposition",
     ": ", ",", "'", "ü", "\r", "\n", "\0", "/"]
)  # fmt: skip
SOUP = st.lists(PIECES, max_size=30).map("".join)
PLAIN = st.text(st.characters(exclude_characters='"\\', codec="ascii"), max_size=10)


@given(st.lists(st.tuples(TEXT.filter(bool), TEXT), max_size=8))
def test_urlencoded_pairs_come_out_as_they_went_in(pairs: list[tuple[str, str]]) -> None:
    body = urlencode(pairs).encode()
    assert list(parse_urlencoded(body, http.FormLimits())) == pairs


@given(st.binary(max_size=60))
def test_a_form_means_what_the_same_query_means(body: bytes) -> None:
    try:
        found: object = dict(parse_urlencoded(body, http.FormLimits()))
    except http.Malformed:
        found = None
    try:
        query = parse_query(body, limit=256)
    except Exception:
        assert found is None
    else:
        last = {
            name: value[-1] if isinstance(value, list) else value for name, value in query.items()
        }
        assert found == last


@given(st.dictionaries(st.sampled_from(["name", "filename", "x"]), TEXT))
def test_quoted_parameters_come_out_as_they_went_in(given: dict[str, str]) -> None:
    def quoted(value: str) -> str:
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'

    given = {name: "".join(value.splitlines()) for name, value in given.items()}
    value = "Form-Data" + "".join(
        f"; {name.upper()}={quoted(each)}" for name, each in given.items()
    )
    assert split_parameters(value) == ("form-data", given)


@given(SOUP)
def test_any_parameters_are_read_or_malformed(value: str) -> None:
    try:
        first, found = split_parameters(value)
    except http.Malformed:
        return
    assert first == value.partition(";")[0].strip(" \t").lower()
    assert all(name == name.lower() for name in found)


@given(st.lists(SOUP.map(str.encode) | st.binary(max_size=20), max_size=3))
@example([b'Content-Disposition: form-data; name="a"'])
def test_any_headers_are_read_or_malformed(lines: list[bytes]) -> None:
    try:
        head = part_head(lines)
    except http.Malformed:
        assert field_name(lines) is None
        return
    assert all(character >= " " for character in head.name.replace("\t", " "))


@given(PLAIN)
def test_the_short_way_to_a_field_is_no_other_way(name: str) -> None:
    lines = [f'Content-Disposition: form-data; name="{name}"'.encode()]
    short = field_name(lines)
    if short is None:
        assert not name.isprintable()
    else:
        head = part_head(lines)
        assert (head.name, head.filename, head.content_type) == (short, None, "")


@given(st.text(max_size=400))
@example("a" * 254 + ". b")
@example("NUL.")
@example("x/ .. ")
def test_no_name_of_a_file_leaves_its_folder(given: str) -> None:
    # bad input 51
    given = given.encode("utf-8", "replace").decode()
    name = base_name(given)
    assert not set(name) & set('/\\\0<>:"|?*')
    assert name not in (".", "..")
    assert len(name.encode()) <= 255
    assert name == name.strip(" ")
    assert base_name(name) == name


def test_a_part_knows_its_headers() -> None:
    lines = [
        b'Content-Disposition: form-data; name="a"',
        b"Content-Type:text/plain",
        b"X: \xc3\xbc ",
    ]
    assert part_head(lines).headers == {
        "content-disposition": 'form-data; name="a"',
        "content-type": "text/plain",
        "x": "ü",
    }
    with pytest.raises(http.Malformed):
        part_head([])


def test_long_lines_are_read_in_linear_time() -> None:
    # bad input 48, 49: hundreds of times the bytes that a part's headers may have
    size = 3_000_000
    blanks = b"a" + b" " * size + b"b"
    plain = b'Content-Disposition: form-data; name="a"'
    assert len(part_head([plain, b"X: " + blanks]).headers["x"]) == size + 2
    for line in (
        b'Content-Disposition: form-data; name="a"' + b'; a=""' * (size // 6),
        b'Content-Disposition: form-data; name="' + b'\\"' * size,
        b"Content-Disposition: form-data; name=" + blanks,
        b"Content-Type: " + blanks,
        b"Content-Type: a/" + b"b" * size + b"/",
        b"Content-Length: " + b"9" * size + b"x",
    ):
        lines = [line] if b"name=" in line else [plain, line]
        with pytest.raises(http.Malformed):
            part_head(lines)
