"""From a phase's operations to the services that are mounted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from covet_grpc._application import Service
from covet_grpc._binding import GrpcBinding
from covet_grpc._call import GrpcCall
from covet_grpc._route import Route, codec_of
from covet_grpc._schema._lock import out_of_date, read_lock
from covet_grpc._web import Web
from covet_kernel import ConfigurationError, Serving
from covet_kernel.contracts import Operation
from covet_operations import Codec, Pipeline, Signature

if TYPE_CHECKING:
    import logging

    from covet_grpc._config import GrpcConfig
    from covet_grpc._route import Decode, Encode
    from covet_grpc._schema._schema import Schema


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
    # The library of protobuf takes longer to load than the rest of the plugin.
    from covet_grpc._schema._schema import Schema

    found = [
        (operation, binding.address, pipeline.signature(serving, operation))
        for operation, binding in bound(serving)
    ]
    return Schema(found, read_lock(path))


class Messages:
    """The messages of a phase, made when they are first asked for.

    Args:
        serving: The phase.
        pipeline: Knows its operations.
        path: Of the lock.
        log: Told of numbers that nothing keeps.
    """

    def __init__(
        self, serving: Serving, pipeline: Pipeline, path: Path, log: logging.Logger
    ) -> None:
        self._serving = serving
        self._pipeline = pipeline
        self._path = path
        self._log = log
        self._schema: Schema | None = None

    @property
    def schema(self) -> Schema:
        """All of them.

        Raises:
            ConfigurationError: Something cannot be said in protobuf, or the lock is not that of the code.
            ExceptionGroup: Of all of them.
        """
        if self._schema is None:
            schema = schema_of(self._serving, self._pipeline, self._path)
            if schema.errors:
                raise _one(schema.errors)
            self._compare(schema)
            self._schema = schema
        return self._schema

    def _compare(self, schema: Schema) -> None:
        if self._path.exists():
            changes = [each for each in schema.changes if each.matters]
            if changes:
                raise out_of_date(self._path, changes)
        elif schema.lock.messages:
            self._log.warning(
                "the numbers of gRPC fields are kept nowhere, and change with the code: covet grpc lock"
            )

    def decode(self, address: str) -> Decode:
        """What reads the messages that come in at an address."""
        schema = self.schema
        return schema.decode(schema.methods[address])

    def encode(self, address: str) -> Encode:
        """What writes those that go out."""
        schema = self.schema
        return schema.encode(schema.methods[address])


def compile_services(
    serving: Serving, pipeline: Pipeline, config: GrpcConfig, messages: Messages
) -> tuple[Service, ...]:
    """The services of a phase; none for one that does not assemble.

    Args:
        serving: The phase.
        pipeline: Knows its operations.
        config: Of the plugin.
        messages: Those of the phase.

    Raises:
        ConfigurationError: Something cannot be served this way, or the lock is not that of the code.
        ExceptionGroup: Of all of them.
    """
    later = config.build == "on first request"

    def codec(operation: Operation, signature: Signature, binding: GrpcBinding) -> Codec[GrpcCall]:
        address = binding.address
        decode, encode = partial(messages.decode, address), partial(messages.encode, address)
        return codec_of(
            signature,
            _Late(decode) if later else decode(),
            _Late(encode) if later else encode(),
            config.compress_from,
        )

    if not later and any(True for _ in bound(serving)) and not pipeline.failed(serving):
        # What is wrong with all of them is said once, and not by each.
        assert messages.schema is not None
    endpoints = pipeline.compile(serving, GrpcBinding, codec)
    web = None if config.web is None else Web(config.web)
    services: dict[str, dict[str, Route]] = {}
    for endpoint in endpoints:
        binding = endpoint.binding
        routes = services.setdefault(binding.service, {})
        routes[binding.method] = Route(endpoint, config.error_domain)
    return tuple(Service(name, routes, config, web) for name, routes in services.items())


class _Late:
    """A function that is made when it is first called."""

    def __init__(self, make: Callable[[], Callable[[Any], Any]]) -> None:
        self._make = make
        self._made: Callable[[Any], Any] | None = None

    def __call__(self, value: Any) -> Any:
        made = self._made
        if made is None:
            made = self._made = self._make()
        return made(value)


def _one(errors: list[ConfigurationError]) -> Exception:
    return errors[0] if len(errors) == 1 else ExceptionGroup("messages that cannot be said", errors)
