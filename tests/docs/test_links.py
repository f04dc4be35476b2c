"""Links lead somewhere, and every page can be reached from the first."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from docs.pages import anchors, links, pages
from layout.checkout import ROOT, expect_none, plant


def broken(root: Path) -> Iterator[str]:
    """Links to files or headings that are not there."""
    for page in pages(root):
        for link in links(page.read_text("utf-8")):
            name, _, anchor = link.partition("#")
            target = (page.parent / name).resolve() if name else page
            if not target.exists() or (
                anchor
                and (target.suffix != ".md" or anchor not in anchors(target.read_text("utf-8")))
            ):
                yield f"{page.relative_to(root)}: {link}"


def unreachable(root: Path) -> list[str]:
    """Pages of ``docs`` that no path of links reaches; a link to a folder reaches what is in it."""
    home = root / "docs"
    seen, waiting = set(), [home / "index.md"]
    while waiting:
        page = waiting.pop().resolve()
        if page in seen:
            continue
        seen.add(page)
        if page.is_dir():
            waiting += page.glob("*.md")
        elif page.suffix == ".md" and page.exists():
            names = (link.partition("#")[0] for link in links(page.read_text("utf-8")))
            waiting += [page.parent / name for name in names if name]
    return [page.relative_to(root).as_posix() for page in pages(home) if page.resolve() not in seen]


def unlisted(root: Path) -> Iterator[str]:
    """Pages that the index of their folder does not name."""
    for index in (root / "docs").rglob("index.md"):
        named = {link.partition("#")[0] for link in links(index.read_text("utf-8"))}
        for page in sorted(index.parent.glob("*.md")):
            if page != index and page.name not in named:
                yield page.relative_to(root).as_posix()


def test_links_lead_somewhere() -> None:
    expect_none(broken(ROOT))


def test_every_page_is_reached_from_the_first() -> None:
    expect_none(unreachable(ROOT))


def test_every_page_is_in_the_index_of_its_folder() -> None:
    expect_none(unlisted(ROOT))


def test_pages_that_no_index_names_are_found(tmp_path: Path) -> None:
    tree = {
        "docs/index.md": "[two](more/two.md)",
        "docs/more/index.md": "[one](one.md#x)",
        "docs/more/one.md": "",
        "docs/more/two.md": "",
        "docs/plain/three.md": "",
    }
    assert list(unlisted(plant(tmp_path, tree))) == ["docs/more/two.md"]


def test_broken_links_are_found(tmp_path: Path) -> None:
    tree = {
        "README.md": "# Top\n[a](docs/a.md#two-words) [b](docs/a.md#gone) [c](gone.md) [d](#top)\n",
        "docs/a.md": "## Two *words*\n```\n[x](gone)\n```\n`[y](gone)` [site](https://example.org)\n",
    }
    assert list(broken(plant(tmp_path, tree))) == [
        "README.md: docs/a.md#gone",
        "README.md: gone.md",
    ]


def test_lost_pages_are_found(tmp_path: Path) -> None:
    tree = {
        "docs/index.md": "[a](a.md#x) [errors](errors/) [gone](gone.md)",
        "docs/a.md": "",
        "docs/errors/ONE.md": "[more](../more/deep.md)",
        "docs/more/deep.md": "",
        "docs/more/lost.md": "",
    }
    assert unreachable(plant(tmp_path, tree)) == ["docs/more/lost.md"]
