"""What is refused when a service starts: channels and methods that could not work."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

import covet_http as http
import covet_websocket as websocket
from covet_http.testing import run_service
from covet_kernel import ConfigurationError
from covet_operations import provider
from covet_websocket import WebSockets


class Said(BaseModel):
    text: str


Talk = websocket.Connection[Said, Said]


async def refused(*sources: Any) -> ConfigurationError:
    """Why a service does not start."""
    error: BaseException | None = None
    try:
        async with run_service(*sources, plugins={"websocket": WebSockets}):
            pass
    except (ConfigurationError, ExceptionGroup) as caught:
        error = caught
    while isinstance(error, BaseExceptionGroup):
        (error,) = error.exceptions
    assert isinstance(error, ConfigurationError)
    return error


class Clerk:
    """Made of a connection."""


@provider()
async def clerk(connection: Talk) -> Clerk:
    return Clerk()


@http.websocket("/plain")
async def plain(connection: Talk) -> None: ...


@http.get("/rest")
async def rest(connection: Talk) -> None: ...


@http.websocket("/asking")
async def asking(request: http.HandshakeRequest, connection: Talk) -> None: ...


@http.websocket("/deep")
async def deep(clerk: Clerk) -> None: ...


@websocket.method("called")
async def called(connection: Talk) -> None: ...


@pytest.mark.parametrize(
    ("sources", "where"),
    [
        ((plain,), "websocket '/plain' the call is a HandshakeRequest"),
        ((rest,), "http 'GET /rest' the call is a Request"),
        ((asking,), "websocket '/asking' the call is a HandshakeRequest"),
        ((deep, clerk), "websocket '/deep' the call is a HandshakeRequest"),
        ((called,), "websocket-rpc 'called' the call is a MethodCall"),
    ],
)
async def test_a_connection_is_a_channels(sources: tuple[Any, ...], where: str) -> None:
    error = await refused(*sources)
    assert error.code == "COVET-OPERATION-CALL"
    assert f"takes a ChannelRequest, but at {where}" in error.problem
    assert "websocket.channel" in error.fix


@websocket.channel("/nothing")
async def nothing() -> None: ...


async def test_a_channel_says_what_its_messages_are() -> None:
    error = await refused(nothing)
    assert error.code == "COVET-OPERATION-BINDING"
    assert "have it take one 'Connection[In, Out]'" in error.problem
