"""Subscriptions that are under way, whatever carries them: each is a task of the phase that serves it."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Final, TypeAlias

import anyio
from anyio.abc import TaskGroup

from covet_graphql._request import Answer, BadRequestError
from covet_kernel import Serving
from covet_kernel.contracts import Call, Credentials
from covet_operations import Internal, OperationError, RateLimited, Unavailable

if TYPE_CHECKING:
    from covet_graphql._service import Prepared, Service
    from covet_kernel.contracts import Principal

log = logging.getLogger("covet.graphql")

Put: TypeAlias = Callable[[Answer], Awaitable[None]]
Over: TypeAlias = Callable[[], Awaitable[None]]
GONE: Final = (anyio.BrokenResourceError, anyio.ClosedResourceError)
"""What whoever puts an answer is told when nobody takes any more."""
_LONGEST_ID: Final = 256


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


class TooManyOperations(RateLimited):
    """There are as many operations as there may be."""


class Operations:
    """What one client has under way on a socket or a stream, by the ids that it gives.

    An operation counts until it has ended. One that the client stops has not ended yet, so that who
    begins and stops as fast as can be has no more of them at once than others.

    Args:
        most: How many there may be.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._scopes: dict[str, anyio.CancelScope] = {}
        self._running = 0
        self._ended: anyio.Event | None = None

    def __contains__(self, name: str) -> bool:
        return name in self._scopes

    def __len__(self) -> int:
        return len(self._scopes)

    @property
    def is_full(self) -> bool:
        """Whether there are as many as there may be, those that were stopped and have not ended included."""
        return self._running >= self._most

    @property
    def running(self) -> int:
        """How many have not ended, those that were stopped included."""
        return self._running

    async def has_room(self) -> bool:
        """Whether there may be another one; waits for those that were stopped to end."""
        while self.is_full:
            if len(self._scopes) >= self._most:
                return False
            if self._ended is None:
                self._ended = anyio.Event()
            await self._ended.wait()
        return True

    def begin(self, name: str) -> anyio.CancelScope:
        """Count one.

        Returns:
            What stops it. Behind its end `end` is to be called.
        """
        self._running += 1
        scope = self._scopes[name] = anyio.CancelScope()
        return scope

    def stop(self, name: str) -> None:
        """Stop one, if there is such a one."""
        scope = self._scopes.pop(name, None)
        if scope is not None:
            scope.cancel()

    def stop_all(self) -> None:
        """Stop every one."""
        for name in tuple(self._scopes):
            self.stop(name)

    def release(self, name: str, scope: anyio.CancelScope) -> None:
        """Have the name of one be free: nothing but its last message comes any more."""
        if self._scopes.get(name) is scope:
            del self._scopes[name]

    def end(self, name: str, scope: anyio.CancelScope) -> None:
        """Count one no longer."""
        self.release(name, scope)
        self._running -= 1
        ended, self._ended = self._ended, None
        if ended is not None:
            ended.set()


def id_of(value: object) -> str | None:
    """The id of an operation; ``None`` if it cannot be one."""
    return value if isinstance(value, str) and 0 < len(value) <= _LONGEST_ID else None


def _nothing() -> None:
    """Nobody wants to know."""


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
        self,
        scope: anyio.CancelScope,
        service: Service,
        ready: Prepared,
        caller: Call,
        put: Put,
        over: Over,
        ended: Callable[[], object] = _nothing,
    ) -> None:
        """Run an operation beside whatever else goes on.

        Args:
            scope: What stops it.
            service: Runs it.
            ready: What is asked.
            caller: Who asks.
            put: Takes each answer, and waits while the client is slow.
            over: Called behind the last answer; not where the operation was stopped.
            ended: Called behind its end in any case.

        Raises:
            Unavailable: The service is stopping.
        """
        if self._group is None:
            ended()
            raise Unavailable("the service is stopping")
        self._group.start_soon(self._run, scope, service, ready, caller, put, over, ended)

    @staticmethod
    async def _run(
        scope: anyio.CancelScope,
        service: Service,
        ready: Prepared,
        caller: Call,
        put: Put,
        over: Over,
        ended: Callable[[], object],
    ) -> None:
        try:
            with scope:
                failure = await carry(service, ready, caller, put)
                if failure is not None:
                    await put(failure)
                await over()
        except GONE:
            return  # nobody takes it any more
        finally:
            ended()


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
    except GONE:
        raise
    except Exception as error:
        # The task belongs to everybody's, and what it is in would end with it.
        log.error("an operation failed", exc_info=error)
        return service.failure(Internal())
    return None
