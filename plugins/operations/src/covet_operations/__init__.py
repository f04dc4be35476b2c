"""The call pipeline every transport shares."""

from covet_operations._codec import Codec, TransportBinding
from covet_operations._disconnect import wait_disconnected
from covet_operations._driver import Lane, Suspended, ended
from covet_operations._endpoint import Endpoint
from covet_operations._errors import (
    Cancelled,
    Conflict,
    DeadlineExceeded,
    ErrorKind,
    Forbidden,
    Gone,
    Internal,
    Invalid,
    NotFound,
    OperationError,
    PreconditionFailed,
    RateLimited,
    TooLarge,
    Unauthenticated,
    Unavailable,
    Unimplemented,
    Unsupported,
)
from covet_operations._marks import mark, operation, operations_of
from covet_operations._pipeline import OPERATIONS, OperationsConfig, Pipeline
from covet_operations._plugin import Operations
from covet_operations._preview import preview
from covet_operations._providers import Provider, ProviderScope, provider, providers_of
from covet_operations._signature import Injected, Input, Kind, Signature
from covet_operations._translate import ErrorMapping

__all__ = [
    "OPERATIONS",
    "Cancelled",
    "Codec",
    "Conflict",
    "DeadlineExceeded",
    "Endpoint",
    "ErrorKind",
    "ErrorMapping",
    "Forbidden",
    "Gone",
    "Injected",
    "Input",
    "Internal",
    "Invalid",
    "Kind",
    "Lane",
    "NotFound",
    "OperationError",
    "Operations",
    "OperationsConfig",
    "Pipeline",
    "PreconditionFailed",
    "Provider",
    "ProviderScope",
    "RateLimited",
    "Signature",
    "Suspended",
    "TooLarge",
    "TransportBinding",
    "Unauthenticated",
    "Unavailable",
    "Unimplemented",
    "Unsupported",
    "ended",
    "mark",
    "operation",
    "operations_of",
    "preview",
    "provider",
    "providers_of",
    "wait_disconnected",
]
