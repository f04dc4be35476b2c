"""The plugin in a kernel: hooks, modules, providers of the application, phases."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import pytest
from operations_testbed.plain import Plain, PlainCall, by_document, plain

from covet_kernel import Context, Plugin, Serving
from covet_kernel.contracts import Operation
from covet_kernel.testing import PluginContract, run_kernel
from covet_operations import (
    OPERATIONS,
    Endpoint,
    Operations,
    Provider,
    operation,
    operations_of,
    provider,
    providers_of,
)

LOG: list[str] = []


class Clock:
    pass


class App(Plugin[None]):
    @operation(effect="read")
    @plain("hello")
    async def hello(self, clock: Clock, name: str = "you") -> str:
        LOG.append("hello")
        return f"hello {name}"

    @provider(scope="app")
    async def clock(self) -> AsyncIterator[Clock]:
        LOG.append("open clock")
        yield Clock()
        LOG.append("close clock")

    def covet_operations(self) -> Iterable[Operation]:
        return operations_of(self)

    def covet_providers(self) -> Iterable[Provider]:
        return providers_of(self)


class Transport(Plugin[None]):
    requires = (OPERATIONS,)
    implies = ("operations",)
    endpoints: tuple[Endpoint[Plain], ...] = ()

    @asynccontextmanager
    async def covet_lifespan(self, ctx: Context) -> AsyncIterator[None]:
        pipeline = ctx.require(OPERATIONS)

        def begin(serving: Serving) -> None:
            Transport.endpoints = pipeline.compile(serving, Plain, by_document)

        ctx.compile(begin)
        yield


class Faulty(Plugin[None]):
    @operation(deadline=-1)
    @plain("faulty")
    def one(self) -> None: ...

    @operation(deadline=-1)
    @plain("faulty")
    def two(self) -> None: ...

    def covet_operations(self) -> Iterable[Operation]:
        return operations_of(self)


async def test_in_a_kernel() -> None:
    LOG.clear()
    plugins = {"operations": Operations, "app": App, "transport": Transport}
    async with run_kernel(plugins):
        (endpoint,) = Transport.endpoints
        assert await endpoint.run(PlainCall(endpoint)) == b'"hello you"'
    assert LOG == ["open clock", "hello", "close clock"]


async def test_unserved_bindings_are_named(caplog: pytest.LogCaptureFixture) -> None:
    async with run_kernel({"operations": Operations, "app": App}):
        pass
    assert "App.hello is not reachable at plain 'hello'" in caplog.text


async def test_faults_stop_the_start() -> None:
    plugins = {"operations": Operations, "faulty": Faulty, "transport": Transport}
    with pytest.raises(BaseExceptionGroup) as caught:
        async with run_kernel(plugins):
            raise AssertionError("it must not serve")
    text = "".join(str(each) for each in caught.value.exceptions) + str(caught.value)
    assert "KeyError" not in text


class TestOperations(PluginContract):
    plugin = Operations
