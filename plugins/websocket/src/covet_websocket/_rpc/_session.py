"""One client that calls methods: frames are read, calls run beside each other, answers sent.

A task reads a frame and runs its call at once, so that a call that does not wait costs no task. Where a
call waits, another task goes on reading. It is kept until it is needed again, so that a client that calls
one method after another has two tasks, whatever it calls.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import anyio
from anyio.abc import TaskGroup

from covet_http import WebSocket, WebSocketClosed
from covet_operations import Endpoint, Lane, OperationError, Suspended, Unavailable
from covet_websocket._encodings import ENCODINGS, Data, encoding_of
from covet_websocket._errors import (
    BadFrame,
    DuplicateId,
    TooManyCalls,
    UnknownMethod,
    close_code,
)
from covet_websocket._frames import CallFrame
from covet_websocket._rpc._call import MethodCall

if TYPE_CHECKING:
    from covet_websocket._config import RpcConfig
    from covet_websocket._rpc._binding import MethodBinding

_READERS: Final = {name: encoding.reader(CallFrame) for name, encoding in ENCODINGS.items()}


class Session:
    """A client's connection.

    Args:
        socket: Accepted.
        methods: By their names.
        config: Limits.
        headers: Of the handshake.

    Attributes:
        encoding: How frames are written.
        credentials: Of the handshake.
        headers: The same.
    """

    def __init__(
        self,
        socket: WebSocket,
        methods: Mapping[str, Endpoint[MethodBinding]],
        config: RpcConfig,
        headers: Mapping[str, str],
    ) -> None:
        self.encoding = encoding_of(socket.subprotocol)
        self.credentials = socket.request.credentials()
        self.headers = headers
        self._read = _READERS[self.encoding.subprotocol].read
        self._socket = socket
        self._methods = methods
        self._config = config
        self._calls: dict[int | str, MethodCall] = {}
        self._tasks: TaskGroup
        self._idle: list[anyio.Event] = []
        self._over = False
        self._draining = 0
        self._answering = 0

    async def run(self) -> None:
        """Serve until the client has left, and its calls are over."""
        self._socket.on_drain = self._drain
        async with anyio.create_task_group() as tasks:
            self._tasks = tasks
            await self._work()

    async def send(self, frame: Data) -> None:
        """Send a frame; waits while the queue is full."""
        await self._socket.send(frame)

    # Tasks.

    async def _work(self) -> None:
        """Read frames and run what they call, as long as nobody else has begun to read meanwhile."""
        async with Lane() as lane:
            while not self._over:
                try:
                    data = await self._socket.receive()
                except WebSocketClosed:
                    self._leave()
                    return
                call = await self._called(data)
                if call is None:
                    continue
                handed = _Handed(self._carry(lane, call), self._hand_over)
                await handed
                if handed.over and not await self._wait_for_turn():
                    return

    def _hand_over(self) -> None:
        """Have another task read: this one waits for something else."""
        if self._over:
            return
        if self._idle:
            self._idle.pop().set()
        else:
            self._tasks.start_soon(self._work)

    async def _wait_for_turn(self) -> bool:
        """Wait until this task should read again; whether it ever should."""
        if self._over or self._idle:
            return False
        turn = anyio.Event()
        self._idle.append(turn)
        await turn.wait()
        return not self._over

    # Frames.

    async def _called(self, data: Data) -> MethodCall | None:
        """The call that a frame begins; ``None`` if it begins none, which is answered already."""
        try:
            frame = self._read(data)
            name = frame.id
            if frame.cancel:
                if (running := self._calls.get(name)) is not None:
                    running.cancel("client")
                return None
            if name in self._calls:
                raise DuplicateId(call=name)
            if frame.method is None:
                raise BadFrame("it names no method, and cancels nothing")
        except DuplicateId as error:
            # With the id it would be taken for the answer to the other call.
            await self._fail(None, error)
            return None
        except OperationError as error:
            if self._config.on_invalid == "close":
                self._socket.close(close_code(error), error.code)
            else:
                await self._fail(None, error)
            return None
        endpoint = self._methods.get(frame.method)
        failure: OperationError
        if endpoint is None:
            failure = UnknownMethod()
        elif len(self._calls) + self._answering >= self._config.max_calls:
            failure = TooManyCalls()
        elif self._draining:
            failure = Unavailable("the service is stopping")
        else:
            call = MethodCall(endpoint, self, name, frame.params)
            if frame.timeout is not None:
                call.deadline = anyio.current_time() + frame.timeout
            self._calls[name] = call
            return call
        await self._fail(self.encoding.plain(name), failure)
        return None

    async def _fail(self, key: Any, error: OperationError) -> None:
        with suppress(WebSocketClosed):  # whoever reads is told
            await self._socket.send(self._failure(key, error))

    def _failure(self, key: Any, error: OperationError) -> Data:
        members = {} if key is None else {"id": key}
        members["error"] = self.encoding.json(self._socket.problem(error))
        return self.encoding.frame(members)

    async def _carry(self, lane: Lane, call: MethodCall) -> None:
        """Run a call to its end, and answer it."""
        try:
            answer = await lane.run(call.endpoint, call)
            if call.endpoint.kind != "unary":
                encoding = self.encoding
                answer = encoding.frame({"id": call.key, "done": encoding.plain(True)})
        except OperationError as error:
            answer = self._failure(call.key, error)
        except BaseException:
            del self._calls[call.id]
            raise
        await self._answer(call, answer)
        if self._draining:
            self._drain(self._draining)

    async def _answer(self, call: MethodCall, answer: Data) -> None:
        """Queue an answer, behind which its id may be used again; waits while the queue is full."""
        try:
            if call.disconnected or self._socket.try_send(answer):
                return
        except WebSocketClosed:
            return  # whoever reads is told
        finally:
            del self._calls[call.id]
        self._answering += 1
        try:
            with suppress(WebSocketClosed):
                await self._socket.send(answer)
        finally:
            self._answering -= 1

    # The end.

    def _leave(self) -> None:
        """The client has left; each call's policy decides what that does."""
        self._over = True
        for turn in self._idle:
            turn.set()
        for call in [*self._calls.values()]:
            call.endpoint.disconnect(call)

    def _drain(self, code: int) -> None:
        """The service stops: answer what is under way, and nothing else."""
        self._draining = code
        if not self._calls and not self._answering:
            self._socket.close(code)


class _Handed:
    """A coroutine that has somebody told when it first waits.

    Args:
        coroutine: Awaited in the task that awaits this.
        tell: Told.

    Attributes:
        over: Whether it has waited.
    """

    __slots__ = ("_coroutine", "_tell", "over")

    def __init__(self, coroutine: Coroutine[Any, Any, None], tell: Callable[[], None]) -> None:
        self._coroutine = coroutine
        self._tell = tell
        self.over = False

    def __await__(self) -> Generator[Any, Any, None]:
        try:
            trap = self._coroutine.send(None)
        except StopIteration:
            return
        self.over = True
        self._tell()
        yield from Suspended(self._coroutine, None, trap).__await__()
