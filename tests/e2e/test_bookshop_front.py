"""The bookshop's front page: plain files, none of which a browser would take anything foreign from."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from e2e.service import EXAMPLE, Service

# A shop is a process with its own loop and database: one interpreter is enough for it.
pytestmark = pytest.mark.once

FOLDER = EXAMPLE / "shop" / "front"
FILES = sorted(path.name for path in FOLDER.iterdir())
TYPES = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}


class Page(HTMLParser):
    """The elements of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.inside: list[str] = []
        self.inline = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self.inside.append(tag)

    def handle_endtag(self, tag: str) -> None:
        self.inside.pop()

    def handle_data(self, data: str) -> None:
        if self.inside and self.inside[-1] in ("script", "style"):
            self.inline += data.strip()


PAGE = Page((FOLDER / "index.html").read_text("utf-8"))


def test_the_shop_leads_to_its_front_page(shop: Service) -> None:
    with shop.client() as client:
        response = client.get("/", follow_redirects=True)
    assert (response.status_code, response.url.path) == (200, "/front/")
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert response.content == (FOLDER / "index.html").read_bytes()


@pytest.mark.parametrize("name", FILES)
def test_its_files_are_served(shop: Service, name: str) -> None:
    response = shop.request("GET", f"/front/{name}")
    assert (response.status_code, response.content) == (200, (FOLDER / name).read_bytes())
    media_type = response.headers["content-type"].partition(";")[0]
    assert media_type == TYPES["." + name.rpartition(".")[2]]
    tag = response.headers["etag"]
    same = shop.request("GET", f"/front/{name}", headers={"if-none-match": tag})
    assert same.status_code == 304


def test_browsers_take_scripts_and_styles_from_the_shop_alone(shop: Service) -> None:
    policy = shop.request("GET", "/front/").headers["content-security-policy"]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules.pop("default-src") == "'none'"
    assert set(rules.values()) == {"'none'", "'self'"}
    assert {"script-src", "style-src", "img-src", "connect-src"} <= rules.keys()


@pytest.mark.parametrize(
    "path", ["..%2f__init__.py", "%2e%2e/models.py", "shop.py", ".hidden", "x/"]
)
def test_nothing_else_is_served(shop: Service, path: str) -> None:
    # bad input 53
    response = shop.request("GET", f"/front/{path}")
    assert (response.status_code, response.json()["code"]) == (404, "no-such-path")


def test_the_page_refers_to_files_of_its_own() -> None:
    named = [each.get("src") or each.get("href") for _, each in PAGE.elements]
    local = {name for name in named if name and not name.startswith("/")}
    assert local == set(FILES) - {"index.html"}
    assert {name for name in named if name} - local == {"/docs"}


def test_the_page_has_neither_scripts_nor_styles_inside() -> None:
    assert PAGE.inline == ""
    attributes = {name for _, each in PAGE.elements for name in each}
    assert not {name for name in attributes if name == "style" or name.startswith("on")}


def test_no_file_names_another_server() -> None:
    for name in FILES:
        text = (FOLDER / name).read_text("utf-8").replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?:|//\w+\.\w|@import|url\(", text), name


def test_the_script_makes_no_markup_and_finds_what_it_looks_for() -> None:
    script = (FOLDER / "shop.js").read_text("utf-8")
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval", script)
    looked_for = set(re.findall(r'\$\("(\w+)"\)', script))
    assert looked_for
    assert looked_for <= {each.get("id") for _, each in PAGE.elements}
