"""Who is told what of who is there: by name in rooms that are small enough, by number in others."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any

import anyio
import pytest
from anyio import wait_all_tasks_blocked
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import from_json
from room_members import Connection, Plain
from room_processes import JSON, hub

from covet_websocket._rooms._presence import Presence


class View:
    """What a client that follows the frames takes for the room."""

    def __init__(self) -> None:
        self.names: dict[str, Any] | None = None
        self.number: int | None = None

    def take(self, frame: Mapping[str, Any]) -> None:
        if "present" in frame:
            self.names, self.number = None, frame["present"]
        if "members" in frame:
            self.names, self.number = {}, None
        for each in [*frame.get("members", ()), *frame.get("joined", ())]:
            assert self.names is not None
            assert each["id"] not in self.names
            self.names[each["id"]] = each["data"]
        for gone in frame.get("left", ()):
            assert self.names is not None
            del self.names[gone]


async def test_whoever_comes_is_told_what_the_others_know_and_then_the_same_as_they() -> None:
    ada, bob = Connection(), Connection()
    async with hub(None) as rooms:
        async with rooms.join(ada, "lobby", encoding=JSON, data={"n": "Ada"}, presence=True) as a:
            assert (await ada.next())["you"] == a.id
            assert (await ada.next())["members"] == []
            assert (await ada.next())["joined"] == [{"id": a.id, "data": {"n": "Ada"}}]
            async with rooms.join(bob, "lobby", encoding=JSON, data="Bob", presence=True) as b:
                await bob.next()
                assert (await bob.next())["members"] == [{"id": a.id, "data": {"n": "Ada"}}]
                for each in (ada, bob):
                    assert (await each.next())["joined"] == [{"id": b.id, "data": "Bob"}]
                assert rooms.present("lobby") == {a.id: {"n": "Ada"}, b.id: "Bob"}
                assert (rooms.count("lobby"), a.count()) == (2, 2)
            assert (await ada.next())["left"] == [b.id]
        assert (rooms.present("lobby"), rooms.count("lobby")) == ({}, 0)


async def test_somebody_who_came_and_went_in_between_is_nobody() -> None:
    ada = Connection()
    view = View()
    async with hub(None, presence_interval=60.0) as rooms, AsyncExitStack() as stack:
        passer = await stack.enter_async_context(rooms.join(Connection(), "lobby", encoding=JSON))
        async with rooms.join(Connection(), "lobby", encoding=JSON):
            me = await stack.enter_async_context(
                rooms.join(ada, "lobby", encoding=JSON, presence=True)
            )
        rooms._opened["lobby"].room.tell()
        for frame in ada.read():
            view.take(frame)
        assert view.names == {passer.id: None, me.id: None}


async def test_a_frame_does_for_all_who_come_at_once() -> None:
    encoding = Plain()
    members = [Connection() for _ in range(100)]
    async with hub(None, presence_interval=60.0) as rooms, AsyncExitStack() as stack:
        for each in members:
            await stack.enter_async_context(
                rooms.join(each, "lobby", encoding=encoding, presence=True)
            )
        rooms._opened["lobby"].room.tell()
        # A welcome for each; who is there, and who came, for all of them.
        assert encoding.frames == 102
        for each in members:
            view = View()
            for frame in each.read():
                view.take(frame)
            assert view.names == rooms.present("lobby")


async def test_rooms_with_many_are_told_by_number() -> None:
    ada = Connection()
    view = View()
    config = {"presence_members": 4, "presence_interval": 60.0}
    async with hub(None, **config) as rooms, AsyncExitStack() as mine:

        async def told() -> list[dict[str, Any]]:
            rooms._opened["lobby"].room.tell()
            frames = ada.read()
            for frame in frames:
                view.take(frame)
            return [{name: frame[name] for name in frame if name != "room"} for frame in frames]

        await mine.enter_async_context(rooms.join(ada, "lobby", encoding=JSON, presence=True))
        stacks = [AsyncExitStack() for _ in range(4)]
        for each in stacks[:3]:
            await each.enter_async_context(rooms.join(Connection(), "lobby", encoding=JSON))
        await told()
        assert view.names == rooms.present("lobby")
        await stacks[3].enter_async_context(rooms.join(Connection(), "lobby", encoding=JSON))
        assert await told() == [{"present": 5}]
        # Whoever comes to a crowd hears no names either.
        late = Connection()
        async with rooms.join(late, "lobby", encoding=JSON, presence=True):
            assert [frame.get("present") for frame in late.read()] == [None, 5]
            assert await told() == [{"present": 6}]
        assert await told() == [{"present": 5}]
        await stacks[0].aclose()
        # About the limit it stays a crowd.
        assert await told() == [{"present": 4}]
        await stacks[1].aclose()
        (frame,) = await told()
        assert "members" in frame
        assert view.names == rooms.present("lobby")
        assert len(rooms.present("lobby")) == 3
        for each in stacks:
            await each.aclose()


async def test_names_come_in_pages() -> None:
    ada, slow = Connection(), Connection(room=1)
    views = View(), View()
    async with (
        hub(None, presence_interval=60.0, data_bytes=10_000) as rooms,
        AsyncExitStack() as stack,
    ):
        for number in range(10):
            await stack.enter_async_context(
                rooms.join(Connection(), "lobby", encoding=JSON, data=f"{number}" * 9000)
            )
        rooms._opened["lobby"].room.tell()
        for each in (ada, slow):
            await stack.enter_async_context(rooms.join(each, "lobby", encoding=JSON, presence=True))
        frames = ada.read()
        assert ["you" in frames[0], *("members" in each for each in frames[1:])] == [
            True, True, False, False, False,
        ]  # fmt: skip
        rooms._opened["lobby"].room.tell()
        for frame in [*frames, *ada.read()]:
            views[0].take(frame)
        # One that had no room for the first, or for those behind it, is told everything.
        while not slow.got or views[1].names != rooms.present("lobby"):
            await wait_all_tasks_blocked()
            views[1].take(await slow.next())
        assert views[0].names == rooms.present("lobby")


async def test_a_page_of_who_is_there() -> None:
    async with hub(None) as rooms, AsyncExitStack() as stack:
        joined = [
            await stack.enter_async_context(
                rooms.join(Connection(), "lobby", encoding=JSON, data=number)
            )
            for number in range(5)
        ]
        everybody = {each.id: number for number, each in enumerate(joined)}
        found: list[dict[str, Any]] = []
        while page := joined[0].present(after=max(found[-1]) if found else "", limit=2):
            found.append(page)
        assert [len(page) for page in found] == [2, 2, 1]
        assert {key: data for page in found for key, data in page.items()} == everybody
        assert [*found[0], *found[1], *found[2]] == sorted(everybody)
        assert rooms.present("lobby", limit=0) == {}
        assert rooms.present("nowhere", limit=3) == {}
        assert rooms.count("nowhere") == 0


@pytest.mark.parametrize("policy", ["drop-oldest", "coalesce", "disconnect"])
async def test_messages_push_nobody_out_of_what_a_slow_member_is_told(policy: Any) -> None:
    slow, view = Connection(room=1), View()
    async with (
        hub(None, queue_messages=2, presence_interval=60.0) as rooms,
        rooms.join(slow, "lobby", encoding=JSON, presence=True, when_slow=policy),
    ):
        # Its welcome fills it.
        rooms._opened["lobby"].room.tell()
        for number in range(2 if policy == "disconnect" else 10):
            await rooms.publish("lobby", number)
        await wait_all_tasks_blocked()
        with anyio.fail_after(30):
            while view.names != rooms.present("lobby"):
                view.take(await slow.next())


async def test_whoever_does_not_watch_is_told_nothing() -> None:
    quiet = Connection()
    async with (
        hub(None, presence_interval=60.0) as rooms,
        rooms.join(quiet, "lobby", encoding=JSON),
        rooms.join(Connection(), "lobby", encoding=JSON, presence=True),
    ):
        rooms._opened["lobby"].room.tell()
        assert [frame.keys() for frame in quiet.read()] == [{"room", "you", "last"}]


async def test_changes_are_told_together_and_not_where_nothing_changed() -> None:
    ada = Connection()
    async with (
        hub(None, presence_interval=0.05) as rooms,
        rooms.join(ada, "lobby", encoding=JSON, presence=True) as first,
    ):
        async with AsyncExitStack() as stack:
            for _ in range(20):
                await stack.enter_async_context(rooms.join(Connection(), "lobby", encoding=JSON))
            async with rooms.join(Connection(), "lobby", encoding=JSON):
                pass
            told = await ada.until("joined")
            assert len(told["joined"]) == 21
            assert first.id in {each["id"] for each in told["joined"]}
        assert len((await ada.until("left"))["left"]) == 20


async def test_a_slow_member_is_told_who_is_there_when_it_has_caught_up() -> None:
    slow = Connection(room=1)
    async with (
        hub(None, queue_messages=5) as rooms,
        rooms.join(slow, "lobby", encoding=JSON, presence=True, when_slow="drop-oldest") as me,
    ):
        # Its welcome fills it.
        for _ in range(10):
            async with rooms.join(Connection(), "lobby", encoding=JSON):
                await rooms.publish("lobby", "x")
                await anyio.sleep(0.003)
        async with rooms.join(Connection(), "lobby", encoding=JSON) as other:
            view = View()
            with anyio.fail_after(30):
                while view.names != {me.id: None, other.id: None}:
                    view.take(await slow.next())


# Of those who come back what they say is the same: an id is one member's. Half of them fill a page.
MEMBERS = {f"member {n}": b"null" if n % 2 else b'"%b"' % (b"x" * 20_000) for n in range(10)}
NAMES = st.sampled_from([*MEMBERS])
steps = st.lists(
    st.one_of(
        st.tuples(st.just("come"), NAMES),
        st.tuples(st.just("go"), NAMES),
        st.tuples(st.just("watch")),
        st.tuples(st.just("tell")),
    ),
    max_size=60,
)


@given(taken=steps, most=st.integers(0, 8))
def test_all_who_watch_know_who_is_there(taken: list[tuple[Any, ...]], most: int) -> None:
    here: dict[str, bytes] = {}
    presence = Presence(most, lambda: here)
    views: list[View] = []
    for kind, *names in [*taken, ("tell",)]:
        if kind == "come" and names[0] not in here:
            here[names[0]] = MEMBERS[names[0]]
            presence.changes.join(names[0], MEMBERS[names[0]])
        elif kind == "go" and names[0] in here:
            presence.changes.leave(names[0], here.pop(names[0]))
        elif kind == "watch":
            views.append(View())
            for told in presence.known():
                views[-1].take({name: from_json(value) for name, value in told.items()})
            assert views[0].names == views[-1].names
            assert views[0].number == views[-1].number
        elif kind == "tell":
            for told in presence.news():
                for each in views:
                    each.take({name: from_json(value) for name, value in told.items()})
            for each in views:
                if each.number is None:
                    assert each.names == {key: from_json(data) for key, data in here.items()}
                    assert len(here) <= most
                else:
                    assert each.number == len(here) > most * 3 // 4
