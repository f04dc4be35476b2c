"""Covers of books: what is taken, where it is kept, and how it is served."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from e2e.images import HTML, JPEG, SVG, WEBP, png
from e2e.service import Service, bookshop

# A shop is a process with its own loop and database: one interpreter is enough for it.
pytestmark = pytest.mark.once

LIMIT = 2_000_000


def upload(
    service: Service,
    book: int | str,
    content: bytes,
    name: str = "cover.png",
    media_type: str = "image/png",
) -> httpx.Response:
    files = {"cover": (name, content, media_type)}
    return service.request("PUT", f"/books/{book}/cover", files=files)


def kept(service: Service) -> set[str]:
    """The names in the folder of covers."""
    config = Path(service.command[service.command.index("-c") + 1])
    return {path.name for path in (config.parent / "covers").iterdir()}


@pytest.mark.parametrize(
    ("content", "media_type"),
    [(png(9), "image/png"), (JPEG, "image/jpeg"), (WEBP, "image/webp")],
    ids=["png", "jpeg", "webp"],
)
def test_a_cover_is_what_it_is_and_not_what_it_is_called(
    shop: Service, content: bytes, media_type: str
) -> None:
    # bad input 51
    made = upload(shop, 2, content, "../../evil.html", "text/html")
    assert (made.status_code, made.content) == (204, b"")
    found = shop.request("GET", "/books/2/cover")
    assert (found.status_code, found.content) == (200, content)
    assert found.headers["content-type"] == media_type
    assert found.headers["x-content-type-options"] == "nosniff"
    assert "2" in kept(shop)
    assert all(name.isdecimal() for name in kept(shop)), "no other name, and nothing half done"


def test_what_is_no_image_is_refused_and_the_old_cover_stays(shop: Service) -> None:
    assert upload(shop, 3, png()).status_code == 204
    for content in (SVG, HTML, b"", b"GIF89a", b"\x89PNG", b"RIFF1234WAVE", b"\0" * 100):
        refused = upload(shop, 3, content)
        assert refused.status_code == 415, content
        assert refused.json()["code"] == "not-an-image"
    assert shop.request("GET", "/books/3/cover").content == png()


def test_a_cover_has_a_size(shop: Service) -> None:
    before = kept(shop)
    refused = upload(shop, 4, png() + bytes(LIMIT))
    assert (refused.status_code, refused.json()["code"]) == (413, "too-large")
    assert kept(shop) == before
    assert upload(shop, 4, png() + bytes(LIMIT - 2000)).status_code == 204


def test_other_requests_are_refused(shop: Service) -> None:
    before = kept(shop)
    missing = upload(shop, 4711, png())
    assert (missing.status_code, missing.json()["code"]) == (404, "no-such-book")
    for book in ("0", "-1", str(2**63), "..%2fshop", "x"):
        assert upload(shop, book, png()).status_code == 422, book
    empty = shop.request("PUT", "/books/5/cover", files={"other": ("a.png", png())})
    assert empty.status_code == 422
    assert shop.request("PUT", "/books/5/cover", json={"cover": "x"}).status_code == 415
    raw = shop.request(
        "PUT", "/books/5/cover", content=png(), headers={"content-type": "image/png"}
    )
    assert raw.status_code == 415
    assert kept(shop) == before


@pytest.mark.parametrize("book", [6, 4711])
def test_a_cover_that_is_not_there(shop: Service, book: int) -> None:
    response = shop.request("GET", f"/books/{book}/cover")
    assert response.status_code == 404
    assert (response.json()["code"], response.json()["book_id"]) == ("no-cover", book)


def test_who_has_a_cover_is_not_sent_it_again(shop: Service) -> None:
    upload(shop, 7, png(3))
    tag = shop.request("GET", "/books/7/cover").headers["etag"]
    same = shop.request("GET", "/books/7/cover", headers={"if-none-match": tag})
    assert (same.status_code, same.content) == (304, b"")
    upload(shop, 7, png(4))
    other = shop.request("GET", "/books/7/cover", headers={"if-none-match": tag})
    assert (other.status_code, other.content) == (200, png(4))
    assert other.headers["cache-control"] == "no-cache"


def test_parts_of_a_cover_can_be_asked_for(shop: Service) -> None:
    # bad input 54
    upload(shop, 8, png(5))
    part = shop.request("GET", "/books/8/cover", headers={"range": "bytes=1-3"})
    assert (part.status_code, part.content) == (206, b"PNG")
    beyond = shop.request("GET", "/books/8/cover", headers={"range": "bytes=9999-"})
    assert beyond.status_code == 416
    head = shop.request("HEAD", "/books/8/cover")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(png(5)))


def test_a_cover_is_seen_whole_while_it_is_replaced(shop: Service) -> None:
    images = [png(size) + bytes(size * 10_000) for size in range(1, 9)]
    upload(shop, 9, images[0])

    def replace(image: bytes) -> int:
        return upload(shop, 9, image).status_code

    def look(_: int) -> bytes:
        return shop.request("GET", "/books/9/cover").content

    with ThreadPoolExecutor(6) as pool:
        replaced = pool.map(replace, images * 2)
        seen = list(pool.map(look, range(24)))
    assert set(replaced) == {204}
    assert set(seen) <= set(images)
    assert all(name.isdecimal() for name in kept(shop))


def test_covers_outlive_the_process(backend: str, folder: Path) -> None:
    with bookshop(folder, backend) as service:
        assert upload(service, 1, JPEG).status_code == 204
        assert service.stop() == 0, service.output
    with bookshop(folder, backend, "plugins.shop.covers=covers") as service:
        assert service.request("GET", "/books/1/cover").content == JPEG
