"""One phase's messages: collected from operations, numbered, compiled."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, TypeAlias

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from covet_grpc._schema._decode import Extractors
from covet_grpc._schema._descriptors import describe_enum, describe_message, imports_of
from covet_grpc._schema._encode import Encoders
from covet_grpc._schema._generated import generated_decode, take_generated
from covet_grpc._schema._lock import Lock, number
from covet_grpc._schema._models import NOTHING, Package, ShapeError
from covet_grpc._schema._shapes import MessageShape
from covet_kernel import ConfigurationError
from covet_kernel.contracts import Operation
from covet_operations import Invalid, Signature

Decode: TypeAlias = Callable[[bytes], Any]
Encode: TypeAlias = Callable[[Any], bytes]

VALUE: Final = "value"
"""The only field of a message around what is no message."""
_STREAMED_IN: Final = ("client_stream", "bidi")
_STREAMED_OUT: Final = ("server_stream", "bidi")


class Method:
    """One method as a schema has it.

    Attributes:
        operation: What is called.
        service: The service's full name.
        name: The method's own.
        request: The message that comes in, ``None`` where it is empty or of a generated class.
        response: The same of what goes out.
        taken: The generated class of what comes in, ``None`` if there is none.
        given: The same of what goes out.
        name_in: The handler's parameter that takes it.
        wrapped_in: Whether the message that comes in holds one value, which is what is taken.
        wrapped_out: The same of what goes out.
        streams_in: Whether many messages come in.
        streams_out: Whether many go out.
    """

    def __init__(self, operation: Operation, address: str, signature: Signature) -> None:
        self.operation = operation
        self.service, _, self.name = address.partition("/")
        self.signature = signature
        self.request: MessageShape | None = None
        self.response: MessageShape | None = None
        self.taken: Any = None
        self.given: Any = None
        self.name_in = ""
        self.wrapped_in = self.wrapped_out = False
        self.streams_in = signature.kind in _STREAMED_IN
        self.streams_out = signature.kind in _STREAMED_OUT

    @property
    def input_type(self) -> str:
        """The full name of the message that comes in."""
        return _type_of(self.request, self.taken)

    @property
    def output_type(self) -> str:
        """The full name of the message that goes out."""
        return _type_of(self.response, self.given)

    @property
    def generated(self) -> Any:
        """The file whose ``.proto`` declares the service, ``None`` if that is derived from the code."""
        for each in (self.taken, self.given):
            if each is not None:
                try:
                    return each.DESCRIPTOR.file.pool.FindServiceByName(self.service).file
                except KeyError:
                    continue
        return None


class Schema:
    """The messages of some methods.

    Args:
        bound: Operations with the address and the signature of each.
        lock: The numbers they have; ``None``: they are numbered as they come.

    Attributes:
        methods: By address.
        packages: By name.
        lock: The numbers they have now.
        changes: How that differs from what was given, a sentence each.
        errors: What cannot be said in protobuf.
    """

    def __init__(
        self, bound: Iterable[tuple[Operation, str, Signature]], lock: Lock | None = None
    ) -> None:
        self.methods: dict[str, Method] = {}
        self.packages: dict[str, Package] = {}
        self.errors: list[ConfigurationError] = []
        for operation, address, signature in bound:
            try:
                self.methods[address] = self._method(Method(operation, address, signature))
            except ShapeError as error:
                self.errors.append(_unsayable(operation, address, str(error)))
        messages = [
            each for package in self.packages.values() for each in package.messages.values()
        ]
        enums = [each for package in self.packages.values() for each in package.enums.values()]
        self.lock, self.changes = number(messages, enums, lock)
        self._encoders, self._extractors = Encoders(), Extractors()
        self._pool: Any = None

    def _method(self, method: Method) -> Method:
        name = method.service.rpartition(".")[0]
        package = self.packages.get(name)
        if package is None:
            package = self.packages[name] = Package(name)
        take_generated(method)
        if method.taken is None:
            method.request, method.wrapped_in = _request(method, package)
        signature = method.signature
        if signature.output_type is not None and method.given is None:
            method.response, method.wrapped_out = _of_type(
                package, signature.output_type, f"{method.name}Response"
            )
        return method

    def files(self) -> Iterator[descriptor_pb2.FileDescriptorProto]:
        """A file for each package."""
        for name, package in sorted(self.packages.items()):
            file = descriptor_pb2.FileDescriptorProto(
                name=file_name(name), package=name, syntax="proto3"
            )
            for message in package.messages.values():
                describe_message(message, file)
            for enum in package.enums.values():
                describe_enum(enum, file, self.lock.reserved.get(enum.type, {}))
            needed = set(imports_of(package.messages.values()))
            for method in self.methods.values():
                if method.service.rpartition(".")[0] == name:
                    if method.generated is not None:
                        continue
                    for each in (method.taken, method.given):
                        if each is not None:
                            needed.add(each.DESCRIPTOR.file.name)
                    if NOTHING.type in (method.input_type, method.output_type):
                        needed.add(NOTHING.file)
                    _describe_method(method, file)
            if file.message_type or file.enum_type or file.service:
                file.dependency.extend(sorted(needed))
                yield file

    def generated_files(self) -> Iterator[Any]:
        """The files that generated classes come from, each after those it needs."""
        seen: set[str] = set()
        for method in self.methods.values():
            for each in (method.taken, method.given):
                if each is not None:
                    yield from _with_needed(each.DESCRIPTOR.file, seen)
            if method.generated is not None:
                yield from _with_needed(method.generated, seen)

    def all_files(self) -> list[descriptor_pb2.FileDescriptorProto]:
        """Every file, also those of generated classes and of Google's."""
        found: dict[str, descriptor_pb2.FileDescriptorProto] = {}
        for generated in self.generated_files():
            found[generated.name] = _parsed(generated)
        for file in self.files():
            found[file.name] = file
            for needed in file.dependency:
                if needed not in found:
                    found[needed] = _parsed(self.pool.FindFileByName(needed))
        return list(found.values())

    def about(self) -> dict[str, str]:
        """What is said of messages, fields and methods, by full name."""
        said = {
            f"{method.service}.{method.name}": method.operation.summary
            for method in self.methods.values()
        }
        for package in self.packages.values():
            for message in package.messages.values():
                said[message.type] = message.about
                said |= {f"{message.type}.{each.name}": each.about for each in message.fields}
        return said

    @property
    def pool(self) -> Any:
        """A pool of its own that holds everything: another schema may have messages of the same names."""
        if self._pool is None:
            self._pool = descriptor_pool.DescriptorPool()
            for generated in self.generated_files():
                self._pool.AddSerializedFile(generated.serialized_pb)
            for file in self.files():
                for needed in file.dependency:
                    if needed.startswith("google/protobuf/"):
                        _copy(needed, self._pool)
                self._pool.AddSerializedFile(file.SerializeToString())
        return self._pool

    def decode(self, method: Method) -> Decode:
        """What makes plain data of a message that comes in; of a wrapped one, the value in it."""
        shape = method.request
        if method.taken is not None:
            return generated_decode(method)
        if shape is None:
            return lambda data: {}
        message = message_factory.GetMessageClass(self.pool.FindMessageTypeByName(shape.type))
        parse, extract, wrapped = message.FromString, self._extractors.of(shape), method.wrapped_in

        def decode(data: bytes) -> Any:
            try:
                found = extract(parse(data))
            except (DecodeError, ValueError, OverflowError):
                raise Invalid("the message cannot be read") from None
            return found.get(VALUE) if wrapped else found

        return decode

    def encode(self, method: Method) -> Encode:
        """What makes the bytes of a message that goes out."""
        shape = method.response
        if method.given is not None:
            return method.given.SerializeToString  # type: ignore[no-any-return]
        if shape is None:
            return lambda value: b""
        encode = self._encoders.of(shape)
        if method.wrapped_out:
            return lambda value: encode({VALUE: value})
        return encode


def file_name(package: str) -> str:
    """Where the ``.proto`` of a package is: ``shop/v1/shop.proto``."""
    parts = package.split(".") if package else ["service"]
    stem = (
        parts[-2]
        if len(parts) > 1 and parts[-1][:1] == "v" and parts[-1][1:2].isdigit()
        else parts[-1]
    )
    return "/".join([*(parts if package else ()), f"{stem}.proto"])


def _request(method: Method, package: Package) -> tuple[MessageShape | None, bool]:
    signature = method.signature
    if method.streams_in:
        return _of_type(package, signature.item_type, f"{method.name}Request")
    inputs = signature.inputs
    if not inputs:
        return None, False
    spread = next((each for each in inputs if each.spread), None)
    if spread is not None and len(inputs) == 1:
        shape = package.lone(spread.type)
        if shape is None:
            raise ShapeError(f"{spread.name} is no model that gRPC knows")
        return shape, False
    shape = package.made(f"{method.name}Request")
    for each in inputs:
        if each.spread:
            model = package.lone(each.type)
            if model is None:
                raise ShapeError(f"{each.name} is no model that gRPC knows")
            assert model.model is not None
            shape.fields += package.fields_of(model.model)
        else:
            shape.fields.append(package.field(each.name, each.type, needed=each.required))
    return shape, False


def _of_type(package: Package, annotation: Any, name: str) -> tuple[MessageShape, bool]:
    """The message of a type, and whether it is one around it."""
    shape = package.lone(annotation)
    if shape is not None:
        return shape, False
    shape = package.made(name)
    shape.fields.append(package.field(VALUE, annotation))
    return shape, True


def _type_of(shape: MessageShape | None, generated: Any) -> str:
    if generated is not None:
        name: str = generated.DESCRIPTOR.full_name
        return name
    return NOTHING.type if shape is None else shape.type


def _parsed(file: Any) -> descriptor_pb2.FileDescriptorProto:
    return descriptor_pb2.FileDescriptorProto.FromString(file.serialized_pb)


def _with_needed(file: Any, seen: set[str]) -> Iterator[Any]:
    if file.name in seen:
        return
    seen.add(file.name)
    for needed in file.dependencies:
        yield from _with_needed(needed, seen)
    yield file


def _describe_method(method: Method, file: descriptor_pb2.FileDescriptorProto) -> None:
    own = method.service.rpartition(".")[2]
    service = next((each for each in file.service if each.name == own), None)
    if service is None:
        service = file.service.add(name=own)
    described = service.method.add(
        name=method.name, input_type=f".{method.input_type}", output_type=f".{method.output_type}",
        client_streaming=method.streams_in, server_streaming=method.streams_out,
    )  # fmt: skip
    if method.operation.deprecated:
        described.options.deprecated = True
    if method.operation.effect != "write":
        options = descriptor_pb2.MethodOptions
        described.options.idempotency_level = (
            options.NO_SIDE_EFFECTS if method.operation.effect == "read" else options.IDEMPOTENT
        )


def _copy(name: str, pool: Any) -> None:
    """Have one of Google's files in a pool."""
    file = descriptor_pool.Default().FindFileByName(name)
    pool.AddSerializedFile(file.serialized_pb)


def _unsayable(operation: Operation, address: str, reason: str) -> ConfigurationError:
    code = getattr(operation.handler, "__code__", None)
    return ConfigurationError(
        "COVET-GRPC-TYPE",
        f"{operation.name} cannot be the gRPC method {address!r}: {reason}.",
        place=f"{code.co_filename}:{code.co_firstlineno}" if code is not None else operation.name,
        fix="Use a type that protobuf can say, or drop the binding.",
    )
