"""Requests through the bare ASGI boundary: covet and its peers on the same work, without a server.

    python tests/benchmarks/http/bench_asgi.py [--backend asyncio trio] [--rounds 20] [--calls 500]
        [--only WORK ...] [--record FILE]

Each application is started by its lifespan and called with the same scope, receive and send. covet
is what ``asgi_app`` makes of its default configuration, with its limits, deadline and checks on; the
peers are written for speed (``peers/*_app.py``). Every answer is checked byte by byte first. CPU time
is counted, the driver's own included, which is the row of the application that does nothing. Rounds
of the applications alternate and their order turns, so that a busy machine slows all of them; a ratio
is the median of the ratios of each round. Nothing here asserts a time.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import importlib.metadata
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
from asgi_driver import Application, Driver, Work, started
from machine import environment
from table import GOALS, Goal, Verdict, goal_rows, judge, markdown, spread, text

PEERS = Path(__file__).resolve().parent / "peers"
sys.path.insert(0, str(PEERS))

from work import Line, Order  # noqa: E402 - found beside the peers

ORDER = Order(
    customer="a customer",
    lines=[Line(book_id=n, quantity=n, note="x" * 20) for n in range(16)],
)
BODY = ORDER.model_dump_json().encode()
HELLO = b'{"message":"hello"}'
ITEM = b'{"id":42,"q":"some words","limit":20}'
_QUERY = "42?q=some%20words&limit=20"
OTHERS = ("starlette", "litestar", "blacksheep", "falcon", "fastapi")
BOTH = ("covet def", "covet async def")


@dataclass(frozen=True)
class Group:
    """One work, what does it, and what is asked of covet.

    Attributes:
        entries: The application and the work by title. covet has one for each kind of handler.
        fastapi: How many times FastAPI's requests covet's have to be; 0: there are no goals.
    """

    title: str
    entries: Mapping[str, tuple[str, Work]]
    fastapi: float = 0.0

    @property
    def goals(self) -> list[Goal]:
        if not self.fastapi:
            return []
        found = []
        for ours in BOTH:
            title = f"{self.title}, {ours}"
            found += [Goal(title, ours, each, 1.0, float) for each in OTHERS[:-1]]
            found.append(Goal(title, ours, OTHERS[-1], 1 / self.fastapi, float))
        return found


def group(title: str, work: Work, asynchronous: str, fastapi: float) -> Group:
    entries = {"no application": ("nothing", work), BOTH[0]: ("covet", work)}
    entries[BOTH[1]] = "covet", Work(asynchronous, work.answer, work.media_type, work.body)
    return Group(title, entries | {each: (each, work) for each in OTHERS}, fastapi)


GROUPS = {
    "text": group("plaintext", Work("/text", b"hello", "text/plain"), "/text-async", 5),
    "json": group("JSON", Work("/json", HELLO), "/json-async", 5),
    "typed": group("typed parameters", Work(f"/items/{_QUERY}", ITEM), f"/items-async/{_QUERY}", 5),
    "post": group(
        "1 KB POST, validated", Work("/orders", BODY, body=BODY), "/orders-async", 2.5
    ),
    "wait": Group(
        "JSON, `async def` that waits for one turn of the loop",
        {
            "no application": ("nothing", Work("/json", HELLO)),
            "covet async def": ("covet", Work("/json-reply", HELLO)),
            "starlette": ("starlette", Work("/json-reply", HELLO)),
            "fastapi": ("fastapi", Work("/json-reply", HELLO)),
        },
    ),
}  # fmt: skip


async def nothing(scope: Any, receive: Any, send: Any) -> None:
    """Answers what is expected as if it knew it: what remains is the driver."""
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        return
    headers, body = KNOWN[scope["path"]]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


KNOWN = {
    work.target.partition("?")[0]: (
        [
            (b"content-type", work.media_type.encode()),
            (b"content-length", b"%d" % len(work.answer)),
        ],
        work.answer,
    )
    for each in GROUPS.values()
    for name, work in each.entries.values()
    if name == "nothing"
}


def application(name: str, folder: Path) -> Application:
    """One of the applications, not started."""
    if name == "nothing":
        return nothing
    if name == "covet":
        from covet_http import asgi_app

        config = folder / "covet.toml"
        config.write_text('[app]\nmodules = ["covet_app"]\n\n[plugins.http]\n')
        return asgi_app(config)
    found: Application = importlib.import_module(f"{name}_app").app
    return found


@dataclass
class Run:
    """What the rounds on one event loop have brought."""

    samples: dict[str, dict[str, dict[int, float]]] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)

    async def run(self, given: argparse.Namespace, folder: Path) -> None:
        names = dict.fromkeys(
            name for key in given.only for name, _ in GROUPS[key].entries.values()
        )
        async with AsyncExitStack() as stack:
            running = {}
            for name in names:
                try:
                    app = application(name, folder)
                    await stack.enter_async_context(started(app))
                    running[name] = app
                except Exception as error:
                    self.problems[name] = repr(error)
            for key in given.only:
                await self._measure(GROUPS[key], running, given)

    async def _measure(
        self, group: Group, running: Mapping[str, Application], given: argparse.Namespace
    ) -> None:
        drivers = {}
        for title, (name, work) in group.entries.items():
            if name in running:
                driver = Driver(running[name], work)
                try:
                    await driver.check()
                    await driver.measure(given.calls)
                    drivers[title] = driver
                except Exception as error:
                    self.problems[f"{group.title}: {title}"] = repr(error)
        samples = self.samples[group.title] = {title: {} for title in drivers}
        titles = list(drivers)
        for number in range(given.rounds):
            turn = number % len(titles)
            for title in titles[turn:] + titles[:turn]:
                gc.collect()
                samples[title][number] = await drivers[title].measure(given.calls)


HEADER = ["", "CPU us", "quartiles", "/ covet def", "requests per CPU second"]


def rows(samples: Mapping[str, Mapping[int, float]]) -> list[list[str]]:
    base = next(each for name, each in samples.items() if name.startswith("covet"))
    found = []
    for title, each in samples.items():
        low, middle, high = spread([*each.values()])
        ratio = spread([value / base[number] for number, value in each.items()])[1]
        rate = f"{1e6 / middle:,.0f}"
        found.append([title, f"{middle:.2f}", f"{low:.2f} - {high:.2f}", f"{ratio:.2f}", rate])
    return found


def report(run: Run, only: Sequence[str]) -> list[tuple[str, list[str], list[list[str]]]]:
    """Tables as title, header and rows; the last is the table of goals."""
    tables = []
    verdicts: list[Verdict] = []
    for key in only:
        group = GROUPS[key]
        samples = run.samples.get(group.title, {})
        if any(name.startswith("covet") for name in samples):
            tables.append((group.title, HEADER, rows(samples)))
        verdicts += [judge(goal, samples) for goal in group.goals]
    tables.append(("Goals", GOALS, goal_rows(verdicts)))
    return tables


def main(given: argparse.Namespace) -> None:
    about = environment("starlette", "litestar", "blacksheep", "falcon", "fastapi", "pydantic")
    about.append(("runs", f"median of {given.rounds} interleaved runs of {given.calls} requests"))
    parts = ["\n".join(f"- {name}: {value}" for name, value in about)]
    for name, value in about:
        print(f"{name}: {value}")
    for backend in given.backend:
        run = Run()
        with tempfile.TemporaryDirectory(prefix="bench-asgi-") as folder:
            anyio.run(run.run, given, Path(folder), backend=backend)
        print(f"\n== {backend}")
        parts.append(f"## On {backend}")
        for title, header, lines in report(run, given.only):
            print(f"\n{title}\n{text(header, lines)}")
            parts.append(f"### {title}\n\n{markdown(header, lines)}")
        for name, problem in run.problems.items():
            print(f"\nnot measured: {name}: {problem}")
            parts.append(f"Not measured: {name}: {problem}")
    if given.record:
        given.record.write_text("# The ASGI boundary, measured\n\n" + "\n\n".join(parts) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--backend", nargs="+", default=["asyncio", "trio"])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--calls", type=int, default=500)
    parser.add_argument("--only", nargs="+", default=list(GROUPS), choices=list(GROUPS))
    parser.add_argument("--record", type=Path, metavar="FILE", help="write Markdown too")
    main(parser.parse_args())
