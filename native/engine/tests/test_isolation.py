"""What one call does to its context, its scopes and its task never reaches another call.

The workers are shared, so all of this is about what a call could leave behind, or do to whoever runs
in the same worker next. The last test compares the pool with one task per call, move by move.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted import Script, ScriptedEngine, scripted

from covet_engine._core import Kind
from covet_kernel.testing import cancel_at_every_tick

VAR: ContextVar[str] = ContextVar("VAR", default="untouched")


def task_id() -> int:
    return anyio.get_current_task().id


async def turn() -> None:
    await anyio.lowlevel.checkpoint()


async def alive(engine: ScriptedEngine) -> None:
    """The next calls, in whatever worker, find everything as it should be."""

    async def probe(call: Script) -> str:
        assert VAR.get() == "untouched"
        assert anyio.current_effective_deadline() == float("inf")
        await turn()
        with anyio.CancelScope() as scope:
            await turn()
        assert not scope.cancel_called
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(turn)
        assert VAR.get() == "untouched"
        return "fine"

    for handle in engine.request(*[probe] * 5):
        assert await engine.answer(handle) == (200, "'fine'")
    for _ in range(3):
        assert await engine.ask(probe) == (200, "'fine'")


# Context variables.


async def test_context_variables_end_with_their_call() -> None:
    async def sets(call: Script) -> str:
        assert VAR.get() == "untouched"
        VAR.set("early")
        return VAR.get()

    async def sets_and_waits(call: Script) -> str:
        assert VAR.get() == "untouched"
        VAR.set("early")
        await turn()
        assert VAR.get() == "early"
        VAR.set("late")
        await turn()
        return VAR.get()

    async with scripted() as engine:
        for _ in range(3):
            handles = engine.request(sets, sets_and_waits, sets, sets_and_waits, sets)
            for handle, expected in zip(handles, ["early", "late"] * 3, strict=False):
                assert await engine.answer(handle) == (200, repr(expected))
            await alive(engine)
        assert VAR.get() == "untouched"


async def test_calls_see_what_was_set_where_the_engine_was_made() -> None:
    async def handler(call: Script) -> str:
        before = VAR.get()
        VAR.set("own")
        await turn()
        return before

    token = VAR.set("outside")
    try:
        async with scripted() as engine:
            for handle in engine.request(*[handler] * 5):
                assert await engine.answer(handle) == (200, "'outside'")
            assert await engine.ask(handler) == (200, "'outside'")
    finally:
        VAR.reset(token)


async def test_tasks_of_a_call_inherit_its_context() -> None:
    seen = []

    async def child() -> None:
        seen.append(VAR.get())
        VAR.set("child")
        await turn()
        seen.append(VAR.get())

    async def handler(call: Script) -> str:
        VAR.set("parent")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(child)
        await anyio.to_thread.run_sync(lambda: seen.append(VAR.get()))
        return VAR.get()

    async with scripted() as engine:
        assert await engine.ask(handler) == (200, "'parent'")
        assert seen == ["parent", "child", "parent"]
        await alive(engine)


async def test_the_first_wait_is_not_the_first_step_in_another_context() -> None:
    """A token made before the first wait can be given back after it."""

    async def handler(call: Script) -> str:
        token = VAR.set("inside")
        await turn()
        VAR.reset(token)
        return VAR.get()

    async with scripted() as engine:
        assert await engine.ask(handler) == (200, "'untouched'")


async def test_a_call_stays_in_one_task() -> None:
    async def handler(call: Script) -> bool:
        first = task_id()
        for _ in range(5):
            await turn()
            assert task_id() == first
        await anyio.to_thread.run_sync(int)
        return task_id() == first

    async with scripted() as engine:
        for handle in engine.request(*[handler] * 20):
            assert await engine.answer(handle) == (200, "True")


# Scopes of the handler.


async def test_a_scope_opened_before_the_first_wait() -> None:
    async def handler(call: Script) -> str:
        with anyio.move_on_after(0.01) as scope:
            await anyio.sleep_forever()
        assert scope.cancelled_caught
        await turn()
        try:
            with anyio.fail_after(0.01):
                await anyio.sleep_forever()
        except TimeoutError:
            return "timed out"
        return "not timed out"

    async with scripted() as engine:
        for handle in engine.request(*[handler] * 4):
            assert await engine.answer(handle) == (200, "'timed out'")
        await alive(engine)


async def test_a_scope_that_is_left_without_waiting() -> None:
    async def handler(call: Script) -> str:
        with anyio.fail_after(5), anyio.CancelScope(shield=True) as scope:  # noqa: ASYNC100 - meant
            scope.cancel()
        return "left"

    async with scripted() as engine:
        for handle in engine.request(*[handler] * 4):
            assert await engine.answer(handle) == (200, "'left'")
        await alive(engine)


async def test_a_task_group_opened_before_the_first_wait() -> None:
    async def fails() -> None:
        await turn()
        raise ValueError("child")

    async def handler(call: Script) -> str:
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(fails)
                await anyio.sleep_forever()
        except* ValueError:
            pass
        await turn()
        return "caught"

    async with scripted() as engine:
        for handle in engine.request(*[handler] * 4):
            assert await engine.answer(handle) == (200, "'caught'")
        await alive(engine)


async def test_tasks_of_a_call_are_cancelled_with_it() -> None:
    ended = []

    async def child(name: str) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            ended.append(name)

    async def handler(call: Script) -> None:
        async with anyio.create_task_group() as outer:
            outer.start_soon(child, "outer")
            async with anyio.create_task_group() as inner:
                inner.start_soon(child, "inner")
                await anyio.sleep_forever()

    async with scripted() as engine:
        first, second = engine.request(handler, handler)
        await engine.settle()
        engine.calls[first].cancel("client")
        assert await engine.answer(first) == (503, "client")
        assert sorted(ended) == ["inner", "outer"]
        assert engine.answer_now(second) is None
        await alive(engine)


async def test_a_call_that_cancels_another_one() -> None:
    async with scripted() as engine:

        async def victim(call: Script) -> None:
            await anyio.sleep_forever()

        async def killer(call: Script) -> str:
            engine.calls[first].cancel("client")
            return "done"

        async def killer_later(call: Script) -> str:
            await turn()
            engine.calls[second].cancel("client")
            await turn()
            return "done"

        first, second, third = engine.request(victim, victim, victim)
        await engine.settle()
        assert await engine.ask(killer) == (200, "'done'")
        assert await engine.answer(first) == (503, "client")
        assert await engine.ask(killer_later) == (200, "'done'")
        assert await engine.answer(second) == (503, "client")
        assert engine.answer_now(third) is None
        await alive(engine)


async def test_a_deadline_waits_for_a_shield() -> None:
    release = anyio.Event()
    steps = []

    async def handler(call: Script) -> None:
        call.timeout = 5
        with anyio.CancelScope(shield=True):
            await release.wait()
            steps.append("shielded")
        steps.append("open")
        await turn()
        steps.append("never")

    async with scripted() as engine:
        [handle] = engine.request(handler)
        await engine.settle()
        engine.event(handle, Kind.TIMER)
        await engine.settle()
        assert engine.answer_now(handle) is None
        await alive(engine)
        release.set()
        assert await engine.answer(handle) == (503, "deadline")
        assert steps == ["shielded", "open"]
        await alive(engine)


@pytest.mark.parametrize("call_first", [True, False])
@pytest.mark.parametrize("apart", [True, False])
async def test_the_call_and_its_own_scope_cancelled(call_first: bool, apart: bool) -> None:
    scopes: list[anyio.CancelScope] = []

    async def handler(call: Script) -> str:
        with anyio.CancelScope() as scope:
            scopes.append(scope)
            try:
                await anyio.sleep_forever()
            finally:
                with anyio.CancelScope(shield=True):
                    await turn()
        await turn()
        return "survived"

    async with scripted() as engine:
        [handle] = engine.request(handler)
        await engine.settle()
        cancels = [lambda: engine.calls[handle].cancel("client"), scopes[0].cancel]
        if not call_first:
            cancels.reverse()
        cancels[0]()
        if apart and not call_first:
            await turn()
        cancels[1]()
        assert await engine.answer(handle) == (503, "client")
        await alive(engine)


async def test_only_its_own_scope_cancelled() -> None:
    scopes: list[anyio.CancelScope] = []

    async def handler(call: Script) -> str:
        with anyio.CancelScope() as scope:
            scopes.append(scope)
            await anyio.sleep_forever()
        await turn()
        return "survived"

    async with scripted() as engine:
        handles = engine.request(handler, handler)
        await engine.settle()
        scopes[0].cancel()
        assert await engine.answer(handles[0]) == (200, "'survived'")
        assert engine.answer_now(handles[1]) is None
        await alive(engine)


async def test_a_late_cancellation_hits_nobody() -> None:
    async def handler(call: Script) -> None:
        await turn()

    async with scripted() as engine:
        handles = engine.request(*[handler] * 5)
        for handle in handles:
            await engine.answer(handle)
            engine.calls[handle].cancel("client")
        await alive(engine)


async def test_a_call_cancelled_in_its_last_moment() -> None:
    """Cancelled when nothing follows that could notice: the answer stands, the next call is safe."""

    async def handler(call: Script) -> str:
        await turn()
        call.cancel("client")
        return "done"

    async with scripted() as engine:
        for _ in range(3):
            assert await engine.ask(handler) == (200, "'done'")
            await alive(engine)


# What is left open.


@contextmanager
def left_open(cancelled: bool) -> Iterator[None]:
    """A scope that is entered and never left."""
    scope = anyio.CancelScope()
    scope.__enter__()
    if cancelled:
        scope.cancel()
    yield


@pytest.mark.parametrize("cancelled", [False, True])
@pytest.mark.parametrize("turns", [0, 2])
@pytest.mark.parametrize("depth", [1, 3])
async def test_a_scope_that_is_never_left(
    cancelled: bool, turns: int, depth: int, caplog: pytest.LogCaptureFixture
) -> None:
    async def handler(call: Script) -> str:
        for _ in range(turns):
            await turn()
        for _ in range(depth):
            left_open(cancelled).__enter__()
        return "left open"

    async with scripted() as engine:
        for _ in range(3):
            handles = engine.request(handler, handler)
            for handle in handles:
                assert await engine.answer(handle) == (200, "'left open'")
            await alive(engine)


@pytest.mark.parametrize("turns", [0, 2])
async def test_a_scope_left_open_is_cancelled_later(
    turns: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever runs by then must not be in it."""
    scopes: list[anyio.CancelScope] = []

    async def leaves_open(call: Script) -> None:
        for _ in range(turns):
            await turn()
        scopes.append(anyio.CancelScope().__enter__())

    async def waits(call: Script) -> None:
        await anyio.sleep_forever()

    async with scripted() as engine:
        for _ in range(5):
            await engine.ask(leaves_open)
        handles = engine.request(*[waits] * 8)
        await engine.settle(40)
        for scope in scopes:
            scope.cancel()
        await engine.settle(40)
        assert [engine.answer_now(handle) for handle in handles] == [None] * 8
        await alive(engine)


# Everything together.

Program = list[Any]


def programs() -> st.SearchStrategy[Program]:
    """What a call does, step by step."""
    step = st.sampled_from(["wait", "turn", "set", "get", "cancel own", "cancel call", "raise"])
    return st.recursive(
        st.lists(step, max_size=4),
        lambda inner: st.lists(
            st.one_of(
                step,
                st.tuples(st.sampled_from(["scope", "shield", "group", "child", "clean"]), inner),
            ),
            max_size=4,
        ),
        max_leaves=8,
    )


class Run:
    """One call's program, and what it saw."""

    def __init__(self, number: int, program: Program) -> None:
        self.number = number
        self.program = program
        self.log: list[str] = []
        self.gates: list[anyio.Event] = []
        self.cancel: Any = None

    async def __call__(self, call: Any) -> str:
        self.cancel = call.cancel
        task = task_id()
        await self.steps(self.program, [])
        assert task == task_id()
        return "done"

    async def steps(self, program: Program, scopes: list[anyio.CancelScope]) -> None:
        for step in program:
            name, inner = step if isinstance(step, tuple) else (step, None)
            self.log.append(name)
            match name:
                case "wait":
                    gate = anyio.Event()
                    self.gates.append(gate)
                    await gate.wait()
                case "turn":
                    await turn()
                case "set":
                    VAR.set(f"{self.number}.{len(self.log)}")
                case "get":
                    self.log.append(VAR.get())
                case "cancel own":
                    if scopes:
                        scopes[-1].cancel()
                case "cancel call":
                    self.cancel("itself")
                case "raise":
                    raise ValueError(str(self.number))
                case "scope" | "shield":
                    with anyio.CancelScope(shield=name == "shield") as scope:
                        await self.steps(inner, [*scopes, scope])
                    self.log.append(f"caught {scope.cancelled_caught}")
                case "group":
                    async with anyio.create_task_group() as tasks:
                        await self.steps(inner, [*scopes, tasks.cancel_scope])
                case "child":
                    async with anyio.create_task_group() as tasks:
                        tasks.start_soon(self.steps, inner, [tasks.cancel_scope])
                case "clean":
                    try:
                        await self.steps(inner, scopes)
                    finally:
                        with anyio.CancelScope(shield=True):
                            await turn()
                        self.log.append("cleaned")


async def settle() -> None:
    for _ in range(25):
        await turn()


async def play(runs: list[Run], moves: list[tuple[str, int]]) -> None:
    """Let gates go and cancel calls, one after the other; then let everybody finish."""
    await settle()
    for move, number in moves:
        run = runs[number % len(runs)]
        if move == "release":
            if run.gates:
                run.gates.pop(0).set()
        elif run.cancel is not None:
            run.cancel("client")
        await settle()
    while any(run.gates for run in runs):
        for run in runs:
            while run.gates:
                run.gates.pop(0).set()
        await settle()


async def in_pool(runs: list[Run], moves: list[tuple[str, int]]) -> list[tuple[int, str]]:
    async with scripted() as engine:
        handles = engine.request(*runs)
        await play(runs, moves)
        answers = [await engine.answer(handle) for handle in handles]
        await alive(engine)
        return answers


class Alone:
    """A call in a task and a scope of its own: what the pool has to be as good as."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.scope = anyio.CancelScope()
        self.cause: str | None = None
        self.answer: tuple[int, str] = (0, "")

    def cancel(self, cause: str) -> None:
        if self.answer[0] == 0:
            self.cause = self.cause or cause
            self.scope.cancel()

    async def __call__(self) -> None:
        self.answer = (0, "")
        try:
            with self.scope:
                self.answer = (200, repr(await self.run(self)))
                return
        except Exception as error:
            self.answer = (500, repr(error))
            return
        self.answer = (503, str(self.cause))


async def in_tasks(runs: list[Run], moves: list[tuple[str, int]]) -> list[tuple[int, str]]:
    calls = [Alone(run) for run in runs]
    async with anyio.create_task_group() as tasks:
        for call in calls:
            tasks.start_soon(call)
        await play(runs, moves)
    return [call.answer for call in calls]


MOVES = st.lists(st.tuples(st.sampled_from(["release", "cancel"]), st.integers(0, 3)), max_size=8)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@given(st.lists(programs(), min_size=1, max_size=4), MOVES)
def test_the_pool_is_as_good_as_a_task_for_each_call(
    backend: str, given: list[Program], moves: list[tuple[str, int]]
) -> None:
    async def both() -> None:
        pooled = [Run(number, program) for number, program in enumerate(given)]
        alone = [Run(number, program) for number, program in enumerate(given)]
        answers = await in_pool(pooled, moves)
        assert answers == await in_tasks(alone, moves)
        assert [run.log for run in pooled] == [run.log for run in alone]

    anyio.run(both, backend=backend)


async def test_cancelled_at_every_turn() -> None:
    """The owner goes away in the middle of anything: all calls end, nothing is left."""
    engines = []

    async def work(call: Script) -> str:
        with anyio.move_on_after(50):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(turn)
                await turn()
        return "done"

    async def one() -> None:
        async with scripted() as engine:
            engines.append(engine)
            handles = engine.request(*[work] * 3)
            for handle in handles:
                await engine.answer(handle)

    async def check() -> None:
        if engines:
            assert engines[-1].library.freed
            assert not engines[-1].core.live

    assert await cancel_at_every_tick(one, check=check) > 5
