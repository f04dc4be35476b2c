"""gRPC for covet: ``import covet_grpc as grpc`` and decorate with ``grpc.unary`` and so on."""

from covet_grpc._binding import GrpcBinding, bidi, client_stream, server_stream, unary
from covet_grpc._call import GrpcCall
from covet_grpc._config import GrpcConfig, WebConfig
from covet_grpc._plugin import Grpc
from covet_grpc._schema._wire import Wire

__all__ = [
    "Grpc",
    "GrpcBinding",
    "GrpcCall",
    "GrpcConfig",
    "WebConfig",
    "Wire",
    "bidi",
    "client_stream",
    "server_stream",
    "unary",
]
