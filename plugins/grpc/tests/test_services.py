"""Health and reflection, asked by gRPC's own classes and by those of the reflection client."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import anyio
import grpc
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)
from grpc_served import ENOUGH, SERVERS, Served, on, serving

from covet_grpc._services._files import message_class
from covet_http import HTTP
from covet_kernel import Plugin
from covet_kernel.contracts import HealthCheck
from covet_kernel.testing import run_kernel

SERVING, NOT_SERVING = 1, 2


class Sick(Plugin[None]):
    """Says how it is."""

    well = True

    def covet_health_checks(self) -> list[HealthCheck]:
        return [
            HealthCheck(name="sick", check=self._check),
            HealthCheck(name="no", check=_fail, kind="live"),
        ]

    async def _check(self) -> None:
        if not self.well:
            raise RuntimeError("ill")


async def _fail() -> None:
    raise RuntimeError("not asked")


@pytest.fixture(scope="module", params=ENOUGH)
def told(request: pytest.FixtureRequest, protos: Any) -> Iterator[Served]:
    """A library that tells of itself."""
    tables = {"reflection": True, "health_interval": 0.02}
    with serving(request.param, protos, classes={"sick": Sick}, grpc=tables) as made:
        yield made


@pytest.fixture
def line(told: Served) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(f"127.0.0.1:{told.port}") as made:
        yield made


def test_services_serve(told: Served, line: grpc.Channel) -> None:
    health = health_pb2_grpc.HealthStub(line)
    for name in ("", "library.v1.Books", "grpc.health.v1.Health"):
        assert health.Check(health_pb2.HealthCheckRequest(service=name)).status == SERVING
    with pytest.raises(grpc.RpcError) as caught:
        health.Check(health_pb2.HealthCheckRequest(service="nobody"))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    unknown = health.Watch(health_pb2.HealthCheckRequest(service="nobody"))
    assert next(unknown).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
    unknown.cancel()


def test_who_watches_hears_of_every_change(told: Served, line: grpc.Channel) -> None:
    sick: Any = told.kernel.assembly.nodes["sick"].plugin
    watching = health_pb2_grpc.HealthStub(line).Watch(health_pb2.HealthCheckRequest(), timeout=60)
    assert next(watching).status == SERVING
    for well, status in ((False, NOT_SERVING), (True, SERVING)):
        sick.well = well
        assert next(watching).status == status
    watching.cancel()


def test_the_files_are_those_of_grpc() -> None:
    for name in ("HealthCheckRequest", "HealthCheckResponse"):
        ours = message_class(f"grpc.health.v1.{name}").DESCRIPTOR
        theirs = health_pb2.DESCRIPTOR.message_types_by_name[name]
        assert fields(ours) == fields(theirs)
    for theirs in reflection_pb2.DESCRIPTOR.message_types_by_name.values():
        assert fields(message_class(theirs.full_name).DESCRIPTOR) == fields(theirs)


def fields(descriptor: Any) -> list[tuple[Any, ...]]:
    return [
        (
            each.name,
            each.number,
            each.type,
            each.is_repeated,
            getattr(each.containing_oneof, "name", ""),
        )
        for each in descriptor.fields
    ]


def test_tools_find_out_what_there_is(told: Served, line: grpc.Channel) -> None:
    database = ProtoReflectionDescriptorDatabase(line)
    assert sorted(database.get_services()) == [
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
        "library.v1.Books",
    ]
    pool = DescriptorPool(database)
    books = pool.FindServiceByName("library.v1.Books")
    assert books.methods_by_name["ListBooks"].server_streaming
    book = pool.FindMessageTypeByName("library.v1.Book")
    assert book.fields_by_name["added"].message_type.full_name == "google.protobuf.Timestamp"
    assert pool.FindServiceByName("grpc.health.v1.Health").methods_by_name.keys() == [
        "Check",
        "Watch",
    ]
    assert pool.FindMessageTypeByName("google.rpc.ErrorInfo").fields_by_name["reason"].number == 1
    assert told.port


def test_what_is_not_there_is_said(line: grpc.Channel) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(line)
    asked = [
        reflection_pb2.ServerReflectionRequest(file_by_filename="../secrets"),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol="no.Such"),
        reflection_pb2.ServerReflectionRequest(all_extension_numbers_of_type="no.Such"),
        reflection_pb2.ServerReflectionRequest(all_extension_numbers_of_type="library.v1.Book"),
        reflection_pb2.ServerReflectionRequest(),
    ]
    answers = list(stub.ServerReflectionInfo(iter(asked)))
    assert [each.WhichOneof("message_response") for each in answers] == [
        "error_response", "error_response", "error_response", "all_extension_numbers_response",
        "error_response",
    ]  # fmt: skip
    assert [each.original_request for each in answers] == asked


def test_nobody_is_told_unless_that_is_wanted(served: Served, channel: grpc.Channel) -> None:
    # As a unary call: a stream's end leaves by itself, and gRPC's client takes an answer that comes
    # before it, and is no gRPC, for a stream that was removed.
    ask = channel.unary_unary("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo")
    with pytest.raises(grpc.RpcError) as caught:
        ask(b"")
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert served.port


@pytest.mark.parametrize("server", SERVERS)
async def test_a_watch_ends_with_the_service(protos: Any, server: str) -> None:
    """Nothing keeps a service from stopping; who watches is told why."""
    heard: list[int] = []
    begun = anyio.Event()

    async with anyio.create_task_group() as tasks:
        async with run_kernel(*on(server)) as kernel:
            port = int(kernel.require(HTTP).urls[0].rpartition(":")[2])

            def watch() -> None:
                with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
                    stream = health_pb2_grpc.HealthStub(channel).Watch(
                        health_pb2.HealthCheckRequest()
                    )
                    for each in stream:
                        heard.append(each.status)
                        anyio.from_thread.run_sync(begun.set)

            tasks.start_soon(anyio.to_thread.run_sync, watch)
            with anyio.fail_after(60):
                await begun.wait()
    assert heard == [SERVING, NOT_SERVING]
    assert protos
