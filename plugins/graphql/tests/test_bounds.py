"""What is kept of clients, and counted: texts, and operations under way."""

from __future__ import annotations

from collections import OrderedDict

import anyio
from graphql_serving import until
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from covet_graphql._kept import Kept
from covet_graphql._subscriptions import Operations, id_of


class KeptMachine(RuleBasedStateMachine):
    """Beside the same by hand."""

    @initialize(most=st.integers(1, 5), most_text=st.integers(1, 40))
    def begin(self, most: int, most_text: int) -> None:
        self.most, self.most_text = most, most_text
        self.kept = Kept[int](most, most_text)
        self.model: OrderedDict[str, tuple[int, int]] = OrderedDict()

    @rule(name=st.sampled_from("abcdefgh"), value=st.integers(), text=st.integers(0, 50))
    def put(self, name: str, value: int, text: int) -> None:
        self.kept.put(name, value, text)
        self.model.pop(name, None)
        self.model[name] = value, text
        while (
            len(self.model) > self.most or sum(t for _, t in self.model.values()) > self.most_text
        ):
            self.model.popitem(last=False)

    @rule(name=st.sampled_from("abcdefgh"))
    def get(self, name: str) -> None:
        expected = self.model.get(name)
        assert self.kept.get(name) == (expected[0] if expected else None)
        if expected:
            self.model.move_to_end(name)

    @invariant()
    def is_the_same(self) -> None:
        if hasattr(self, "kept"):
            assert len(self.kept) == len(self.model) <= self.most
            assert self.kept.text == sum(t for _, t in self.model.values()) <= self.most_text


KeptMachine.TestCase.settings = settings(max_examples=30, stateful_step_count=20)
test_what_is_kept = KeptMachine.TestCase


STEPS = st.tuples(
    st.sampled_from(["begin", "begin", "stop", "release", "end", "stop all"]),
    st.sampled_from("abcd"),
    st.integers(0, 2),
)


@given(st.lists(STEPS, max_size=30))
def test_operations_are_counted(steps: list[tuple[str, str, int]]) -> None:
    anyio.run(play, steps)


async def play(steps: list[tuple[str, str, int]]) -> None:
    """One client's operations, in any order that there can be."""
    operations = Operations(3)
    running: list[tuple[str, anyio.CancelScope]] = []
    named: dict[str, anyio.CancelScope] = {}
    for step, name, place in steps:
        if step == "begin" and name not in operations and not operations.is_full:
            named[name] = operations.begin(name)
            running.append((name, named[name]))
        elif step == "stop":
            operations.stop(name)
            stopped = named.pop(name, None)
            assert stopped is None or stopped.cancel_called
        elif step == "stop all":
            operations.stop_all()
            assert all(each.cancel_called for each in named.values())
            named.clear()
        elif step in ("release", "end") and place < len(running):
            ending, scope = running[place]
            if named.get(ending) is scope:
                del named[ending]
            if step == "release":
                operations.release(ending, scope)
            else:
                operations.end(ending, scope)
                del running[place]
        assert operations.running == len(running) <= 3
        assert operations.is_full == (len(running) == 3)
        assert len(operations) == len(named)
        assert all(each in operations for each in named)
        assert not any(each.cancel_called for each in named.values())


async def test_there_is_room_when_one_that_was_stopped_has_ended() -> None:
    operations = Operations(2)
    scopes = {name: operations.begin(name) for name in "ab"}
    assert not await operations.has_room()
    operations.stop("a")
    got: list[bool] = []

    async def wait() -> None:
        got.append(await operations.has_room())

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        await anyio.lowlevel.checkpoint()
        assert got == []
        operations.end("a", scopes["a"])
        await until(lambda: got == [True])
        # Waiting, cancelled, leaves the count as it is.
        operations.begin("c")
        operations.stop("c")
        tasks.start_soon(wait)
        await anyio.lowlevel.checkpoint()
        tasks.cancel_scope.cancel()
    assert (operations.running, len(operations)) == (2, 1)


@given(st.none() | st.integers() | st.text(max_size=300) | st.lists(st.text()))
def test_an_id_is_text_that_is_not_too_long(value: object) -> None:
    found = id_of(value)
    assert found is None or (found is value and 0 < len(found) <= 256)
