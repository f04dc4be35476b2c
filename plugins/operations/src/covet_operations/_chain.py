"""One chain per operation and binding, generated once as straight-line code.

A loop over layers, or closures that call each other, cost more than the layers themselves. The
source generated here is assembled from the templates below and from integers alone: no name, path
or annotation of a user ever becomes part of it. Objects are reached through the namespace.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Sequence
from functools import lru_cache
from types import CodeType
from typing import Any, Final, Literal, TypeAlias

from covet_kernel.contracts import Call, Layer
from covet_operations._suspended import Suspended

_MODULE: Final[dict[str, Any]] = {}
"""The globals of all that is generated: Python's own names, and nothing else."""

Chain: TypeAlias = Callable[[Call], Coroutine[Any, Any, Any]]
Direct: TypeAlias = Callable[[Call], "Coroutine[Any, Any, Any] | None"]
"""A chain that need not wait. What it returns, if anything, is the rest of it, which does."""


class Source:
    """Lines of a function under construction and the objects they name.

    Attributes:
        lines: What is written.
        depth: How far the next line is indented.
        names: The objects.
        form: What the function is: a ``"whole"`` chain, the ``"direct"`` function of one that need not
            wait, or the ``"rest"`` of a handler's coroutine that has begun to wait and of what follows.
        stepped: Whether the direct function steps such a coroutine.
    """

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.depth = 0
        self.names: dict[str, Any] = {}
        self.form: Literal["whole", "direct", "rest"] = "whole"
        self.stepped = False

    def line(self, text: str) -> None:
        self.lines.append("    " * self.depth + text)

    def name(self, value: object) -> str:
        """A name for ``value``: a letter and a number."""
        name = f"v{len(self.names)}"
        self.names[name] = value
        return name

    def wait(self, coroutine: str) -> None:
        """Leave in ``r`` what a coroutine returns, which is to be stepped here and now.

        A direct function steps it once by hand, and hands back the rest of everything if it waits.

        Args:
            coroutine: The expression that makes it. It may not be evaluated before others that wait.
        """
        match self.form:
            case "whole":
                self.line(f"r = await {coroutine}")
            case "rest":
                self.line("r = await w")
            case "direct":
                self.stepped = True
                self.line(f"c = {coroutine}")
                self.line("try:")
                self.line("    t = c.send(None)")
                self.line("except StopIteration as s:")
                self.line("    r = s.value")
                self.line("else:")
                self.line(f"    return rest_inside(call, {self.name(Suspended)}(c, None, t))")


Inner: TypeAlias = Callable[[Source], None]
"""Writes lines; the innermost ones leave the handler's result in ``r``."""


class Written(Layer):
    """A layer that writes its way in itself instead of being called."""

    write: Inner | None = None


def compose(layers: Sequence[Layer], inner: Inner, again: Inner | None = None) -> Chain:
    """Compile layers around the innermost step.

    Args:
        layers: Outermost first.
        inner: Writes the innermost lines.
        again: Writes what has to happen when an ``around`` brought a result of its own.

    Returns:
        An async function of the call that returns the handler's result.
    """
    source = Source()
    _function(source, tuple(layers), inner, again)
    chain: Chain = _compiled(source, "chain_0")
    return chain


def compose_direct(
    layers: Sequence[Layer], inner: Inner, *, stepping: bool = False
) -> Direct | None:
    """The same as a plain function, ``None`` if something in it always waits.

    A plain ``before`` may still hand back an awaitable, and a handler's coroutine may wait. Then the
    rest of the chain is a coroutine, one for each place where that can happen: it awaits, and goes on
    from there. It has to be awaited at once: what it waits for may have been asked for already.

    Args:
        layers: Outermost first.
        inner: Writes the innermost lines.
        stepping: Whether the handler's coroutine may be stepped, which may open scopes and leave them.
    """
    if any(layer.around is not None or is_async(layer.before) for layer in layers):
        return None
    source = Source()
    source.form = "direct" if stepping else "whole"
    source.line("def direct(call):")
    source.depth = 1
    waits = _hooks(source, layers, inner, direct=True)
    if any("await " in line or "async " in line for line in source.lines):
        return None
    rests: list[tuple[int | str, int]] = [(number, number) for number in waits]
    if source.stepped:
        rests.append(("inside", len(layers)))
    for name, entered in rests:
        source.form = "rest" if name == "inside" else "whole"
        source.depth = 0
        source.line(f"async def rest_{name}(call, w):")
        source.depth = 1
        _hooks(source, layers, inner, entered=entered)
    direct: Direct = _compiled(source, "direct")
    return direct


def can_wait(direct: Direct) -> bool:
    """Whether there is a way in which it leaves something to be awaited."""
    code: CodeType | None = getattr(direct, "__code__", None)
    return code is None or any(name.startswith("rest_") for name in code.co_freevars)


def _compiled(source: Source, name: str) -> Any:
    return _maker("\n".join(source.lines), len(source.names), name)(*source.names.values())


@lru_cache(maxsize=1024)
def _maker(text: str, count: int, name: str) -> Callable[..., Any]:
    """What makes the function called ``name`` of a text and of so many objects.

    Objects go by numbers, so that most operations of a service share a handful of texts. What the
    interpreter learns of a text while it runs depends on the module it is in: so all of them are in
    one, and have their objects from a function around them.
    """
    names = ", ".join(f"v{number}" for number in range(count))
    lines = [f"def make({names}):", *(f"    {line}" for line in text.splitlines())]
    code = compile("\n".join([*lines, f"    return {name}"]), "<covet chain>", "exec")
    found: dict[str, Any] = {}
    exec(code, _MODULE, found)  # noqa: S102 - ours, see above
    make: Callable[..., Any] = found["make"]
    return make


def _function(
    source: Source, layers: tuple[Layer, ...], inner: Inner, again: Inner | None, number: int = 0
) -> None:
    """Write ``chain_<number>``; a layer with an ``around`` ends it and begins the next."""
    split = next((index for index, layer in enumerate(layers) if layer.around is not None), None)
    rest: tuple[Layer, ...] | None = None
    if split is not None:
        rest = layers[split + 1 :]
        _function(source, rest, inner, again, number + 1)
    source.depth = 0
    source.line(f"async def chain_{number}(call):")
    source.depth = 1
    if split is None:
        _hooks(source, layers, inner)
    else:
        around = source.name(layers[split].around)

        def wrapped(source: Source) -> None:
            source.line(f"r = await {around}(call, chain_{number + 1})")
            if again is not None:
                source.line("if r is not call.value or call.body is None:")
                source.depth += 1
                again(source)
                source.depth -= 1

        _hooks(source, layers[: split + 1], wrapped)
    source.line("return r")


def _hooks(
    source: Source,
    layers: Sequence[Layer],
    inner: Inner,
    number: int = 0,
    *,
    direct: bool = False,
    entered: int = -1,
) -> list[int]:
    """Write layers from ``number`` on.

    Args:
        source: Takes the lines.
        layers: Outermost first.
        inner: Writes the innermost lines.
        number: The first layer to write.
        direct: For a plain function.
        entered: The layers up to this one are entered already, but for what its ``before`` handed
            back.

    Returns:
        The layers whose ``before`` may hand back an awaitable.
    """
    if number == len(layers):
        inner(source)
        return []
    layer = layers[number]
    waits: list[int] = []
    if number == entered:
        source.line("await w")
    elif number < entered:
        pass
    elif isinstance(layer, Written) and layer.write is not None:
        layer.write(source)
    elif layer.before is not None:
        _before(source, layer.before, number if direct else None)
        waits.append(number)
    if layer.after is None:
        return waits + _hooks(source, layers, inner, number + 1, direct=direct, entered=entered)
    after = source.name(layer.after)
    source.line("try:")
    source.depth += 1
    waits += _hooks(source, layers, inner, number + 1, direct=direct, entered=entered)
    source.depth -= 1
    source.line("except BaseException as e:")
    source.line(f"    {after}(call, None, e)")
    source.line("    raise")
    source.line(f"{after}(call, r, None)")
    return waits


def _before(source: Source, before: Callable[[Call], Any], rest: int | None) -> None:
    name = source.name(before)
    if is_async(before):
        source.line(f"await {name}(call)")
        return
    # A plain function may still hand back an awaitable; testing for None costs next to nothing.
    source.line(f"w = {name}(call)")
    source.line("if w is not None:")
    source.line("    await w" if rest is None else f"    return rest_{rest}(call, w)")


def is_async(function: Callable[..., Any] | None) -> bool:
    """Whether calling it always gives a coroutine."""
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004 - the method itself is wanted
    )
