"""What a saga is: typed steps, and what undoes them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from math import inf
from typing import Any, Generic, TypeVar

from pydantic import TypeAdapter

from covet_kernel.contracts import Record, SqlError, SqlSession

D = TypeVar("D")
NAME_BYTES = 100


class RefusedError(Exception):
    """Raised by a step that cannot succeed and has done nothing: the saga is undone at once."""


class Attempt(Generic[D]):
    """What a step is given.

    Attributes:
        saga: The identifier of the saga.
        key: The same at every attempt at this step of this saga, and at no other: hand it to whom
            you call, as an idempotency key.
        number: 1 for the first attempt.
        data: What the saga knows.
    """

    def __init__(
        self, saga: str, key: str, number: int, data: D, session: SqlSession | None = None
    ) -> None:
        self.saga = saga
        self.key = key
        self.number = number
        self.data = data
        self._session = session

    @property
    def session(self) -> SqlSession:
        """The session of the transaction in which this step is recorded, ``local`` steps have it.

        Raises:
            SqlError: The step is not local.
        """
        if self._session is None:
            raise SqlError("only a local step has a session: Step(..., local=True)")
        return self._session


class Step(Generic[D]):
    """One step.

    It may run several times: whenever its process ends, or loses its database, before it is
    recorded. So it has to be safe to repeat, by the attempt's key or by its nature.

    Args:
        name: Unique in its saga.
        run: Does it. What it returns, if anything, is the saga's data from then on.
        undo: Undoes it, and succeeds where there is nothing to undo. Without one there is
            nothing to be undone.
        attempts: How often it is tried, until the saga is undone instead.
        timeout: Seconds that one attempt may take, at it and at its undoing.
        local: Run it, and its undoing, in the transaction that records it, in the database of the
            sagas: what it does with ``attempt.session`` happens once, or not at all.
    """

    def __init__(
        self,
        name: str,
        run: Callable[[Attempt[D]], Awaitable[D | None]],
        *,
        undo: Callable[[Attempt[D]], Awaitable[D | None]] | None = None,
        attempts: int = 10,
        timeout: float = 20.0,
        local: bool = False,
    ) -> None:
        _check_name("step", name)
        if attempts < 1:
            raise ValueError(f"step {name!r} is tried once at least")
        if not timeout > 0:
            raise ValueError(f"step {name!r} takes some time: its timeout is positive")
        self.name = name
        self.run = run
        self.undo = undo
        self.attempts = attempts
        self.timeout = timeout
        self.local = local


class Saga(Generic[D]):
    """Steps in their order.

    Args:
        name: Unique in the database; sagas that are under way are found by it, and their
            steps by theirs.
        data: The type of what the saga knows, for instance a pydantic model. It is kept as JSON.
        steps: One at least.
        deadline: Seconds from the start, behind which it is undone unless it is over.
    """

    def __init__(self, name: str, data: type[D], *steps: Step[D], deadline: float = inf) -> None:
        _check_name("saga", name)
        names = [step.name for step in steps]
        if not steps or len(set(names)) < len(names):
            raise ValueError(f"saga {name!r} has one step at least, and none twice: {names}")
        if not deadline > 0:
            raise ValueError(f"saga {name!r} has a deadline in the future")
        self.name = name
        self.steps = steps
        self.deadline = deadline
        self._adapter: TypeAdapter[Any] = TypeAdapter(data)

    def encode(self, data: D) -> str:
        """The data as JSON."""
        return self._adapter.dump_json(data).decode()

    def decode(self, text: str) -> D:
        """The data of a saga.

        Raises:
            ValueError: It is not of this type.
        """
        data: D = self._adapter.validate_json(text)
        return data

    def index(self, step: str) -> int:
        """Where the step of that name stands.

        Raises:
            LookupError: There is none.
        """
        for number, each in enumerate(self.steps):
            if each.name == step:
                return number
        known = ", ".join(each.name for each in self.steps)
        raise LookupError(f"saga {self.name!r} has no step {step!r}, but {known}")

    def undoable(self, below: int) -> Step[D] | None:
        """The last of the first ``below`` steps that has something to undo."""
        return next((step for step in reversed(self.steps[:below]) if step.undo), None)


def encoded(saga: Saga[Any], data: Any, most: int) -> str:
    """The data of a saga as it is kept.

    Raises:
        ValueError: It takes more bytes than that, or is no JSON.
    """
    text = saga.encode(data)
    if len(text.encode()) > most:
        raise ValueError(f"the data of a saga has at most {most} bytes, here {len(text.encode())}")
    return text


class Held(Record):
    """A saga that a worker has, as it was when it was taken or recorded last.

    Attributes:
        state: One of those in `covet_sagas._statements`.
        step: The one to run, or to undo.
        attempts: At that step, with the one that begins.
        fence: Grows with each worker that takes it; one of a lower fence can record nothing.
        ends: When its deadline is, in milliseconds of the database's clock; 0: never.
        now: When it was taken, by the same clock.
    """

    id: str
    name: str
    state: int
    step: str
    data: str
    attempts: int
    fence: int
    ends: int
    now: int


def _check_name(what: str, name: str) -> None:
    if not name or "\0" in name or len(name.encode()) > NAME_BYTES:
        raise ValueError(f"a {what}'s name has 1 to {NAME_BYTES} bytes, not {name!r}")
