"""Clients that others have written in JavaScript: @grpc/grpc-js, grpc-web and Connect's, from npm."""

from __future__ import annotations

import json
import subprocess
from base64 import b64decode
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status
from grpc_served import ENOUGH, Certificates, Messages, Served, serving
from services.embedded_postgres import NotFetchedError
from services.missing import skipped_without
from services.node import beside_packages, node

pytestmark = [pytest.mark.once, pytest.mark.parametrize("where", ENOUGH)]
NPM = Path(__file__).with_name("npm")
WHOLE = ("grpc-js", "grpc-js tls", "connect-node", "connect-node tls")
"""Those that speak gRPC itself."""
CONNECT_WEB = ("connect-node web", "connect-web")
GRPC_WEB = ("grpc-web text", "grpc-web binary")
WEB = (*CONNECT_WEB, *GRPC_WEB)
"""Those that speak gRPC-Web."""
OK, CANCELLED, DEADLINE_EXCEEDED, NOT_FOUND, UNAUTHENTICATED = 0, 1, 4, 5, 16


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The script of clients, beside what it imports."""
    with skipped_without(NotFetchedError):
        return beside_packages(NPM / "clients.mjs", tmp_path_factory.mktemp("npm"))


Found = dict[str, tuple[dict[str, Any], Served, Served]]


@pytest.fixture(scope="module")
def found(script: Path, protos: Messages, certificates: Certificates) -> Iterator[Found]:
    """What all of them got, by server, and the servers without and with TLS."""
    certificate, key = certificates.issue("robot.test")
    with ExitStack() as stack:
        servers = {
            where: (
                stack.enter_context(serving(where, protos)),
                stack.enter_context(serving(where, protos, tls=certificates.server())),
            )
            for where in ENOUGH
        }
        told = {
            "folder": str(protos.folder),
            "file": "library/v1/library.proto",
            "ca": str(certificates.ca),
            "certificate": str(certificate),
            "key": str(key),
            "servers": {
                where: {"plain": plain.port, "tls": tls.port}
                for where, (plain, tls) in servers.items()
            },
        }
        command = [node(), str(script), json.dumps(told)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        answers = json.loads(done.stdout)
        yield {where: (answers[where], *servers[where]) for where in ENOUGH}


def reason(details: Any) -> str:
    """The name of an error in its details: of a whole status, or of a list by type."""
    info = ErrorInfo()
    if isinstance(details, str):
        text = details + "=" * (-len(details) % 4)
        assert Status.FromString(b64decode(text)).details[0].Unpack(info)
    else:
        (value,) = [value for name, value in details if name == "google.rpc.ErrorInfo"]
        info = ErrorInfo.FromString(b64decode(value))
    return info.reason


@pytest.mark.parametrize("name", [*WHOLE, *WEB])
def test_calls_and_streams_are_answered(found: Found, where: str, name: str) -> None:
    got = found[where][0][name]
    assert got["unary"] == "Emma"
    assert got["stream"] == list(range(1, 201))


@pytest.mark.parametrize("name", WHOLE)
def test_streams_come_in(found: Found, where: str, name: str) -> None:
    got = found[where][0][name]
    assert got["sent"] == 100
    lines = range(5) if name.startswith("grpc-js") else ("one", "two")
    wanted = [f"LINE {each}" if isinstance(each, int) else each.upper() for each in lines]
    assert got["both"] == wanted


@pytest.mark.parametrize("name", [*WHOLE, *WEB])
def test_errors_have_their_details(found: Found, where: str, name: str) -> None:
    got = found[where][0][name]
    assert got["error"]["code"] == NOT_FOUND
    assert reason(got["error"]["details"]) == "NO_SUCH_BOOK"
    assert got["midway"]["code"] == NOT_FOUND


@pytest.mark.parametrize("name", [*WHOLE, *WEB])
def test_deadlines_end_the_call_on_both_sides(found: Found, where: str, name: str) -> None:
    answers, plain, tls = found[where]
    assert answers[name]["deadline"]["code"] == DEADLINE_EXCEEDED
    service = tls if name.endswith("tls") else plain
    service.until(lambda: f"leaves {name} late" in service.library.log)


@pytest.mark.parametrize("name", [*WHOLE, *CONNECT_WEB])
def test_who_cancels_cancels_the_handler(found: Found, where: str, name: str) -> None:
    answers, plain, tls = found[where]
    got = answers[name]["cancelled"]
    assert (got if isinstance(got, int) else got["code"]) == CANCELLED
    service = tls if name.endswith("tls") else plain
    service.until(lambda: f"leaves {name}" in service.library.log)


@pytest.mark.parametrize("name", WHOLE[:2])
def test_metadata_go_both_ways(found: Found, where: str, name: str) -> None:
    assert found[where][0][name]["metadata"] == {
        "value": "hi 00ff,01",
        "leading": ["first"],
        "binary": ["00ff"],
        "trailing": ["last"],
    }


@pytest.mark.parametrize("name", [*WHOLE[2:], *CONNECT_WEB])
def test_metadata_of_connect_go_both_ways(found: Found, where: str, name: str) -> None:
    heard = {"value": "hi 00ff", "leading": "first", "trailing": "bGFzdA"}
    assert found[where][0][name]["metadata"] == heard


@pytest.mark.parametrize("name", GRPC_WEB)
def test_metadata_of_pages_come_in(found: Found, where: str, name: str) -> None:
    assert found[where][0][name]["metadata"] == {"value": "hi "}


@pytest.mark.parametrize("name", WHOLE[:2])
def test_messages_are_compressed_in_both_directions(found: Found, where: str, name: str) -> None:
    assert found[where][0][name]["compressed"] is True


def test_a_certificate_says_who_calls(found: Found, where: str) -> None:
    answers = found[where][0]
    assert answers["grpc-js"]["who"]["code"] == UNAUTHENTICATED
    assert answers["grpc-js tls"]["who"]["code"] == OK
    assert answers["grpc-js tls"]["added"] == "robot has added Emma"
