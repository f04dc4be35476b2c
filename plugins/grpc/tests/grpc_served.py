"""A library behind a real port, and its messages as a client has them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anyio.from_thread import BlockingPortal
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from grpc_library import Library
from grpc_tools import protoc

from covet_engine import Engine
from covet_grpc import Grpc
from covet_http import Http
from covet_hypercorn import Hypercorn
from covet_kernel import Kernel, Plugin
from covet_kernel.contracts import Operation
from covet_operations import Operations, operations_of

SERVERS: dict[str, Any] = {"engine": Engine, "hypercorn": Hypercorn}
CLASSES: dict[str, Any] = {
    "operations": Operations, "http": Http, "hypercorn": Hypercorn, "grpc": Grpc, "library": Library,
}  # fmt: skip
CONFIG: dict[str, Any] = {
    "http": {"port": 0, "server": "hypercorn"},
    "hypercorn": {"http2": True},
    "grpc": {"compression": "gzip", "web": {"origins": ["https://shop.example"]}},
}
EVERYWHERE = ["engine/asyncio", "engine/trio", "hypercorn/asyncio", "hypercorn/trio"]
"""Both servers on both event loops."""
ENOUGH = ["engine/asyncio", "hypercorn/trio"]
"""Each of them once, for what depends on neither."""


def on(server: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Classes and configuration of a library behind this server."""
    classes, config = {**CLASSES}, {**CONFIG}
    del classes["hypercorn"], config["hypercorn"]
    return (
        {**classes, server: SERVERS[server]},
        {**config, "http": {"port": 0, "server": server}, server: {"http2": True}},
    )


class Messages:
    """The messages of a compiled ``.proto``.

    Args:
        files: The descriptors, each after those it needs.
    """

    def __init__(self, files: descriptor_pb2.FileDescriptorSet) -> None:
        self._pool = descriptor_pool.DescriptorPool()
        for file in files.file:
            self._pool.AddSerializedFile(file.SerializeToString())

    def __call__(self, name: str) -> Any:
        return message_factory.GetMessageClass(self._pool.FindMessageTypeByName(name))

    def method(self, address: str) -> Any:
        service, _, name = address.partition("/")
        return self._pool.FindServiceByName(service).FindMethodByName(name)


def compile_protos(folder: Path) -> Messages:
    """What protoc makes of all ``.proto`` files of a folder."""
    out = folder / "all.binpb"
    include = Path(protoc.__file__).parent / "_proto"
    names = [str(path) for path in sorted(folder.rglob("*.proto"))]
    code = protoc.main(
        [
            "protoc",
            f"-I{folder}",
            f"-I{include}",
            "--include_imports",
            f"--descriptor_set_out={out}",
            *names,
        ]
    )
    assert code == 0
    return Messages(descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes()))


@dataclass
class Served:
    """A library that is served."""

    port: int
    library: Library
    messages: Messages
    portal: BlockingPortal
    kernel: Kernel

    def stub(self, channel: Any, address: str) -> Any:
        """A method, as generated code would call it."""
        method = self.messages.method(f"library.v1.Books/{address}")
        takes, gives = (
            self.messages(method.input_type.full_name),
            self.messages(method.output_type.full_name),
        )
        make: Callable[..., Any] = getattr(
            channel,
            ("stream" if method.client_streaming else "unary")
            + ("_stream" if method.server_streaming else "_unary"),
        )
        return make(
            f"/library.v1.Books/{address}",
            request_serializer=takes.SerializeToString,
            response_deserializer=gives.FromString,
        )

    def make(self, name: str, /, **fields: Any) -> Any:
        """A message."""
        return self.messages(f"library.v1.{name}")(**fields)


def plugin_of(*functions: Any) -> type[Plugin[None]]:
    """A plugin that declares these functions' operations."""

    class Declares(Plugin[None]):
        def covet_operations(self) -> Iterable[Operation]:
            holder = type("Holder", (), {each.__name__: staticmethod(each) for each in functions})()
            return operations_of(holder)

    return Declares
