"""What a whole request through the ASGI boundary costs as the number of routes grows.

    python tests/benchmarks/http/bench_growth.py [--routes 10 100 1000 10000] [--rounds 15]

Services of so many routes, a third without a parameter, a third with one and a third with two, in
covet's default configuration. They are asked for routes drawn at random, which shows what cold caches
cost, and for one and the same; their rounds alternate. Medians of the CPU time are printed, the
driver's included, in microseconds. `bench_routes.py` shows the match alone, beside other routers.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median

import anyio
from asgi_driver import Application, Driver, Work, in_turn, started
from table import text

from covet_http import asgi_app

_DRAWN = 500
_HEAD = "import covet_http as http\n"
_SHAPES = (
    '@http.get("/resources/r{0}")\ndef plain{0}() -> str:\n    return "found"\n',
    '@http.get("/resources/r{0}/{{id}}")\ndef one{0}(id: int) -> str:\n    return "found"\n',
    """@http.get("/resources/r{0}/{{id}}/parts/{{part}}")
def two{0}(id: int, part: str) -> str:
    return "found"
""",
)
_PATHS = ("/resources/r{0}", "/resources/r{0}/12345", "/resources/r{0}/12345/parts/left")


def service(folder: Path, count: int) -> Application:
    """A service of so many routes, not started."""
    lines = [_SHAPES[number % 3].format(number // 3) for number in range(count)]
    (folder / f"routes{count}.py").write_text("\n\n".join([_HEAD, *lines]))
    config = folder / f"routes{count}.toml"
    config.write_text(f'[app]\nmodules = ["routes{count}"]\n\n[plugins.http]\n')
    return asgi_app(config)


async def main(counts: list[int], rounds: int) -> None:
    rows: dict[str, dict[int, list[float]]] = {"drawn at random": {}, "one of them": {}}
    with tempfile.TemporaryDirectory(prefix="bench-growth-") as place:
        sys.path.insert(0, place)
        async with AsyncExitStack() as stack:
            drivers: dict[str, dict[int, list[Driver]]] = {name: {} for name in rows}
            for count in counts:
                app = service(Path(place), count)
                await stack.enter_async_context(started(app))
                draw = random.Random(count)
                numbers = [draw.randrange(count) for _ in range(_DRAWN)]
                # One of the last with two parameters, which takes the longest to find.
                last = count - 1 - (count - 3) % 3
                for name, chosen in (
                    ("drawn at random", numbers),
                    ("one of them", [last] * _DRAWN),
                ):
                    drivers[name][count] = [
                        Driver(app, Work(_PATHS[each % 3].format(each // 3), b'"found"'))
                        for each in chosen
                    ]
                    rows[name][count] = []
                    for driver in drivers[name][count]:
                        await driver.check()
            for _ in range(rounds):
                for name, each in drivers.items():
                    for count, chosen_drivers in each.items():
                        rows[name][count].append(await in_turn(chosen_drivers))
    table = [
        [name, *(f"{median(values[count]):.2f}" for count in counts)]
        for name, values in rows.items()
    ]
    print(text(["microseconds a request", *(f"{count:,} routes" for count in counts)], table))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--routes", type=int, nargs="+", default=[10, 100, 1_000, 10_000])
    parser.add_argument("--rounds", type=int, default=15)
    given = parser.parse_args()
    anyio.run(main, given.routes, given.rounds)
