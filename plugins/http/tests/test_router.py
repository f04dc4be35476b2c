"""The router, against a list of templates that is searched one by one."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from covet_http._router import Router
from covet_http._target import BadTargetError
from covet_http._template import BadTemplateError, Parameter, parse_template
from covet_kernel import ConfigurationError

SEGMENTS = st.sampled_from(["a", "b", "books", "{x}", "{y}"])
PLAIN = st.one_of(st.sampled_from(["a", "b", "books", "c"]), st.text(min_size=1, max_size=4))


def router(*paths: str, types: dict[str, Any] | None = None) -> Router[str]:
    built: Router[str] = Router()
    for path in paths:
        names = [s.name for s in parse_template(path) if isinstance(s, Parameter)]
        built.add("GET", path, path, types=[(types or {}).get(n, str) for n in names], owner="test")
    return built


def found(built: Router[str], path: str) -> tuple[str | None, list[str]]:
    leaf, values = built.find(path)
    return (leaf.methods["GET"], list(values)) if leaf is not None else (None, [])


def test_literals_come_before_parameters() -> None:
    built = router("/books/{id}", "/books/new", "/books/{id}/lines", "/{any}/new/x", "/")
    assert found(built, "/") == ("/", [])
    assert found(built, "/books/new") == ("/books/new", [])
    assert found(built, "/books/7") == ("/books/{id}", ["7"])
    assert found(built, "/books/new/lines") == ("/books/{id}/lines", ["new"])
    assert found(built, "/books/new/x") == ("/{any}/new/x", ["books"])
    assert found(built, "/books") == (None, [])
    assert found(built, "/books/") == (None, [])
    assert found(built, "/books/7/") == (None, [])
    assert found(built, "/books//lines") == (None, [])
    assert found(built, "//books") == (None, [])


def test_segments_are_decoded_after_they_are_split() -> None:
    built = router("/books/{id}", "/ü")
    assert found(built, "/books/a%2Fb") == ("/books/{id}", ["a/b"])
    assert found(built, "/books/%C3%BC") == ("/books/{id}", ["ü"])
    assert found(built, "/%C3%BC") == ("/ü", [])
    assert found(built, "/b%6Foks/1") == ("/books/{id}", ["1"])
    with pytest.raises(BadTargetError):
        built.find("/books/%zz")


def test_types_tell_parameters_of_one_place_apart() -> None:
    built: Router[str] = Router()
    built.add("GET", "/x/{name}", "text", types=[str], owner="a")
    built.add("GET", "/x/{id}", "number", types=[int], owner="b")
    built.add("GET", "/x/{key}", "key", types=[UUID], owner="c")
    assert found(built, "/x/12") == ("number", ["12"])
    assert found(built, "/x/-3") == ("number", ["-3"])
    assert found(built, "/x/12a") == ("text", ["12a"])
    assert found(built, "/x/٣") == ("text", ["٣"])
    key = "6f1f3a52-0c59-4b1c-8f0e-0a3f7f2f3f11"
    assert found(built, f"/x/{key}") == ("key", [key])


def test_a_conflict_names_both_owners() -> None:
    built: Router[str] = Router()
    built.add("GET", "/books/{id}", "one", types=[int], owner="shop.get_book (shop)")
    built.add("POST", "/books/{id}", "two", types=[int], owner="shop.set_book (shop)")
    with pytest.raises(ConfigurationError) as caught:
        built.add("GET", "/books/{key}", "three", types=[int], owner="admin.show (admin)")
    assert caught.value.code == "COVET-HTTP-ROUTE-CONFLICT"
    assert "shop.get_book (shop)" in caught.value.problem
    assert "admin.show (admin)" in caught.value.problem


def test_allow_lists_what_there_is() -> None:
    built: Router[str] = Router()
    for method in ("POST", "GET"):
        built.add(method, "/x", method, types=[], owner="test")
    leaf, _ = built.find("/x")
    assert leaf is not None
    assert leaf.allow == b"GET, HEAD, OPTIONS, POST"


def test_what_the_template_says_is_narrow() -> None:
    built = router(
        "/i/{x:int}", "/u/{x:uuid}", "/d/{x:date}", "/s/{x:str}", "/l/{x}", types={"x": int}
    )
    key = "6f1f3a52-0c59-4b1c-8f0e-0a3f7f2f3f11"
    assert found(built, "/i/-12") == ("/i/{x:int}", ["-12"])
    assert found(built, "/i/ten") == (None, [])
    assert found(built, f"/u/{key}") == ("/u/{x:uuid}", [key])
    assert found(built, "/u/6f1f") == (None, [])
    assert found(built, "/d/2024-02-29") == ("/d/{x:date}", ["2024-02-29"])
    assert found(built, "/d/2023-02-29") == (None, [])
    assert found(built, "/d/20240229") == (None, [])
    assert found(built, "/s/7") == ("/s/{x:str}", ["7"])
    # The annotation alone leaves it to the handler's own check, which says more.
    assert found(built, "/l/ten") == ("/l/{x}", ["ten"])


def test_what_one_template_says_of_a_place_holds_for_that_type_there() -> None:
    built: Router[str] = Router()
    built.add("GET", "/x/{id:int}", "get", types=[int], owner="a")
    built.add("POST", "/x/{number}", "post", types=[int], owner="b")
    leaf, values = built.find("/x/7")
    assert leaf is not None
    assert (leaf.methods, values, leaf.types) == ({"GET": "get", "POST": "post"}, ["7"], "I")
    assert built.find("/x/ten")[0] is None
    with pytest.raises(ConfigurationError, match=r"GET /x/.id. of c and GET /x/.id:int. of a"):
        built.add("GET", "/x/{id}", "other", types=[int], owner="c")


def test_the_rest_of_a_path() -> None:
    built = router("/f/{rest:path}", "/f/{name}/raw", "/f/new")
    assert found(built, "/f/a") == ("/f/{rest:path}", ["a"])
    assert found(built, "/f/a/b%20c//d/") == ("/f/{rest:path}", ["a/b c//d/"])
    assert found(built, "/f/a%2Fb") == ("/f/{rest:path}", ["a/b"])
    assert found(built, "/f/a/raw") == ("/f/{name}/raw", ["a"])
    assert found(built, "/f/a/raw/b") == ("/f/{rest:path}", ["a/raw/b"])
    assert found(built, "/f/new") == ("/f/new", [])
    assert found(built, "/f/...") == ("/f/{rest:path}", ["..."])
    for path in (
        "/f",
        "/f/",
        "/f//a",
        "/f/%2Fa",
        "/f/..",
        "/f/a/../b",
        "/f/%2e%2E/a",
        "/f/a%2F..",
        "/f/./a",
    ):
        assert found(built, path) == (None, []), path


def test_everything_under_a_prefix() -> None:
    built = router("/legacy/own", "/other")
    built.add_everything("/legacy", "legacy", owner="a")
    for path in ("/legacy", "/legacy/", "/legacy//x", "/legacy/../y", "/legacy/own/more"):
        leaf, _ = built.find(path)
        assert leaf is not None
        assert (leaf.rest, leaf.methods) == ("legacy", {}), path
    assert found(built, "/legacy/own") == ("/legacy/own", [])
    assert found(built, "/legacyx") == (None, [])
    with pytest.raises(ConfigurationError, match="/legacy of b and /legacy of a"):
        built.add_everything("/legacy", "again", owner="b")
    built.add_everything("", "all", owner="c")
    assert built.find("/")[0].rest == "all"  # type: ignore[union-attr]
    assert built.find("/a/b/c")[0].rest == "all"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "path",
    ["/{x:integer}", "/{x:}", "/{x:path}/y", "/{x:path}/", "/{x: int}", "", "books", "/books/{", "/books/{}", "/books/{1}", "/books/x{id}", "/{a}/{a}", "/a//b", "/a%20b", "/a?b",
     "/a#b", "/a b\n", "/../x", "/a\\b", "/a b", "/\ud800"],
)  # fmt: skip
def test_what_is_no_template(path: str) -> None:
    with pytest.raises(BadTemplateError):
        parse_template(path)


@given(
    st.lists(
        st.lists(SEGMENTS, max_size=4).map(lambda s: "/" + "/".join(s)), max_size=8, unique=True
    ),
    st.lists(PLAIN, max_size=5),
)
def test_finds_what_a_search_finds(paths: list[str], segments: list[str]) -> None:
    built: Router[str] = Router()
    known: dict[tuple[str, ...], str] = {}
    for path in paths:
        try:
            template = parse_template(path)
        except BadTemplateError:
            continue
        shape = tuple("{}" if isinstance(s, Parameter) else s for s in template)
        if shape not in known:
            known[shape] = path
            built.add("GET", path, path, types=[str] * shape.count("{}"), owner="test")
    # Of the templates that fit, the one with the earliest literal wins.
    fitting = [
        shape
        for shape in known
        if len(shape) == max(1, len(segments))
        and all(s == "{}" or s == w for s, w in zip(shape, segments or [""], strict=True))
        and not any(s == "{}" and not w for s, w in zip(shape, segments or [""], strict=True))
    ]
    best = min(fitting, key=lambda shape: [part == "{}" for part in shape], default=None)
    path, values = (
        found(built, "/" + "/".join(quote(s, safe="") for s in segments if True))
        if all("\0" not in s for s in segments)
        else (None, [])
    )
    if any("\0" in s for s in segments):
        return
    assert path == (known[best] if best is not None else None)
    if best is not None:
        assert values == [w for s, w in zip(best, segments or [""], strict=True) if s == "{}"]
