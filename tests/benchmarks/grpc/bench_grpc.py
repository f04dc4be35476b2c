"""Unary calls and streams of a thousand messages: covet beside gRPC's own asynchronous server.

One client, gRPC's own, drives each server in turn; what counts is the processor time of the server's
process. Goal: at most two thirds of what grpc.aio takes, on the native engine.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import anyio
import grpc.aio
import psutil
from benchmarks.measure import Comparison, interleaved, report
from servers import SERVICE, messages

PEER = "grpc.aio"
OURS = ("engine", "engine/trio", "hypercorn")
AT_ONCE = 32
GOAL = 1 / 1.5


@contextmanager
def served(name: str) -> Iterator[tuple[psutil.Process, int]]:
    """A server in a process of its own, and its port."""
    command = [sys.executable, str(Path(__file__).with_name("servers.py")), name]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        yield psutil.Process(process.pid), int(process.stdout.readline())
    finally:
        process.stdin.close()
        process.wait(60)


async def echo(channel: Any, calls: int) -> None:
    """So many calls, some of them at once."""
    of = messages()
    say = channel.unary_unary(
        f"/{SERVICE}/Echo", of("EchoRequest").SerializeToString, of("EchoResponse").FromString
    )
    request = of("EchoRequest")(text="hello, what is said is answered")

    async def some() -> None:
        for _ in range(calls // AT_ONCE):
            answer = await say(request)
            assert answer.value == request.text

    async with anyio.create_task_group() as tasks:
        for _ in range(AT_ONCE):
            tasks.start_soon(some)


async def items(channel: Any, streams: int) -> None:
    """So many streams of a thousand messages, one behind the other."""
    of = messages()
    ask = channel.unary_stream(
        f"/{SERVICE}/Items", of("ItemsRequest").SerializeToString, of("Item").FromString
    )
    for _ in range(streams):
        count = 0
        async for _ in ask(of("ItemsRequest")(count=1000)):
            count += 1
        assert count == 1000


def cost(
    work: Callable[[Any, int], Awaitable[None]], process: psutil.Process, port: int, count: int
) -> Callable[[], float]:
    """Microseconds of the server's processor for each of ``count``."""

    async def once() -> float:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            await work(channel, AT_ONCE if work is echo else 1)
            before = process.cpu_times()
            await work(channel, count)
            after = process.cpu_times()
        return 1e6 * (after.user + after.system - before.user - before.system) / count

    return lambda: anyio.run(once)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--calls", type=int, default=6400)
    parser.add_argument("--streams", type=int, default=20)
    parser.add_argument("--servers", nargs="*", default=OURS)
    arguments = parser.parse_args()
    with ExitStack() as stack:
        running = {name: stack.enter_context(served(name)) for name in (*arguments.servers, PEER)}
        for title, work, count in (
            ("a unary call", echo, arguments.calls),
            ("a stream of 1,000 messages", items, arguments.streams),
        ):
            rivals = {
                name: cost(work, process, port, count) for name, (process, port) in running.items()
            }
            samples = interleaved(rivals, arguments.runs)
            report(
                title,
                samples,
                [
                    Comparison(f"{name} / {PEER}", name, PEER, GOAL if "engine" in name else 9.9)
                    for name in arguments.servers
                ],
                unit="us",
            )


if __name__ == "__main__":
    main()
