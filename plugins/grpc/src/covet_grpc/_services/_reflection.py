"""``grpc.reflection``: what services there are, for tools such as grpcurl."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Any, Final

from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto

from covet_grpc._binding import GrpcBinding
from covet_grpc._services._files import VERSIONS, message_class
from covet_kernel.contracts import Operation

_NOT_FOUND: Final = 5
_STREAM: Final[Any] = AsyncIterator  # of classes that are made at run time


class Reflection:
    """The service, in all of its versions."""

    def __init__(self) -> None:
        self._files: dict[str, FileDescriptorProto] = {}
        self._symbols: dict[str, str] = {}
        self._services: list[str] = []

    def begin(self, files: Iterable[FileDescriptorProto], services: Iterable[str]) -> None:
        """A phase begins that has these.

        Args:
            files: All of them, also those of Google's that others need.
            services: The full names.
        """
        self._files = {file.name: file for file in (*_details(), *files)}
        self._symbols = {
            symbol: file.name for file in self._files.values() for symbol in _symbols_of(file)
        }
        self._services = sorted(services)

    def operations(self) -> tuple[Operation, ...]:
        """Its method in each version."""
        return tuple(map(self._operation, VERSIONS))

    def _operation(self, version: str) -> Operation:
        package = f"grpc.reflection.{version}"
        request = message_class(f"{package}.ServerReflectionRequest")
        response = message_class(f"{package}.ServerReflectionResponse")

        async def reflect(requests: Any) -> AsyncIterator[Any]:
            """What services there are, and of what they are made."""
            async for each in requests:
                answer = response(valid_host=each.host, original_request=each)
                self._answer(each, answer)
                yield answer

        reflect.__annotations__ = {
            "requests": _STREAM[request], "return": _STREAM[response],
        }  # fmt: skip
        address = f"{package}.ServerReflection/ServerReflectionInfo"
        return Operation(
            name=f"grpc.reflection.{version}", handler=reflect, effect="read", tags=("grpc",),
            bindings=(GrpcBinding(protocol="grpc", address=address, kind="bidi"),),
            summary=reflect.__doc__ or "",
        )  # fmt: skip

    def _answer(self, request: Any, answer: Any) -> None:
        match request.WhichOneof("message_request"):
            case "list_services":
                for name in self._services:
                    answer.list_services_response.service.add(name=name)
            case "file_by_filename":
                self._file(answer, request.file_by_filename)
            case "file_containing_symbol":
                self._file(answer, self._symbols.get(request.file_containing_symbol.lstrip(".")))
            case "all_extension_numbers_of_type":
                name = request.all_extension_numbers_of_type
                if name in self._symbols:
                    # Messages here have no extensions.
                    answer.all_extension_numbers_response.base_type_name = name
                else:
                    _refuse(answer)
            case _:
                _refuse(answer)

    def _file(self, answer: Any, name: str | None) -> None:
        """Put a file into an answer, and behind it those that it needs."""
        if name not in self._files:
            _refuse(answer)
            return
        pending, seen = [name], {name}
        while pending:
            file = self._files[pending.pop(0)]
            answer.file_descriptor_response.file_descriptor_proto.append(file.SerializeToString())
            for needed in file.dependency:
                if needed not in seen and needed in self._files:
                    seen.add(needed)
                    pending.append(needed)


def _details() -> Iterable[FileDescriptorProto]:
    """What details of errors are made of. No method names them, and tools cannot show them otherwise."""
    from google.rpc.error_details_pb2 import DESCRIPTOR

    for file in (DESCRIPTOR, *DESCRIPTOR.dependencies):
        yield FileDescriptorProto.FromString(file.serialized_pb)


def _refuse(answer: Any) -> None:
    answer.error_response.error_code = _NOT_FOUND
    answer.error_response.error_message = "there is no such thing here"


def _symbols_of(file: FileDescriptorProto) -> Iterable[str]:
    """The full names of everything that a file declares."""
    prefix = f"{file.package}." if file.package else ""
    for service in file.service:
        yield prefix + service.name
        yield from (f"{prefix}{service.name}.{method.name}" for method in service.method)
    for enum in file.enum_type:
        yield prefix + enum.name
    for message in file.message_type:
        yield from _within(message, prefix)


def _within(message: DescriptorProto, prefix: str) -> Iterable[str]:
    name = prefix + message.name
    yield name
    yield from (f"{name}.{field.name}" for field in message.field)
    yield from (f"{name}.{enum.name}" for enum in message.enum_type)
    for nested in message.nested_type:
        yield from _within(nested, f"{name}.")
