"""gRPC over TLS: HTTP/2 by ALPN, and certificates of clients that authenticators know."""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from grpc_served import EVERYWHERE, Certificates, Messages, Served, serving
from raw_client import TIMEOUT, frame

SAY = "/library.v1.Books/Say"


@pytest.fixture(scope="module", params=EVERYWHERE)
def served(
    request: pytest.FixtureRequest, protos: Messages, certificates: Certificates
) -> Iterator[Served]:
    """The library over TLS."""
    with serving(request.param, protos, tls=certificates.server()) as made:
        yield made


def secure(
    served: Served, certificates: Certificates, shown: tuple[Path, Path] | None = None
) -> grpc.Channel:
    """A connection by which this certificate is shown."""
    certificate, key = shown or (None, None)
    credentials = grpc.ssl_channel_credentials(
        certificates.ca.read_bytes(),
        None if key is None else key.read_bytes(),
        None if certificate is None else certificate.read_bytes(),
    )
    return grpc.secure_channel(f"127.0.0.1:{served.port}", credentials)


def test_calls_and_streams_are_answered(served: Served, certificates: Certificates) -> None:
    with secure(served, certificates) as channel:
        assert served.stub(channel, "GetBook")(served.make("GetBookRequest", id=7)).title == "Emma"
        books = served.stub(channel, "ListBooks")(served.make("ListBooksRequest", count=200))
        assert [book.id for book in books] == list(range(1, 201))
        lines = (served.make("ChatRequest", value=line) for line in ("one", "two"))
        assert [each.value for each in served.stub(channel, "Chat")(lines)] == ["ONE", "TWO"]
        book = served.make("Book", id=1, title="x", cover=b"\0" * 1_000_000)
        assert served.stub(channel, "Echo")(book).cover == book.cover


def test_a_certificate_is_whom_it_names(served: Served, certificates: Certificates) -> None:
    request = served.make("Book", id=1, title="Emma")
    with secure(served, certificates, certificates.issue("robot.test")) as channel:
        add = served.stub(channel, "AddBook")
        assert add(request).value == "robot has added Emma"
        # What a call says itself counts before what its connection has shown.
        said = add(request, metadata=[("authorization", "Bearer ann")])
        assert said.value == "ann has added Emma"
    for shown in (None, certificates.issue("other.test")):
        with (
            secure(served, certificates, shown) as channel,
            pytest.raises(grpc.RpcError) as caught,
        ):
            served.stub(channel, "AddBook")(request)
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


def test_certificates_of_others_are_not_let_in(
    served: Served, certificates: Certificates, tmp_path: Path
) -> None:
    shown = Certificates(tmp_path).issue("robot.test")
    with (
        secure(served, certificates, shown) as channel,
        pytest.raises(grpc.RpcError) as caught,
    ):
        served.stub(channel, "Say")(served.make("SayRequest", text="a"), timeout=TIMEOUT)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


def test_http2_is_chosen_by_who_offers_it(served: Served, certificates: Certificates) -> None:
    for offered, chosen in ((["h2", "http/1.1"], "h2"), (["h2"], "h2"), (["http/1.1"], "http/1.1")):
        context = ssl.create_default_context(cafile=str(certificates.ca))
        context.set_alpn_protocols(offered)
        with (
            socket.create_connection(("127.0.0.1", served.port), TIMEOUT) as plain,
            context.wrap_socket(plain, server_hostname="127.0.0.1") as stream,
        ):
            assert stream.selected_alpn_protocol() == chosen


def test_pages_call_over_http1(served: Served, certificates: Certificates) -> None:
    context = ssl.create_default_context(cafile=str(certificates.ca))
    body = frame(served.make("SayRequest", text="hello").SerializeToString())
    for kind, status in (("application/grpc-web", 200), ("application/grpc", 505)):
        connection = http.client.HTTPSConnection(
            "127.0.0.1", served.port, context=context, timeout=TIMEOUT
        )
        connection.request("POST", SAY, body, {"content-type": kind})
        answer = connection.getresponse()
        assert answer.status == status
        assert (b"hello" in answer.read()) is (status == 200)
        connection.close()
