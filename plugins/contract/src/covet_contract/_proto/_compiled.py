"""``.proto`` files as their compiler understands them."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import NamedTuple, TypeAlias

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FileDescriptorSet,
    ServiceDescriptorProto,
)

Kind: TypeAlias = DescriptorProto | EnumDescriptorProto | ServiceDescriptorProto
_PATIENCE = 60.0
"""Seconds for a compiler that takes milliseconds."""


class Declared(NamedTuple):
    """A message, enumeration or service.

    Attributes:
        file: In which it stands.
        descriptor: What the compiler makes of it.
    """

    file: str
    descriptor: Kind


def compiled(texts: Mapping[str, str]) -> dict[str, Declared]:
    """Everything that files declare, by full name.

    Args:
        texts: By the path of each file, as others of them import it.

    Raises:
        ValueError: The compiler refuses them.
    """
    with tempfile.TemporaryDirectory() as folder:
        for name, text in texts.items():
            path = PurePosixPath(name)
            if path.is_absolute() or ".." in path.parts:
                raise ValueError(f"{name} is no path below a folder")
            file = Path(folder, path)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, "utf-8")
        made = Path(folder, "descriptors.out")
        done = subprocess.run(  # noqa: S603 - what is typed is names of files, all below the folder
            [
                *(sys.executable, "-m", "grpc_tools.protoc", f"-I{folder}", *_included()),
                f"--descriptor_set_out={made}",
                *texts,
            ],
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
            check=False,
        )
        if done.returncode:
            raise ValueError(done.stderr.strip() or "the compiler ended without a word")
        files = FileDescriptorSet.FromString(made.read_bytes())
    found: dict[str, Declared] = {}
    for each in files.file:
        package = f"{each.package}." if each.package else ""
        kinds: list[Kind] = [*each.message_type, *each.enum_type, *each.service]
        for kind in kinds:
            for name, inner in _within(package, kind):
                found[name] = Declared(each.name, inner)
    return found


def _within(prefix: str, kind: Kind) -> Iterator[tuple[str, Kind]]:
    name = f"{prefix}{kind.name}"
    yield name, kind
    if isinstance(kind, DescriptorProto):
        kinds: list[Kind] = [*kind.nested_type, *kind.enum_type]
        for inner in kinds:
            yield from _within(f"{name}.", inner)


def _included() -> list[str]:
    """Where Google's common messages are, if they are installed: many files import them."""
    spec = find_spec("google.rpc") if find_spec("google") else None
    places = spec.submodule_search_locations if spec is not None else None
    return [f"-I{Path(place).parents[1]}" for place in places or ()]
