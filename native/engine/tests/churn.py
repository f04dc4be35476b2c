"""Clients that do anything at random: good, rude and broken ones, each life drawn from a seed."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import anyio
import anyio.lowlevel
from wire import PATIENCE, Client, WireError, connect, read_answers, request

SIZES = [0, 1, 100, 5000, 70_000, 400_000]
BROKEN = [
    b"GET / HTTP/1.1\r\n\r\n",
    b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n",
    b"GET / HTTP/1.1\nHost: a\n\n",
    b"POST /numbers HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\n",
    b"POST /numbers HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"POST /numbers HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcdeXX",
    b"POST /numbers HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0x5\r\n",
    b"GET / HTTP/9.9\r\nHost: a\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
]


# A hundred kilobytes byte by byte would outlast anybody's patience on a busy machine.
MOST_PIECES = 2000


@dataclass
class Ask:
    """A good request and the only right answer to it."""

    data: bytes
    body: bytes
    method: str = "GET"
    status: int = 200


def ask(choose: random.Random, number: int, *, waiting: bool = True) -> Ask:
    """Any good request, or one whose handler does not wait."""
    kind = choose.randrange(13) if waiting else choose.randrange(6, 12)
    if kind == 8 and not waiting:
        kind = 2
    body = b'{"n":%d}' % number
    if kind == 0:
        return Ask(request(f"/later/{number}"), b'"%d"' % number)
    if kind == 1:
        return Ask(request(f"/slow/{number}?ms={choose.randrange(6)}"), b'"%d"' % number)
    if kind == 2:
        return Ask(request("/numbers", "POST", body.ljust(choose.choice([20, 20_000]))), body[5:-1])
    if kind == 3:
        return Ask(request("/later-numbers", "POST", body), body[5:-1])
    if kind == 4:
        size = choose.choice(SIZES)
        return Ask(request(f"/text/{size}"), b'"' + b"x" * size + b'"')
    if kind == 5:
        lines = choose.choice([0, 1, 50, 2000])
        return Ask(request(f"/count/{lines}"), b"".join(b'{"n":%d}\n' % n for n in range(lines)))
    if kind == 6:
        return Ask(request(f"/hit/{number}", "HEAD"), b"", "HEAD")
    if kind == 7:
        return Ask(chunked("/numbers", body, choose), body[5:-1])
    if kind == 8:
        numbers = [choose.randrange(100) for _ in range(choose.choice([0, 3, 500]))]
        lines_in = b"".join(b'{"n":%d}\n' % n for n in numbers)
        data = chunked("/sum", lines_in, choose).replace(b"/json", b"/x-ndjson")
        return Ask(data, b"%d" % sum(numbers))
    if kind == 9:
        expect = request("/numbers", "POST", body, "Expect: 100-continue")
        return Ask(expect, body[5:-1])
    return Ask(request(f"/hit/{number}", "GET", b"", f"X-More: {'y' * choose.randrange(300)}"),
               b'"%d"' % number)  # fmt: skip


def chunked(target: str, body: bytes, choose: random.Random) -> bytes:
    head = (
        f"POST {target} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
        "Transfer-Encoding: chunked\r\n\r\n"
    )
    parts = [head.encode()]
    while body:
        size = choose.randrange(1, 1000)
        part, body = body[:size], body[size:]
        extension = choose.choice([b"", b"", b";a=b"])
        parts.append(b"%x%s\r\n%s\r\n" % (len(part), extension, part))
    parts.append(b"0\r\n" + choose.choice([b"", b"X-Sum: 1\r\n"]) + b"\r\n")
    return b"".join(parts)


async def life(choose: random.Random, port: int, tally: Counter[str]) -> None:
    """One connection from its beginning to one of its ends."""
    client = await connect(port, buffer=choose.choice([0, 0, 0, 4096]), spread=True)
    kind = choose.choice([polite, polite, pipelining, pipelining, half_closing, broken, leaving])
    try:
        with anyio.fail_after(PATIENCE):
            await kind(client, choose, tally)
    finally:
        client.close()


def check(asked: Ask, status: int, body: bytes) -> None:
    if (status, body) != (asked.status, asked.body):
        raise WireError(f"{asked.data[:200]!r}: {status} {body[:200]!r}")


async def final(client: Client, method: str) -> tuple[int, bytes]:
    answer = await client.answer(method)
    while answer.status == 100:
        answer = await client.answer(method)
    return answer.status, answer.body


async def polite(client: Client, choose: random.Random, tally: Counter[str]) -> None:
    """One request after the other."""
    for _ in range(choose.randrange(1, 12)):
        asked = ask(choose, choose.randrange(10**6))
        await deliver(client, asked.data, choose)
        check(asked, *await final(client, asked.method))
        tally["answered"] += 1


async def pipelining(client: Client, choose: random.Random, tally: Counter[str]) -> None:
    """Many at once."""
    asks = [ask(choose, choose.randrange(10**6)) for _ in range(choose.randrange(2, 40))]
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(deliver, client, b"".join(each.data for each in asks), choose)
        for each in asks:
            check(each, *await final(client, each.method))
            tally["answered"] += 1


async def half_closing(client: Client, choose: random.Random, tally: Counter[str]) -> None:
    """Many at once, and no more to come: to a handler that waits it would look like leaving."""
    count = choose.randrange(1, 10)
    asks = [ask(choose, choose.randrange(10**6), waiting=False) for _ in range(count)]
    async with anyio.create_task_group() as tasks:

        async def send() -> None:
            await deliver(client, b"".join(each.data for each in asks), choose)
            client.finish()

        tasks.start_soon(send)
        for each in asks:
            check(each, *await final(client, each.method))
            tally["answered"] += 1
        if await client.until_closed():
            raise WireError("more answers than requests")
    tally["half-closed"] += 1


async def broken(client: Client, choose: random.Random, tally: Counter[str]) -> None:
    """Something malformed behind some good requests."""
    asks = [ask(choose, choose.randrange(10**6)) for _ in range(choose.randrange(4))]
    data = b"".join(each.data for each in asks) + choose.choice(BROKEN)
    data += request("/admin") * choose.randrange(3)
    answers = read_answers(await client.converse(data), [each.method for each in asks])
    finals = [answer for answer in answers if answer.status != 100]
    for asked, answer in zip(asks, finals, strict=False):
        check(asked, answer.status, answer.body)
    if len(finals) != len(asks) + 1 or finals[-1].status < 400 or not finals[-1].closes:
        raise WireError(f"{data[-300:]!r}: {[answer.status for answer in answers]}")
    tally["refused"] += 1


async def leaving(client: Client, choose: random.Random, tally: Counter[str]) -> None:
    """Go away at any moment, in any way."""
    data = b"".join(ask(choose, 1).data for _ in range(choose.randrange(1, 5)))
    data += choose.choice([b"", b"", request("/endless"), request("/wait")])
    data = data[: choose.randrange(len(data) + 1)] if choose.random() < 0.5 else data
    with anyio.move_on_after(0.5):
        await deliver(client, data, choose)
        for _ in range(choose.choice([0, 0, 1, 5])):
            await client.receive()
        await anyio.sleep(choose.choice([0, 0, 0.001, 0.01]))
    tally["left"] += 1
    if choose.random() < 0.5:
        client.reset()


async def deliver(client: Client, data: bytes, choose: random.Random) -> None:
    """In one write, or in pieces of any size."""
    how = choose.randrange(4)
    smallest = len(data) // MOST_PIECES
    at = 0
    while at < len(data):
        size = len(data) if how else max(choose.choice([1, 7, 100, 1460, 20_000]), smallest)
        await client.send(data[at : at + size])
        at += size
        if not how:
            await anyio.lowlevel.checkpoint()


@dataclass
class Churn:
    """Many lives at once.

    Attributes:
        tally: How many of each kind there were.
    """

    port: int
    at_once: int = 40
    tally: Counter[str] = field(default_factory=Counter)

    async def run(self, seed: int, unfinished: Callable[[], bool]) -> None:
        """Begin one life after the other while ``unfinished()``.

        Raises:
            WireError: The server answered wrongly; a note says which life of which seed it was.
        """
        made = 0

        async def lives() -> None:
            nonlocal made
            while unfinished():
                made += 1
                name = f"{seed}.{made}"
                try:
                    await life(random.Random(name), self.port, self.tally)
                except BaseException as error:
                    error.add_note(f"the life {name!r}")
                    raise
                self.tally["lives"] += 1

        async with anyio.create_task_group() as tasks:
            for _ in range(self.at_once):
                tasks.start_soon(lives)
