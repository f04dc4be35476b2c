"""The files of the services that come with the plugin, and the classes of their messages.

They are in a pool of their own, so that an application may load the same files from other packages.
"""

from __future__ import annotations

from typing import Any, Final

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
)

_Field: Final = FieldDescriptorProto
_ONE: Final = _Field.LABEL_OPTIONAL
_MANY: Final = _Field.LABEL_REPEATED
_KINDS: Final = {
    "string": _Field.TYPE_STRING,
    "bytes": _Field.TYPE_BYTES,
    "int32": _Field.TYPE_INT32,
}


def _add(
    message: DescriptorProto,
    number: int,
    name: str,
    kind: str,
    *,
    many: bool = False,
    one_of: bool = False,
) -> None:
    field = message.field.add(name=name, number=number, label=_MANY if many else _ONE)
    if kind in _KINDS:
        field.type = _KINDS[kind]
    else:
        field.type_name = kind
    if one_of:
        field.oneof_index = 0


def _health() -> FileDescriptorProto:
    package = "grpc.health.v1"
    file = FileDescriptorProto(name="grpc/health/v1/health.proto", package=package, syntax="proto3")
    _add(file.message_type.add(name="HealthCheckRequest"), 1, "service", "string")
    response = file.message_type.add(name="HealthCheckResponse")
    status = response.enum_type.add(name="ServingStatus")
    for number, name in enumerate(("UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN")):
        status.value.add(name=name, number=number)
    _add(response, 1, "status", f".{package}.HealthCheckResponse.ServingStatus")
    response.field[0].type = _Field.TYPE_ENUM
    service = file.service.add(name="Health")
    for name, streams in (("Check", False), ("Watch", True)):
        service.method.add(
            name=name, input_type=f".{package}.HealthCheckRequest",
            output_type=f".{package}.HealthCheckResponse", server_streaming=streams,
        )  # fmt: skip
    return file


def _reflection(version: str) -> FileDescriptorProto:
    package = f"grpc.reflection.{version}"
    file = FileDescriptorProto(
        name=f"grpc/reflection/{version}/reflection.proto", package=package, syntax="proto3"
    )

    def message(name: str) -> DescriptorProto:
        return file.message_type.add(name=name)

    request = message("ServerReflectionRequest")
    request.oneof_decl.add(name="message_request")
    _add(request, 1, "host", "string")
    _add(request, 3, "file_by_filename", "string", one_of=True)
    _add(request, 4, "file_containing_symbol", "string", one_of=True)
    _add(request, 5, "file_containing_extension", f".{package}.ExtensionRequest", one_of=True)
    _add(request, 6, "all_extension_numbers_of_type", "string", one_of=True)
    _add(request, 7, "list_services", "string", one_of=True)
    extension = message("ExtensionRequest")
    _add(extension, 1, "containing_type", "string")
    _add(extension, 2, "extension_number", "int32")
    response = message("ServerReflectionResponse")
    response.oneof_decl.add(name="message_response")
    _add(response, 1, "valid_host", "string")
    _add(response, 2, "original_request", f".{package}.ServerReflectionRequest")
    for number, name, kind in (
        (4, "file_descriptor_response", "FileDescriptorResponse"),
        (5, "all_extension_numbers_response", "ExtensionNumberResponse"),
        (6, "list_services_response", "ListServiceResponse"),
        (7, "error_response", "ErrorResponse"),
    ):
        _add(response, number, name, f".{package}.{kind}", one_of=True)
    _add(message("FileDescriptorResponse"), 1, "file_descriptor_proto", "bytes", many=True)
    numbers = message("ExtensionNumberResponse")
    _add(numbers, 1, "base_type_name", "string")
    _add(numbers, 2, "extension_number", "int32", many=True)
    _add(message("ListServiceResponse"), 1, "service", f".{package}.ServiceResponse", many=True)
    _add(message("ServiceResponse"), 1, "name", "string")
    error = message("ErrorResponse")
    _add(error, 1, "error_code", "int32")
    _add(error, 2, "error_message", "string")
    service = file.service.add(name="ServerReflection")
    service.method.add(
        name="ServerReflectionInfo", input_type=f".{package}.ServerReflectionRequest",
        output_type=f".{package}.ServerReflectionResponse", client_streaming=True,
        server_streaming=True,
    )  # fmt: skip
    return file


VERSIONS: Final = ("v1", "v1alpha")
"""Those of reflection."""
_pool: Final = descriptor_pool.DescriptorPool()
for _file in (_health(), *map(_reflection, VERSIONS)):
    _pool.AddSerializedFile(_file.SerializeToString())


def message_class(name: str) -> Any:
    """The class of a message, by its full name."""
    return message_factory.GetMessageClass(_pool.FindMessageTypeByName(name))
