"""Typed tokens: compared by identity, named per instance, and aware of their contract."""

from __future__ import annotations

from typing import Any

from covet_kernel.contracts import SQL, Capability, SqlDatabase


class Store:
    """A contract."""


def test_tokens_are_compared_by_identity() -> None:
    one, two = Capability[Store]("store"), Capability[Store]("store")
    assert one != two
    assert len({one, two}) == 2


def test_a_token_knows_its_contract() -> None:
    store = Capability[Store]("store")
    assert store.contract is Store
    assert store.named("other").contract is Store
    assert SQL.contract is SqlDatabase
    assert Capability("bare").contract is Any


def test_a_named_token_is_the_same_at_every_call() -> None:
    store = Capability[Store]("store", plugins=("memory",))
    other = store.named("other")
    assert other is store.named("other")
    assert other is not store
    assert other is not store.named("third")
    assert (other.id, other.name, other.base, other.plugins) == (
        "store/other",
        "other",
        store,
        ("memory",),
    )
    assert other.named("third") is store.named("third")
    assert other.named("") is store.named("") is store
    assert (store.name, store.base) == ("", store)


def test_a_token_shows_its_id() -> None:
    assert repr(Capability[Store]("store").named("other")) == "Capability('store/other')"
