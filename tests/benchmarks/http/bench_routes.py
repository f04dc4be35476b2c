"""How finding a route grows with their number: covet's routers, in Python and in C, and others'.

    python tests/benchmarks/http/bench_routes.py [--routes 10 100 1000 10000] [--rounds 7]

A third of the routes has no parameter, a third one, a third two. Each round asks for paths of routes
drawn at random, the same for every router; for one of the last routes, with two parameters, again and
again, which shows what is left of the growth without cold caches; and for a path that leads nowhere. Starlette and FastAPI are
asked as their own routers do it, one route after the other. The engine's router is asked by a program
in C. It needs gcc. Rounds of the routers alternate; medians of the CPU time are printed, in microseconds.
"""

from __future__ import annotations

import argparse
import random
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import process_time
from typing import Any

from benchmarks.measure import interleaved
from fastapi import FastAPI
from starlette.routing import Match, Route, Router

import covet_http as http

Find = Callable[[str], object]

# Of the slow ones fewer are asked, so that a round takes about as long for each.
_ASKED = 2000
HERE = Path(__file__).parent
CSRC = HERE.parents[2] / "native/engine/csrc"
SOURCES = ("routes", "tree", "names", "escape", "answers", "head", "scan", "status")
_NOTHING = "/resources/nothing/at/all"


def templates(count: int) -> list[str]:
    """So many templates."""
    shapes = ("/resources/r{0}", "/resources/r{0}/{{id}}", "/resources/r{0}/{{id}}/parts/{{part}}")
    return [shapes[number % 3].format(number // 3) for number in range(count)]


def filled(template: str) -> str:
    """A path of a template."""
    return template.replace("{id}", "12345").replace("{part}", "left")


def covet(paths: Sequence[str]) -> http.Router[Any]:
    """The router of every server but the engine."""
    routes: http.Router[Any] = http.Router()
    for path in paths:
        types = [int, str][: path.count("{")]
        routes.add("GET", path, path, types=types, owner="bench")
    return routes


class Engine:
    """The engine's table of the same routes, in a program of its own (``routes.c``)."""

    def __init__(self, program: Path, routes: http.Router[Any]) -> None:
        self._program = program
        lines = [f"{leaf.shape} {leaf.types or '-'}" for leaf in routes.leaves]
        self._table = "\n".join([str(len(lines)), *lines])

    def measured(self, paths: Sequence[str], *, there: bool) -> Callable[[], float]:
        """Microseconds a path, on an average of these."""
        asked = "\n".join([self._table, str(len(paths)), *paths, ""])

        def run() -> float:
            said = subprocess.run(
                [self._program], input=asked, capture_output=True, text=True, check=True
            )
            nanoseconds, found = said.stdout.split()
            if (int(found) > 0) != there:
                raise RuntimeError("the engine does not find what it should")
            return float(nanoseconds) / 1000

        return run


def compiled(folder: Path) -> Path:
    """``routes.c`` with the engine's sources, as the engine is compiled."""
    program = folder / "routes"
    sources = [CSRC / f"{name}.c" for name in SOURCES]
    command = ["gcc", "-std=gnu11", "-O2", f"-I{CSRC}", HERE / "routes.c", *sources, "-o", program]
    subprocess.run(command, check=True)
    return program


def one_by_one(routes: Sequence[Any]) -> Find:
    """As Starlette's router does it."""

    def find(path: str) -> object:
        scope = {"type": "http", "method": "GET", "path": path, "root_path": "", "headers": []}
        for route in routes:
            match, _ = route.matches(scope)
            if match is Match.FULL:
                return route
        return None

    return find


def starlette(paths: Sequence[str]) -> Find:
    """Starlette's routes."""

    async def endpoint(request: Any) -> Any: ...

    return one_by_one(Router([Route(path, endpoint) for path in paths]).routes)


def fastapi(paths: Sequence[str]) -> Find:
    """FastAPI's routes."""
    app = FastAPI(openapi_url=None)
    for path in paths:
        if "{part}" in path:
            app.get(path)(_two)
        else:
            app.get(path)(_one if "{id}" in path else _none)
    return one_by_one(app.router.routes)


def _none() -> None: ...


def _one(id: int) -> None: ...


def _two(id: int, part: str) -> None: ...


def _is_found(found: Any) -> bool:
    if isinstance(found, tuple):
        return found[0] is not None
    return found is not None


def measured(find: Find, paths: Sequence[str]) -> Callable[[], float]:
    """Microseconds a path, on an average of these."""

    def run() -> float:
        begun = process_time()
        for path in paths:
            find(path)
        return (process_time() - begun) / len(paths) * 1e6

    return run


def compare(program: Path, count: int, rounds: int) -> dict[str, float]:
    """The medians for so many routes, by router, and those of a path that leads nowhere."""
    made = templates(count)
    draw = random.Random(count)
    paths = [filled(draw.choice(made)) for _ in range(_ASKED)]
    own = covet(made)
    finders: dict[str, Find] = {
        "covet, Python": own.find,
        "Starlette": starlette(made),
        "FastAPI": fastapi(made),
    }
    for name, find in finders.items():
        if _is_found(find(_NOTHING)) or not _is_found(find(paths[0])):
            raise RuntimeError(f"{name} does not find what it should")
    rivals = {}
    table = Engine(program, own)
    for name, find in finders.items():
        few = max(20, _ASKED // max(1, count // 20)) if name[0] in "SF" else _ASKED
        rivals[name] = measured(find, paths[:few])
        rivals[f"{name}, one of them"] = measured(find, [filled(made[-2])] * few)
        rivals[f"{name}, nothing"] = measured(find, [_NOTHING] * few)
    rivals["covet, C"] = table.measured(paths, there=True)
    rivals["covet, C, one of them"] = table.measured([filled(made[-2])], there=True)
    rivals["covet, C, nothing"] = table.measured([_NOTHING], there=False)
    return {name: median(values) for name, values in interleaved(rivals, rounds).items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--routes", type=int, nargs="+", default=[10, 100, 1_000, 10_000])
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    with TemporaryDirectory() as folder:
        program = compiled(Path(folder))
        table = {count: compare(program, count, args.rounds) for count in args.routes}
    print(f"{'microseconds a match':<26}" + "".join(f"{count:>12,}" for count in args.routes))
    for name in next(iter(table.values())):
        print(f"{name:<26}" + "".join(f"{table[count][name]:>12.2f}" for count in args.routes))


if __name__ == "__main__":
    main()
