"""A room against a model of it: what each member has been sent, whatever it does and however slow it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
from anyio import wait_all_tasks_blocked
from hypothesis import given, settings
from hypothesis import strategies as st
from room_members import Connection, Plain, broadcast

from covet_websocket._rooms import Rooms, RoomsConfig

JSON = Plain()
QUEUE = 3
HISTORY = 6
POLICIES = ("block", "drop-oldest", "coalesce", "disconnect")

steps = st.lists(
    st.one_of(
        st.tuples(st.just("join"), st.integers(1, 4), st.sampled_from(POLICIES)),
        st.tuples(st.just("leave"), st.integers(0, 9)),
        st.tuples(st.just("resume"), st.integers(0, 9), st.integers(1, 4)),
        st.tuples(st.just("say"), st.integers(0, 2)),
        st.tuples(st.just("read"), st.integers(0, 9), st.integers(1, 4)),
    ),
    max_size=60,
)


class Client:
    """One that is in the room, and what it should have.

    Attributes:
        expected: The number of the message that it gets next, if none is dropped.
        whole: Whether none may be missing.
    """

    def __init__(self, room: int, policy: str, expected: int) -> None:
        self.connection = Connection(room)
        self.policy = policy
        self.expected = expected
        self.last: str | None = None
        self.whole = policy in ("block", "disconnect")
        self.leave = anyio.Event()
        self.keys: dict[int, int] = {}

    def check(self, frames: list[Any]) -> None:
        for frame in frames:
            if frame.get("reset"):
                self.expected = int(frame["last"].rpartition(".")[2])
            if "message" not in frame:
                continue
            number = frame["message"]
            assert int(frame["id"].rpartition(".")[2]) == number + 1
            assert number >= self.expected, "out of order, or twice"
            if self.whole:
                assert number == self.expected, "one is missing"
            self.expected = number + 1
            self.last = frame["id"]


class House:
    """Drives one room."""

    def __init__(self, rooms: Rooms, tasks: Any) -> None:
        self.rooms = rooms
        self.tasks = tasks
        self.clients: list[Client] = []
        self.left: list[Client] = []
        self.said = 0
        self.saying = 0

    async def be(self, client: Client, after: str | None) -> None:
        async with self.rooms.join(
            client.connection,
            "lobby",
            encoding=JSON,
            after=after,
            when_slow=client.policy,  # type: ignore[arg-type]
        ):
            await client.leave.wait()

    async def enter(self, client: Client, after: str | None = None) -> None:
        self.clients.append(client)
        self.tasks.start_soon(self.be, client, after)
        await wait_all_tasks_blocked()

    async def say(self, key: int) -> None:
        await self.rooms.publish("lobby", self.said, key=str(key))

    def delivered(self) -> int:
        opened = self.rooms._opened.get("lobby")
        return 0 if opened is None else opened.room.position

    async def step(self, what: tuple[Any, ...]) -> None:
        kind, *given = what
        if kind == "join" and len(self.clients) < 6:
            await self.enter(Client(given[0], given[1], self.delivered()))
        elif kind == "say":
            # One at a time, so that it is known which is which; it may wait for a member.
            done = anyio.Event()

            async def say() -> None:
                await self.say(given[0])
                done.set()

            self.tasks.start_soon(say)
            await wait_all_tasks_blocked()
            while not done.is_set():
                for each in self.clients:
                    each.check(each.connection.read(1))
                await wait_all_tasks_blocked()
            self.said = self.delivered()
        elif kind == "read" and self.clients:
            client = self.clients[given[0] % len(self.clients)]
            client.check(client.connection.read(given[1]))
            await wait_all_tasks_blocked()
        elif kind == "leave" and self.clients:
            client = self.clients.pop(given[0] % len(self.clients))
            client.check(client.connection.read())
            client.leave.set()
            await wait_all_tasks_blocked()
            client.check(client.connection.read())
            self.left.append(client)
        elif kind == "resume" and self.left:
            client = self.left.pop(given[0] % len(self.left))
            if client.last is None:
                return
            # It has all it was given, and the rest is history: nothing may be missing, or it is told.
            back = Client(given[1], "block", client.expected)
            await self.enter(back, client.last)

    def bounds(self) -> None:
        opened = self.rooms._opened.get("lobby")
        if opened is None:
            return
        assert len(opened.room.history) <= HISTORY
        for member in opened.room.members.values():
            assert len(member.backlog) <= QUEUE

    async def drain(self) -> None:
        for _ in range(200):
            frames = [each.connection.read() for each in self.clients]
            for client, read in zip(self.clients, frames, strict=True):
                client.check(read)
            await wait_all_tasks_blocked()
            if not any(frames):
                return
        raise AssertionError("it does not end")


def run(backend: str, work: Callable[[], Any]) -> None:
    anyio.run(work, backend=backend)


@settings(max_examples=60, deadline=None)
@given(taken=steps, backend=st.sampled_from(["asyncio", "trio"]))
def test_a_room_keeps_its_promises(taken: list[tuple[Any, ...]], backend: str) -> None:
    async def work() -> None:
        config = RoomsConfig(
            queue_messages=QUEUE,
            history_messages=HISTORY,
            presence_interval=60.0,
            patience=600.0,
            heartbeat_timeout=700.0,
        )
        async with Rooms(config, broadcast=broadcast).running() as rooms:
            async with anyio.create_task_group() as tasks:
                house = House(rooms, tasks)
                for each in taken:
                    await house.step(each)
                    house.bounds()
                await house.drain()
                for client in house.clients:
                    if client.connection.close_code is None:
                        if client.policy != "coalesce" or client.expected:
                            assert client.expected == house.delivered(), "the last is missing"
                    else:
                        assert (client.policy, client.connection.close_code) == ("disconnect", 1013)
                    client.leave.set()

    run(backend, work)
