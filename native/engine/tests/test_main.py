"""``python -m covet_engine``: what a stranger types to serve an application."""

from __future__ import annotations

import json
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import trustme

PATIENCE = 30.0

SHOP = """
import sys
from contextlib import asynccontextmanager

import anyio
from fastapi import FastAPI


@asynccontextmanager
async def lifespan(app):
    print("started", flush=True)
    yield
    print("stopped", flush=True)


app = FastAPI(lifespan=lifespan)


@app.get("/")
async def home():
    return {"hello": "world"}


@app.get("/slow")
async def slow():
    await anyio.sleep(0.5)
    return "done"


@app.get("/never")
async def never():
    await anyio.sleep_forever()


def make():
    return app


class Settings:
    application = app


async def refuses(scope, receive, send):
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "no database"})


number = 7
"""


class Running:
    """The command while it serves."""

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self.process = process
        self.url = url

    def end(self) -> tuple[int, str, str]:
        """What it ended with, and what it said since it served."""
        output, errors = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, output, errors


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "shop.py").write_text(SHOP)
    (tmp_path / "broken.py").write_text("import no_such_library\n")
    (tmp_path / "wrong.py").write_text("1 / 0\n")
    package = tmp_path / "store"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "main.py").write_text(SHOP)
    return tmp_path


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "covet_engine", *words]


@contextmanager
def running(folder: Path, *words: str) -> Iterator[Running]:
    """Serve with port 0, from this folder."""
    process = subprocess.Popen(
        command("--port", "0", *words),
        cwd=folder,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        assert process.stderr is not None
        lines = []
        while not (found := re.search(r"listening on (https?://\S+)", lines[-1] if lines else "")):
            line = process.stderr.readline()
            assert line, "".join(lines)
            lines.append(line)
        yield Running(process, found[1].rstrip(","))
    finally:
        process.kill()
        process.communicate()


def failing(folder: Path, *words: str) -> str:
    """What the command says when it cannot serve."""
    done = subprocess.run(
        command(*words), cwd=folder, text=True, capture_output=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 2, done
    return done.stderr


def get(url: str) -> httpx.Response:
    return httpx.get(url, timeout=PATIENCE, trust_env=False)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_it_speaks_tls_with_a_certificate(folder: Path, backend: str) -> None:
    ca = trustme.CA()
    ca.cert_pem.write_to_path(str(folder / "ca.pem"))
    issued = ca.issue_cert("127.0.0.1")
    issued.private_key_and_cert_chain_pem.write_to_path(str(folder / "shop.pem"))
    robot = ssl.create_default_context(cafile=str(folder / "ca.pem"))
    words = ("--backend", backend, "--ssl-certfile", "shop.pem", "--ssl-ca-certs", "ca.pem")
    with running(folder, "shop:app", *words) as server:
        assert server.url.startswith("https://")
        with pytest.raises(httpx.TransportError):
            httpx.get(server.url, verify=robot, timeout=PATIENCE, trust_env=False)
        ca.issue_cert("robot.test").configure_cert(robot)
        found = httpx.get(server.url, verify=robot, timeout=PATIENCE, trust_env=False)
        assert found.json() == {"hello": "world"}
        server.process.send_signal(signal.SIGTERM)
        code, _, errors = server.end()
    assert code == 0, errors
    assert "Traceback" not in errors


def test_what_is_wrong_with_tls_is_said_in_a_line(folder: Path) -> None:
    said = failing(folder, "shop:app", "--port", "0", "--ssl-certfile", "none.pem")
    assert "COVET-HTTP-TLS-FILE: 'none.pem' cannot be used for TLS: No such file" in said
    assert "Traceback" not in said
    assert "without --ssl-certfile" in failing(folder, "shop:app", "--ssl-keyfile", "shop.key")


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_application_is_served_until_a_signal(
    folder: Path, backend: str, number: signal.Signals
) -> None:
    with running(folder, "shop:app", "--backend", backend) as server:
        assert get(server.url).json() == {"hello": "world"}
        server.process.send_signal(number)
        code, output, errors = server.end()
    assert code == 0, errors
    assert output == "started\nstopped\n"
    assert "Traceback" not in errors


@pytest.mark.parametrize("address", ["store.main:app", "shop:Settings.application"])
def test_where_an_application_may_be(folder: Path, address: str) -> None:
    with running(folder, address) as server:
        assert get(server.url).json() == {"hello": "world"}


def test_a_function_may_make_it(folder: Path) -> None:
    with running(folder, "shop:make", "--factory") as server:
        assert get(server.url).json() == {"hello": "world"}


def test_what_runs_at_the_signal_is_answered(folder: Path) -> None:
    answers: list[httpx.Response] = []
    with running(folder, "shop:app") as server:
        asking = threading.Thread(target=lambda: answers.append(get(f"{server.url}/slow")))
        asking.start()
        get(server.url)  # the other one was sent before
        _until_inside(server.url)
        server.process.terminate()
        code, output, errors = server.end()
        asking.join(PATIENCE)
    assert code == 0, errors
    assert [each.json() for each in answers] == ["done"]
    assert output == "started\nstopped\n"


def _until_inside(url: str) -> None:
    """A few more requests, so that one that was sent before them has begun."""
    for _ in range(5):
        get(url)


def test_a_second_signal_does_not_wait(folder: Path) -> None:
    with (
        running(folder, "shop:app") as server,
        socket.create_connection(_address(server.url)) as client,
    ):
        client.sendall(b"GET /never HTTP/1.1\r\nHost: h\r\n\r\n")
        _until_inside(server.url)
        server.process.terminate()
        assert server.process.stderr is not None
        assert "stopping" in server.process.stderr.readline()
        server.process.terminate()
        code, _, errors = server.end()
    assert code == 1
    assert "Traceback" not in errors


def test_the_time_for_stopping_is_bounded(folder: Path) -> None:
    with (
        running(folder, "shop:app", "--stop-timeout", "0.2") as server,
        socket.create_connection(_address(server.url)) as client,
    ):
        client.sendall(b"GET /never HTTP/1.1\r\nHost: h\r\n\r\n")
        _until_inside(server.url)
        server.process.terminate()
        code, output, errors = server.end()
    assert code == 0, errors
    assert output == "started\nstopped\n"


def _address(url: str) -> tuple[str, int]:
    parsed = httpx.URL(url)
    assert parsed.port is not None
    return parsed.host, parsed.port


def test_the_access_log(folder: Path) -> None:
    with running(folder, "shop:app", "--access-log") as server:
        get(f"{server.url}/?q=1")
        get(f"{server.url}/none")
        server.process.terminate()
        code, _, errors = server.end()
    assert code == 0
    lines = [json.loads(line) for line in errors.splitlines() if line.startswith("{")]
    assert [(each["method"], each["target"], each["status"]) for each in lines] == [
        ("GET", "/?q=1", 200),
        ("GET", "/none", 404),
    ]


def test_what_cannot_be_served_is_said_in_a_line(folder: Path) -> None:
    for words, expected in (
        (["shop"], "'shop' is not of the form module:name"),
        (["nothing:app"], "there is no module 'nothing'"),
        (["store.nothing:app"], "there is no module 'store.nothing'"),
        (["shop:nothing"], "shop has no 'nothing'"),
        (["shop:number"], "cannot be called"),
        (["shop:number", "--factory"], "is no function"),
        (["shop:app", "--host", "no.such.host.invalid"], "cannot listen on no.such.host.invalid"),
        (["shop:app", "--port", "99999"], "cannot listen"),
        (["shop:refuses", "--port", "0"], "no database"),
    ):
        said = failing(folder, *words)
        assert expected in said, said
        assert "Traceback" not in said, said


def test_an_error_in_the_module_shows_where(folder: Path) -> None:
    for name, expected in (("broken", "no_such_library"), ("wrong", "ZeroDivisionError")):
        done = subprocess.run(
            command(f"{name}:app"), cwd=folder, text=True, capture_output=True, check=False
        )
        assert done.returncode == 1
        assert f"{name}.py" in done.stderr
        assert expected in done.stderr


def test_a_port_that_is_taken(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        said = failing(folder, "shop:app", "--port", str(taken.getsockname()[1]))
    assert "cannot listen" in said


def test_help_names_every_option(folder: Path) -> None:
    done = subprocess.run(command("--help"), text=True, capture_output=True, check=False)
    assert done.returncode == 0
    for option in ("--host", "--port", "--backend", "--factory", "--access-log", "--stop-timeout"):
        assert option in done.stdout
