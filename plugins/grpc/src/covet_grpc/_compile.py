"""From a phase's operations to the services that are mounted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from covet_grpc._application import Service
from covet_grpc._binding import GrpcBinding
from covet_grpc._call import GrpcCall
from covet_grpc._route import Route, codec_of
from covet_grpc._schema._lock import out_of_date, read_lock
from covet_grpc._schema._schema import Schema
from covet_grpc._web import Web
from covet_kernel import ConfigurationError, Serving
from covet_kernel.contracts import Operation
from covet_operations import Codec, Pipeline, Signature

if TYPE_CHECKING:
    import logging

    from covet_grpc._config import GrpcConfig


def bound(serving: Serving) -> Iterator[tuple[Operation, GrpcBinding]]:
    """Every operation of a phase that has an address here."""
    for operation in serving.operations:
        for binding in operation.bindings:
            if isinstance(binding, GrpcBinding):
                yield operation, binding


def schema_of(serving: Serving, pipeline: Pipeline, path: Path) -> Schema:
    """The messages of a phase that assembles.

    Raises:
        ConfigurationError: The lock is none.
    """
    found = [
        (operation, binding.address, pipeline.signature(serving, operation))
        for operation, binding in bound(serving)
    ]
    return Schema(found, read_lock(path))


def compile_services(
    serving: Serving, pipeline: Pipeline, config: GrpcConfig, path: Path, log: logging.Logger
) -> tuple[Schema | None, tuple[Service, ...]]:
    """The messages and services of a phase; none for one that does not assemble.

    Args:
        serving: The phase.
        pipeline: Knows its operations.
        config: Of the plugin.
        path: Of the lock.
        log: Told of numbers that nothing keeps.

    Raises:
        ConfigurationError: Something cannot be served this way, or the lock is not that of the code.
        ExceptionGroup: Of all of them.
    """
    schema: Schema | None = None

    def codec(operation: Operation, signature: Signature, binding: GrpcBinding) -> Codec[GrpcCall]:
        nonlocal schema
        if schema is None:
            # Not before: the signatures of a phase that does not assemble are not there.
            schema = schema_of(serving, pipeline, path)
            if schema.errors:
                raise _one(schema.errors)
        method = schema.methods.get(binding.address)
        if method is None:
            return Codec(document=lambda call: None)
        return codec_of(
            signature, schema.decode(method), schema.encode(method), config.compress_from
        )

    endpoints = pipeline.compile(serving, GrpcBinding, codec)
    if schema is None:
        return None, ()
    if path.exists():
        changes = [each for each in schema.changes if each.matters]
        if changes:
            raise out_of_date(path, changes)
    elif schema.lock.messages:
        log.warning(
            "the numbers of gRPC fields are kept nowhere, and change with the code: covet grpc lock"
        )
    web = None if config.web is None else Web(config.web)
    services: dict[str, dict[str, Route]] = {}
    for endpoint in endpoints:
        binding = endpoint.binding
        routes = services.setdefault(binding.service, {})
        routes[binding.method] = Route(endpoint, config.error_domain)
    made = tuple(Service(name, routes, config, web) for name, routes in services.items())
    return schema, made


def _one(errors: list[ConfigurationError]) -> Exception:
    return errors[0] if len(errors) == 1 else ExceptionGroup("messages that cannot be said", errors)
