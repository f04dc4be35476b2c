"""``covet grpc``: print the ``.proto``, or keep the numbers of its fields."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from covet_kernel import Command, ConfigurationError

if TYPE_CHECKING:
    from covet_grpc._config import GrpcConfig
    from covet_grpc._schema._schema import Schema
    from covet_kernel import Assembly, Serving
    from covet_operations import Pipeline


def grpc_command(config: GrpcConfig) -> Command:
    """The command of a service with this configuration."""

    def run(args: Namespace, assembly: Assembly) -> int:
        from covet_operations import preview

        pipeline, serving = preview(assembly)
        schema = schema_in(assembly, pipeline, serving, config)
        if args.what == "lock":
            return _lock(args, schema, assembly.settings.directory / config.lock)
        return _proto(args, schema)

    return Command(
        name="grpc",
        help="Print the .proto of the service, or write the lock of its numbers.",
        run=run,
        configure=_configure,
    )


def schema_in(
    assembly: Assembly, pipeline: Pipeline, serving: Serving, config: GrpcConfig
) -> Schema:
    """The messages of operations that are declared, and of which nothing was started.

    Raises:
        ExceptionGroup: Some cannot be said in protobuf.
    """
    from covet_grpc._compile import schema_of

    schema = schema_of(serving, pipeline, assembly.settings.directory / config.lock)
    if schema.errors:
        raise ExceptionGroup("messages that cannot be said", schema.errors)
    return schema


def proto_texts(schema: Schema) -> dict[str, str]:
    """The ``.proto`` of each package that is made of the code, by file name."""
    from covet_grpc._schema._proto import proto_text

    about = schema.about()
    return {file.name: proto_text(file, about) for file in schema.files()}


def _configure(parser: ArgumentParser) -> None:
    parser.add_argument("what", choices=("proto", "lock"), help="what to write")
    parser.add_argument(
        "--output", type=Path, metavar="FOLDER", help="for proto: write files there"
    )
    parser.add_argument(
        "--check", action="store_true", help="for lock: write nothing; 1 if it is out of date"
    )


def _lock(args: Namespace, schema: Schema, path: Path) -> int:
    for each in schema.changes:
        sys.stdout.write(f"{each}\n")
    if args.check:
        return 1 if schema.changes else 0
    try:
        schema.lock.write(path)
    except OSError as error:
        raise _unwritable(path, error) from None
    return 0


def _proto(args: Namespace, schema: Schema) -> int:
    for name, text in proto_texts(schema).items():
        if args.output is None:
            sys.stdout.write(f"// {name}\n{text}")
            continue
        path = args.output / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8", newline="\n")
        except OSError as error:
            raise _unwritable(path, error) from None
    return 0


def _unwritable(path: Path, error: OSError) -> ConfigurationError:
    return ConfigurationError(
        "COVET-GRPC-FILE", f"{path} cannot be written: {error}.", fix="Name another place."
    )
