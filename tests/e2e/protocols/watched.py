"""Plugins around the application: who may call, and what each phase of the chain sees."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any, Final

import anyio
from operations_testbed.bed import Limit, Observe, Tokens
from operations_testbed.shop import PROBE

from covet_kernel import Context, Plugin
from covet_kernel.contracts import (
    Authenticator,
    Binding,
    Call,
    Capability,
    Interceptor,
    Layer,
    Operation,
    Phase,
)


class Auth(Plugin[None]):
    """Knows ann, who may do everything, and bob, who may do nothing special."""

    def covet_authenticators(self) -> Iterable[Authenticator]:
        return (Tokens(),)

    def covet_permissions(self) -> Iterable[str]:
        return ("orders:write", "books:write")


class Step:
    """Stands in one phase, behind what is built in there, and writes down what is known by then."""

    before: tuple[str, ...] = ()

    def __init__(self, phase: Phase, steps: list[str]) -> None:
        self.name, self.phase = f"step-{phase.name.lower()}", phase
        built_in = (Phase.AUTHENTICATE, Phase.AUTHORIZE, Phase.VALIDATE, Phase.TRANSACT)
        self.after = (phase.name.lower(),) if phase in built_in else ()
        self._steps = steps

    def bind(self, operation: Operation, binding: Binding) -> Layer | None:
        phase = self.phase.name.lower()

        def enter(call: Call) -> None:
            known = {"who": call.principal, "args": call.args, "tx": call.tx}
            self._steps.append(" ".join([phase, *(name for name in known if known[name])]))

        def leave(call: Call, result: Any, error: BaseException | None) -> None:
            ended = type(error).__name__
            if isinstance(error, anyio.get_cancelled_exc_class()):
                ended = f"cancelled by {call.cause or 'deadline'}"
            self._steps.append(f"/{phase}" if error is None else f"/{phase} {ended}")

        return Layer(before=enter, after=leave)


class Watched:
    """What a test sees of chains, and how it interferes.

    Attributes:
        steps: Each phase as it was entered and left, in order.
        limit: Refuses everything while it is closed.
    """

    def __init__(self) -> None:
        self.steps: list[str] = []
        self.limit = Limit()


WATCHED: Final = Capability[Watched]("test.watched")


class Watch(Plugin[None]):
    """An interceptor in every phase."""

    requires = (PROBE,)
    provides = (WATCHED,)

    @asynccontextmanager
    async def covet_lifespan(self, ctx: Context) -> AsyncIterator[None]:
        self._watched = Watched()
        self._log = ctx.require(PROBE).log
        ctx.provide(WATCHED, self._watched)
        yield

    def covet_interceptors(self) -> Iterable[Interceptor]:
        yield Observe(self._log)
        yield self._watched.limit
        for phase in Phase:
            yield Step(phase, self._watched.steps)
