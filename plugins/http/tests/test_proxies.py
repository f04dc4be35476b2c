"""Who a request comes from: only what trusted proxies say counts."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

import covet_http as http
from covet_http import Proxies, TrustedProxies

PEER = "10.0.0.1"
HOST = (b"host", b"inner:8000")


def asked(
    headers: list[tuple[str, str]], peer: str | None = PEER, **trusted: Any
) -> tuple[str | None, str, str]:
    proxies = Proxies(TrustedProxies(**trusted) if trusted else None)
    raw = [HOST, *((name.encode(), value.encode("latin-1")) for name, value in headers)]
    caller = proxies.caller(peer, "http", raw)
    return caller.address, caller.scheme, caller.host


def forwarded_for(*values: str, **more: Any) -> str | None:
    return asked([("x-forwarded-for", value) for value in values], **more)[0]


NETWORKS = {"networks": ["10.0.0.0/8", "fd00::/8"]}


def test_nobody_is_believed_unless_somebody_says_so() -> None:
    # bad input 45
    lies = [
        ("x-forwarded-for", "1.2.3.4"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "evil.example"),
        ("forwarded", "for=1.2.3.4;proto=https;host=evil.example"),
    ]
    assert asked(lies) == (PEER, "http", "inner:8000")
    for peer in ("192.0.2.1", None, "not an address"):
        assert asked(lies, peer, **NETWORKS) == (peer, "http", "inner:8000")


def test_hops_are_counted_from_the_right() -> None:
    # bad input 45
    assert forwarded_for("6.6.6.6, 1.2.3.4", hops=1) == "1.2.3.4"
    assert forwarded_for("6.6.6.6, 1.2.3.4,10.0.0.9", hops=2) == "1.2.3.4"
    assert forwarded_for("1.2.3.4", hops=2) == "1.2.3.4"
    assert forwarded_for("6.6.6.6, 1.2.3.4, 10.0.0.9", **NETWORKS) == "1.2.3.4"
    assert forwarded_for("10.0.0.8, 10.0.0.9", **NETWORKS) == "10.0.0.8"
    assert forwarded_for("6.6.6.6, 10.0.0.7, 10.0.0.9", hops=1, **NETWORKS) == "10.0.0.9"


def test_of_two_headers_neither_counts() -> None:
    # bad input 45
    assert forwarded_for("6.6.6.6", "1.2.3.4", hops=1) == PEER


def test_names_with_underscores_are_other_names() -> None:
    # bad input 45
    lies = [("x_forwarded_for", "1.2.3.4"), ("x_forwarded_proto", "https")]
    assert asked(lies, hops=1) == (PEER, "http", "inner:8000")


@pytest.mark.parametrize(
    ("entry", "address"),
    [
        ("1.2.3.4:5555", "1.2.3.4"),
        ("[2001:DB8::1]:443", "2001:db8::1"),
        ("2001:db8::1", "2001:db8::1"),
        ("::ffff:1.2.3.4", "1.2.3.4"),
        ("unknown", PEER),
        ("1.2.3.4.5", PEER),
        ("1.2.3.256", PEER),
        ("", PEER),
        ("1.2.3.4\x85", PEER),
        ("1.2.3.4 5.6.7.8", PEER),
    ],
)
def test_what_is_no_address_ends_the_way(entry: str, address: str) -> None:
    assert forwarded_for(entry, hops=1) == address


def test_scheme_and_host_come_from_the_same_proxy() -> None:
    headers = [
        ("x-forwarded-for", "1.2.3.4, 10.0.0.9"),
        ("x-forwarded-proto", "ftp, HTTPS, http"),
        ("x-forwarded-host", "evil.example, shop.example:8443, inner"),
    ]
    assert asked(headers, hops=2) == ("1.2.3.4", "https", "shop.example:8443")
    assert asked(headers, hops=1) == ("10.0.0.9", "http", "inner")
    only = [("x-forwarded-proto", "https"), ("x-forwarded-host", "shop.example")]
    assert asked(only, hops=2) == (PEER, "https", "shop.example")
    for host in ("a/b", "a@b", "", "a,", "a b", "\xe9"):
        assert asked([("x-forwarded-host", host)], hops=1)[2] == "inner:8000"


def test_a_forwarded_host_has_to_be_one_of_ours() -> None:
    proxies = Proxies(TrustedProxies(hops=1), lambda host: host == b"shop.example")
    for host, seen in (("shop.example", "shop.example"), ("evil.example", "inner:8000")):
        headers = [HOST, (b"x-forwarded-host", host.encode())]
        assert proxies.caller(PEER, "http", headers).host == seen


@pytest.mark.parametrize(
    ("line", "caller"),
    [
        ("for=1.2.3.4", ("1.2.3.4", "http", "inner:8000")),
        ('For="[2001:db8::1]:80";Proto=HTTPS;host="a.example:1"', ("2001:db8::1", "https", "a.example:1")),
        ("for=6.6.6.6;proto=https, for=1.2.3.4 ; proto=http", ("1.2.3.4", "http", "inner:8000")),
        ('for="6.6.6.6, for=7.7.7.7", for=1.2.3.4', ("1.2.3.4", "http", "inner:8000")),
        ('for="1\\.2.3.4"', ("1.2.3.4", "http", "inner:8000")),
        ("for=_hidden;proto=https", (PEER, "https", "inner:8000")),
        ("for=1.2.3.4;for=5.6.7.8", (PEER, "http", "inner:8000")),
        ("for=1.2.3.4, nonsense", (PEER, "http", "inner:8000")),
        ('for="1.2.3.4', (PEER, "http", "inner:8000")),
        ("", (PEER, "http", "inner:8000")),
    ],
)  # fmt: skip
def test_the_standard_header(line: str, caller: tuple[str, str, str]) -> None:
    assert asked([("forwarded", line)], hops=1, header="forwarded") == caller


def test_only_the_header_that_was_chosen_is_read() -> None:
    both = [("x-forwarded-for", "1.2.3.4"), ("forwarded", "for=5.6.7.8")]
    assert asked(both, hops=1)[0] == "1.2.3.4"
    assert asked(both, hops=1, header="forwarded")[0] == "5.6.7.8"


@given(
    st.sampled_from(["x-forwarded-for", "x-forwarded-host", "forwarded"]),
    st.text(st.sampled_from('a1.:;=,"\\[] _\t\xe9'), max_size=40),
    st.sampled_from(["x-forwarded", "forwarded"]),
)
def test_nothing_makes_it_fail(name: str, value: str, header: Any) -> None:
    address, scheme, host = asked([(name, value)], hops=3, header=header)
    assert address
    assert scheme == "http"
    assert host


def test_long_lists_are_read_from_the_end() -> None:
    many = "9.9.9.9," * 100_000 + "1.2.3.4"
    assert forwarded_for(many, hops=1) == "1.2.3.4"
    assert asked([("forwarded", '"' * 100_000)], hops=1, header="forwarded")[0] == PEER


@pytest.mark.parametrize(
    "wrong", [{}, {"hops": 0}, {"networks": ["10.0.0.1/8"]}, {"networks": ["a"]}]
)
def test_somebody_has_to_be_named(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        TrustedProxies(**wrong)


@http.get("/who")
def who(request: http.Request) -> list[str | None]:
    return [request.caller.address, request.caller.scheme, request.caller.host, request.client]


async def test_a_handler_asks_for_the_caller(web: Any) -> None:
    headers = {
        "Host": "localhost",
        "X-Forwarded-For": "1.2.3.4",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "shop.example",
    }
    for proxies, expected in (
        ({"hops": 1}, ["1.2.3.4", "https", "shop.example", "127.0.0.1"]),
        ({"networks": ["10.0.0.0/8"]}, ["127.0.0.1", "http", "localhost", "127.0.0.1"]),
    ):
        async with web.serving(who, http={"proxies": proxies}) as service:
            assert (await service.ask("GET", "/who", headers=headers)).json == expected


@http.get("/who")
async def told(request: http.Request) -> list[str | None]:
    caller = request.caller
    return [caller.address, caller.scheme, caller.host]


ME = "127.0.0.1"
LIES = {
    "X-Forwarded-For": "6.6.6.6, 1.2.3.4",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "shop.example",
}
ON_THE_WIRE: list[tuple[Any, dict[str, str], list[str]]] = [
    (None, LIES, [ME, "http", "a"]),
    ({"networks": ["10.0.0.0/8"]}, LIES, [ME, "http", "a"]),
    ({"hops": 1}, LIES, ["1.2.3.4", "https", "shop.example"]),
    ({"hops": 1}, {"X_Forwarded_For": "1.2.3.4", "X_Forwarded-Proto": "https"}, [ME, "http", "a"]),
    ({"hops": 1}, {"Forwarded": "for=1.2.3.4;proto=https;host=b"}, [ME, "http", "a"]),
    ({"hops": 1}, {"X-Forwarded-Host": "b/admin?"}, [ME, "http", "a"]),
    ({"hops": 1}, {"X-Forwarded-Host": "u@b"}, [ME, "http", "a"]),
    ({"hops": 1}, {"X-Forwarded-Proto": "javascript"}, [ME, "http", "a"]),
    ({"hops": 1}, {"X-Forwarded-For": "1.2.3.4, <script>"}, [ME, "http", "a"]),
    ({"hops": 1}, {"X-Forwarded-For": "1" * 20_000}, [ME, "http", "a"]),
    ({"hops": 1, "header": "forwarded"}, {"Forwarded": 'for="' + "\\" * 20_000}, [ME, "http", "a"]),
    ({"hops": 1, "header": "forwarded"}, {"Forwarded": "for=1.2.3.4;for=5.6.7.8"}, [ME, "http", "a"]),
]  # fmt: skip


@pytest.mark.parametrize(("trusted", "headers", "expected"), ON_THE_WIRE)
async def test_who_asks_on_the_wire(
    entry: Any, trusted: Any, headers: dict[str, str], expected: list[str]
) -> None:
    # bad input 45
    config = {"proxies": trusted} if trusted else {}
    async with entry.serving(told, http=config) as service:
        answer = await service.ask("GET", "/who", headers={"Host": "a", **headers})
        assert answer.json == expected
        if trusted == {"hops": 1}:
            # Of two lines one may be the client's own.
            async with service.connect() as client:
                line = b"X-Forwarded-For: 1.2.3.4\r\n"
                await client.send(b"GET /who HTTP/1.1\r\nHost: a\r\n" + line * 2 + b"\r\n")
                assert (await client.answer()).json[0] == ME
