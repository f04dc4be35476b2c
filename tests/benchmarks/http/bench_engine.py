"""covet's native engine on the wire, against a floor in C and against its peers.

    python tests/benchmarks/http/bench_engine.py [--rounds 10] [--quick] [--only GROUP ...]
        [--python 3.13=/path/to/bin/python] [--record FILE]

See the README beside this file for what is measured, and how. Nothing here asserts a time.
"""

from __future__ import annotations

import argparse
import json
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from generator import Generator, Sample, Work, WrongAnswerError, ask, fetch
from machine import environment
from peers.work import MESSAGE, Line, Order
from servers import (
    Recipe,
    Server,
    covet,
    engine_asgi,
    floor,
    granian,
    nginx,
    socketify,
    uvicorn,
)
from table import (
    GOALS,
    GROUP,
    Goal,
    Verdict,
    goal_rows,
    group_rows,
    judge,
    markdown,
    spread,
    text,
    verdict,
)

ORDER = Order(
    customer="a customer",
    lines=[Line(book_id=n, quantity=n, note="x" * 20) for n in range(16)],
)
WORKS = {
    work.name: work
    for work in (
        Work("json", "/json", MESSAGE),
        Work("json-async", "/json-async", MESSAGE),
        Work("json-timer", "/json-timer", MESSAGE),
        Work("json-reply", "/json-reply", MESSAGE),
        Work("bare", "/bare", MESSAGE),
        Work("native", "/native", MESSAGE),
        Work("native-short", "/native", MESSAGE, fields=("Host: localhost:8000",)),
        Work(
            "item",
            "/items/42?q=some%20words&limit=20",
            {"id": 42, "q": "some words", "limit": 20},
        ),
        Work("order", "/orders", ORDER.model_dump(), ORDER.model_dump_json().encode()),
    )
}


@dataclass(frozen=True)
class Entry:
    """One line of a group: a server doing one work."""

    title: str
    server: str
    work: str


@dataclass(frozen=True)
class Group:
    """Entries that take turns, and what is asked of them."""

    name: str
    title: str
    entries: Sequence[Entry]
    goals: Sequence[Goal] = ()
    connections: int = 64
    depth: int = 1
    floor: str = ""
    """The work whose answers the floor repeats."""


@dataclass
class Run:
    """What the rounds have brought so far."""

    samples: dict[str, dict[str, dict[int, Sample]]] = field(default_factory=dict)
    """By group, title of the entry, and number of the round."""
    unsteady: int = 0
    """Runs that others disturbed at every try."""
    problems: dict[str, str] = field(default_factory=dict)
    """Servers and entries that could not be measured, and why."""
    memory: dict[str, list[tuple[float, float, float, float]]] = field(default_factory=dict)
    """Resident, proportional and private megabytes idle; private bytes for each connection."""
    service: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    """Median and p99 of the time within the engine, in microseconds."""


def recipes(pythons: dict[str, str]) -> dict[str, Recipe]:
    busy = {"BENCH_BUSY": "1"}
    found = [
        covet("covet", "engine"),
        covet("covet-bare", "engine", settings=BARE),
        covet("covet-trio", "engine", backend="trio"),
        covet("covet-busy", "engine", environment=busy),
        covet("covet-portable", "hypercorn"),
        covet("covet-portable-trio", "hypercorn", backend="trio"),
        nginx(),
        socketify("socketify"),
        socketify("socketify-busy", **busy),
        granian(),
        uvicorn("uvicorn-starlette", "starlette_app:app"),
        uvicorn("uvicorn-plain", "starlette_app:app", "--loop", "asyncio", "--http", "h11"),
        uvicorn("uvicorn-fastapi", "fastapi_app:app"),
        engine_asgi("engine-fastapi", "fastapi_app:app"),
    ]
    for version, python in pythons.items():
        found.append(covet(f"covet-{version}", "engine", python=python))
    return {recipe.name: recipe for recipe in found}


BARE = """
[plugins.operations]
deadline = 0
"""
"""What the row of the empty chain switches off: no deadline. The rest of the chain is what
the operation asks for, and it asks for nothing."""


def groups(pythons: dict[str, str]) -> list[Group]:
    others = [Entry(f"covet async def, {v}", f"covet-{v}", "json-async") for v in pythons]
    newer = [
        Goal(f"JSON, `async def` that does not wait, default chain, {v}", each.title, "floor", 1.6)
        for v, each in zip(pythons, others, strict=True)
    ]
    return [
        Group(
            "json",
            "JSON, 64 connections",
            [
                Entry("covet def, empty chain (bare)", "covet-bare", "json"),
                Entry("covet def", "covet", "json"),
                Entry("covet async def", "covet", "json-async"),
                *others,
                Entry("covet def, trio", "covet-trio", "json"),
                Entry("covet async def, trio", "covet-trio", "json-async"),
                Entry("covet portable", "covet-portable", "json"),
                Entry("covet portable, trio", "covet-portable-trio", "json"),
                Entry("socketify bare def", "socketify", "bare"),
                Entry("socketify", "socketify", "json"),
                Entry("granian", "granian", "json"),
                Entry("uvicorn + starlette", "uvicorn-starlette", "json"),
                Entry("uvicorn (asyncio, h11) + starlette", "uvicorn-plain", "json"),
                Entry("fastapi on uvicorn", "uvicorn-fastapi", "json"),
                Entry("fastapi on covet's engine", "engine-fastapi", "json"),
            ],
            [
                Goal(
                    "JSON, `def`, empty chain (bare)",
                    "covet def, empty chain (bare)",
                    "floor",
                    1.25,
                ),
                Goal("JSON, `def`, default chain", "covet def", "floor", 1.5),
                Goal(
                    f"JSON, `async def` that does not wait, default chain, {HERE_VERSION}",
                    "covet async def",
                    "floor",
                    1.6,
                ),
                *newer,
                Goal(
                    "the same, ahead of socketify's bare `def`",
                    "covet async def",
                    "socketify bare def",
                    1.0,
                ),
                Goal("trio against asyncio, JSON `def`", "covet def, trio", "covet def", 1.3),
                Goal(
                    "trio against asyncio, JSON `async def`",
                    "covet async def, trio",
                    "covet async def",
                    1.3,
                ),
                Goal(
                    "FastAPI on the engine against FastAPI on uvicorn",
                    "fastapi on covet's engine",
                    "fastapi on uvicorn",
                    1.5,
                    measure=lambda sample: sample.per_cpu,
                    unit="x the requests per CPU second",
                    at_least=True,
                ),
            ],
            floor="json",
        ),
        Group(
            "wait",
            "JSON, `async def` that waits once, 64 connections",
            [
                Entry("covet, timer", "covet", "json-timer"),
                Entry("covet, reply", "covet", "json-reply"),
                Entry("covet, timer, trio", "covet-trio", "json-timer"),
                Entry("covet, reply, trio", "covet-trio", "json-reply"),
                Entry("uvicorn + starlette, timer", "uvicorn-starlette", "json-timer"),
                Entry("uvicorn + starlette, reply", "uvicorn-starlette", "json-reply"),
                Entry("fastapi on uvicorn, timer", "uvicorn-fastapi", "json-timer"),
                Entry("granian, timer", "granian", "json-timer"),
            ],
            [
                Goal(
                    "JSON, `async def` that waits for a timer",
                    "covet, timer",
                    "uvicorn + starlette, timer",
                    0.5,
                ),
                Goal(
                    "JSON, `async def` that waits for one turn of the loop",
                    "covet, reply",
                    "uvicorn + starlette, reply",
                    0.5,
                ),
            ],
            floor="json",
        ),
        Group(
            "typed",
            "typed path and query parameters, JSON, 64 connections",
            [
                Entry("covet def", "covet", "item"),
                Entry("covet def, trio", "covet-trio", "item"),
                Entry("socketify", "socketify", "item"),
                Entry("granian", "granian", "item"),
                Entry("uvicorn + starlette", "uvicorn-starlette", "item"),
                Entry("fastapi on uvicorn", "uvicorn-fastapi", "item"),
            ],
            [
                Goal("typed path and query, default chain", "covet def", "socketify", 0.5),
                Goal(
                    "typed path and query, default chain",
                    "covet def",
                    "fastapi on uvicorn",
                    1 / 12,
                ),
            ],
            floor="item",
        ),
        Group(
            "post",
            "1 KB POST validated by pydantic and echoed, 64 connections",
            [
                Entry("covet def", "covet", "order"),
                Entry("covet def, trio", "covet-trio", "order"),
                Entry("socketify", "socketify", "order"),
                Entry("granian", "granian", "order"),
                Entry("uvicorn + starlette", "uvicorn-starlette", "order"),
                Entry("fastapi on uvicorn", "uvicorn-fastapi", "order"),
            ],
            [
                Goal("1 KB POST validated, default chain", "covet def", "socketify", 0.6),
                Goal(
                    "1 KB POST validated, default chain", "covet def", "fastapi on uvicorn", 1 / 7
                ),
            ],
            floor="order",
        ),
        Group(
            "pipelined",
            "JSON pipelined by 16, 64 connections",
            [
                Entry("covet def", "covet", "json"),
                Entry("covet async def", "covet", "json-async"),
                Entry("covet def, trio", "covet-trio", "json"),
                Entry("socketify", "socketify", "json"),
                Entry("granian", "granian", "json"),
                Entry("uvicorn + starlette", "uvicorn-starlette", "json"),
            ],
            [
                Goal(
                    "pipelined by 16, `def`",
                    "covet def",
                    None,
                    400_000,
                    measure=lambda sample: sample.per_cpu,
                    unit="requests per CPU second",
                    at_least=True,
                )
            ],
            depth=16,
            floor="json",
        ),
        Group(
            "native",
            "a native answer, 64 connections",
            [Entry("covet native", "covet", "native"), Entry("nginx", "nginx", "native")],
            [
                Goal("native answer, unpipelined", "covet native", "floor", 1.05),
                Goal("native answer, unpipelined", "covet native", "nginx", 1.0),
            ],
            floor="native",
        ),
        Group(
            "native-pipelined",
            "a native answer pipelined by 256, 32 connections",
            [
                Entry("covet native", "covet", "native"),
                Entry("covet native, requests with Host alone", "covet", "native-short"),
                Entry("nginx", "nginx", "native"),
            ],
            [
                Goal(
                    "native answer, pipelined by 256",
                    "covet native",
                    None,
                    5_000_000,
                    measure=lambda sample: sample.rate,
                    unit="requests per second on the wire",
                    at_least=True,
                )
            ],
            connections=32,
            depth=256,
            floor="native",
        ),
        Group(
            "busy",
            "JSON with one CPU-bound Python thread beside it, 64 connections",
            [
                Entry("covet def", "covet-busy", "json"),
                Entry("covet async def", "covet-busy", "json-async"),
                Entry("socketify", "socketify-busy", "json"),
            ],
            [
                Goal(
                    "p99 with one CPU-bound thread beside it",
                    "covet def",
                    "socketify",
                    2.0,
                    measure=lambda sample: sample.p99,
                )
            ],
        ),
    ]


HERE_VERSION = ".".join(platform.python_version_tuple()[:2])
OTHERS = ("service", "memory")
"""Groups that are not a matter of requests per CPU second."""
ALONE = Group("service", "", (), connections=1)
STEADY = 0.95
"""A run counts if other programs left the generator this much of its core."""


class Bench:
    """All rounds of a run.

    Every round starts every server anew and loads one at a time, entry by entry, while the others
    are stopped; within a group the order turns by one each round.
    """

    def __init__(self, given: argparse.Namespace, folder: Path) -> None:
        self.pythons = dict(each.split("=", 1) for each in given.python)
        self.recipes = recipes(self.pythons)
        self.groups = [each for each in groups(self.pythons) if each.name in given.only]
        self.given = given
        self.folder = folder
        self.generator = Generator(folder)
        self.run = Run()
        self.answers: dict[str, bytes] = {}
        self.verdicts: list[Verdict] = []

    def rounds(self) -> None:
        for number in range(self.given.rounds):
            began = time.monotonic()
            with self._servers() as servers:
                for group in self.groups:
                    self._group(group, servers, number)
                if "service" in self.given.only:
                    self._service(servers)
            if "memory" in self.given.only and number < 3:
                self._memory()
            took = time.monotonic() - began
            print(f"round {number + 1} of {self.given.rounds}: {took:.0f} s", file=sys.stderr)

    @contextmanager
    def _servers(self) -> Iterator[dict[str, Server]]:
        """Every server that is wanted and can be had, stopped."""
        wanted = {entry.server for group in self.groups for entry in group.entries}
        if "service" in self.given.only:
            wanted.add("covet")
        with ExitStack() as stack:
            servers: dict[str, Server] = {}
            for name, recipe in self.recipes.items():
                if name not in wanted or name in self.run.problems:
                    continue
                probe = WORKS["native" if name == "nginx" else "json"]
                server = self._start(recipe, probe)
                if server is not None:
                    stack.callback(server.stop)
                    servers[name] = server
            for work in {group.floor: group.depth > 1 for group in self.groups if group.floor}:
                recipe = floor(WORKS[work], self._answer(WORKS[work], servers))
                server = servers[f"floor-{work}"] = Server(recipe, self.folder, WORKS[work])
                stack.callback(server.stop)
            for server in servers.values():
                server.pause()
            yield servers

    def _start(self, recipe: Recipe, probe: Work) -> Server | None:
        if recipe.missing:
            self.run.problems[recipe.name] = recipe.missing
            return None
        try:
            return Server(recipe, self.folder, probe)
        except RuntimeError as error:
            self.run.problems[recipe.name] = str(error)
            print(error, file=sys.stderr)
            return None

    def _answer(self, work: Work, servers: dict[str, Server]) -> bytes:
        """The whole answer of covet to a work, or of the first server that has one."""
        if work.name not in self.answers:
            for server in servers.values():
                try:
                    self.answers[work.name] = b"".join(ask(work, server.port))
                    break
                except (WrongAnswerError, OSError, ValueError):
                    continue
            else:
                body = json.dumps(work.answer, separators=(",", ":")).encode()
                self.answers[work.name] = (
                    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n"
                    b"date: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n%s" % (len(body), body)
                )
        return self.answers[work.name]

    def _group(self, group: Group, servers: dict[str, Server], number: int) -> None:
        entries = list(group.entries)
        if group.floor:
            entries.insert(0, Entry("floor", f"floor-{group.floor}", group.floor))
        samples = self.run.samples.setdefault(group.name, {entry.title: {} for entry in entries})
        turn = number % len(entries)
        for entry in entries[turn:] + entries[:turn]:
            label = f"{group.name}: {entry.title}"
            if entry.server not in servers:
                continue
            try:
                samples[entry.title][number] = self._sample(group, entry, servers[entry.server])
            except (WrongAnswerError, OSError, ValueError, subprocess.TimeoutExpired) as error:
                self.run.problems[f"{label}, round {number + 1}"] = f"{error}"
                print(f"{label}: {error}", file=sys.stderr)

    def _sample(self, group: Group, entry: Entry, server: Server) -> Sample:
        """The steadiest of a few tries, the first that is steady enough."""
        work = WORKS[entry.work]
        tries: list[Sample] = []
        with _running(server):
            body = ask(work, server.port)[1]
            while len(tries) < self.given.tries:
                sample = self.generator.run(
                    work,
                    body,
                    server.port,
                    server.pids,
                    connections=group.connections,
                    depth=group.depth,
                    seconds=self.given.seconds,
                    warm_up=self.given.warm_up,
                )
                tries.append(sample)
                if sample.steady >= STEADY:
                    break
        self.run.unsteady += max(each.steady for each in tries) < STEADY
        return max(tries, key=lambda sample: sample.steady)

    def _service(self, servers: dict[str, Server]) -> None:
        """The engine's own histogram, before and after a run with one connection."""
        server = servers.get("covet")
        if server is None:
            return
        for title, name in (("native", "native"), ("`def` JSON", "json")):
            before = _histogram(server)
            self._sample(ALONE, Entry("", "", name), server)
            after = _histogram(server)
            counts = [late - early for late, early in zip(after, before, strict=True)]
            found = (_quantile(counts, 0.5), _quantile(counts, 0.99))
            self.run.service.setdefault(title, []).append(found)

    def _memory(self) -> None:
        """Servers on their own: idle, and with many connections that have asked once."""
        count = self.given.idle
        for name in ("covet", "covet-portable", "socketify", "uvicorn-starlette"):
            if name in self.run.problems:
                continue
            server = self._start(self.recipes[name], WORKS["json"])
            if server is None:
                continue
            with server:
                work = WORKS["json"]
                body = ask(work, server.port)[1]
                time.sleep(0.5)
                resident, proportional, private = server.memory()
                try:
                    with self.generator.hold(work, body, server.port, count):
                        time.sleep(0.5)
                        grown = server.memory()[2] - private
                except WrongAnswerError as error:
                    self.run.problems[f"memory: {name}"] = str(error)
                    continue
            found = resident / 1024, proportional / 1024, private / 1024, grown * 1024 / count
            self.run.memory.setdefault(name, []).append(found)

    def report(self) -> list[tuple[str, list[str], list[list[str]]]]:
        """Tables as title, header and rows; the last is the table of goals."""
        tables = []
        for group in self.groups:
            samples = {k: v for k, v in self.run.samples.get(group.name, {}).items() if v}
            if samples:
                tables.append((group.title, GROUP, group_rows(samples, "floor")))
            self.verdicts += [judge(goal, samples) for goal in group.goals]
        if self.run.service:
            self._report_service(tables)
        if self.run.memory:
            self._report_memory(tables)
        tables.append(("Goals", GOALS, goal_rows(self.verdicts)))
        return tables

    def _report_service(self, tables: list[tuple[str, list[str], list[list[str]]]]) -> None:
        rows = []
        for title, found in self.run.service.items():
            p50, p99 = [each[0] for each in found], [each[1] for each in found]
            rows.append([title, f"{spread(p50)[1]:.2f}", f"{spread(p99)[1]:.2f}"])
        header = ["covet", "median us", "p99 us"]
        tables.append(("Time within the engine at one connection", header, rows))
        native = [each[1] for each in self.run.service.get("native", [])]
        python = [each[0] for each in self.run.service.get("`def` JSON", [])]
        self.verdicts.append(verdict("service time, native answer, p99", native, 10, "us"))
        self.verdicts.append(verdict("service time, `def` JSON, median", python, 10, "us"))

    def _report_memory(self, tables: list[tuple[str, list[str], list[list[str]]]]) -> None:
        rows = []
        for name, found in self.run.memory.items():
            middle = [spread(column)[1] for column in zip(*found, strict=True)]
            rows.append([name, *(f"{value:.1f}" for value in middle[:3]), f"{middle[3]:,.0f}"])
        header = ["", "RSS MB", "PSS MB", "private MB", "private bytes a connection"]
        tables.append((f"Memory, idle and with {self.given.idle} connections", header, rows))
        ours = self.run.memory.get("covet", [])
        resident, grown = [each[0] for each in ours], [each[3] for each in ours]
        self.verdicts.append(verdict("memory of an idle server, RSS", resident, 40, "MB"))
        self.verdicts.append(verdict("memory of an idle connection", grown, 1024, "bytes"))


@contextmanager
def _running(server: Server) -> Iterator[None]:
    server.resume()
    try:
        yield
    finally:
        server.pause()


def _histogram(server: Server) -> list[int]:
    with _running(server):
        counts: list[int] = json.loads(fetch(Work("service", "/service", None), server.port)[1])
    return counts


def _bound(index: int) -> float:
    """Where a bucket of the engine's service times begins, in microseconds."""
    return (index if index < 4 else (4 + index % 4) << (index // 4 - 1)) * 0.032


def _quantile(counts: Sequence[int], share: float) -> float:
    """Microseconds below which this share is, taking a bucket's values as evenly spread in it."""
    wanted, seen = share * sum(counts), 0
    for index, count in enumerate(counts):
        if count and seen + count >= wanted:
            low, high = _bound(index), _bound(index + 1)
            return low + (high - low) * (wanted - seen) / count
        seen += count
    return float("inf")


def main(given: argparse.Namespace) -> None:
    about = environment(
        "socketify", "granian", "uvicorn", "uvloop", "httptools", "h11", "hypercorn", "starlette",
        "fastapi", "pydantic",
    )  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="bench-engine-") as folder:
        bench = Bench(given, Path(folder))
        bench.rounds()
    tables = bench.report()
    how = f"median of {given.rounds} interleaved runs of {given.seconds} s"
    runs = sum(len(each) for group in bench.run.samples.values() for each in group.values())
    about.append(("runs", f"{how}; {bench.run.unsteady} of {runs} disturbed by other programs"))
    for name, value in about:
        print(f"{name}: {value}")
    for title, header, rows in tables:
        print(f"\n{title}\n{text(header, rows)}")
    for name, problem in bench.run.problems.items():
        print(f"\nnot measured: {name}: {problem}")
    if given.record:
        parts = ["\n".join(f"- {name}: {value}" for name, value in about)]
        parts += [f"## {title}\n\n{markdown(header, rows)}" for title, header, rows in tables]
        parts += [f"Not measured: {name}: {why}" for name, why in bench.run.problems.items()]
        given.record.write_text("# The engine, measured\n\n" + "\n\n".join(parts) + "\n", "utf-8")


def _interrupt(signum: int, frame: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    names = [group.name for group in groups({})] + list(OTHERS)
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=1.5)
    parser.add_argument("--warm-up", type=float, default=0.5)
    parser.add_argument("--tries", type=int, default=3, help="of a run that others disturb")
    parser.add_argument("--quick", action="store_true", help="two rounds of a quarter second")
    parser.add_argument("--only", nargs="+", default=names, choices=names, metavar="GROUP")
    parser.add_argument("--python", action="append", default=[], metavar="VERSION=PATH")
    parser.add_argument("--idle", type=int, default=10_000, help="connections of the memory row")
    parser.add_argument("--record", type=Path, metavar="FILE", help="write Markdown too")
    parsed = parser.parse_args()
    if parsed.quick:
        parsed.rounds, parsed.seconds, parsed.warm_up, parsed.tries = 2, 0.25, 0.1, 1
    signal.signal(signal.SIGTERM, _interrupt)
    main(parsed)
