"""A library behind a real port, on each event loop."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

# What tests share beside fixtures.
sys.path.insert(0, str(Path(__file__).parent))

from grpc_served import (
    CLASSES,
    CONFIG,
    ENOUGH,
    Certificates,
    Messages,
    Served,
    compile_protos,
    serving,
)


@pytest.fixture(scope="session")
def protos(tmp_path_factory: pytest.TempPathFactory) -> Messages:
    """The messages of the library, by the text of its ``.proto``."""
    from covet_grpc._compile import schema_of
    from covet_grpc._schema._proto import proto_text
    from covet_kernel.testing import assembly_of
    from covet_operations import preview

    folder = tmp_path_factory.mktemp("protos")
    pipeline, serving = preview(assembly_of(CLASSES, CONFIG))
    schema = schema_of(serving, pipeline, folder / "none")
    assert not schema.errors
    for file in schema.files():
        path = folder / file.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(proto_text(file, schema.about()), "utf-8")
    return compile_protos(folder)


@pytest.fixture(scope="module", params=ENOUGH)
def served(request: pytest.FixtureRequest, protos: Messages) -> Iterator[Served]:
    """The library behind a server on an event loop."""
    with serving(request.param, protos) as made:
        yield made


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """For servers that speak TLS, and their clients."""
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def channel(served: Served) -> Iterator[grpc.Channel]:
    """A client's connection."""
    with grpc.insecure_channel(f"127.0.0.1:{served.port}") as made:
        yield made
