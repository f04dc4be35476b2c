"""Results that are not what the handler's annotation says: made so, or refused.

Serializers go by what they are given: of a mapping where a model is announced they send every member,
also those that the model leaves out on purpose. So what is no instance of the announced class is
validated first, as input would be, which also turns rows of a database into models. What is
an instance already is not looked into, and costs one comparison.
"""

from __future__ import annotations

import datetime as dt
import decimal
import uuid
from collections.abc import Callable, Sequence
from types import NoneType, UnionType
from typing import Any, Final, TypeAlias, Union, get_args, get_origin

from pydantic import BaseModel, TypeAdapter, ValidationError

from covet_operations._annotations import peel, show
from covet_operations._errors import faults
from covet_operations._results import TransportResult

Test: TypeAlias = Callable[[Any], bool]

_SCALARS: Final = (
    str, bytes, bool, int, float, decimal.Decimal, uuid.UUID, dt.datetime, dt.date, dt.time,
    dt.timedelta,
)  # fmt: skip
_LISTS: Final = {
    list: list, tuple: tuple, set: set, frozenset: frozenset, Sequence: (list, tuple)
}  # fmt: skip
_ALSO: Final[dict[type, Any]] = {float: (float, int), bytes: (bytes, bytearray, memoryview)}
_MOST_TOLD: Final = 3


class Fit:
    """Makes results what their annotation says.

    Attributes:
        exact: The class whose own instances need not be given to it, if there is one.
    """

    __slots__ = ("_adapter", "_annotation", "_fits", "_name", "exact")

    def __init__(self, name: str, annotation: Any, adapter: TypeAdapter[Any], fits: Test) -> None:
        self._name = name
        self._annotation = annotation
        self._adapter = adapter
        self._fits = fits
        base, _ = peel(annotation)
        self.exact: type | None = base if isinstance(base, type) and not get_args(base) else None

    def __call__(self, value: Any) -> Any:
        """What is sent in place of ``value``.

        Raises:
            TypeError: It cannot be what is announced.
        """
        if self._fits(value) or isinstance(value, TransportResult):
            return value
        try:
            return self._adapter.validator.validate_python(
                value, from_attributes=True, by_alias=True, by_name=True
            )
        except ValidationError as error:
            # Without the values, which may be what must not get out, not even into a log.
            wrong = [
                f"{'.'.join(map(str, fault['loc'])) or 'it'}: {fault['msg']}"
                for fault in faults(error)
            ]
            more = len(wrong) - _MOST_TOLD
            told = "; ".join(wrong[:_MOST_TOLD]) + (f"; and {more} more" if more > 0 else "")
            raise TypeError(
                f"{self._name} returned a {type(value).__name__} which is no"
                f" {show(self._annotation)}: {told}"
            ) from None


def fit_of(
    name: str, annotation: Any, adapter: TypeAdapter[Any], *, optional: bool = False
) -> Fit | None:
    """What looks at the results of an operation, ``None`` where anything goes.

    Args:
        name: The operation's.
        annotation: What it returns, or yields.
        adapter: Validates that.
        optional: Whether it may also return ``None``, in place of a transport's own result.
    """
    fits = _test(annotation)
    if fits is None or fits is _nothing:
        return None
    if optional:
        return Fit(name, annotation, adapter, _either((_nothing, fits)))
    return Fit(name, annotation, adapter, fits)


def _test(annotation: Any) -> Test | None:
    """Tells whether a value is what an annotation says, ``None`` if that is not worth a look."""
    base, _ = peel(annotation)
    if hasattr(base, "__supertype__"):
        return _test(base.__supertype__)
    if base is None or base is NoneType:
        return _nothing
    origin, arguments = get_origin(base), get_args(base)
    if origin in (Union, UnionType):
        tests = [_test(each) for each in arguments]
        known = [each for each in tests if each is not None]
        return _either(known) if len(known) == len(tests) else None
    if origin in _LISTS:
        if origin is tuple and arguments[1:] != (...,):
            return None
        return _items(_LISTS[origin], arguments[0])
    if origin is dict:
        inner = _members(arguments[1])
        return _mapping(inner) if inner is not None else None
    if isinstance(base, type) and (_is_object(base) or base in _SCALARS):
        return _instance(_ALSO.get(base, base))
    return None


def _is_object(base: type) -> bool:
    return (
        issubclass(base, BaseModel)
        or hasattr(base, "__dataclass_fields__")
        or hasattr(base, "__struct_fields__")
    )


def _nothing(value: Any) -> bool:
    return value is None


def _instance(kinds: Any) -> Test:
    return lambda value: isinstance(value, kinds)


def _either(tests: Sequence[Test]) -> Test:
    return lambda value: any(test(value) for test in tests)


def _members(annotation: Any) -> Callable[[Any], bool] | None:
    """The same for all values of a collection; numbers and texts in it are not worth it."""
    base, _ = peel(annotation)
    test = _test(annotation)
    if test is None or base in _SCALARS:
        return None
    exact = set(get_args(base)) if get_origin(base) in (Union, UnionType) else {base}

    def fit(values: Any) -> bool:
        # By their classes first, which takes no call for each of them.
        return exact.issuperset(map(type, values)) or all(map(test, values))

    return fit


def _items(kinds: Any, annotation: Any) -> Test:
    inner = _members(annotation)
    if inner is None:
        return _instance(kinds)
    return lambda value: isinstance(value, kinds) and inner(value)


def _mapping(inner: Callable[[Any], bool]) -> Test:
    return lambda value: isinstance(value, dict) and inner(value.values())
