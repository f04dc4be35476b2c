"""Decorators that leave marks on functions, and the operations made of them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import ModuleType
from typing import Any, Literal, TypeVar

from covet_kernel.contracts import Binding, Effect, Operation

F = TypeVar("F", bound=Callable[..., Any])
_ATTRIBUTE = "__covet_operation__"
_STRENGTH: tuple[Effect, ...] = ("read", "idempotent", "write")


class Marks:
    """What the decorators of one function said."""

    def __init__(self) -> None:
        self.facts: dict[str, Any] | None = None
        self.bindings: list[Binding] = []
        self.effects: list[Effect] = []
        self.requires: list[str] = []
        self.errors: list[type[Exception]] = []
        self.tags: list[str] = []
        self.extra: dict[str, Any] = {}


def _marks(function: Callable[..., Any]) -> Marks:
    if inspect.isclass(function):
        raise TypeError(
            f"{function.__qualname__} is a class; what is called are functions, and methods of plugins"
        )
    marks: Marks | None = vars(function).get(_ATTRIBUTE)
    if marks is None:
        marks = Marks()
        setattr(function, _ATTRIBUTE, marks)
    return marks


def operation(
    *,
    name: str | None = None,
    effect: Effect | None = None,
    requires: tuple[str, ...] = (),
    anonymous: bool | None = None,
    errors: tuple[type[Exception], ...] = (),
    deadline: float | None = None,
    on_disconnect: Literal["cancel", "finish", "notify"] = "cancel",
    transaction: Literal["read", "write"] | None = None,
    summary: str = "",
    tags: tuple[str, ...] = (),
    deprecated: bool = False,
    thread: bool = False,
) -> Callable[[F], F]:
    """State what is true of a function on every protocol; the function itself is returned.

    Args:
        name: Unique dotted name; ``module.function`` or ``Class.method`` unless given.
        effect: ``"read"``, ``"idempotent"`` or ``"write"``. Unless given, the strongest that the
            bindings imply, and ``"write"`` if they imply none.
        requires: Permissions the principal needs, all of them.
        anonymous: Whether a call without credentials is let in; unless given, exactly if
            ``requires`` is empty.
        errors: Typed errors the function raises.
        deadline: Seconds a call may take.
        on_disconnect: What a vanished caller does to the call.
        transaction: Run inside a transaction that commits before the answer leaves.
        summary: One line for schemas; the docstring's first line unless given.
        tags: For grouping in schemas.
        deprecated: Whether schemas mark it as deprecated.
        thread: Run a plain ``def`` in a worker thread; without it, it runs on the event loop and
            must not block.
    """
    facts: dict[str, Any] = {
        "name": name, "effect": effect, "requires": requires, "anonymous": anonymous, "errors": errors,
        "deadline": deadline, "on_disconnect": on_disconnect, "transaction": transaction,
        "summary": summary, "tags": tags, "deprecated": deprecated,
    }  # fmt: skip

    def decorate(function: F) -> F:
        marks = _marks(function)
        marks.facts = facts
        if thread:
            marks.extra["operations"] = {"thread": True}
        return function

    return decorate


def mark(
    *bindings: Binding,
    effect: Effect | None = None,
    requires: Iterable[str] = (),
    errors: Iterable[type[Exception]] = (),
    tags: Iterable[str] = (),
    extra: Mapping[str, object] | None = None,
) -> Callable[[F], F]:
    """A decorator that binds a function: what transports make their own decorators of.

    Args:
        bindings: Addresses to add.
        effect: What the binding implies if `operation` does not say, as ``GET`` implies ``"read"``.
        requires: Permissions besides those of `operation`.
        errors: Errors besides those of `operation`.
        tags: Tags besides those of `operation`, which come first.
        extra: What to attach to ``Operation.extra``, keyed by plugin id.
    """

    def decorate(function: F) -> F:
        marks = _marks(function)
        # Decorators apply from the bottom up; readers expect the order of the lines.
        marks.bindings[:0] = bindings
        if effect is not None:
            marks.effects.append(effect)
        marks.requires += requires
        marks.errors += errors
        marks.tags += tags
        marks.extra.update(extra or {})
        return function

    return decorate


def operations_of(source: object) -> tuple[Operation, ...]:
    """The operations that functions of a module, methods of an instance, or a function are marked as.

    Functions a module merely imports are not its operations.

    Args:
        source: A module, an instance of a class with marked methods, or a marked function itself.
    """
    return tuple(
        _operation(marks, handler, default)
        for marks, handler, default in _marked(source)
        if marks.facts is not None or marks.bindings
    )


def _marked(source: object) -> Iterator[tuple[Marks, Callable[..., Any], str]]:
    if inspect.isfunction(source):
        if _ATTRIBUTE in vars(source):
            yield vars(source)[_ATTRIBUTE], source, f"{source.__module__}.{source.__name__}"
        return
    if isinstance(source, ModuleType):
        known: set[Callable[..., Any]] = set()
        for key, value in vars(source).items():
            if (
                inspect.isfunction(value)
                and _ATTRIBUTE in vars(value)
                and value.__module__ == source.__name__
                and value not in known
            ):
                known.add(value)
                yield vars(value)[_ATTRIBUTE], value, f"{source.__name__}.{key}"
        return
    seen: set[str] = set()
    for owner in type(source).__mro__:
        for key, value in vars(owner).items():
            if key in seen:
                continue
            seen.add(key)
            inner = value.__func__ if isinstance(value, staticmethod | classmethod) else value
            if inspect.isfunction(inner) and _ATTRIBUTE in vars(inner):
                yield (
                    vars(inner)[_ATTRIBUTE],
                    getattr(source, key),
                    f"{type(source).__name__}.{key}",
                )


def _operation(marks: Marks, handler: Callable[..., Any], default: str) -> Operation:
    facts = dict(marks.facts or {})
    facts["name"] = facts.get("name") or default
    if facts.get("effect") is None:
        facts["effect"] = max(marks.effects, key=_STRENGTH.index, default="write")
    if not facts.get("summary"):
        facts["summary"] = (inspect.getdoc(handler) or "").partition("\n")[0]
    for name, more in (
        ("requires", marks.requires),
        ("errors", marks.errors),
        ("tags", marks.tags),
    ):
        facts[name] = tuple(dict.fromkeys([*facts.get(name, ()), *more]))
    return Operation(
        handler=handler, bindings=tuple(marks.bindings), extra=dict(marks.extra), **facts
    )
