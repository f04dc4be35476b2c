"""Where in a call its key is found, and the interceptor that looks there."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from contextvars import ContextVar
from typing import Annotated, Any, get_type_hints

from pydantic import AfterValidator

from covet_kernel.contracts import Binding, Call, Layer, Operation, Phase, Record

HOST = re.compile(r"(?P<before>[a-z0-9.-]*)\*(?P<after>[a-z0-9.-]*)")
LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
"""One label of a host's name, RFC 1123."""


class KeyMark:
    """Marks the parameter of a handler that holds the key: ``Annotated[int, ShardKey()]``."""


class KeySource(Record):
    """One place in a call.

    Attributes:
        kind: ``"input"``, an argument of the handler; ``"header"``, metadata of the transport;
            ``"claim"`` of the principal; ``"principal"``, its id; ``"host"``, a label of the host's name.
        name: Of the input, header or claim; of a host the pattern, with ``*`` for the label.
    """

    kind: str
    name: str = ""

    @classmethod
    def parse(cls, text: str) -> KeySource:
        """``"input:customer"``, ``"header:x-tenant"``, ``"claim:tenant"``, ``"principal"``, ``"host:*.shop.example"``.

        Raises:
            ValueError: It is none of these.
        """
        kind, _, name = text.partition(":")
        if kind == "principal" and not name:
            return cls(kind=kind)
        if kind == "header" and name:
            return cls(kind=kind, name=name.lower())
        if kind == "host" and HOST.fullmatch(name.lower()):
            return cls(kind=kind, name=name.lower())
        if kind in ("input", "claim") and name:
            return cls(kind=kind, name=name)
        raise ValueError(
            f"{text!r} is no place in a call; these are: 'input:NAME', 'header:NAME', 'claim:NAME',"
            " 'principal', 'host:*.example.org'"
        )

    def reader(self) -> Callable[[Call], Any]:
        """What finds the key in a call, ``None`` if it is not there."""
        name = self.name
        match self.kind:
            case "input":
                return lambda call: (call.args or {}).get(name)
            case "header":
                return lambda call: call.metadata(name)
            case "claim":
                return lambda call: call.principal and call.principal.claims.get(name)
            case "principal":
                return lambda call: call.principal and call.principal.id
        before, _, after = name.partition("*")
        pattern = re.compile(
            rf"{re.escape(before)}({LABEL}){re.escape(after)}(?::\d+)?", re.IGNORECASE
        )

        def label(call: Call) -> str | None:
            found = pattern.fullmatch(call.metadata("host") or "")
            return found[1].lower() if found else None

        return label


def _place(text: str) -> str:
    if text:
        KeySource.parse(text)
    return text


KeyPlace = Annotated[str, AfterValidator(_place)]
"""The type of a setting that says where a call's key is: what `KeySource.parse` reads, or ``""``."""


class RoutesCalls:
    """An interceptor: finds the key of each call, before its transaction begins.

    A call without one has none: whatever the call before it had in the same context is forgotten.

    Args:
        name: The plugin instance's.
        mark: The class of marks on parameters.
        extra: Under which key of ``Operation.extra`` a `KeySource` may be.
        default: Where the key is of operations that say nothing.
        key: Is set to the key, or to ``None``.
    """

    phase = Phase.TRANSACT
    after: tuple[str, ...] = ()
    before: tuple[str, ...] = ("transact",)

    def __init__(
        self,
        name: str,
        *,
        mark: type[KeyMark],
        extra: str,
        default: KeySource | None,
        key: ContextVar[Any],
    ) -> None:
        self.name = f"{name}.key"
        self._mark = mark
        self._extra = extra
        self._default = default
        self._key = key

    def bind(self, operation: Operation, binding: Binding) -> Layer:
        source = self.source(operation)
        found = self._key
        if source is None:
            return Layer(before=lambda call: _set(found, None))
        read = source.reader()
        return Layer(before=lambda call: _set(found, read(call)))

    def source(self, operation: Operation) -> KeySource | None:
        """Where an operation's key is: its decorator says, or a parameter's mark, or the default."""
        given = operation.extra.get(self._extra)
        if isinstance(given, KeySource):
            return given
        marked = [
            name
            for name, hint in _hints(operation.handler).items()
            if any(isinstance(each, self._mark) for each in getattr(hint, "__metadata__", ()))
        ]
        return KeySource(kind="input", name=marked[0]) if marked else self._default


def _set(key: ContextVar[Any], value: Any) -> None:
    key.set(value)


def _hints(handler: Callable[..., Any]) -> dict[str, Any]:
    return get_type_hints(inspect.unwrap(handler), include_extras=True)
