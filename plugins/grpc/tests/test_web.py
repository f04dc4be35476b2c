"""gRPC-Web: binary and text, over HTTP/1.1 and HTTP/2, and which pages may call."""

from __future__ import annotations

from base64 import b64decode, b64encode
from struct import unpack_from
from typing import Any

import pytest
from grpc_served import Served
from raw_client import exchange, frame, post

PATH = "/library.v1.Books/"


def taken_apart(body: bytes) -> tuple[list[bytes], dict[str, str]]:
    """The messages and the trailers of a body."""
    messages, trailers, at = [], {}, 0
    while at < len(body):
        flag, length = unpack_from(">BI", body, at)
        data = body[at + 5 : at + 5 + length]
        at += 5 + length
        if flag & 0x80:
            assert at == len(body), "trailers come last"
            trailers = dict(line.split(": ", 1) for line in data.decode().splitlines())
        else:
            messages.append(data)
    return messages, trailers


def asked(served: Served, method: str, message: Any, *, text: bool = False, **headers: str) -> Any:
    """Status, headers, messages and trailers of a call over HTTP/1.1."""
    body = frame(message.SerializeToString())
    kind = "application/grpc-web-text" if text else "application/grpc-web+proto"
    status, head, answer = post(
        served.port, PATH + method, b64encode(body) if text else body,
        {"content-type": kind, "x-grpc-web": "1", **{k.replace("_", "-"): v for k, v in headers.items()}},
    )  # fmt: skip
    assert head["content-type"] == kind
    if text:
        # Each piece is padded by itself.
        answer = b"".join(
            b64decode(part + b"=" * (-len(part) % 4)) for part in answer.split(b"=") if part
        )
    return status, head, *taken_apart(answer)


@pytest.mark.parametrize("text", [False, True], ids=["binary", "text"])
class TestOverHttp1:
    def test_a_call_is_answered(self, served: Served, text: bool) -> None:
        status, _, messages, trailers = asked(
            served, "GetBook", served.make("GetBookRequest", id=7), text=text
        )
        assert status == 200
        (message,) = messages
        assert served.messages("library.v1.Book").FromString(message).title == "Emma"
        assert trailers == {"grpc-status": "0"}

    def test_a_stream_is_answered(self, served: Served, text: bool) -> None:
        request = served.make("ListBooksRequest", count=50)
        _, _, messages, trailers = asked(served, "ListBooks", request, text=text)
        make = served.messages("library.v1.Book").FromString
        assert [make(each).id for each in messages] == list(range(1, 51))
        assert trailers["grpc-status"] == "0"

    def test_a_failure_before_the_first_message_is_in_the_head(
        self, served: Served, text: bool
    ) -> None:
        request = served.make("GetBookRequest", id=200)
        status, head, messages, _ = asked(served, "GetBook", request, text=text)
        assert (status, head["grpc-status"], messages) == (200, "5", [])
        assert head["grpc-status-details-bin"]

    def test_a_failure_after_it_is_in_the_trailers(self, served: Served, text: bool) -> None:
        request = served.make("ListBooksRequest", count=5, fail_at=2)
        _, _, messages, trailers = asked(served, "ListBooks", request, text=text)
        assert len(messages) == 2
        assert trailers["grpc-status"] == "5"

    def test_metadata_go_both_ways(self, served: Served, text: bool) -> None:
        request = served.messages("google.protobuf.Empty")()
        _, head, messages, trailers = asked(served, "Tell", request, text=text, x_text="hi")
        assert served.messages("library.v1.TellResponse").FromString(messages[0]).value == "hi "
        assert head["x-leading"] == "first"
        assert trailers["x-trailing-bin"] == "bGFzdA"


def test_it_is_spoken_over_http2_too(served: Served) -> None:
    request = frame(served.make("SayRequest", text="hello").SerializeToString())
    answered = exchange(
        served.port, PATH + "Say", [b64encode(request)], content_type=b"application/grpc-web-text"
    )
    messages, trailers = taken_apart(b64decode(answered.body))
    assert served.messages("library.v1.SayResponse").FromString(messages[0]).value == "hello"
    assert trailers == {"grpc-status": "0"}


@pytest.mark.parametrize("body", [b"!!!!", b"AAAAAAA", b"AAAA===="])
def test_a_body_that_is_no_base64_is_refused(served: Served, body: bytes) -> None:
    answered = exchange(
        served.port, PATH + "Say", [body], content_type=b"application/grpc-web-text"
    )
    assert answered[b"grpc-status"] == b"3"


def test_pages_of_named_origins_may_call(served: Served) -> None:
    request = served.make("GetBookRequest", id=1)
    _, head, _, _ = asked(served, "GetBook", request, origin="https://shop.example")
    assert head["access-control-allow-origin"] == "https://shop.example"
    assert "grpc-status" in head["access-control-expose-headers"]
    assert head["vary"] == "origin"
    _, head, _, _ = asked(served, "GetBook", request, origin="https://evil.example")
    assert "access-control-allow-origin" not in head


def test_a_browser_asks_before(served: Served) -> None:
    # bad input 70
    ask = {"access-control-request-method": "POST", "access-control-request-headers": "x-grpc-web"}
    status, head, body = post(
        served.port, PATH + "GetBook", b"", {"origin": "https://shop.example", **ask}, "OPTIONS"
    )
    assert (status, body) == (204, b"")
    assert head["access-control-allow-origin"] == "https://shop.example"
    assert {"x-grpc-web", "authorization"} <= set(head["access-control-allow-headers"].split(","))
    for origin in ("https://shop.example.evil.example", "null", "https://shopXexample"):
        _, head, _ = post(served.port, PATH + "GetBook", b"", {"origin": origin, **ask}, "OPTIONS")
        assert "access-control-allow-origin" not in head
