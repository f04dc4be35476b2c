"""Stopping: calls in flight are answered, streams without an end are told."""

from __future__ import annotations

import queue
from typing import Any

import anyio
import anyio.from_thread
import anyio.to_thread
import grpc
import pytest
from grpc_served import SERVERS, Messages, Served, on

from covet_http import HTTP
from covet_kernel.testing import run_kernel

pytestmark = pytest.mark.parametrize("server", SERVERS)


async def test_a_call_in_flight_is_answered(protos: Messages, server: str) -> None:
    lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    begun = anyio.Event()
    said: list[str] = []

    async with anyio.create_task_group() as tasks:
        async with run_kernel(*on(server)) as kernel:
            served = served_by(kernel, protos)

            def chat() -> None:
                with grpc.insecure_channel(f"127.0.0.1:{served.port}") as channel:
                    asked = (
                        served.make("ChatRequest", value=line) for line in iter(lines.get, None)
                    )
                    answers = served.stub(channel, "Chat")(asked, timeout=60)
                    said.append(next(answers).value)
                    anyio.from_thread.run_sync(begun.set)
                    said.extend(each.value for each in answers)

            tasks.start_soon(anyio.to_thread.run_sync, chat)
            lines.put("one")
            with anyio.fail_after(60):
                await begun.wait()
            # The service stops while the stream is open, and waits for its end.
            serving = kernel.phase
            assert serving is not None

            async def go_on() -> None:
                await serving.draining.wait()
                lines.put("two")
                lines.put(None)

            tasks.start_soon(go_on)
    assert said == ["ONE", "TWO"]


async def test_a_stream_without_an_end_is_told_that_the_service_stops(
    protos: Messages, server: str
) -> None:
    begun = anyio.Event()
    caught: list[Any] = []

    async with anyio.create_task_group() as tasks:
        with pytest.raises(ExceptionGroup, match="in flight"):
            async with run_kernel(*on(server), kernel={"drain_timeout": 0.1}) as kernel:
                served = served_by(kernel, protos)

                def watch() -> None:
                    with grpc.insecure_channel(f"127.0.0.1:{served.port}") as channel:
                        stream = served.stub(channel, "Watch")(
                            served.make("WatchRequest", name="x")
                        )
                        assert next(stream).value == "first"
                        anyio.from_thread.run_sync(begun.set)
                        try:
                            next(stream)
                        except grpc.RpcError as error:
                            caught.append(error)

                tasks.start_soon(anyio.to_thread.run_sync, watch)
                with anyio.fail_after(60):
                    await begun.wait()
        assert served.library.log == ["watches x", "leaves x"]
    (error,) = caught
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert error.details() == "the service is stopping"


def served_by(kernel: Any, protos: Messages) -> Served:
    port = int(kernel.require(HTTP).urls[0].rpartition(":")[2])
    library: Any = kernel.assembly.nodes["library"].plugin
    return Served(port, library, protos, None, kernel)  # type: ignore[arg-type]
