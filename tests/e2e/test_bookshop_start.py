"""The first start, the next one, and every way in which a start is refused."""

from __future__ import annotations

import json
import signal
import socket
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest
from e2e.service import Service, bookshop, copy_example, covet
from services.process import free_port

# A shop is a process with its own loop and database: one interpreter is enough for it.
pytestmark = pytest.mark.once

TITLES = 908


def titles(service: Service) -> int:
    found: int = service.request("GET", "/books").json()["total"]
    return found


def test_a_copy_of_the_folder_runs_anywhere(backend: str, tmp_path: Path) -> None:
    folder = copy_example(tmp_path / "with a space" / "ünïcode")
    with bookshop(folder, backend) as service:
        assert titles(service) == TITLES
        assert (folder / "bookshop.db").exists()


def test_the_shop_is_stocked_once_and_keeps_its_data(backend: str, folder: Path) -> None:
    with bookshop(folder, backend) as service:
        order = {"lines": [{"book_id": 1, "quantity": 2}]}
        placed = service.request("POST", "/orders", json=order).json()
        assert "stocked with 908 titles" in service.output
        assert service.stop() == 0, service.output
    with bookshop(folder, backend) as service:
        assert titles(service) == TITLES
        assert service.request("GET", f"/orders/{placed['id']}").json() == placed
        assert service.request("GET", "/books/1").json()["stock"] == 10
        assert "stocked" not in service.output


def test_an_order_survives_the_death_of_the_process(backend: str, folder: Path) -> None:
    with bookshop(folder, backend) as service:
        order = {"lines": [{"book_id": 1, "quantity": 2}]}
        placed = service.request("POST", "/orders", json=order)
        service.signal(signal.SIGKILL)
        service.process.wait()
    with bookshop(folder, backend) as service:
        assert service.request("GET", placed.headers["location"]).json() == placed.json()


@pytest.mark.parametrize("delay", [0.0, 0.01, 0.03])
def test_a_start_that_is_killed_leaves_no_half_shop(
    backend: str, folder: Path, delay: float
) -> None:
    service = bookshop(folder, backend)
    service.start()
    until = time.monotonic() + 20
    while not (folder / "bookshop.db").exists() and time.monotonic() < until:
        time.sleep(0.0005)
    time.sleep(delay)
    service.process.kill()
    service.process.wait()
    with closing(sqlite3.connect(folder / "bookshop.db")) as database:
        tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master")}
        steps = ("alembic_version", "authors", "books", "orders", "order_lines", "stock_changes")
        assert tables.isdisjoint(steps) or tables.issuperset(steps), "a step of the migrations"
        found = database.execute("SELECT count(*) FROM books").fetchone() if tables else (0,)
    assert found[0] in (0, TITLES)
    with bookshop(folder, backend) as service:
        assert titles(service) == TITLES


def test_two_first_starts_at_once_stock_one_shop(backend: str, folder: Path) -> None:
    first, second = bookshop(folder, backend), bookshop(folder, backend)
    first.start()
    second.start()
    try:
        first.wait_until_up()
        second.wait_until_up()
        assert (titles(first), titles(second)) == (TITLES, TITLES)
        assert (first.output + second.output).count("stocked with 908 titles") == 1
    finally:
        assert (first.stop(), second.stop()) == (0, 0), first.output + second.output


def refused(folder: Path, backend: str, *overrides: str) -> str:
    """What ``covet run`` says when it refuses: one clear error, exit code 2 and no traceback."""
    settings = [word for override in overrides for word in ("--set", override)]
    config = str(folder / "covet.toml")
    done = covet("run", "-c", config, "--backend", backend, *settings)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert "fix: " in done.stderr
    return done.stderr


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["plugins.http.prot=1"], ["COVET-CONFIG-KEY", "plugins.http.prot", "--set", "port"]),
        (["plugins.http.port=high"], ["COVET-CONFIG-VALUE", "plugins.http.port", "--set"]),
        (["plugins.http.port=70000"], ["COVET-CONFIG-VALUE", "plugins.http.port"]),
        (["plugins.htp.port=1"], ["COVET-PLUGIN-MISSING", "htp", "Did you mean 'http'?"]),
        (["plugins.shop.use=shop:Shopp"], ["COVET-PLUGIN-", "shop"]),
        (["plugins.shop.use=shopp:Shop"], ["COVET-PLUGIN-IMPORT", "shopp"]),
        (["plugin.http.port=1"], ["COVET-CONFIG-KEY", "plugin", "plugins"]),
    ],
    ids=lambda value: value[0] if "=" in value[0] else "",
)
def test_a_wrong_setting_is_one_clear_error_before_any_loop_runs(
    folder: Path, overrides: list[str], words: list[str]
) -> None:
    said = refused(folder, "asyncio", *overrides)
    for word in words:
        assert word in said
    assert not (folder / "bookshop.db").exists()


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("plugins.shop.catalogue=nothing.csv", ["SHOP-CATALOGUE", "nothing.csv"]),
        ("plugins.shop.covers=books.csv", ["SHOP-COVERS", "books.csv"]),
        ("plugins.shop.covers=nowhere/covers", ["SHOP-COVERS", "nowhere"]),
        ("plugins.sqlite.path=nowhere/shop.db", ["COVET-SQLITE-", "nowhere"]),
        ("plugins.sqlite.path=shop", ["COVET-SQLITE-", "shop"]),
        ("plugins.sqlite.path=books.csv", ["COVET-SQLITE-", "books.csv"]),
        ("plugins.http.host=192.0.2.1", ["COVET-HTTP-", "192.0.2.1"]),
    ],
)
def test_what_cannot_be_opened_is_one_clear_error(
    backend: str, folder: Path, override: str, words: list[str]
) -> None:
    said = refused(folder, backend, f"plugins.http.port={free_port()}", override)
    for word in words:
        assert word in said


def test_all_wrong_settings_are_named_at_once(folder: Path) -> None:
    said = refused(folder, "asyncio", "plugins.http.prot=1", "plugins.sqlite.pth=x", "x.y=1")
    for word in ("plugins.http.prot", "plugins.sqlite.pth", "--set x.y"):
        assert word in said


def test_a_port_in_use_is_one_clear_error(backend: str, folder: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        said = refused(folder, backend, f"plugins.http.port={port}")
    assert "COVET-HTTP-" in said
    assert str(port) in said


@pytest.mark.parametrize(
    ("content", "word"),
    [(b"[plugins.http\n", "COVET-CONFIG-SYNTAX"), (b"\xff\xfe", "COVET-CONFIG-FILE")],
)
def test_a_wrong_file_is_one_clear_error(folder: Path, content: bytes, word: str) -> None:
    (folder / "covet.toml").write_bytes(content)
    done = covet("run", "-c", str(folder / "covet.toml"))
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert word in done.stderr


def test_a_missing_file_is_one_clear_error(tmp_path: Path) -> None:
    said = refused(tmp_path, "asyncio")
    assert "COVET-CONFIG-FILE" in said


def test_a_wrong_catalogue_leaves_no_half_shop(backend: str, folder: Path) -> None:
    catalogue = folder / "books.csv"
    good = catalogue.read_text("utf-8")
    catalogue.write_text(good + "Sequel,Nobody,1900,1980,soon,en,100,1\n", "utf-8")
    said = refused(folder, backend, f"plugins.http.port={free_port()}")
    assert "SHOP-CATALOGUE" in said
    assert f"books.csv:{TITLES + 2}" in said
    assert "published" in said
    with closing(sqlite3.connect(folder / "bookshop.db")) as database:
        assert database.execute("SELECT count(*) FROM authors").fetchone() == (0,)
    catalogue.write_text(good, "utf-8")
    with bookshop(folder, backend) as service:
        assert titles(service) == TITLES


def test_plugins_are_listed_for_machines(folder: Path) -> None:
    done = covet("plugins", "-c", str(folder / "covet.toml"), "--json")
    assert done.returncode == 0, done.stderr
    rows = {row["name"]: row for row in json.loads(done.stdout)}
    assert {"http", "sqlite", "shop", "operations"} <= rows.keys()
    assert all(rows[name]["enabled"] for name in ("http", "sqlite", "shop", "operations"))
    assert rows["sqlite"]["provides"] == ["sql.database"]
    assert rows["shop"]["requires"] == ["sql.database", "sql.schema"]
    assert rows["migrations"]["provides"] == ["sql.schema"]
    assert not (folder / "bookshop.db").exists(), "nothing starts for a list"


def test_the_graph_is_checked_without_starting_anything(folder: Path) -> None:
    done = covet("check", "-c", str(folder / "covet.toml"), "--json")
    assert done.returncode == 0, done.stderr
    order = json.loads(done.stdout)["plugins"]
    assert order.index("sqlite") < order.index("shop")
    assert not (folder / "bookshop.db").exists()
