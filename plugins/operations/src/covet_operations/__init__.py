"""The call pipeline every transport shares."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from covet_operations._bulk._service import BULK, Bulk, BulkFailed
from covet_operations._codec import Codec, Parsed, TransportBinding
from covet_operations._disconnect import wait_disconnected
from covet_operations._driver import Lane, Pending, ended
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
from covet_operations._finite import finite
from covet_operations._marks import mark, operation, operations_of
from covet_operations._messages import is_message
from covet_operations._paging._service import PAGING, Paging
from covet_operations._pipeline import OPERATIONS, OperationsConfig, Pipeline
from covet_operations._plugin import Operations
from covet_operations._preview import preview
from covet_operations._providers import Provider, ProviderScope, provider, providers_of
from covet_operations._results import TransportResult
from covet_operations._signature import Injected, Input, Kind, Signature
from covet_operations._suspended import Suspended
from covet_operations._translate import ErrorMapping

if TYPE_CHECKING:
    from covet_operations._bulk._checked import Checked
    from covet_operations._bulk._result import BulkResult, Outcome
    from covet_operations._contract._channel import (
        ChannelSource,
        ContractAction,
        ContractChannel,
        ContractMessage,
        Topic,
    )
    from covet_operations._contract._document import (
        Comparer,
        ContractDocument,
        ContractView,
        Finding,
        Severity,
    )
    from covet_operations._contract._schemas import JsonSchemas, WantedSchema
    from covet_operations._fields._html import Html, SafeHtml
    from covet_operations._fields._money import Money
    from covet_operations._fields._phone import Phone, PhoneNumber
    from covet_operations._fields._slug import Slug
    from covet_operations._paging._filter import Filter, Operator
    from covet_operations._paging._page import OffsetPage, Page
    from covet_operations._paging._query import CursorQuery, OffsetQuery
    from covet_operations._paging._select import CursorSelection, OffsetSelection
    from covet_operations._paging._sort import Sort, SortBy

__all__ = [
    "BULK",
    "OPERATIONS",
    "PAGING",
    "Bulk",
    "BulkFailed",
    "BulkResult",
    "Cancelled",
    "ChannelSource",
    "Checked",
    "Codec",
    "Comparer",
    "Conflict",
    "ContractAction",
    "ContractChannel",
    "ContractDocument",
    "ContractMessage",
    "ContractView",
    "CursorQuery",
    "CursorSelection",
    "DeadlineExceeded",
    "Endpoint",
    "ErrorKind",
    "ErrorMapping",
    "Filter",
    "Finding",
    "Forbidden",
    "Gone",
    "Html",
    "Injected",
    "Input",
    "Internal",
    "Invalid",
    "JsonSchemas",
    "Kind",
    "Lane",
    "Money",
    "NotFound",
    "OffsetPage",
    "OffsetQuery",
    "OffsetSelection",
    "OperationError",
    "Operations",
    "OperationsConfig",
    "Operator",
    "Outcome",
    "Page",
    "Paging",
    "Parsed",
    "Pending",
    "Phone",
    "PhoneNumber",
    "Pipeline",
    "PreconditionFailed",
    "Provider",
    "ProviderScope",
    "RateLimited",
    "SafeHtml",
    "Severity",
    "Signature",
    "Slug",
    "Sort",
    "SortBy",
    "Suspended",
    "TooLarge",
    "Topic",
    "TransportBinding",
    "TransportResult",
    "Unauthenticated",
    "Unavailable",
    "Unimplemented",
    "Unsupported",
    "WantedSchema",
    "ended",
    "finite",
    "is_message",
    "mark",
    "operation",
    "operations_of",
    "preview",
    "provider",
    "providers_of",
    "wait_disconnected",
]

_LATE = {
    "BulkResult": "_bulk._result",
    "ChannelSource": "_contract._channel",
    "Checked": "_bulk._checked",
    "Comparer": "_contract._document",
    "ContractAction": "_contract._channel",
    "ContractChannel": "_contract._channel",
    "ContractDocument": "_contract._document",
    "ContractMessage": "_contract._channel",
    "ContractView": "_contract._document",
    "CursorQuery": "_paging._query",
    "CursorSelection": "_paging._select",
    "Filter": "_paging._filter",
    "Finding": "_contract._document",
    "Html": "_fields._html",
    "JsonSchemas": "_contract._schemas",
    "Money": "_fields._money",
    "OffsetPage": "_paging._page",
    "OffsetQuery": "_paging._query",
    "OffsetSelection": "_paging._select",
    "Operator": "_paging._filter",
    "Outcome": "_bulk._result",
    "Page": "_paging._page",
    "Phone": "_fields._phone",
    "PhoneNumber": "_fields._phone",
    "SafeHtml": "_fields._html",
    "Severity": "_contract._document",
    "Slug": "_fields._slug",
    "Sort": "_paging._sort",
    "SortBy": "_paging._sort",
    "Topic": "_contract._channel",
    "WantedSchema": "_contract._schemas",
}
"""What is imported when it is first asked for: models take time to make, and few services need these."""


def __getattr__(name: str) -> Any:
    module = _LATE.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    found = globals()[name] = getattr(import_module(f"{__name__}.{module}"), name)
    return found
