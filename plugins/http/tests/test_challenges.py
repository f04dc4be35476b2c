"""What a client without good credentials is told of those that are taken."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import covet_http as http
from covet_http._challenges import challenges
from covet_http.testing import run_service
from covet_kernel import Plugin
from covet_kernel.contracts import Authenticator, Credentials, Principal
from covet_operations import operation


class Takes:
    """Accepts nobody, and says of itself what it is given."""

    def __init__(self, **facts: Any) -> None:
        self.__dict__.update(facts)

    async def authenticate(self, credentials: Credentials) -> Principal | None:
        return None


BASIC = b'Basic realm="Bookshop", charset="UTF-8"'
KEY = {"type": "apiKey", "in": "header", "name": "x-key"}


@pytest.mark.parametrize(
    ("authenticators", "said"),
    [
        ([], (b"Bearer",)),
        ([Takes()], (b"Bearer",)),
        ([Takes(schemes=("bearer",))], (b"Bearer",)),
        ([Takes(schemes=("basic",))], (BASIC,)),
        ([Takes(schemes=("Basic", "bearer")), Takes(schemes=("basic",))], (BASIC, b"Bearer")),
        ([Takes(schemes=("dpop",))], (b'Dpop realm="Bookshop"',)),
        ([Takes(schemes=("mtls",))], (b"Bearer",)),
        ([Takes(security_schemes={"key": KEY})], (b"Bearer",)),
        ([Takes(security_schemes={"a": {"type": "http", "scheme": "basic"}, "k": KEY})], (BASIC,)),
        ([Takes(security_schemes={"o": {"type": "oauth2", "flows": {}}})], (b"Bearer",)),
        ([Takes(schemes=("a b", "basic"))], (BASIC,)),
    ],
)
def test_challenges(authenticators: list[Any], said: tuple[bytes, ...]) -> None:
    assert challenges(authenticators, "Bookshop") == said


@given(st.text())
def test_no_title_breaks_out_of_its_quotes(title: str) -> None:
    (line,) = challenges([Takes(schemes=("basic",))], title)
    assert re.fullmatch(rb'Basic realm="[^"\\\x00-\x1f\x7f-\xff]+", charset="UTF-8"', line)


@operation(requires=("books:read",))
@http.get("/books")
async def books() -> list[str]:
    return ["Emma"]


class Doors(Plugin[None]):
    def covet_authenticators(self) -> list[Authenticator]:
        return [Takes(schemes=("basic", "bearer"))]


async def test_every_scheme_is_a_line_of_its_own(http_server: str) -> None:
    async with run_service(books, plugins={"doors": Doors}, server=http_server) as client:
        for headers in ({}, {"authorization": "Basic YTpi"}):
            answer = await client.get("/books", headers=headers)
            assert answer.status == 401
            assert answer.headers.all("www-authenticate") == [
                'Basic realm="API", charset="UTF-8"',
                "Bearer",
            ]
