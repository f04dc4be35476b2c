"""Classes that protoc has made of a ``.proto``, as what handlers take and give."""

from __future__ import annotations

import importlib
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from anyio.from_thread import start_blocking_portal
from grpc_served import CLASSES, CONFIG, ENOUGH, on, plugin_of
from grpc_tools import protoc

import covet_grpc
import covet_http as http
from covet_http import HTTP
from covet_kernel import Plugin
from covet_kernel.testing import run_kernel
from covet_operations import NotFound, operation

PROTO = """
syntax = "proto3";
package weather.v1;
import "google/protobuf/any.proto";
import "google/protobuf/timestamp.proto";
service Weather {
  rpc Now(Place) returns (Report);
  rpc Follow(Place) returns (stream Report);
  rpc Collect(stream Report) returns (Place);
  rpc Compare(stream Report) returns (stream Report);
  rpc Forward(Parcel) returns (Parcel);
}
message Parcel {
  google.protobuf.Any content = 1;
  Parcel inner = 2;
}
message Place { string name = 3; }
message Report {
  Place place = 1;
  oneof what { double degrees = 2; string fault = 5; }
  google.protobuf.Timestamp at = 4;
}
"""


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The modules of messages and of stubs."""
    folder = tmp_path_factory.mktemp("generated")
    (folder / "weather_of_tests.proto").write_text(PROTO)
    include = Path(protoc.__file__).parent / "_proto"
    assert not protoc.main(
        ["protoc", f"-I{folder}", f"-I{include}", f"--python_out={folder}", f"--grpc_python_out={folder}",
         str(folder / "weather_of_tests.proto")]
    )  # fmt: skip
    sys.path.insert(0, str(folder))
    try:
        messages = importlib.import_module("weather_of_tests_pb2")
        yield messages, importlib.import_module("weather_of_tests_pb2_grpc").WeatherStub
    finally:
        sys.path.remove(str(folder))


class Nowhere(NotFound):
    """There is no such place."""


def service_of(messages: Any) -> type[Plugin[None]]:
    """The service, whose handlers are annotated with the generated classes."""
    place, report = messages.Place, messages.Report
    streams: Any = AsyncIterator

    async def now(request: Any) -> Any:
        if request.name == "nowhere":
            raise Nowhere("nobody lives there")
        return report(place=request, degrees=12.5)

    async def follow(request: Any) -> AsyncIterator[Any]:
        for degrees in range(3):
            yield report(place=request, degrees=degrees)

    async def collect(reports: Any) -> Any:
        return place(name=",".join([each.fault or str(each.degrees) async for each in reports]))

    async def compare(reports: Any) -> AsyncIterator[Any]:
        async for each in reports:
            yield report(degrees=-each.degrees)

    async def forward(parcel: Any) -> Any:
        return parcel

    now.__annotations__ = {"request": place, "return": report}
    forward.__annotations__ = {"parcel": messages.Parcel, "return": messages.Parcel}
    follow.__annotations__ = {"request": place, "return": streams[report]}
    collect.__annotations__ = {"reports": streams[report], "return": place}
    compare.__annotations__ = {"reports": streams[report], "return": streams[report]}
    bound: dict[str, Callable[..., Any]] = {
        "Now": covet_grpc.unary("weather.v1.Weather/Now")(now),
        "Follow": covet_grpc.server_stream("weather.v1.Weather/Follow")(follow),
        "Collect": covet_grpc.client_stream("weather.v1.Weather/Collect")(collect),
        "Compare": covet_grpc.bidi("weather.v1.Weather/Compare")(compare),
        "Forward": covet_grpc.unary("weather.v1.Weather/Forward")(forward),
    }
    return plugin_of(*bound.values())


@pytest.fixture(scope="module", params=ENOUGH)
def channel(request: pytest.FixtureRequest, generated: Any) -> Iterator[grpc.Channel]:
    messages, _ = generated
    server, _, backend = request.param.partition("/")
    classes, config = on(server)
    classes["library"] = service_of(messages)
    with (
        start_blocking_portal(backend) as portal,
        portal.wrap_async_context_manager(run_kernel(classes, config)) as kernel,
    ):
        address = kernel.require(HTTP).urls[0].removeprefix("http://")
        with grpc.insecure_channel(address) as made:
            yield made


@pytest.fixture(scope="module")
def stub(channel: grpc.Channel, generated: Any) -> Any:
    _, stub_class = generated
    return stub_class(channel)


def test_all_four_kinds_take_and_give_them(generated: Any, stub: Any) -> None:
    messages, _ = generated
    place = messages.Place(name="Bath")
    assert stub.Now(place) == messages.Report(place=place, degrees=12.5)
    assert [each.degrees for each in stub.Follow(place)] == [0, 1, 2]
    reports = [messages.Report(degrees=1), messages.Report(fault="fog")]
    assert stub.Collect(iter(reports)).name == "1.0,fog"
    assert [each.degrees for each in stub.Compare(iter(reports))] == [-1, 0]


def test_messages_of_any_type_within_each_other_are_bytes(generated: Any, stub: Any) -> None:
    # bad input 63: whoever wants to know what is in them asks for one at a time
    messages, _ = generated
    parcel = messages.Parcel()
    for _ in range(500):
        outer = messages.Parcel()
        outer.content.Pack(parcel)
        parcel = outer
    assert stub.Forward(parcel) == parcel


def test_messages_nested_too_deep_are_refused(channel: grpc.Channel) -> None:
    # bad input 63
    send = channel.unary_unary("/weather.v1.Weather/Forward")
    parcel = b""
    for _ in range(50):
        parcel = nested(parcel)
    assert send(parcel) == parcel
    for _ in range(10_000):
        parcel = nested(parcel)
    for deep in (parcel, b"\x13" * 10_000, b"\x1b" * 10_000):
        with pytest.raises(grpc.RpcError) as caught:
            send(deep)
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def nested(parcel: bytes) -> bytes:
    """A parcel as what is within another."""
    size, rest = b"", len(parcel)
    while rest > 127:
        size, rest = size + bytes([rest & 127 | 128]), rest >> 7
    return b"\x12" + size + bytes([rest]) + parcel


def test_errors_are_those_of_the_service(generated: Any, stub: Any) -> None:
    messages, _ = generated
    with pytest.raises(grpc.RpcError) as caught:
        stub.Now(messages.Place(name="nowhere"))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    assert caught.value.details() == "nobody lives there"


async def refused(plugin: type[Plugin[None]]) -> str:
    """Why a service with this plugin does not start."""
    with pytest.raises(ExceptionGroup) as caught:
        async with run_kernel({**CLASSES, "library": plugin}, CONFIG):
            pass
    return str(caught.value.exceptions)


async def test_a_method_is_held_to_its_proto(generated: Any) -> None:
    messages, _ = generated

    async def now(request: Any) -> Any: ...

    now.__annotations__ = {"request": messages.Place, "return": messages.Place}
    other = covet_grpc.unary("weather.v1.Weather/Now")(now)
    assert "it gives weather.v1.Report, and by its annotations weather.v1.Place" in await refused(
        plugin_of(other)
    )

    async def later(request: Any) -> Any: ...

    later.__annotations__ = now.__annotations__
    unknown = covet_grpc.unary("weather.v1.Weather/Later")(later)
    assert "no such method, but Collect, Compare, Follow, Forward, Now" in await refused(
        plugin_of(unknown)
    )


async def test_they_are_the_only_input(generated: Any) -> None:
    messages, _ = generated

    async def now(request: Any, more: int) -> None: ...

    now.__annotations__ = {"request": messages.Place, "more": int, "return": None}
    bound = covet_grpc.unary("other.v1.Weather/Now")(now)
    assert "has to be its only input (request, more)" in await refused(plugin_of(bound))


async def test_they_travel_over_nothing_else(generated: Any) -> None:
    messages, _ = generated

    async def now(request: Any) -> None: ...

    now.__annotations__ = {"request": messages.Place, "return": None}
    bound = http.post("/now")(covet_grpc.unary("other.v1.Weather/Now")(operation()(now)))
    told = await refused(plugin_of(bound))
    assert "has Place, a message of protobuf, which http 'POST /now' cannot carry" in told
