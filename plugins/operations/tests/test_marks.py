"""Decorators leave marks; operations are made of them."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
from operations_testbed import shop
from operations_testbed.plain import plain

from covet_kernel.contracts import Binding, Effect
from covet_operations import mark, operation, operations_of


def binding(address: str) -> Binding:
    return Binding(protocol="p", address=address)


def test_the_function_itself_comes_back_and_order_is_irrelevant() -> None:
    def one() -> None:
        """Say one.

        At length.
        """

    def two() -> None:
        """Say one."""

    assert operation(tags=("t",))(mark(binding("a"))(one)) is one
    assert mark(binding("a"))(operation(tags=("t",))(two)) is two
    (first,) = operations_of(type("Both", (), {"say": one})())
    (second,) = operations_of(type("Both", (), {"say": two})())
    assert (first.name, first.summary, first.tags) == ("Both.say", "Say one.", ("t",))
    assert (second.bindings, second.summary) == (first.bindings, first.summary)


def test_bindings_keep_the_order_of_the_lines() -> None:
    @mark(binding("1"))
    @mark(binding("2"), binding("3"))
    def handler() -> None: ...

    (found,) = operations_of(type("H", (), {"h": handler})())
    assert [each.address for each in found.bindings] == ["1", "2", "3"]


def test_a_function_is_asked_itself() -> None:
    @operation(name="shop.say")
    def say() -> str:
        return "hello"

    def silent() -> str:
        return "nothing"

    (found,) = operations_of(say)
    assert (found.name, found.handler) == ("shop.say", say)
    assert operations_of(silent) == ()


@pytest.mark.parametrize("decorate", [operation(), mark(binding("a"))])
def test_classes_are_no_operations(decorate: Any) -> None:
    class Books: ...

    with pytest.raises(TypeError, match="Books is a class; what is called are functions"):
        decorate(Books)


@pytest.mark.parametrize(
    ("implied", "said", "expected"),
    [
        ((), None, "write"),
        (("read",), None, "read"),
        (("read", "idempotent"), None, "idempotent"),
        (("write", "read"), None, "write"),
        (("read",), "write", "write"),
    ],
)
def test_effect(implied: tuple[Effect, ...], said: Effect | None, expected: Effect) -> None:
    def handler() -> None: ...

    operation(effect=said)(handler)
    for effect in implied:
        mark(binding(effect), effect=effect)(handler)
    (found,) = operations_of(type("H", (), {"h": handler})())
    assert found.effect == expected


def test_extra_reaches_the_operation() -> None:
    @operation(thread=True)
    @mark(extra={"graphql": {"field": "x"}})
    def handler() -> None: ...

    (found,) = operations_of(type("H", (), {"h": handler})())
    assert found.extra == {"graphql": {"field": "x"}, "operations": {"thread": True}}


def test_modules_own_what_they_define() -> None:
    found = operations_of(shop)
    assert [each.name for each in found] == [
        "shop.list_books", "shop.get_book", "shop.place_order", "shop.watch_stock", "shop.import_books",
    ]  # fmt: skip
    other = ModuleType("other")
    vars(other).update(list_books=shop.list_books)
    assert operations_of(other) == ()


def test_a_module_function_with_two_names_is_one_operation() -> None:
    module = ModuleType("twice")

    def handler() -> None: ...

    handler.__module__ = "twice"
    operation()(handler)
    vars(module).update(handler=handler, alias=handler)
    (found,) = operations_of(module)
    assert found.name == "twice.handler"


async def test_methods_are_bound_and_overriding_replaces() -> None:
    class Base:
        def __init__(self, answer: int) -> None:
            self.answer = answer

        @operation(effect="read")
        @plain("a")
        async def ask(self) -> int:
            return self.answer

        @operation(effect="read")
        def gone(self) -> None: ...

    class Derived(Base):
        def gone(self) -> None: ...

    (found,) = operations_of(Derived(42))
    assert found.name == "Derived.ask"
    assert await found.handler() == 42
