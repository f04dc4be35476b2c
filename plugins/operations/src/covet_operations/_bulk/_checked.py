"""Items that are validated one by one, so that one that does not fit does not spoil the others."""

from __future__ import annotations

from typing import Any, Generic, TypeVar, get_args

from pydantic import GetCoreSchemaHandler, ValidationError
from pydantic_core import core_schema

from covet_operations._errors import Invalid

T = TypeVar("T")


class Checked(Generic[T]):
    """An item, or what is wrong with it: ``list[Checked[NewBook]]``, ``AsyncIterator[Checked[NewBook]]``.

    In schemas it is the item itself.

    Attributes:
        error: What is wrong; ``None``: nothing.
    """

    __slots__ = ("_value", "error")

    def __init__(self, value: T | None = None, error: Invalid | None = None) -> None:
        self._value = value
        self.error = error

    @property
    def value(self) -> T:
        """The item.

        Raises:
            Invalid: It did not fit.
        """
        if self.error is not None:
            raise self.error
        return self._value  # type: ignore[return-value]

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        (item,) = get_args(source) or (Any,)

        def check(given: Any, validate: core_schema.ValidatorFunctionWrapHandler) -> Checked[Any]:
            try:
                return cls(validate(given))
            except ValidationError as error:
                return cls(error=Invalid.from_validation(error))

        return core_schema.no_info_wrap_validator_function(check, handler.generate_schema(item))
