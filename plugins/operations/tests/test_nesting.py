"""Scopes that are entered late: what a call does with its own scopes must not tell the difference.

The last test compares calls whose scope is entered when they first wait with calls whose scope is
entered before they begin, move by move.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint
from hypothesis import given
from hypothesis import strategies as st
from operations_testbed.plain import PlainCall, Service, plain

from covet_kernel.contracts import Call, Layer, Phase
from covet_kernel.testing import cancel_at_every_tick
from covet_operations import (
    Cancelled,
    DeadlineExceeded,
    Endpoint,
    OperationsConfig,
    operation,
)
from covet_operations import _begin as begin_module
from covet_operations import _nesting as nesting_module


async def fine() -> None:
    """The task that drives calls is left as it was."""
    assert anyio.current_effective_deadline() == math.inf
    await checkpoint()
    with anyio.CancelScope() as scope:
        await checkpoint()
    assert not scope.cancel_called
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(checkpoint)


def service(handler: Callable[..., Any], deadline: float = 0, **marks: Any) -> Service:
    made = operation(effect="read", **marks)(plain()(handler))
    return Service(made, config=OperationsConfig(deadline=deadline))


@contextmanager
def scope_first() -> Iterator[None]:
    """The event loop does not let itself be looked at."""
    seen = begin_module.current_nesting
    begin_module.current_nesting = lambda: None
    try:
        yield
    finally:
        begin_module.current_nesting = seen


async def test_a_call_that_does_not_wait_has_no_scope() -> None:
    async def handler(call: PlainCall) -> bool:
        return call.scope is None

    endpoint, call = service(handler).call()
    assert await endpoint.run(call) == b"true"
    assert call.scope is None
    with scope_first():
        assert await service(handler).run() == b"false"


@pytest.mark.parametrize("watched", [False, True])
@pytest.mark.parametrize("groups", [0, 1, 2])
@pytest.mark.parametrize("scopes", [0, 1, 2])
async def test_the_scope_is_beneath_what_the_call_has_opened(
    scopes: int, groups: int, watched: bool
) -> None:
    log: list[str] = []

    async def inner(scopes: int, groups: int) -> None:
        if scopes:
            with anyio.CancelScope():
                await inner(scopes - 1, groups)
            log.append("scope left")
        elif groups:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(checkpoint)
                await inner(scopes, groups - 1)
            log.append("group left")
        else:
            await checkpoint()
            log.append("waited")

    async def handler() -> str:
        await inner(scopes, groups)
        await checkpoint()
        return "done"

    made = service(handler)
    for _ in range(3):
        endpoint, call = made.call()
        watch = anyio.sleep_forever if watched else None
        assert await endpoint.run(call, watch=watch) == b'"done"'
        assert log == ["waited", *["group left"] * groups, *["scope left"] * scopes]
        log.clear()
        await fine()


@pytest.mark.parametrize("watched", [False, True])
async def test_the_deadline_holds_whatever_is_open(watched: bool) -> None:
    caught: list[bool] = []

    async def handler() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(anyio.sleep_forever)
            with anyio.move_on_after(60) as own:
                try:
                    await anyio.sleep_forever()
                finally:
                    caught.append(own.cancel_called)

    made = service(handler, deadline=0.02)
    for _ in range(2):
        endpoint, call = made.call()
        with pytest.raises(DeadlineExceeded):
            await endpoint.run(call, watch=anyio.sleep_forever if watched else None)
        await fine()
    assert caught == [False, False]


async def test_a_shield_that_was_opened_first_holds() -> None:
    gate = anyio.Event()
    log: list[str] = []

    async def handler() -> None:
        with anyio.CancelScope(shield=True):
            await gate.wait()
            log.append("shielded")
        await checkpoint()
        log.append("never")

    endpoint, call = service(handler).call()
    async with anyio.create_task_group() as tasks:

        async def cancel() -> None:
            await anyio.wait_all_tasks_blocked()
            call.cancel("client")
            await anyio.wait_all_tasks_blocked()
            gate.set()

        tasks.start_soon(cancel)
        with pytest.raises(Cancelled):
            await endpoint.run(call)
    assert log == ["shielded"]
    await fine()


async def test_a_scope_of_a_layer_that_is_no_coroutine() -> None:
    """A plain ``before`` that opens one and an ``after`` that leaves it."""
    opened: list[anyio.CancelScope] = []
    left: list[bool] = []

    def before(call: Call) -> Awaitable[None] | None:
        opened.append(anyio.CancelScope().__enter__())
        return checkpoint() if len(opened) % 2 else None

    def after(call: Call, result: Any, error: BaseException | None) -> None:
        opened[-1].__exit__(None, None, None)
        left.append(opened[-1].cancel_called)

    layer = Layer(before=before, after=after)
    interceptor = SimpleNamespace(
        name="scoped", phase=Phase.OBSERVE, after=(), before=(), bind=lambda *_: layer
    )

    @operation(effect="read")
    @plain()
    def handler() -> int:
        return len(opened)

    made = Service(handler, interceptors=[interceptor])
    for number in range(1, 7):
        assert await made.run() == b"%d" % number
        await fine()
    assert left == [False] * 6


async def test_a_call_that_cancels_itself_before_it_waits() -> None:
    async def handler(call: PlainCall) -> None:
        call.cancel("client")
        await anyio.sleep_forever()

    endpoint, call = service(handler).call()
    with pytest.raises(Cancelled):
        await endpoint.run(call)
    await fine()


@pytest.mark.parametrize("late", [True, False])
@pytest.mark.parametrize("watched", [True, False])
async def test_cancelled_from_outside_at_every_tick(late: bool, watched: bool) -> None:
    async def handler() -> None:
        with anyio.CancelScope():
            await checkpoint()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(checkpoint)
            try:
                await checkpoint()
            finally:
                with anyio.CancelScope(shield=True):
                    await checkpoint()

    made = service(handler)

    async def run() -> None:
        endpoint, call = made.call()
        await endpoint.run(call, watch=anyio.sleep_forever if watched else None)

    if late:
        await cancel_at_every_tick(run)
    else:
        with scope_first():
            await cancel_at_every_tick(run)
    await fine()


async def test_once_a_call_has_opened_scopes_first_the_next_ones_enter_theirs_before() -> None:
    seen: list[bool] = []

    async def handler(call: PlainCall, scoped: bool) -> None:
        seen.append(call.scope is not None)
        if scoped:
            with anyio.CancelScope():
                await checkpoint()
        await checkpoint()

    made = service(handler)
    for scoped in (b"false", b"false", b"true", b"false", b"true"):
        await made.run(document=b'{"scoped": %s}' % scoped)
        await fine()
    assert seen == [False, False, False, True, True]


def test_one_endpoint_on_several_loops() -> None:
    async def handler() -> str:
        with anyio.CancelScope():
            await checkpoint()
        return "done"

    async def quick() -> str:
        return "done"

    waits, returns = service(handler), service(quick)
    for backend in ("asyncio", "trio", "asyncio", "asyncio", "trio"):
        for made in (returns, waits):
            assert anyio.run(made.run, backend=backend) == b'"done"'


async def test_a_scope_that_left_its_place_stays_where_it_is() -> None:
    """A place the task is no longer in says nothing: what comes of it is the loop's to say."""
    nesting = nesting_module.current_nesting()
    assert nesting is not None
    here = nesting.place()
    with anyio.CancelScope():
        gone = nesting.place()
        assert gone is not here
        await checkpoint()
    assert nesting.place() is here
    with anyio.CancelScope(), anyio.CancelScope():
        now = nesting.place()
        nesting.sink(gone)
        assert nesting.place() is now
        await checkpoint()
    await fine()


Program = list[Any]


def programs() -> st.SearchStrategy[Program]:
    """What a call does, step by step."""
    step = st.sampled_from(["wait", "turn", "cancel own", "cancel call", "raise"])
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
    """One call's program, what it did and what became of it."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.log: list[str] = []
        self.gates: list[anyio.Event] = []
        self.gone = anyio.Event()
        self.around = anyio.CancelScope()
        self.call: PlainCall | None = None

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
                    await checkpoint()
                case "cancel own":
                    if scopes:
                        scopes[-1].cancel()
                case "cancel call":
                    assert self.call is not None
                    self.call.cancel("server")
                case "raise":
                    raise ValueError
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
                            await checkpoint()
                        self.log.append("cleaned")

    async def drive(self, endpoint: Endpoint[Any], watched: bool) -> None:
        """In a task of its own, in which a scope is open already."""
        with self.around:
            try:
                await endpoint.run(self.call, watch=self.gone.wait if watched else None)
                self.log.append("answered")
            except Exception as error:
                self.log.append(f"answered {type(error).__name__}")
        await fine()


async def settle() -> None:
    """Wait until nobody else has anything to do."""
    if "trio" in anyio.get_cancelled_exc_class().__module__:
        await anyio.wait_all_tasks_blocked()
        return
    # The same, which takes a tenth of a second on asyncio, where turns are taken one after the other.
    for _ in range(25):
        await checkpoint()


async def play(program: Program, moves: list[str], policy: str, watched: bool) -> list[str]:
    """Run a program, and meanwhile make the moves; then let everything come to its end."""
    run = Run(program)

    async def handler(call: PlainCall) -> None:
        await run.steps(run.program, [])

    endpoint, run.call = service(handler, on_disconnect=policy).call()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run.drive, endpoint, watched)
        await settle()
        for move in moves:
            match move:
                case "release":
                    if run.gates:
                        run.gates.pop(0).set()
                case "cancel":
                    run.call.cancel("client")
                case "leave":
                    run.gone.set()
                case "outside":
                    run.around.cancel()
            run.log.append(f"({move})")
            await settle()
        while run.gates:
            run.gates.pop(0).set()
            await settle()
    return run.log


@given(
    programs(),
    st.lists(st.sampled_from(["release", "cancel", "leave", "outside"]), max_size=3),
    st.sampled_from(["cancel", "notify", "finish"]),
    st.booleans(),
)
async def test_late_is_as_good_as_first(
    program: Program, moves: list[str], policy: str, watched: bool
) -> None:
    late = await play(program, moves, policy, watched)
    with scope_first():
        first = await play(program, moves, policy, watched)
    assert late == first
