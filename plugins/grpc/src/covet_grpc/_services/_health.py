"""``grpc.health.v1.Health``: whether the process, or one service of it, serves."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Any, Final

import anyio

from covet_grpc._binding import GrpcBinding
from covet_grpc._services._files import message_class
from covet_kernel import Serving
from covet_kernel.contracts import HealthCheck, Operation
from covet_operations import NotFound

log = logging.getLogger("covet.grpc")

Request: Final = message_class("grpc.health.v1.HealthCheckRequest")
Response: Final = message_class("grpc.health.v1.HealthCheckResponse")
SERVING: Final = 1
NOT_SERVING: Final = 2
SERVICE_UNKNOWN: Final = 3
_SERVICE: Final = "grpc.health.v1.Health"
_STREAM: Final[Any] = AsyncIterator  # of classes that are made at run time


class NoSuchService(NotFound):
    """There is no service of this name."""


class Health:
    """The service.

    Args:
        interval: Seconds between two looks, for callers that watch.
    """

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._serving: Serving | None = None
        self._names: frozenset[str] = frozenset()

    def begin(self, serving: Serving, names: Iterable[str]) -> None:
        """A phase begins that has these services."""
        self._serving, self._names = serving, frozenset(("", *names))

    def operations(self) -> tuple[Operation, ...]:
        """Its methods."""
        return (
            _operation("check", self._check, "Check", "unary", Response),
            _operation("watch", self._watch, "Watch", "server_stream", _STREAM[Response]),
        )

    async def _check(self, request: Any) -> Any:
        """Whether it serves now."""
        if request.service not in self._names:
            raise NoSuchService("no service has this name")
        return Response(status=await self._status())

    async def _watch(self, request: Any) -> AsyncIterator[Any]:
        """The same whenever it changes, until the phase ends."""
        serving, known = self._serving, request.service in self._names
        assert serving is not None
        last = None
        while True:
            status = await self._status() if known else SERVICE_UNKNOWN
            if status != last:
                last = status
                yield Response(status=status)
            if serving.draining.is_set():
                return
            with anyio.move_on_after(self._interval):
                await serving.draining.wait()

    async def _status(self) -> int:
        serving = self._serving
        assert serving is not None
        if serving.draining.is_set() and serving.stopping:
            return NOT_SERVING
        checks = [each for each in serving.health_checks if each.kind == "ready"]
        return SERVING if await _all_pass(checks) else NOT_SERVING


async def _all_pass(checks: Sequence[HealthCheck]) -> bool:
    """Whether all of them pass, asked side by side."""
    failed = False

    async def ask(each: HealthCheck) -> None:
        nonlocal failed
        try:
            with anyio.fail_after(each.deadline):
                await each.check()
        except Exception as error:
            log.warning("the health check %s fails: %r", each.name, error)
            failed = True

    async with anyio.create_task_group() as tasks:
        for each in checks:
            tasks.start_soon(ask, each)
    return not failed


def _operation(
    name: str, handler: Callable[..., Any], method: str, kind: Any, returns: Any
) -> Operation:
    binding = GrpcBinding(protocol="grpc", address=f"{_SERVICE}/{method}", kind=kind)

    # A class that is made at run time is no annotation; and a method has none of its own.
    def call(request: Any) -> Any:
        return handler(request)

    async def answer(request: Any) -> Any:
        return await handler(request)

    chosen = answer if kind == "unary" else call
    chosen.__annotations__ = {"request": Request, "return": returns}
    return Operation(
        name=f"grpc.health.{name}", handler=chosen, bindings=(binding,), effect="read",
        summary=(handler.__doc__ or "").partition("\n")[0], tags=("grpc",),
    )  # fmt: skip
