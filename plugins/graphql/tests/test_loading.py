"""Loaders: which keys come together, and what becomes of them where something fails or is cancelled."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import anyio
import graphql_shop as shop
import pytest
from graphql_serving import ask, serving

import covet_graphql as graphql
from covet_graphql._loading import Loaders

Calls = list[list[Any]]


def loaders(calls: Calls, answer: Callable[[Sequence[Any]], Any]) -> Callable[[Any], Any]:
    """What loads one key, of one loader that answers like this."""
    found = Loaders()

    async def load(keys: Sequence[Any]) -> Sequence[Any]:
        calls.append(list(keys))
        made = answer(keys)
        return await made if isinstance(made, Awaitable) else made

    return lambda key: found.load("loader", key, lambda loader: load)


async def test_keys_that_are_asked_for_together_are_loaded_together() -> None:
    calls: Calls = []
    load = loaders(calls, lambda keys: [key * 2 for key in keys])
    got: dict[int, int] = {}

    async def one(key: int) -> None:
        got[key] = await load(key)

    async with anyio.create_task_group() as tasks:
        for key in (1, 2, 3, 2, 1):
            tasks.start_soon(one, key)
    assert got == {1: 2, 2: 4, 3: 6}
    assert sorted(calls[0]) == [1, 2, 3]
    assert await load(3) == 6
    assert await load(4) == 8
    assert len(calls) == 2, "what is loaded stays loaded"


async def test_who_is_cancelled_while_loading_leaves_it_to_the_next() -> None:
    calls: Calls = []
    hold = anyio.Event()

    async def slowly(keys: Sequence[Any]) -> Sequence[Any]:
        if len(calls) == 1:
            await hold.wait()
        return keys

    load = loaders(calls, slowly)
    scope = anyio.CancelScope()
    got = []

    async def first() -> None:
        with scope:
            await load("a")

    async def second() -> None:
        got.append(await load("b"))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(first)
        await anyio.wait_all_tasks_blocked()
        waiting = load("a")
        assert not waiting.is_done

        async def third() -> None:
            got.append(await waiting)

        tasks.start_soon(third)
        await anyio.wait_all_tasks_blocked()
        scope.cancel()
        tasks.start_soon(second)
    assert sorted(got) == ["a", "b"]
    assert len(calls) == 3


async def test_failures_are_of_one_key_or_of_all() -> None:
    def some(keys: Sequence[Any]) -> Sequence[Any]:
        return [ValueError("odd") if key % 2 else key for key in keys]

    load = loaders([], some)
    assert await load(2) == 2
    with pytest.raises(ValueError, match="odd"):
        await load(1)
    with pytest.raises(TypeError, match="asked for 1 values, and gave 2"):
        await loaders([], lambda keys: [1, 2])(1)

    def broken(keys: Sequence[Any]) -> Any:
        raise RuntimeError("away")

    load = loaders([], broken)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="away"):
            await load(1)


@graphql.loader()
async def names(ids: list[int]) -> list[str]:
    raise shop.SoldOut("no names are left")


class Shelf(shop.Book):
    @graphql.field()
    def label(self, load: graphql.Load) -> graphql.Loading[str]:
        return load(names, self.id)


@graphql.query()
async def shelves() -> list[Shelf | None]:
    return [Shelf(id=1, title="A"), Shelf(id=2, title="B")]


@graphql.query()
async def late(call: graphql.FieldCall) -> list[shop.Author | None]:
    return [await _author(call, each) for each in (1, 95)]


async def _author(call: graphql.FieldCall, id: int) -> shop.Author | None:
    return (await shop.authors([id]))[0]


async def test_what_a_loader_fails_with_is_an_error_of_each_field() -> None:
    async with serving(names, shelves, late) as client:
        found = await ask(client, "{ shelves { id label } late { name } }")
        assert found["data"] == {"shelves": [None, None], "late": [{"name": "Author 1"}, None]}
        assert [each["path"] for each in found["errors"]] == [
            ["shelves", 0, "label"], ["shelves", 1, "label"],
        ]  # fmt: skip
        assert {each["extensions"]["code"] for each in found["errors"]} == {"sold-out"}
