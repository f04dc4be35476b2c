"""A message in a room of 1,000 members: covet-websocket beside a room by hand on websockets.

    python tests/benchmarks/websocket/bench_rooms.py [--rounds 7] [--quick]

Counted is the CPU time of the server's process for each message of two kilobytes, until all members have it;
then the next is published. A message comes as JSON with the room's name and an id, and the last hundred are kept.
Every frame is compared, and one of each message is read: its id is the next. covet has its default configuration:
`disconnect` for the slow, a history, every limit. No client offers compression. The floor is that of a broadcast. Nothing
here asserts a time; see the README beside this file.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import tempfile
from pathlib import Path

from broadcasts import FLOOR, HEADER, Broadcasts, arguments, told
from entries import LOAD_CORE, Recipe, covet, floor, websockets
from machine import environment
from members import NumberedRoom, Room
from messages import MESSAGES, ROOM
from table import Goal, judge, spread, text

IDLE = ["", "KiB each", "quartiles"]
SETTINGS = "\n[plugins.websocket]\n"
OURS = ("covet", "covet, trio")
PEERS = ("websockets", "websockets, uvloop")
TITLE = "a message in a room"
# As long as what the others send.
PLAIN = json.dumps(
    {"room": ROOM, "id": "0123456789ab.100", "message": json.loads(MESSAGES[0])},
    separators=(",", ":"),
)


class InRoom:
    """Members of a room."""

    def recipes(self) -> list[Recipe]:
        return [
            covet(OURS[0], module="covet_rooms", settings=SETTINGS),
            covet(OURS[1], module="covet_rooms", backend="trio", settings=SETTINGS),
            websockets(PEERS[0], module="websockets_rooms"),
            websockets(PEERS[1], "--uvloop", module="websockets_rooms"),
            floor(PLAIN.encode()),
        ]

    def room(self, name: str, port: int, members: int) -> Room:
        if name == FLOOR:
            return Room(port, members, [PLAIN])
        return NumberedRoom(port, members)


def idle(bench: Broadcasts) -> list[list[str]]:
    """What a member holds that has had a few messages, and waits."""
    rows = []
    for name, each in bench.samples[TITLE].items():
        low, middle, high = spread([sample.memory for sample in each.values()])
        if name != FLOOR:
            rows.append([name, f"{middle:.1f}", f"{low:.1f} - {high:.1f}"])
    return rows


def main(given: argparse.Namespace) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    os.sched_setaffinity(0, {LOAD_CORE})
    head = environment("websockets", "uvloop")
    with tempfile.TemporaryDirectory(prefix="bench-rooms-") as folder:
        bench = Broadcasts(given, Path(folder), {TITLE: InRoom()})
        bench.run()
    for name, value in head:
        print(f"{name}: {value}")
    print(f"load after: {', '.join(f'{load:.2f}' for load in os.getloadavg())}")
    print(
        f"runs: median of {given.rounds} interleaved runs of {given.broadcasts} messages"
        f" of {len(MESSAGES[0])} bytes to {given.members:,} members"
    )
    print(f"\n{TITLE}\n{text(HEADER, bench.rows(TITLE))}")
    print(f"\nidle members\n{text(IDLE, idle(bench))}\n")
    for ours in (*OURS, FLOOR):
        for peer in PEERS:
            found = judge(Goal(TITLE, ours, peer, 1.0), bench.samples[TITLE])
            if found.value is not None:
                print(f"{ours} takes {found.value:.2f} of the CPU of {peer}")
    for name, problem in bench.problems.items():
        print(f"\nnot measured: {name}: {problem}")


if __name__ == "__main__":
    main(told(arguments("messages")))
