"""A library behind a real port, and its messages as a client has them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import trustme
from anyio.from_thread import BlockingPortal, start_blocking_portal
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from grpc_library import Library
from grpc_tools import protoc

from covet_engine import Engine
from covet_grpc import Grpc
from covet_http import HTTP, Http
from covet_hypercorn import Hypercorn
from covet_kernel import Kernel, Plugin
from covet_kernel.contracts import Operation
from covet_kernel.testing import run_kernel
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
        folder: Where it is, and ``all.binpb`` with the descriptors, each after those it needs.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._pool = descriptor_pool.DescriptorPool()
        files = descriptor_pb2.FileDescriptorSet.FromString((folder / "all.binpb").read_bytes())
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
    return Messages(folder)


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

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something is true in the service."""

        async def wait() -> None:
            with anyio.fail_after(30):
                while not condition():
                    await anyio.sleep(0.01)

        self.portal.call(wait)


@contextmanager
def serving(
    where: str,
    protos: Messages,
    *,
    tls: dict[str, Any] | None = None,
    classes: Mapping[str, Any] | None = None,
    **tables: dict[str, Any],
) -> Iterator[Served]:
    """The library behind a server on an event loop.

    Args:
        where: Such as ``"engine/trio"``.
        protos: Its messages.
        tls: The table of the server's TLS.
        classes: Further plugins.
        tables: Further configuration of plugins, by their names.
    """
    logging.getLogger("covet.grpc").setLevel(logging.ERROR)
    server, _, backend = where.partition("/")
    plugins, config = on(server)
    if tls is not None:
        config["http"] = {**config["http"], "tls": tls}
    for name, table in tables.items():
        config[name] = {**config[name], **table}
    with (
        start_blocking_portal(backend) as portal,
        portal.wrap_async_context_manager(
            run_kernel({**plugins, **(classes or {})}, config)
        ) as kernel,
    ):
        port = int(kernel.require(HTTP).urls[0].rpartition(":")[2])
        yield Served(port, kernel.assembly.nodes["library"].plugin, protos, portal, kernel)  # type: ignore[arg-type]


class Certificates:
    """Certificates of a server and of clients, whose authority only the tests trust.

    Args:
        folder: To keep them in.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ca = trustme.CA()
        self.ca = folder / "ca.pem"
        self._ca.cert_pem.write_to_path(str(self.ca))

    def issue(self, name: str) -> tuple[Path, Path]:
        """The files of a certificate and of its key."""
        issued = self._ca.issue_cert(name, "127.0.0.1")
        certificate, key = self._folder / f"{name}.pem", self._folder / f"{name}.key"
        certificate.write_bytes(b"".join(each.bytes() for each in issued.cert_chain_pems))
        issued.private_key_pem.write_to_path(str(key))
        return certificate, key

    def server(self) -> dict[str, str]:
        """The table of a server that takes clients with and without a certificate."""
        certificate, key = self.issue("localhost")
        return {
            "certificate": str(certificate),
            "key": str(key),
            "client_ca": str(self.ca),
            "clients": "optional",
        }


def plugin_of(*functions: Any) -> type[Plugin[None]]:
    """A plugin that declares these functions' operations."""

    class Declares(Plugin[None]):
        def covet_operations(self) -> Iterable[Operation]:
            holder = type("Holder", (), {each.__name__: staticmethod(each) for each in functions})()
            return operations_of(holder)

    return Declares
