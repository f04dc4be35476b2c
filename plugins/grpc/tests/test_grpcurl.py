"""grpcurl, which knows of a service what reflection says."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from grpc_served import ENOUGH, Certificates, Messages, Served, serving
from services.embedded_postgres import NotFetchedError
from services.grpcurl import grpcurl
from services.missing import skipped_without

pytestmark = pytest.mark.once
Run = Callable[..., str]


@pytest.fixture(scope="module")
def program() -> Path:
    """It itself."""
    with skipped_without(NotFetchedError):
        return grpcurl()


@pytest.fixture(scope="module", params=ENOUGH)
def told(request: pytest.FixtureRequest, protos: Messages) -> Iterator[Served]:
    """A library that tells of itself."""
    with serving(request.param, protos, grpc={"reflection": True}) as made:
        yield made


@pytest.fixture
def run(program: Path, told: Served) -> Run:
    """What it prints, of a call without TLS."""

    def run(*arguments: str, code: int = 0, **given: str) -> str:
        return ran(program, "-plaintext", *arguments[:-1], f"127.0.0.1:{told.port}", arguments[-1],
                   code=code, **given)  # fmt: skip

    return run


def ran(program: Path, *arguments: str, code: int = 0, given: str | None = None) -> str:
    done = subprocess.run(
        [program, "-max-time", "60", *arguments],
        input=given, capture_output=True, text=True, timeout=90, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    return done.stderr if code else done.stdout


def test_services_and_messages_are_found(run: Run) -> None:
    assert "library.v1.Books" in run("list").split()
    described = run("describe")
    for each in (
        "library.v1.ListBooksRequest ) returns ( stream .library.v1.Book )",
        "stream .library.v1.ChatRequest",
    ):
        assert each in described


def test_calls_are_answered(run: Run) -> None:
    said = run("-d", '{"id": 7, "loud": true}', "library.v1.Books/GetBook")
    assert json.loads(said)["title"] == "EMMA"
    listed = run("-d", '{"count": 3}', "library.v1.Books/ListBooks")
    assert listed.count('"title"') == 3
    lines = '{"value": "one"} {"value": "two"}'
    chatted = run("-d", "@", "library.v1.Books/Chat", given=lines)
    assert chatted.index("ONE") < chatted.index("TWO")
    assert "SERVING" in run("grpc.health.v1.Health/Check")


def test_errors_are_shown_with_their_details(run: Run) -> None:
    # It ends with 64 and the code of the status.
    said = run("-d", '{"id": 200}', "library.v1.Books/GetBook", code=64 + 5)
    assert "Code: NotFound" in said
    assert "NO_SUCH_BOOK" in said
    assert "no book has the number 200" in said


@pytest.mark.parametrize("where", ENOUGH)
def test_it_shows_a_certificate(
    program: Path, protos: Messages, certificates: Certificates, where: str
) -> None:
    certificate, key = certificates.issue("robot.test")
    with serving(where, protos, tls=certificates.server(), grpc={"reflection": True}) as secure:
        said = ran(
            program, "-cacert", str(certificates.ca), "-cert", str(certificate), "-key", str(key),
            "-d", '{"id": 1, "title": "Emma"}', f"127.0.0.1:{secure.port}", "library.v1.Books/AddBook",
        )  # fmt: skip
    assert json.loads(said) == {"value": "robot has added Emma"}
