"""Static files on the wire: covet's native engine beside nginx, in one run.

    python tests/benchmarks/http/bench_files.py [--rounds 10] [--quick] [--only WORK ...]

Both serve one folder to the generator of `bench_engine.py`, in turn; see the README beside this file.
nginx is configured as for production: `sendfile`, `tcp_nopush`, `open_file_cache`, no access log. covet
is `covet run` with its default configuration and the folder. Nothing here asserts a time.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from generator import FIELDS, Generator, Sample, Work, WrongAnswerError, fetch
from machine import environment
from peers.work import MESSAGE
from servers import Recipe, Server, covet, nginx
from table import GOALS, Goal, goal_rows, judge, spread, text

MODIFIED = 784111777
WHEN = "Sun, 06 Nov 1994 08:49:37 GMT"
SIZES = {"1k.bin": 1 << 10, "64k.bin": 64 << 10, "10m.bin": 10 << 20}
STEADY = 0.95
HEADER = ["", "CPU us", "quartiles", "answers / CPU s", "MB / CPU s", "core"]


@dataclass(frozen=True)
class Asked:
    """What is asked for, and what comes."""

    work: Work
    status: int = 200
    connections: int = 64
    limit: float = 1.0
    """Of the server's CPU, against nginx's."""


ASKED = {
    "1 KiB": Asked(Work("1k", "/files/1k.bin", None)),
    "64 KiB": Asked(Work("64k", "/files/64k.bin", None)),
    # Each time a client's window opens, Python's loop has a turn; nginx has none to pay for.
    "10 MiB": Asked(Work("10m", "/files/10m.bin", None), connections=8, limit=1.25),
    "1 KiB of 10 MiB": Asked(
        Work("range", "/files/10m.bin", None, fields=(*FIELDS, "Range: bytes=5000000-5001023")), 206
    ),
    "304": Asked(
        Work("304", "/files/64k.bin", None, fields=(*FIELDS, f"If-Modified-Since: {WHEN}")), 304
    ),
}
PROBE = {"covet": Work("json", "/json", MESSAGE), "nginx": Work("native", "/native", MESSAGE)}


def recipes(files: Path) -> list[Recipe]:
    folder = f'\n[plugins.http.static]\n"/files" = "{files}"\n'
    return [
        covet("covet", "engine", settings=folder),
        nginx(
            everywhere="sendfile on; tcp_nopush on; open_file_cache max=1000 inactive=60s;"
            " open_file_cache_valid 30s; open_file_cache_errors on;",
            # covet looks for what is compressed beside a file unless it is told not to.
            locations=f"location /files/ {{ alias {files}/; etag on; gzip_static on; }}",
        ),
    ]


class Bench:
    """All rounds of a run: each starts both servers anew and loads one at a time."""

    def __init__(self, given: argparse.Namespace, folder: Path) -> None:
        self.given = given
        self.folder = folder
        self.files = folder / "files"
        folder.chmod(0o755)  # nginx reads as somebody else
        self.files.mkdir()
        for name, size in SIZES.items():
            path = self.files / name
            path.write_bytes(os.urandom(size))
            os.utime(path, (MODIFIED, MODIFIED))
        self.generator = Generator(folder)
        self.samples: dict[str, dict[str, dict[int, Sample]]] = {
            title: {"covet": {}, "nginx": {}} for title in given.only
        }
        self.problems: dict[str, str] = {}

    def rounds(self) -> None:
        for number in range(self.given.rounds):
            servers = {}
            try:
                for recipe in recipes(self.files):
                    if recipe.missing:
                        self.problems[recipe.name] = recipe.missing
                        continue
                    servers[recipe.name] = Server(recipe, self.folder, PROBE[recipe.name])
                    servers[recipe.name].pause()
                for title in self.given.only:
                    for server in sorted(servers, reverse=number % 2 == 1):
                        self._sample(title, servers[server], number)
            finally:
                for each in servers.values():
                    each.stop()
            print(f"round {number + 1} of {self.given.rounds}", file=sys.stderr)

    def _sample(self, title: str, server: Server, number: int) -> None:
        asked = ASKED[title]
        server.resume()
        try:
            head, body = fetch(asked.work, server.port)
            if not head.startswith(f"HTTP/1.1 {asked.status} ".encode()):
                raise WrongAnswerError(f"{head!r}")
            tries: list[Sample] = []
            while len(tries) < self.given.tries and not any(t.steady >= STEADY for t in tries):
                tries.append(
                    self.generator.run(
                        asked.work,
                        body,
                        server.port,
                        server.pids,
                        connections=asked.connections,
                        depth=1,
                        seconds=self.given.seconds,
                        warm_up=self.given.warm_up,
                        status=asked.status,
                    )
                )
            self.samples[title][server.name][number] = max(tries, key=lambda each: each.steady)
        except (WrongAnswerError, OSError) as error:
            self.problems[f"{title}: {server.name}, round {number + 1}"] = str(error)
        finally:
            server.pause()

    def rows(self, title: str) -> list[list[str]]:
        found = []
        for server, each in self.samples[title].items():
            if not each:
                continue
            samples = list(each.values())
            low, middle, high = spread([sample.cpu for sample in samples])
            size = samples[0].answer_size
            busy = spread([sample.busy for sample in samples])[1]
            found.append(
                [
                    server,
                    f"{middle:.2f}",
                    f"{low:.2f} - {high:.2f}",
                    f"{1e6 / middle:,.0f}",
                    f"{size / middle:,.1f}",
                    f"{busy * 100:.0f}%",
                ]
            )
        return found


def main(given: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory(prefix="bench-files-") as folder:
        bench = Bench(given, Path(folder))
        bench.rounds()
    for name, value in environment():
        print(f"{name}: {value}")
    print(f"runs: median of {given.rounds} interleaved runs of {given.seconds} s")
    for title in given.only:
        print(f"\n{title}\n{text(HEADER, bench.rows(title))}")
    goals = {each: Goal(f"{each}, CPU", "covet", "nginx", ASKED[each].limit) for each in given.only}
    verdicts = [judge(goal, bench.samples[title]) for title, goal in goals.items()]
    print(f"\nGoals\n{text(GOALS, goal_rows(verdicts))}")
    for name, problem in bench.problems.items():
        print(f"\nnot measured: {name}: {problem}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=1.5)
    parser.add_argument("--warm-up", type=float, default=0.3)
    parser.add_argument("--tries", type=int, default=3, help="of a run that others disturb")
    parser.add_argument("--quick", action="store_true", help="two rounds of a quarter second")
    parser.add_argument(
        "--only", nargs="+", default=list(ASKED), choices=list(ASKED), metavar="WORK"
    )
    parsed = parser.parse_args()
    if parsed.quick:
        parsed.rounds, parsed.seconds, parsed.warm_up, parsed.tries = 2, 0.25, 0.1, 1
    main(parsed)
