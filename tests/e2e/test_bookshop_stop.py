"""SIGTERM, a second signal and SIGHUP, while requests keep coming."""

from __future__ import annotations

import signal
import socket
from pathlib import Path

import pytest
from e2e.answers import lines
from e2e.load import Load, http_request, load, read_answer
from e2e.service import Service, bookshop

ORDER = lines((1, 1))


def check_nothing_was_lost(found: Load, status: int) -> None:
    assert found.lost == []
    assert set(found.answered) == {status}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_under_load_loses_no_answer(
    backend: str, folder: Path, number: signal.Signals
) -> None:
    with bookshop(folder, backend) as service:
        with load(service.port, "GET", "/books?q=the&limit=50") as found:
            found.wait_for(200)
            service.signal(number)
            assert service.process.wait(20) == 0, service.output
        check_nothing_was_lost(found, 200)
        assert found.refused > 0, "clients have to have gone on until the port was closed"
        assert "Traceback" not in service.output


def test_what_was_answered_before_the_stop_is_in_the_database(backend: str, folder: Path) -> None:
    with bookshop(folder, backend) as service:
        service.request("PATCH", "/books/1", json={"stock": 10_000})
        with load(service.port, "POST", "/orders", ORDER) as found:
            found.wait_for(30)
            assert service.stop() == 0, service.output
        check_nothing_was_lost(found, 201)
    with bookshop(folder, backend) as service:
        left = service.request("GET", "/books/1").json()["stock"]
        assert left == 10_000 - found.total


def test_a_request_on_an_idle_connection_is_answered_while_stopping(
    backend: str, folder: Path
) -> None:
    """The client cannot know that the server is about to go: it has sent, so it is answered."""
    with bookshop(folder, backend, "plugins.http.linger=5") as service:
        with socket.create_connection(("127.0.0.1", service.port), 20) as connection:
            connection.sendall(http_request("GET", "/books/1"))
            assert not read_answer(connection).closes
            service.signal(signal.SIGTERM)
            service.wait_for("draining")
            connection.sendall(http_request("GET", "/books/2"))
            answer = read_answer(connection)
            assert (answer.status, answer.closes) == (200, True)
            assert connection.recv(1) == b""
        assert service.process.wait(20) == 0, service.output


def half_a_request(service: Service) -> socket.socket:
    """A connection on which an order has begun and does not go on."""
    connection = socket.create_connection(("127.0.0.1", service.port), 20)
    connection.sendall(http_request("POST", "/orders", ORDER)[:-5])
    return connection


def test_a_stop_waits_for_the_rest_of_a_request(backend: str, folder: Path) -> None:
    with bookshop(folder, backend) as service, half_a_request(service) as connection:
        service.request("GET", "/books/1")
        service.signal(signal.SIGTERM)
        service.wait_for("draining")
        connection.sendall(http_request("POST", "/orders", ORDER)[-5:])
        assert read_answer(connection).status == 201
        assert service.process.wait(20) == 0, service.output


def test_a_second_signal_does_not_wait(backend: str, folder: Path) -> None:
    with bookshop(folder, backend) as service, half_a_request(service) as connection:
        service.request("GET", "/books/1")
        service.signal(signal.SIGTERM)
        service.wait_for("draining")
        assert service.process.poll() is None
        service.signal(signal.SIGTERM)
        assert service.process.wait(10) != 0
        connection.settimeout(10)
        assert not connection.recv(1000).startswith(b"HTTP/1.1 2")
    with bookshop(folder, backend) as service:
        assert service.request("GET", "/orders/1").status_code == 404, "it was cut off"


def test_reloads_fail_no_request(backend: str, folder: Path) -> None:
    """Plugins are replaced under load: the listener and its connections stay."""
    file = folder / "covet.toml"
    text = file.read_text("utf-8")
    with bookshop(folder, backend) as service:
        with load(service.port, "GET", "/books?limit=5") as found:
            found.wait_for(50)
            for number in range(1, 4):
                # The database and all that stands on it stop and start.
                file.write_text(text.replace("bookshop.db", f"other{number}.db"), "utf-8")
                service.signal(signal.SIGHUP)
                service.wait_for("reloaded", number)
                found.wait_for(50)
        check_nothing_was_lost(found, 200)
        assert found.refused == 0
        assert (folder / "other3.db").exists()
        assert service.stop() == 0, service.output
        assert "Traceback" not in service.output


def test_a_reload_without_a_change_replaces_nothing(backend: str, folder: Path) -> None:
    with bookshop(folder, backend) as service:
        with load(service.port, "GET", "/books/1") as found:
            found.wait_for(20)
            service.signal(signal.SIGHUP)
            service.wait_for("nothing has changed")
            found.wait_for(20)
        check_nothing_was_lost(found, 200)
        assert found.refused == 0


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("[plugins.sqlite]", "[plugins.sqlite", "COVET-CONFIG-SYNTAX"),
        ("port = 8000", 'prot = "8000"', "COVET-CONFIG-KEY"),
        # This one is found out only when the new instances start.
        ('path = "bookshop.db"', 'path = "nowhere/bookshop.db"', "COVET-"),
    ],
)
def test_a_reload_that_fails_changes_nothing(
    backend: str, folder: Path, before: str, after: str, said: str
) -> None:
    file = folder / "covet.toml"
    with bookshop(folder, backend) as service:
        service.request("PATCH", "/books/1", json={"stock": 77})
        text = file.read_text("utf-8")
        assert before in text
        file.write_text(text.replace(before, after), "utf-8")
        with load(service.port, "GET", "/books/1") as found:
            found.wait_for(20)
            service.signal(signal.SIGHUP)
            service.wait_for(said)
            found.wait_for(20)
        check_nothing_was_lost(found, 200)
        assert found.refused == 0
        assert service.request("GET", "/books/1").json()["stock"] == 77
        assert service.stop() == 0, service.output
        assert "Traceback" not in service.output, "the user's mistake"
