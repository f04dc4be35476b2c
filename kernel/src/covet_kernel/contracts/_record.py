"""Immutable data with keyword arguments, made at a tenth of a dataclass's cost.

A dataclass writes and compiles the source of its methods when its module is imported, about 0.7 ms
each. A service imports dozens of them before its first answer.
"""

from __future__ import annotations

from typing import Any, ClassVar, Self, dataclass_transform


@dataclass_transform(kw_only_default=True, frozen_default=True)
class Record:
    """Base of data types whose annotated names are their fields.

    Subclasses need no decorator, and may add fields. A default is given to all instances as it is,
    so it must be immutable. Records of one class are equal if their fields are.
    """

    _fields: ClassVar[dict[str, None]] = {}
    _required: ClassVar[frozenset[str]] = frozenset()

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        own = [
            name
            for name, kind in cls.__annotations__.items()
            if not str(kind).startswith(("ClassVar", "typing.ClassVar"))
        ]
        cls._fields = dict.fromkeys((*cls._fields, *own))
        cls._required = frozenset(name for name in cls._fields if not hasattr(cls, name))

    def __init__(self, **values: Any) -> None:
        if not self._required <= values.keys() <= self._fields.keys():
            wrong = sorted((self._required - values.keys()) | (values.keys() - self._fields.keys()))
            raise TypeError(f"{type(self).__name__}: missing or unknown {', '.join(wrong)}")
        self.__dict__.update(values)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"{type(self).__name__} is immutable, {name!r} cannot be set")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__} is immutable, {name!r} cannot be deleted")

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self._fields)

    def __hash__(self) -> int:
        return hash((type(self), *(getattr(self, name) for name in self._fields)))

    def __repr__(self) -> str:
        values = ", ".join(f"{name}={getattr(self, name)!r}" for name in self._fields)
        return f"{type(self).__name__}({values})"

    def replaced(self, **values: Any) -> Self:
        """A copy with other values for some fields."""
        return type(self)(**{**self.__dict__, **values})
