"""Typed tokens: what plugins provide to each other and ask of each other."""

from __future__ import annotations

from typing import Any, Generic, TypeVar, cast, get_args

T = TypeVar("T")


class Capability(Generic[T]):
    """A token for one thing a plugin provides and others require.

    A token is compared by identity and remembers its contract type, so that
    ``ctx.require(SQL)`` is typed and a handler parameter annotated with the contract
    finds its provider::

        SQL: Final = Capability[SqlDatabase]("sql.database", plugins=("sqlite", "postgres"))

    Args:
        id: Dotted lower-case name, unique in the process, shown in errors and graphs.
        plugins: Ids of well-known plugins that provide it; used only for the advice in errors.
    """

    def __init__(self, id: str, *, plugins: tuple[str, ...] = ()) -> None:
        self.id = id
        self.plugins = plugins
        self.name = ""
        self.base: Capability[T] = self
        self._named: dict[str, Capability[T]] = {}

    @property
    def contract(self) -> Any:
        """The type this token was made for, ``Any`` for a bare ``Capability("x")``."""
        alias = getattr(self.base, "__orig_class__", None)
        return get_args(alias)[0] if alias is not None else Any

    def named(self, name: str) -> Capability[T]:
        """The token of the instance ``name``; the same object at every call."""
        if not name:
            return self.base
        if name not in self.base._named:
            token = cast(
                "Capability[T]", Capability(f"{self.base.id}/{name}", plugins=self.plugins)
            )
            token.name, token.base = name, self.base
            self.base._named[name] = token
        return self.base._named[name]

    def __repr__(self) -> str:
        return f"Capability({self.id!r})"
