"""What the call pipeline costs, in microseconds per call.

    python tests/benchmarks/operations/bench_chain.py [rounds]

Every row of a table is timed once per round, one after another, so that noise of the machine hits
all rows alike. Printed are medians and lowest values of the rounds, and what each row adds to the
table's first. Nothing is asserted.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from contextvars import copy_context
from typing import Any

import anyio
from anyio.lowlevel import checkpoint

from covet_kernel import Serving
from covet_kernel.contracts import (
    Binding,
    Call,
    Credentials,
    Interceptor,
    Layer,
    Operation,
    Phase,
    Principal,
)
from covet_operations import (
    Codec,
    Endpoint,
    Lane,
    Pipeline,
    Signature,
    TransportBinding,
    mark,
    operation,
    operations_of,
)

Row = tuple[str, Callable[[], Awaitable[Any]]]
CALLS = 400


async def table(title: str, rows: Sequence[Row], rounds: int) -> None:
    times: dict[str, list[float]] = {name: [] for name, _ in rows}
    for _ in range(rounds):
        for name, call in rows:
            begin = time.perf_counter()
            for _ in range(CALLS):
                await call()
            times[name].append((time.perf_counter() - begin) / CALLS * 1e6)
            await checkpoint()
    first = times[rows[0][0]]
    print(f"\n{title}\n{'':48}{'median':>8}{'added':>8}{'ratio':>8}{'lowest':>8}{'added':>8}")
    for name, _ in rows:
        # Differences are taken round by round: what slows a round down slows all its rows down.
        median, lowest = statistics.median(times[name]), min(times[name])
        added = statistics.median(one - base for one, base in zip(times[name], first, strict=True))
        ratio = statistics.median(one / base for one, base in zip(times[name], first, strict=True))
        print(
            f"{name:48}{median:8.2f}{added:8.2f}{ratio:8.2f}{lowest:8.2f}{lowest - min(first):8.2f}"
        )


# An operation, a transport that has the input as text, and the four interceptors of a service.


class Bound(TransportBinding): ...


class Request(Call):
    __slots__ = ("text",)

    def credentials(self) -> Credentials | None:
        return TOKEN


TOKEN = Credentials(scheme="bearer", value="t")
PRINCIPAL = Principal(id="ann", permissions=frozenset({"items:read"}))


@operation(name="item", effect="read", requires=("items:read",))
@mark(Bound(protocol="bench", address="item"))
async def item(id: int) -> dict[str, int]:
    return {"id": id}


@operation(name="waits", effect="read")
@mark(Bound(protocol="bench", address="waits"))
async def waits(id: int) -> dict[str, int]:
    await checkpoint()
    return {"id": id}


@operation(name="open", effect="read")
@mark(Bound(protocol="bench", address="open"))
async def open_to_all(id: int) -> dict[str, int]:
    return {"id": id}


class Hooks:
    """An interceptor made of the given hooks."""

    after: tuple[str, ...] = ()
    before: tuple[str, ...] = ()

    def __init__(self, name: str, phase: Phase, layer: Layer) -> None:
        self.name, self.phase, self._layer = name, phase, layer

    def bind(self, operation: Operation, binding: Binding) -> Layer | None:
        return self._layer


class Tokens:
    async def authenticate(self, credentials: Credentials) -> Principal | None:
        return PRINCIPAL


COUNT = [0, 0]


def observe(call: Call) -> None:
    COUNT[0] += 1


def limit(call: Call) -> None:
    if COUNT[1] > 0:
        raise ValueError


def observed(call: Call, result: Any, error: BaseException | None) -> None:
    COUNT[0] -= 1


async def authenticate(call: Call) -> None:
    call.principal = PRINCIPAL


NEEDED = frozenset({"items:read"})


def authorize(call: Call) -> None:
    if not call.principal.permissions >= NEEDED:  # type: ignore[union-attr]
        raise ValueError


async def passes(call: Call, next: Callable[[Call], Awaitable[Any]]) -> Any:
    return await next(call)


FOUR = [
    Hooks("observe", Phase.OBSERVE, Layer(before=observe)),
    Hooks("limit", Phase.LIMIT, Layer(before=limit)),
    Hooks("authentic", Phase.AUTHENTICATE, Layer(before=authenticate)),
    Hooks("authorized", Phase.AUTHORIZE, Layer(before=authorize)),
]
SIX = [
    Hooks("observe1", Phase.OBSERVE, Layer(before=observe, after=observed)),
    Hooks("observe2", Phase.OBSERVE, Layer(before=observe, after=observed)),
    *FOUR,
]


def around(number: int) -> list[Hooks]:
    return [Hooks(f"around{index}", Phase.OBSERVE, Layer(around=passes)) for index in range(number)]


def endpoints(
    interceptors: Sequence[Interceptor], authenticators: Sequence[Any] = ()
) -> dict[str, Endpoint[Bound]]:
    declared: dict[str, Sequence[Any]] = {
        "covet_operations": operations_of(sys.modules[__name__]),
        "covet_interceptors": interceptors,
        "covet_authenticators": authenticators,
    }
    serving = Serving(1, lambda hook: [("bench", each) for each in declared.get(hook, ())], {})
    pipeline = Pipeline()
    pipeline.assemble(serving)

    def codec(operation: Operation, signature: Signature, binding: Bound) -> Codec[Request]:
        return Codec(text={"id": lambda call: call.text})

    return {each.operation.name: each for each in pipeline.compile(serving, Bound, codec)}


def request(endpoint: Endpoint[Bound]) -> Request:
    made = Request(endpoint.operation, endpoint.binding)
    made.text = "7"
    return made


def closures(layers: Sequence[Hooks], inner: Callable[[Call], Awaitable[Any]]) -> Any:
    """The obvious way: every interceptor an ``async (call, next)`` that closes over the next."""

    def wrap(hook: Callable[[Call], Any], next: Callable[[Call], Awaitable[Any]]) -> Any:
        async def layer(call: Call) -> Any:
            made = hook(call)
            if made is not None:
                await made
            return await next(call)

        return layer

    for each in reversed(layers):
        assert each._layer.before is not None
        inner = wrap(each._layer.before, inner)
    return inner


async def chains(rounds: int) -> None:
    """The generated chain alone: no driver, and one ready-made call."""

    def chain(*interceptors: Interceptor, name: str = "open") -> Callable[[], Awaitable[Any]]:
        endpoint = endpoints(interceptors)[name]
        call, run = request(endpoint), endpoint._chain
        call.principal = PRINCIPAL
        return lambda: run(call)

    async def bare_steps(call: Call) -> Any:
        result = call.value = await open_to_all(int(call.text))  # type: ignore[attr-defined]
        call.body = encode(result)
        return result

    ready = endpoints(())["open"]
    encode = ready.signature.output.serializer.to_json
    call = request(ready)
    call.principal = PRINCIPAL
    naive = closures(FOUR, ready._chain)
    await table(
        "The chain: decode, handler and encode are in every row",
        [
            ("by hand: await handler(int(text)), to_json", lambda: bare_steps(call)),
            ("generated, no interceptor", chain()),
            ("generated, 3 sync before", chain(*FOUR[:2], FOUR[3])),
            ("generated, 4 (one of them async)", chain(*FOUR)),
            ("generated, 6 (2 of them before and after)", chain(*SIX)),
            ("generated, 3 around", chain(*around(3))),
            ("generated, 6 around", chain(*around(6))),
            ("closures (call, next), 4", lambda: naive(call)),
        ],
        rounds,
    )


async def drivers(rounds: int) -> None:
    """Who runs the call: the same chain under different drivers."""
    made = endpoints(())
    quick, slow = made["open"], made["waits"]
    full = endpoints(FOUR[:2], [Tokens()])["item"]

    async def chain_only(endpoint: Endpoint[Bound]) -> Any:
        return await endpoint._chain(request(endpoint))

    async def scoped(endpoint: Endpoint[Bound]) -> Any:
        with anyio.fail_after(30):
            return await endpoint._chain(request(endpoint))

    async def tasked(endpoint: Endpoint[Bound]) -> Any:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(scoped, endpoint)

    async def never() -> None:
        await anyio.sleep_forever()

    async with Lane() as lane:
        for title, endpoint in (("never waits", quick), ("waits once", slow)):
            await table(
                f"The driver: a call that {title} ({backend()})",
                [
                    ("chain alone, with a new Call", lambda e=endpoint: chain_only(e)),
                    ("Lane.run", lambda e=endpoint: lane.run(e, request(e))),
                    ("Endpoint.run", lambda e=endpoint: e.run(request(e))),
                    (
                        "Endpoint.run, watching for a disconnect",
                        lambda e=endpoint: e.run(request(e), watch=never),
                    ),
                    ("fail_after in the same task", lambda e=endpoint: scoped(e)),
                    ("a task and fail_after", lambda e=endpoint: tasked(e)),
                ],
                rounds,
            )
        await table(
            f"A whole call: observe, limit, authenticate, authorize, decode, encode ({backend()})",
            [
                ("Lane.run, no interceptor", lambda: lane.run(quick, request(quick))),
                ("Lane.run, production chain", lambda: lane.run(full, request(full))),
                ("Endpoint.run, production chain", lambda: full.run(request(full))),
            ],
            rounds,
        )


def backend() -> str:
    import sniffio

    return sniffio.current_async_library()


async def parts(rounds: int) -> None:
    endpoint = endpoints(())["open"]
    validate = endpoint.signature.inputs[0].adapter.validator.validate_strings
    encode = endpoint.signature.output.serializer.to_json

    async def nothing() -> None: ...

    async def new_call() -> None:
        Request(endpoint.operation, endpoint.binding)

    async def quick_int() -> None:
        int("7")

    async def full_int() -> None:
        validate("7")

    async def to_json() -> None:
        encode({"id": 7})

    async def context() -> None:
        copy_context()

    async def clock() -> None:
        anyio.current_time()

    await table(
        "Parts",
        [
            ("an empty coroutine", nothing),
            ("Call object", new_call),
            ("int() of a path value", quick_int),
            ("pydantic's int of a path value", full_int),
            ("pydantic encode of a small dict", to_json),
            ("copy_context", context),
            ("anyio.current_time", clock),
        ],
        rounds,
    )


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 60
    print(f"Python {sys.version.split()[0]}, {rounds} rounds of {CALLS} calls, medians")
    anyio.run(chains, rounds)
    anyio.run(parts, rounds)
    for name in ("asyncio", "trio"):
        anyio.run(drivers, rounds, backend=name)


if __name__ == "__main__":
    main()
