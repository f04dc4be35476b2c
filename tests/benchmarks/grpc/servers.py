"""The servers that are compared: one service, on covet and on gRPC's own asynchronous server.

``python servers.py NAME`` prints its port and serves until its standard input is closed.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterable
from typing import Any

import anyio
import anyio.to_thread
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from pydantic import BaseModel

import covet_grpc
from covet_kernel import Plugin
from covet_kernel.contracts import Operation
from covet_kernel.testing import run_kernel
from covet_operations import Operations, operations_of

SERVICE = "bench.v1.Bench"


class Item(BaseModel):
    """What a stream is made of."""

    id: int
    name: str
    price: float


class Bench(Plugin[None]):
    """The service as covet has it."""

    def covet_operations(self) -> Iterable[Operation]:
        return operations_of(self)

    @covet_grpc.unary(f"{SERVICE}/Echo")
    async def echo(self, text: str) -> str:
        return text

    @covet_grpc.server_stream(f"{SERVICE}/Items")
    async def items(self, count: int) -> AsyncIterator[Item]:
        for number in range(count):
            yield Item(id=number, name="an item of the stream", price=1.5)


def messages() -> Any:
    """The same messages as covet makes of the types above, for clients and for the other server."""
    kinds = FieldDescriptorProto
    file = FileDescriptorProto(name="bench.proto", package="bench.v1", syntax="proto3")
    for name, fields in (
        ("EchoRequest", [("text", kinds.TYPE_STRING)]),
        ("EchoResponse", [("value", kinds.TYPE_STRING)]),
        ("ItemsRequest", [("count", kinds.TYPE_INT64)]),
        (
            "Item",
            [("id", kinds.TYPE_INT64), ("name", kinds.TYPE_STRING), ("price", kinds.TYPE_DOUBLE)],
        ),
    ):
        message = file.message_type.add(name=name)
        for number, (field, kind) in enumerate(fields, 1):
            message.field.add(name=field, number=number, type=kind, label=kinds.LABEL_OPTIONAL)
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())

    def of(name: str) -> Any:
        return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"bench.v1.{name}"))

    return of


async def serve_covet(server: str) -> None:
    from covet_grpc import Grpc
    from covet_http import HTTP, Http

    classes: dict[str, Any] = {
        "operations": Operations, "http": Http, "grpc": Grpc, "bench": Bench, server: server_class(server),
    }  # fmt: skip
    config: dict[str, Any] = {
        "http": {"port": 0, "server": server}, server: {"http2": True}, "grpc": {"health": False},
    }  # fmt: skip
    async with run_kernel(classes, config) as kernel:
        await until_told(int(kernel.require(HTTP).urls[0].rpartition(":")[2]))


def server_class(name: str) -> Any:
    if name == "engine":
        from covet_engine import Engine

        return Engine
    from covet_hypercorn import Hypercorn

    return Hypercorn


async def serve_aio() -> None:
    import grpc
    import grpc.aio

    of = messages()
    response, item = of("EchoResponse"), of("Item")

    async def echo(request: Any, context: Any) -> Any:
        return response(value=request.text)

    async def items(request: Any, context: Any) -> AsyncIterator[Any]:
        for number in range(request.count):
            yield item(id=number, name="an item of the stream", price=1.5)

    handlers = {
        "Echo": grpc.unary_unary_rpc_method_handler(
            echo, of("EchoRequest").FromString, response.SerializeToString
        ),
        "Items": grpc.unary_stream_rpc_method_handler(
            items, of("ItemsRequest").FromString, item.SerializeToString
        ),
    }
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    await until_told(port)
    await server.stop(0)


async def until_told(port: int) -> None:
    print(port, flush=True)
    await anyio.to_thread.run_sync(sys.stdin.read)


def main(name: str) -> None:
    """Serve, on the event loop that the name says."""
    if name == "grpc.aio":
        anyio.run(serve_aio)
        return
    server, _, backend = name.partition("/")
    anyio.run(serve_covet, server, backend=backend or "asyncio")


if __name__ == "__main__":
    main(sys.argv[1])
