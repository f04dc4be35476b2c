"""A name for each request, which goes with its answer and into the log."""

from __future__ import annotations

import logging
import os
import re
from contextvars import ContextVar
from typing import TYPE_CHECKING

from pydantic import Field

from covet_http._request import Request
from covet_http._rules._proxies import Proxies
from covet_http._rules._table import RuleConfig
from covet_kernel.contracts import Binding, Call, Layer, Operation, Phase
from covet_operations import OperationError

if TYPE_CHECKING:
    from covet_http._dispatch import Find
    from covet_http._openapi._description import Description
    from covet_http._rules._edge import Lines

_NAME = r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$"
_WELL_FORMED = re.compile(rb"[A-Za-z0-9._~:=+/-]{1,128}\Z")
_current: ContextVar[str] = ContextVar("covet_http.request_id", default="")


def request_id() -> str:
    """The id of the request that is being answered, empty where there is none."""
    return _current.get()


class RequestIdFilter(logging.Filter):
    """Gives log records the attribute ``request_id``, for a formatter: ``%(request_id)s``."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.request_id = _current.get()
        return True


class RequestIdConfig(RuleConfig):
    """``[plugins.http.request_id]``: without this table requests have no ids."""

    header: str = Field(
        default="x-request-id", pattern=_NAME, description="Where an id is read and sent."
    )
    accept: bool = Field(
        default=True, description="Take over the id a trusted proxy has given; else make one."
    )


class RequestIds:
    """Gives each request an id: that of a trusted proxy, or a random one of 128 bits."""

    name = "http.request_id"
    phase = Phase.RECOVER
    after: tuple[str, ...] = ()
    before: tuple[str, ...] = ()

    def __init__(self, config: RequestIdConfig, proxies: Proxies) -> None:
        self._header = config.header.lower().encode("ascii")
        self._accept = config.accept
        self._proxies = proxies

    def lines(self, find: Find) -> Lines:
        return ((self._header, self._id(find, None)),)

    def _id(self, find: Find, peer: str | None) -> bytes:
        if self._accept and self._proxies.trust(peer):
            try:
                given = find(self._header)
            except OperationError:
                given = None  # two of them: one may be the client's
            if given is not None and _WELL_FORMED.match(given):
                return given
        return os.urandom(16).hex().encode("ascii")

    def bind(self, operation: Operation, binding: Binding) -> Layer | None:
        if binding.protocol not in ("http", "websocket"):
            return None

        def begin(call: Call) -> None:
            if isinstance(call, Request):
                found = self._id(call.header, call.client)
                call.response.always.append((self._header, found))
                _current.set(found.decode("ascii"))

        def end(call: Call, result: object, error: BaseException | None) -> None:
            # What is unexpected is logged behind the chain, where the id is no longer current.
            if error is not None and not isinstance(error, OperationError):
                error.add_note(f"request id: {_current.get()}")

        return Layer(before=begin, after=end)

    def describe(self, description: Description) -> None:
        """What the OpenAPI document says of it."""
        name = self._header.decode("ascii")
        description.header(name, {"type": "string"}, "Names the request, in logs too.")
