"""Layers in one chain: order, failures, results brought by an ``around``."""

from __future__ import annotations

import re
from collections.abc import Awaitable
from contextlib import nullcontext
from types import CodeType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from operations_testbed.plain import Service, plain

from covet_kernel.contracts import Binding, Call, Layer, Next, Operation, Phase
from covet_operations import Conflict, NotFound, operation
from covet_operations._chain import Source, compose, compose_direct


class Given:
    after: tuple[str, ...] = ()
    before: tuple[str, ...] = ()

    def __init__(self, name: str, phase: Phase, layer: Layer | None) -> None:
        self.name, self.phase, self._layer = name, phase, layer

    def bind(self, operation: Operation, binding: Binding) -> Layer | None:
        return self._layer


@operation(effect="read", errors=(NotFound,))
@plain()
def double(n: int) -> int:
    if n < 0:
        raise NotFound
    return 2 * n


async def run(layer: Layer, phase: Phase = Phase.OBSERVE, n: int = 4) -> Any:
    service = Service(double, interceptors=[Given("given", phase, layer)])
    return await service.run(document=f'{{"n": {n}}}'.encode())


async def test_an_around_may_answer_itself() -> None:
    async def cached(call: Call, next: Next) -> Any:
        return 7

    assert await run(Layer(around=cached)) == b"7"


async def test_an_around_may_replace_the_result_or_try_again() -> None:
    async def twice(call: Call, next: Next) -> Any:
        await next(call)
        return await next(call) + 1

    assert await run(Layer(around=twice)) == b"9"


async def test_after_sees_the_result_and_the_error_and_may_replace_it() -> None:
    seen: list[Any] = []

    def after(call: Call, result: Any, error: BaseException | None) -> None:
        seen.append((result, type(error)))
        if error is not None:
            raise Conflict from error

    assert await run(Layer(after=after)) == b"8"
    with pytest.raises(Conflict):
        await run(Layer(after=after), n=-1)
    assert seen == [(8, type(None)), (None, NotFound)]


async def test_before_may_hand_back_an_awaitable() -> None:
    log = []

    async def later() -> None:
        log.append("later")

    assert await run(Layer(before=lambda call: later())) == b"8"
    assert log == ["later"]


async def test_arguments_may_be_seen_and_changed_behind_validate() -> None:
    def change(call: Call) -> None:
        assert call.args is not None
        call.args["n"] += 1

    assert await run(Layer(before=change), Phase.VALIDATE) == b"10"


async def test_none_stays_out_of_the_chain() -> None:
    service = Service(double, interceptors=[Given("out", Phase.OBSERVE, None)])
    assert await service.run(document=b'{"n": 1}') == b"2"


SHAPES = st.sets(st.sampled_from(["before", "after", "around", "async", "hands back"]), min_size=1)


@given(st.lists(st.tuples(SHAPES, st.booleans()), max_size=6), st.booleans())
def test_generated_code_does_what_nesting_does(layers: list[Any], fails: bool) -> None:
    """Against a model: enter in order, stop at the first refusal, leave what was entered in reverse."""
    log: list[str] = []

    def layer(number: int, shape: set[str], refuses: bool) -> Layer:
        def before(call: Call) -> None:
            log.append(f"before {number}")
            if refuses:
                raise Conflict

        async def before_async(call: Call) -> None:
            before(call)

        def hands_back(call: Call) -> Awaitable[None]:
            return before_async(call)

        def after(call: Call, result: Any, error: BaseException | None) -> None:
            log.append(f"after {number} {type(error).__name__}")

        async def around(call: Call, next: Next) -> Any:
            log.append(f"around {number}")
            try:
                return await next(call)
            finally:
                log.append(f"left {number}")

        forms = {"async": before_async, "hands back": hands_back, "before": before}
        return Layer(
            before=next((forms[form] for form in forms if form in shape), None),
            after=after if "after" in shape else None,
            around=around if "around" in shape else None,
        )

    def handler() -> str:
        log.append("handler")
        if fails:
            raise NotFound
        return "result"

    made = [layer(number, shape, refuses) for number, (shape, refuses) in enumerate(layers)]

    def inner(source: Source) -> None:
        source.line(f"r = {source.name(handler)}()")

    expected, error = modelled(layers, fails)
    outcome = {"Conflict": Conflict, "NotFound": NotFound}.get(error)
    with pytest.raises(outcome) if outcome else nullcontext():
        finish(compose(made, inner)(object()))  # type: ignore[arg-type]
    assert log == expected
    log.clear()
    direct = compose_direct(made, inner)
    assert (direct is None) == any(shape & {"around", "async"} for shape, _ in layers)
    if direct is not None:
        with pytest.raises(outcome) if outcome else nullcontext():
            finish(direct(object()))  # type: ignore[arg-type]
        assert log == expected


def modelled(layers: list[tuple[set[str], bool]], fails: bool) -> tuple[list[str], str]:
    """What nested layers log, and the error that leaves them."""
    expected: list[str] = []
    entered: list[tuple[int, set[str]]] = []
    error = "NotFound" if fails else "NoneType"
    for number, (shape, refuses) in enumerate(layers):
        if shape & {"before", "async", "hands back"}:
            expected.append(f"before {number}")
            if refuses:
                error = "Conflict"
                break
        entered.append((number, shape))
        if "around" in shape:
            expected.append(f"around {number}")
    else:
        expected.append("handler")
    for number, shape in reversed(entered):
        expected += [f"left {number}"] if "around" in shape else []
        expected += [f"after {number} {error}"] if "after" in shape else []
    return expected, error


def finish(coroutine: Any) -> None:
    """Run a coroutine that is known not to wait; or nothing."""
    if coroutine is not None:
        with pytest.raises(StopIteration):
            coroutine.send(None)


def test_a_chain_that_waits_inside_is_never_a_plain_function() -> None:
    def inner(source: Source) -> None:
        source.line("async with x as r:")
        source.line("    pass")

    assert compose_direct([], inner) is None


@operation(effect="read")
@plain()
def triple(n: int) -> int:
    return 3 * n


@operation(effect="read")
@plain()
async def halve(n: int) -> float:
    return n / 2


async def test_a_plain_handler_runs_without_a_coroutine() -> None:
    endpoint, call = Service(triple).call()
    call.document = b'{"n": 4}'
    assert endpoint.direct is not None
    assert endpoint.direct(call) is None
    assert call.body == b"12"
    endpoint, call = Service(halve).call()
    assert endpoint.direct is None


def test_no_text_of_a_user_becomes_source() -> None:
    @operation(name="import os; os.abort()", effect="read")
    @plain("'); import os #")
    def strange(r: int, *, call: int = 3) -> int:
        return r

    (endpoint,) = Service(strange).endpoints
    codes: list[CodeType] = [each.__code__ for each in (endpoint.start, endpoint.direct)]  # type: ignore[union-attr]
    names = {name for code in codes for name in (*code.co_names, *code.co_freevars)}
    assert {name for name in names if not re.fullmatch(r"v\d+|rest_\d+", name)} <= {
        "__class__",
        "args",
        "body",
        "value",
    }
