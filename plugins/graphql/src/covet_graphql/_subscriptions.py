"""Subscriptions that are under way, whatever carries them: each is a task of the phase that serves it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, TypeAlias

import anyio
from anyio.abc import TaskGroup

from covet_graphql._request import Answer, BadRequestError
from covet_kernel import Serving
from covet_kernel.contracts import Call, Credentials
from covet_operations import OperationError

if TYPE_CHECKING:
    from covet_graphql._service import Prepared, Service
    from covet_kernel.contracts import Principal

Put: TypeAlias = Callable[[Answer], Awaitable[None]]
Over: TypeAlias = Callable[[], Awaitable[None]]


class Caller(Call):
    """Who subscribes: what of a request outlives it."""

    __slots__ = ("_credentials", "_headers")

    def __init__(
        self, request: Call, headers: Mapping[str, str], credentials: Credentials | None = None
    ) -> None:
        super().__init__(request.operation, request.binding)
        self.principal: Principal | None = request.principal
        self._credentials = request.credentials() or credentials
        self._headers = headers

    def credentials(self) -> Credentials | None:
        return self._credentials

    def metadata(self, name: str) -> str | None:
        return self._headers.get(name)


class Subscriptions:
    """Runs what clients are subscribed to, and ends all of it with the phase."""

    def __init__(self) -> None:
        self._group: TaskGroup | None = None

    async def run(self, serving: Serving) -> None:
        """Serve until the phase drains."""
        async with anyio.create_task_group() as group:
            self._group = group
            try:
                await serving.draining.wait()
            finally:
                self._group = None
                group.cancel_scope.cancel()

    def begin(
        self, service: Service, ready: Prepared, caller: Call, put: Put, over: Over
    ) -> anyio.CancelScope:
        """Run an operation beside whatever else goes on.

        Args:
            service: Runs it.
            ready: What is asked.
            caller: Who asks.
            put: Takes each answer, and waits while the client is slow.
            over: Called behind the last answer; not where the operation was cancelled.

        Returns:
            What ends it.
        """
        scope = anyio.CancelScope()
        if self._group is None:
            scope.cancel()
        else:
            self._group.start_soon(self._run, scope, service, ready, caller, put, over)
        return scope

    @staticmethod
    async def _run(
        scope: anyio.CancelScope,
        service: Service,
        ready: Prepared,
        caller: Call,
        put: Put,
        over: Over,
    ) -> None:
        with scope:
            try:
                failure = await carry(service, ready, caller, put)
                if failure is not None:
                    await put(failure)
                await over()
            except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                return  # nobody takes it any more


async def carry(service: Service, ready: Prepared, caller: Call, put: Put) -> Answer | None:
    """Run one operation, whether it has one answer or many.

    Args:
        service: Runs it.
        ready: What is asked.
        caller: Who asks.
        put: Takes each answer, and waits while the client is slow.

    Returns:
        What is answered last, if the operation itself has failed.
    """
    try:
        if ready.streams:
            await service.subscribe(ready, caller, put)
        else:
            await service.deliver(ready, caller, put)
    except OperationError as error:
        return service.failure(error)
    except BadRequestError as error:
        return service.refusal(error)
    return None
