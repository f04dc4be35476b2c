"""How long a large service takes to its first answer, and to its OpenAPI document, beside FastAPI.

500 routes and 200 models, the same text for both but for what decorates the handlers. Every run is a
fresh process on the same interpreter with its bytecode cached: it is started, polled until one route
is answered, asked for its document, and stopped.
"""

from __future__ import annotations

import json
import sys
import time
from argparse import ArgumentParser
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.bookshop.bench_start import PAUSE, cpu_time, memory
from benchmarks.measure import Comparison, interleaved, report
from e2e.load import http_request, read_answer
from e2e.service import COVET, PATIENCE, SCRIPTS, Service, environment
from services.process import free_port

ROUTES, MODELS, RUNS = 500, 200, 11
GOAL = 0.5

COVET_HEAD = """\
import covet_http as http
from models import *

app = http
"""
FASTAPI_HEAD = """\
from fastapi import FastAPI
from models import *

app = FastAPI()
"""
CONFIG = """\
[app]
modules = ["routes"]

[plugins.http]
"""
MODEL = '''

class Model{number}(BaseModel):
    """What number {number} is."""

    id: int
    name: str = Field(min_length=1, max_length=100)
    price: float = Field(default=0.0, ge=0)
    tags: list[str] = []
    made: datetime | None = None
    inner: {inner} = None
'''
READ = '''

@app.get("/things{number}/{{id}}")
async def read{number}(id: int, q: str = "", limit: int = 10) -> Model{model}:
    """Read one of kind {number}."""
    return Model{model}(id=id, name=q or "some")
'''
WRITE = '''

@app.post("/things{number}")
async def write{number}(thing: Model{model}) -> Model{model}:
    """Write one of kind {number}."""
    return thing
'''


@dataclass(frozen=True)
class Start:
    """One start: ms to the first answer, by the clock and of processors; ms to the document; MiB."""

    wall: float
    cpu: float
    document: float
    pss: float


def write(folder: Path) -> None:
    """The two services, in folders of their own."""
    models = "from datetime import datetime\n\nfrom pydantic import BaseModel, Field\n"
    for number in range(MODELS):
        inner = f"Model{number - 1} | None" if number % 4 else "None"
        models += MODEL.format(number=number, inner=inner)
    routes = "".join(
        (WRITE if number % 3 == 2 else READ).format(number=number, model=number % MODELS)
        for number in range(ROUTES)
    )
    for name, head in (("covet", COVET_HEAD), ("fastapi", FASTAPI_HEAD)):
        place = folder / name
        place.mkdir()
        (place / "models.py").write_text(models, "utf-8")
        (place / "routes.py").write_text(head + routes, "utf-8")
    (folder / "covet" / "covet.toml").write_text(CONFIG, "utf-8")


def cached(folder: Path) -> dict[str, str]:
    """An environment in which the bytecode of everything is kept, whatever the machine's says."""
    kept = {name: each for name, each in environment().items() if not name.startswith("PYTHONDONT")}
    return {**kept, "PYTHONPYCACHEPREFIX": str(folder / "bytecode")}


def covet(folder: Path, *settings: str) -> Service:
    """Everything on, as it is by default."""
    port = free_port()
    command = [COVET, "run", "-c", str(folder / "covet" / "covet.toml")]
    for setting in (f"plugins.http.port={port}", *settings):
        command += ["--set", setting]
    return Service(command, port, folder / f"covet-{port}.log", cached(folder))


def fastapi(folder: Path) -> Service:
    """With uvicorn, and without what it does not use."""
    port = free_port()
    command = [str(SCRIPTS / "uvicorn"), "--app-dir", str(folder / "fastapi"), "routes:app"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--ws", "none"]
    return Service(command, port, folder / f"fastapi-{port}.log", cached(folder))


def ask(port: int, path: str) -> tuple[int, bytes]:
    import socket

    with socket.create_connection(("127.0.0.1", port), PATIENCE) as connection:
        connection.sendall(http_request("GET", path, None, close=True))
        answer = read_answer(connection)
    return answer.status, answer.body


def start(service: Service) -> Start:
    begun = time.perf_counter()
    service.start()
    pid = service.process.pid
    try:
        status = None
        while status is None:
            try:
                status, _ = ask(service.port, "/things0/7?q=x")
            except ConnectionRefusedError:
                assert service.process.poll() is None, service.output
                time.sleep(PAUSE)
        wall, cpu = 1e3 * (time.perf_counter() - begun), cpu_time(pid)
        assert status == 200, service.output
        weight = memory(pid, "Pss")
        begun = time.perf_counter()
        status, body = ask(service.port, "/openapi.json")
        document = 1e3 * (time.perf_counter() - begun)
        paths = json.loads(body)["paths"]
        assert (status, len(paths)) == (200, ROUTES)
        return Start(wall, cpu, document, weight)
    finally:
        service.stop()


def main() -> int:
    """Print the ratios.

    Returns:
        0.
    """
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=RUNS)
    options = parser.parse_args()
    with TemporaryDirectory() as place:
        folder = Path(place)
        write(folder)
        starts: dict[str, list[Start]] = {}

        def rival(name: str, service: Callable[[], Service]) -> Callable[[], float]:
            def measure() -> float:
                starts.setdefault(name, []).append(start(service()))
                return starts[name][-1].wall

            return measure

        rivals = {
            "covet": rival("covet", lambda: covet(folder)),
            "covet, portable": rival(
                "covet, portable", lambda: covet(folder, "plugins.http.server=hypercorn")
            ),
            "fastapi": rival("fastapi", lambda: fastapi(folder)),
        }
        interleaved(rivals, options.runs)
    goals = {"wall": GOAL, "cpu": GOAL, "document": 1.0, "pss": 1.0}
    titles = {
        "wall": ("time to the first answer", "ms"),
        "cpu": ("processor time to the first answer", "ms"),
        "document": ("time to the OpenAPI document, asked for the first time", "ms"),
        "pss": ("PSS after the first answer", "MiB"),
    }
    for field, (title, unit) in titles.items():
        samples = {
            name: [getattr(each, field) for each in found[-options.runs :]]
            for name, found in starts.items()
        }
        report(
            f"{title}, {ROUTES} routes and {MODELS} models",
            samples,
            [
                Comparison(f"{name} / fastapi", name, "fastapi", goals[field])
                for name in samples
                if name != "fastapi"
            ],
            unit=unit,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
