"""What breaks the protocol: one request's fault ends its stream, the connection's fault the connection."""

from __future__ import annotations

from typing import Any

import pylsqpack
import pytest

from covet_hypercorn._quic import Quic

GENERAL, CREATION, CLOSED, UNEXPECTED, FRAME = 0x101, 0x103, 0x104, 0x105, 0x106
LOAD, ID, SETTINGS, MISSING = 0x107, 0x108, 0x109, 0x10A
REJECTED, INCOMPLETE, MESSAGE = 0x10B, 0x10D, 0x10E
DECOMPRESSION, ENCODER, DECODER = 0x200, 0x201, 0x202

Fields = list[tuple[bytes, bytes]]
PSEUDO: Fields = [
    (b":method", b"GET"),
    (b":scheme", b"https"),
    (b":authority", b"a"),
    (b":path", b"/"),
]


def block(fields: Fields) -> bytes:
    return pylsqpack.Encoder().encode(0, fields)[1]


def without(name: bytes) -> Fields:
    return [each for each in PSEUDO if each[0] != name]


def instead(name: bytes, value: bytes) -> Fields:
    return [(n, value if n == name else v) for n, v in PSEUDO]


class Counting:
    """Answers 200; counts its calls."""

    def __init__(self) -> None:
        self.calls = 0
        self.bodies = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.calls += 1
        more = scope["method"] == "POST"
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            more = message["more_body"]
        self.bodies += 1
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})


REQUESTS: dict[str, Fields] = {
    "nothing": [],
    "no method": without(b":method"),
    "no scheme": without(b":scheme"),
    "no path": without(b":path"),
    "no authority": without(b":authority"),
    "an empty authority": instead(b":authority", b""),
    "an empty path": instead(b":path", b""),
    "a path without a slash": instead(b":path", b"a"),
    "a host in place of a path": instead(b":path", b"@evil.example"),
    "a fragment": instead(b":path", b"/a#b"),
    "a space in the path": instead(b":path", b"/a b"),
    "a user in the authority": instead(b":authority", b"u@a"),
    "a path in the authority": instead(b":authority", b"a/b"),
    "a query in the authority": instead(b":authority", b"a/admin?"),
    "two authorities": instead(b":authority", b"a,b"),
    "another scheme": instead(b":scheme", b"ftp"),
    "a method that is no token": instead(b":method", b"GE T"),
    "a method twice": [*PSEUDO, PSEUDO[0]],
    "a path twice": [*PSEUDO, PSEUDO[3]],
    "an unknown pseudo-header": [*PSEUDO, (b":other", b"1")],
    "a status": [*PSEUDO, (b":status", b"200")],
    "a protocol": [*PSEUDO, (b":protocol", b"websocket")],
    "a pseudo-header behind a header": [*PSEUDO[:3], (b"a", b"b"), PSEUDO[3]],
    "a pseudo-header behind a cookie": [*PSEUDO[:3], (b"cookie", b"b"), PSEUDO[3]],
    "upper case": [*PSEUDO, (b"X-a", b"b")],
    "a space in a name": [*PSEUDO, (b"x a", b"b")],
    "a colon in a name": [*PSEUDO, (b"x:a", b"b")],
    "a name beyond ASCII": [*PSEUDO, (b"x\xe4", b"b")],
    "CR in a value": [*PSEUDO, (b"a", b"b\rc")],
    "LF in a value": [*PSEUDO, (b"a", b"b\nc: d")],
    "NUL in a value": [*PSEUDO, (b"a", b"b\0c")],
    "NUL in a cookie": [*PSEUDO, (b"cookie", b"b\0c")],
    "ESC in a value": [*PSEUDO, (b"a", b"b\x1bc")],
    "a space before a value": [*PSEUDO, (b"a", b" b")],
    "a tab behind a value": [*PSEUDO, (b"a", b"b\t")],
    "connection": [*PSEUDO, (b"connection", b"close")],
    "keep-alive": [*PSEUDO, (b"keep-alive", b"1")],
    "proxy-connection": [*PSEUDO, (b"proxy-connection", b"close")],
    "transfer-encoding": [*PSEUDO, (b"transfer-encoding", b"chunked")],
    "upgrade": [*PSEUDO, (b"upgrade", b"h2c")],
    "te": [*PSEUDO, (b"te", b"gzip")],
    "two lengths": [*PSEUDO, (b"content-length", b"0"), (b"content-length", b"0")],
    "a length with a sign": [*PSEUDO, (b"content-length", b"+0")],
    "a length as a list": [*PSEUDO, (b"content-length", b"0, 0")],
    "a length of 30 digits": [*PSEUDO, (b"content-length", b"0" * 30)],
    "another host": [*PSEUDO, (b"host", b"b")],
    "two hosts": [*PSEUDO, (b"host", b"a"), (b"host", b"a")],
    "two hosts and no authority": [*without(b":authority"), (b"host", b"a"), (b"host", b"a")],
    "an empty host and no authority": [*without(b":authority"), (b"host", b"")],
}


async def test_a_malformed_request_ends_its_stream_only(http3: Any) -> None:
    # bad input 15, 20, 32, 33, 35, 36
    application = Counting()
    async with http3.listening(application) as (_, port), http3.connected(port) as client:
        for name, fields in REQUESTS.items():
            stream = client.raw(http3.frame(1, block(fields)))
            await client.until_over(stream)
            assert client.reset.get(stream) == MESSAGE, name
        assert await client.ask() == (200, b"ok")
        application.calls = 0
        nameless = block(PSEUDO) + b"\x20\1b"
        assert await refused_with(client, http3.frame(1, nameless)) in (MESSAGE, DECOMPRESSION)
        assert application.calls == 0


async def refused_with(client: Any, data: bytes) -> int:
    """The code with which a request is refused, or its connection."""
    stream = client.raw(data)
    await client.until_over_or_closed(stream)
    code: int = client.reset.get(stream, client.closed)
    return code


async def test_what_looks_odd_and_is_sound(http3: Any) -> None:
    scopes = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        scopes.append(scope)
        await http3.hello(scope, receive, send)

    asterisk = [(b":method", b"OPTIONS"), *PSEUDO[1:3], (b":path", b"*")]
    odd: list[Fields] = [
        [*PSEUDO, (b"host", b"a")],
        [*without(b":authority"), (b"host", b"a")],
        instead(b":authority", b"[::1]:443"),
        asterisk,
        [*PSEUDO, (b"te", b"trailers")],
        [*PSEUDO, (b"a", b"")],
    ]
    async with http3.listening(application) as (_, port), http3.connected(port) as client:
        for fields in odd:
            stream = client.raw(http3.frame(1, block(fields)))
            await client.until_over(stream)
            assert client.status(stream) == 200, fields
        hosts = [[v for n, v in each["headers"] if n == b"host"] for each in scopes]
        assert hosts == [[b"a"], [b"a"], [b"[::1]:443"], [b"a"], [b"a"], [b"a"]]


async def test_the_length_of_a_body_is_kept(http3: Any) -> None:
    # bad input 33
    application = Counting()
    post = [(b":method", b"POST"), *PSEUDO[1:]]
    head = http3.frame(1, block([*post, (b"content-length", b"4")]))
    async with http3.listening(application) as (_, port), http3.connected(port) as client:
        data = http3.frame(0, b"ab")
        for body in (b"", data, data * 3, http3.frame(0, b"abcde")):
            stream = client.raw(head + body)
            await client.until_over(stream)
            assert client.reset[stream] == MESSAGE
        # More than was announced is noticed before the end.
        stream = client.raw(head + data * 3, end=False)
        await client.until_over(stream)
        assert client.reset[stream] == MESSAGE
        assert application.bodies == 0
        stream = client.raw(head + data * 2)
        await client.until_over(stream)
        assert client.status(stream) == 200


@pytest.mark.parametrize(
    "trailers",
    [
        [(b":path", b"/")],
        [(b"A", b"b")],
        [(b"a", b"b\r\n")],
        [(b"connection", b"close")],
        [(b"transfer-encoding", b"chunked")],
    ],
)
async def test_malformed_trailers_end_their_stream(http3: Any, trailers: Fields) -> None:
    # bad input 13
    application = Counting()
    head = http3.frame(1, block([(b":method", b"POST"), *PSEUDO[1:]]))
    async with http3.listening(application) as (_, port), http3.connected(port) as client:
        stream = client.raw(head + http3.frame(0, b"ab") + http3.frame(1, block(trailers)))
        await client.until_over(stream)
        assert client.reset[stream] == MESSAGE
        assert application.bodies == 0
        assert await client.ask() == (200, b"ok")


async def test_a_request_that_ends_before_its_headers(http3: Any) -> None:
    async with http3.listening(http3.hello) as (_, port), http3.connected(port) as client:
        for data in (b"", http3.frame(0x21, b"grease")):
            stream = client.raw(data)
            await client.until_over(stream)
            assert client.reset[stream] == INCOMPLETE
        assert await client.ask() == (200, b"ok")


async def test_frames_that_nobody_knows_are_passed_over(http3: Any) -> None:
    application = Counting()
    grease = http3.frame(0x21 + 0x1F * 7, bytes(3000)) + http3.frame(0x40)
    head = http3.frame(1, block([(b":method", b"POST"), *PSEUDO[1:]]))
    async with http3.listening(application) as (_, port), http3.connected(port) as client:
        stream = client.raw(grease + head + grease + http3.frame(0, b"ab") + grease)
        await client.until_over(stream)
        assert client.status(stream) == 200
        uni = client.quic.get_next_available_stream_id(is_unidirectional=True)
        client.raw(http3.varint(0x21) + bytes(100), stream=uni, end=False)
        await client.until(lambda: uni in client.stopped)
        assert client.stopped[uni] == CREATION
        assert await client.ask() == (200, b"ok")


HEAD = block([(b":method", b"POST"), *PSEUDO[1:]])


def varint(value: int) -> bytes:
    return (value | 0xC000_0000_0000_0000).to_bytes(8, "big")


def frame(kind: int, payload: bytes = b"", length: int | None = None) -> bytes:
    return varint(kind) + varint(len(payload) if length is None else length) + payload


ON_A_REQUEST: dict[str, tuple[bytes, int]] = {
    "data first": (frame(0, b"a"), UNEXPECTED),
    "settings": (frame(4), UNEXPECTED),
    "goaway": (frame(7, b"\0"), UNEXPECTED),
    "max push id": (frame(13, b"\0"), UNEXPECTED),
    "cancel push": (frame(3, b"\0"), UNEXPECTED),
    "push promise": (frame(5, b"\0"), UNEXPECTED),
    "a priority of HTTP/2": (frame(2, bytes(5)), UNEXPECTED),
    "a ping of HTTP/2": (frame(6, bytes(8)), UNEXPECTED),
    "a window of HTTP/2": (frame(8, bytes(4)), UNEXPECTED),
    "a continuation of HTTP/2": (frame(9), UNEXPECTED),
    "data behind trailers": (
        frame(1, HEAD) + frame(0, b"a") + frame(1, block([(b"a", b"b")])) + frame(0, b"a"),
        UNEXPECTED,
    ),
    "headers behind trailers": (frame(1, HEAD) + frame(1, block([(b"a", b"b")])) * 2, UNEXPECTED),
    "headers that are cut off": (frame(1, HEAD, len(HEAD) + 1), FRAME),
    "data that is cut off": (frame(1, HEAD) + frame(0, b"a", 2), FRAME),
    "a frame's head that is cut off": (frame(1, HEAD) + b"\0", FRAME),
    "an unknown frame that is cut off": (frame(1, HEAD) + frame(0x21, b"a", 2), FRAME),
    "an empty block": (frame(1), DECOMPRESSION),
    "a block without fields' ends": (frame(1, b"\0\0\x27"), DECOMPRESSION),
    "a string that is cut off": (frame(1, b"\0\0\x21a\x05bc"), DECOMPRESSION),
    "a reference to no entry": (frame(1, b"\0\0\xff\xff\x7f"), DECOMPRESSION),
    "a reference to a dynamic entry": (frame(1, b"\0\0\x80"), DECOMPRESSION),
    "a required insertion": (frame(1, b"\x02\0\x80"), DECOMPRESSION),
    "an entry after the base": (frame(1, b"\0\0\x10"), DECOMPRESSION),
    "a name after the base": (frame(1, b"\0\0\0\0"), DECOMPRESSION),
    "an endless number": (frame(1, b"\0\0\xff" + b"\xff" * 20), DECOMPRESSION),
    "a code that Huffman does not know": (frame(1, b"\0\0\x51\x84\xff\xff\xff\xff"), DECOMPRESSION),
    "a long unknown frame": (frame(0x21, bytes(20_000)), LOAD),
    "many long unknown frames": (frame(0x21, bytes(1000)) * 20, LOAD),
}


@pytest.mark.parametrize("name", ON_A_REQUEST)
async def test_frames_out_of_place_end_the_connection(http3: Any, name: str) -> None:
    data, code = ON_A_REQUEST[name]
    application = Counting()
    async with http3.listening(application) as (_, port):
        async with http3.connected(port) as client:
            client.raw(data)
            assert await client.until_closed() == code
            assert application.bodies == 0
        # It was this one only.
        async with http3.connected(port) as client:
            assert await client.ask() == (200, b"ok")


SETTLED = frame(4)
ASIDE: dict[str, tuple[list[bytes], bool, int]] = {
    "a second control stream": ([b"\0" + SETTLED], False, CREATION),
    "a second encoder stream": ([b"\2"], False, CREATION),
    "a second decoder stream": ([b"\3"], False, CREATION),
    "a push stream": ([b"\1\0"], False, CREATION),
}


@pytest.mark.parametrize("name", ASIDE)
async def test_streams_that_may_not_be_opened(http3: Any, name: str) -> None:
    pieces, end, code = ASIDE[name]
    async with http3.listening(http3.hello) as (_, port), http3.connected(port) as client:
        uni = client.quic.get_next_available_stream_id(is_unidirectional=True)
        for piece in pieces:
            client.raw(piece, stream=uni, end=end)
        assert await client.until_closed() == code


async def test_the_kind_of_a_stream_may_come_in_pieces(http3: Any) -> None:
    async with http3.listening(http3.hello) as (_, port), http3.connected(port) as client:
        uni = client.quic.get_next_available_stream_id(is_unidirectional=True)
        *pieces, last = http3.varint(1)
        for byte in pieces:
            client.raw(bytes([byte]), stream=uni, end=False)
            assert await client.ask() == (200, b"ok")
        client.raw(bytes([last]), stream=uni, end=False)
        assert await client.until_closed() == CREATION


CONTROL: dict[str, tuple[bytes, int]] = {
    "no settings": (frame(0x21), MISSING),
    "goaway first": (frame(7, b"\0"), MISSING),
    "settings twice": (SETTLED * 2, UNEXPECTED),
    "data": (SETTLED + frame(0), UNEXPECTED),
    "headers": (SETTLED + frame(1), UNEXPECTED),
    "a push promise": (SETTLED + frame(5), UNEXPECTED),
    "a ping of HTTP/2": (SETTLED + frame(6), UNEXPECTED),
    "settings that are cut off": (frame(4, b"\x06"), FRAME),
    "a setting twice": (frame(4, b"\x06\x00\x06\x00"), SETTINGS),
    "a setting of HTTP/2": (frame(4, b"\x04\x00"), SETTINGS),
    "a reserved setting": (frame(4, b"\x00\x00"), SETTINGS),
    "settings without an end": (frame(4, b"", 100_000), LOAD),
    "a long unknown frame": (SETTLED + frame(0x21, b"", 1 << 40), LOAD),
    "a push that is cancelled": (SETTLED + frame(3, b"\0"), ID),
    "fewer pushes than before": (SETTLED + frame(13, b"\5") + frame(13, b"\4"), ID),
    "an empty max push id": (SETTLED + frame(13), FRAME),
    "a long max push id": (SETTLED + frame(13, b"\0\0"), FRAME),
    "a long goaway": (SETTLED + frame(7, b"\0\0"), FRAME),
}


@pytest.mark.parametrize("name", CONTROL)
@pytest.mark.parametrize("bytewise", [False, True], ids=["at once", "a byte at a time"])
async def test_control_streams_that_break_the_protocol(
    http3: Any, name: str, bytewise: bool
) -> None:
    data, code = CONTROL[name]
    async with http3.listening(http3.hello) as (_, port):
        async with http3.connected(port, says_nothing=True) as client:
            stream = client.quic.get_next_available_stream_id(is_unidirectional=True)
            whole = b"\0" + data
            pieces = [whole[n : n + 1] for n in range(len(whole))] if bytewise else [whole]
            for piece in pieces:
                client.raw(piece, stream=stream, end=False)
            assert await client.until_closed() == code


async def test_what_a_control_stream_may_say(http3: Any) -> None:
    said = frame(4, b"\x06\x40\xff\x21\x05") + frame(13, b"\4") + frame(13, b"\4") + frame(7, b"\0")
    async with http3.listening(http3.hello) as (_, port):
        async with http3.connected(port, says_nothing=True) as client:
            stream = client.quic.get_next_available_stream_id(is_unidirectional=True)
            for byte in b"\0" + said + frame(0x21, bytes(50)) + frame(0x21):
                client.raw(bytes([byte]), stream=stream, end=False)
            request = client.raw(frame(1, block(PSEUDO)))
            await client.until(lambda: request not in client.quic._streams)
            assert client.closed is None


@pytest.mark.parametrize("kind", [b"\0" + SETTLED, b"\2", b"\3"], ids=["control", "enc", "dec"])
@pytest.mark.parametrize("how", ["fin", "reset"])
async def test_critical_streams_have_to_stay_open(http3: Any, kind: bytes, how: str) -> None:
    async with http3.listening(http3.hello) as (_, port):
        async with http3.connected(port, says_nothing=True) as client:
            stream = client.quic.get_next_available_stream_id(is_unidirectional=True)
            client.raw(kind, stream=stream, end=how == "fin")
            if how == "reset":
                sender = client.quic._streams[stream].sender
                await client.until(lambda: sender._buffer_start == len(kind))
                client.quic.reset_stream(stream, 0x100)
                client.wake()
            assert await client.until_closed() == CLOSED


async def test_the_servers_control_stream_has_to_be_read(http3: Any) -> None:
    async with http3.listening(http3.hello) as (_, port), http3.connected(port) as client:
        await client.ask()
        client.quic.stop_stream(3, 0x100)
        client.wake()
        assert await client.until_closed() == CLOSED


@pytest.mark.parametrize(
    ("stream", "said", "code"),
    [
        (b"\2", b"\x3f\xe1\x1f", ENCODER),  # a capacity of 4096
        (b"\2", b"\x43abc\x03def", ENCODER),  # an entry
        (b"\2", b"\x20" * 2000, LOAD),  # no capacity, again and again
        (b"\3", b"\x01", DECODER),  # an insertion is acknowledged
        (b"\3", b"\x80", DECODER),  # a block of headers is acknowledged
    ],
)
async def test_talk_about_headers(http3: Any, stream: bytes, said: bytes, code: int) -> None:
    async with http3.listening(http3.hello) as (_, port):
        async with http3.connected(port, says_nothing=True) as client:
            uni = client.quic.get_next_available_stream_id(is_unidirectional=True)
            client.raw(stream + said, stream=uni, end=False)
            assert await client.until_closed() == code


# bad input 22, 30
LARGE: dict[str, tuple[bytes, int]] = {
    "one long value": (
        block([*PSEUDO, (b"a", b"\xff" * 40_000)]),
        431,
    ),
    "a block without an end": (frame(1, b"\0\0", 1 << 50), 431),
    "many fields": (block([*PSEUDO, *[(b"a", b"b")] * 2000]), 431),
    "static entries": (b"\0\0" + b"\xd1" * 20_000, 431),
    "crumbs": (block([*PSEUDO, *[(b"cookie", b"a=b")] * 3000]), 431),
}


@pytest.mark.parametrize("name", LARGE)
async def test_headers_that_are_too_large_are_refused(http3: Any, name: str) -> None:
    data, status = LARGE[name]
    application = Counting()
    async with http3.listening(application) as (_, port), http3.connected(port) as client:
        whole = data if name == "a block without an end" else frame(1, data)
        stream = client.raw(whole, end=False)
        await client.until_over(stream)
        assert client.status(stream) == status
        await client.until(lambda: stream in client.stopped)
        assert application.calls == 0
        assert await client.ask() == (200, b"ok")


async def test_trailers_that_are_too_large_end_their_stream(http3: Any) -> None:
    application = Counting()
    async with http3.listening(application) as (_, port), http3.connected(port) as client:
        trailers = block([(b"a", b"b")] * 2000)
        stream = client.raw(frame(1, HEAD) + frame(0, b"a") + frame(1, trailers))
        await client.until_over(stream)
        assert client.reset[stream] == LOAD
        assert application.bodies == 0
        assert await client.ask() == (200, b"ok")


async def test_headers_up_to_the_limit_are_taken(http3: Any) -> None:
    async with http3.listening(http3.hello) as (_, port), http3.connected(port) as client:
        assert (await client.ask(more=[("a", "b" * 31_000)]))[0] == 200


async def test_quic_itself_is_checked(http3: Any) -> None:
    """Windows, limits and states are aioquic's to check: that they are."""
    application, _, release = http3.held()
    async with http3.listening(application, config={"max_streams": 5}) as (_, port):
        async with http3.connected(port) as client:
            # A stream above the limit: STREAM_LIMIT_ERROR.
            client.quic._remote_max_streams_bidi = 1000
            client.raw(frame(1, block(PSEUDO)), stream=4 * 200)
            assert await client.until_closed() == 4
        async with http3.connected(port) as client:
            # More than the window of a stream: FLOW_CONTROL_ERROR.
            stream = client.raw(frame(1, HEAD), end=False)
            client.quic._streams[stream].max_stream_data_remote = 1 << 40
            client.quic._remote_max_data = 1 << 40
            client.raw(frame(0, bytes(1_000_000)), stream=stream)
            assert await client.until_closed() == 3
        release.set()


async def test_a_failure_of_ours_ends_its_connection_only(
    http3: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/wait":
            while (await receive())["type"] != "http.disconnect":
                pass
        await http3.hello(scope, receive, send)

    async with http3.listening(application) as (_, port):
        async with http3.connected(port) as bystander, http3.connected(port) as client:
            assert await bystander.ask() == (200, b"ok")
            stream = client.request("/wait", "POST", body=None)
            assert await client.ask() == (200, b"ok")

            def fail(self: Quic, *args: Any) -> None:
                raise ZeroDivisionError("a defect")

            monkeypatch.setattr(Quic, "take_rest", fail)
            client.quic.reset_stream(stream, 1)
            client.wake()
            assert await client.until_closed() == 0x102
            assert "a defect" in caplog.text
            assert await bystander.ask() == (200, b"ok")
