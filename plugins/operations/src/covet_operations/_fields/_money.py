"""Amounts of money: exact, and never without their currency."""

from __future__ import annotations

import re
from decimal import Decimal
from functools import cache
from typing import Annotated, Any, Final

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    PlainSerializer,
    WithJsonSchema,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError, core_schema

from covet_operations._fields._extra import needed

_TEXT: Final = r"^-?(?:0|[1-9][0-9]{0,17})(?:\.[0-9]{1,4})?$"
_AMOUNT = re.compile(_TEXT.replace("$", r"\Z"))
_MOST: Final = Decimal(10) ** 18
# ISO 4217: the digits behind the point of currencies that do not have two.
_DIGITS: Final = {
    **dict.fromkeys(
        ("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI", "VND",
         "VUV", "XAF", "XOF", "XPF"), 0),
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
    **dict.fromkeys(("CLF", "UYW"), 4),
}  # fmt: skip


def _exact(given: Any) -> Any:
    """What is exact already, as a decimal. ``12.1`` as a JSON number is another number by now."""
    if type(given) is str:
        if not _AMOUNT.match(given):
            raise PydanticCustomError("money_amount", "Should be a decimal number such as '12.05'")
        return Decimal(given)
    if isinstance(given, float | bool):
        raise PydanticCustomError(
            "money_float", "Should be a string such as '12.05': a JSON number is not exact"
        )
    return given


class Money(BaseModel):
    """An amount in a currency: ``{"amount": "12.05", "currency": "EUR"}``.

    Amounts have as many digits behind the point as their currency has, are compared and added only to
    others of it, and are multiplied by whole numbers: nothing is ever rounded unseen.

    Attributes:
        amount: At most 18 digits before the point. A text, in JSON too: a number there is not exact.
        currency: The code of ISO 4217.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    amount: Annotated[
        Decimal,
        BeforeValidator(_exact),
        PlainSerializer(str, return_type=str),
        WithJsonSchema({"type": "string", "pattern": _TEXT}),
    ]
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$", json_schema_extra={"format": "iso-4217"})]

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        _currencies()  # When a model is made, not when the first request comes.
        return handler(source)

    @field_validator("currency")
    @classmethod
    def _is_known(cls, code: str) -> str:
        if code not in _currencies():
            raise PydanticCustomError("money_currency", "Should be a currency code of ISO 4217")
        return code

    @model_validator(mode="after")
    def _fits_its_currency(self) -> Money:
        if not self.amount.is_finite() or abs(self.amount) >= _MOST:
            raise PydanticCustomError("money_amount", "Should have at most 18 digits")
        digits = digits_of(self.currency)
        exact = self.amount.quantize(Decimal(1).scaleb(-digits))
        if exact != self.amount:
            raise PydanticCustomError(
                "money_digits",
                "Should have at most {digits} digits behind the point in {currency}",
                {"digits": digits, "currency": self.currency},
            )
        # Frozen for others; here it is still being made.
        self.__dict__["amount"] = exact + 0
        return self

    @classmethod
    def of_minor(cls, minor: int, currency: str) -> Money:
        """The money that is so many of the currency's smallest units: 1205 cents are 12.05 euros."""
        return cls(amount=Decimal(minor).scaleb(-digits_of(currency)), currency=currency)

    @property
    def minor(self) -> int:
        """How many of the currency's smallest units it is, for databases."""
        return int(self.amount.scaleb(digits_of(self.currency)))

    def __add__(self, other: Money) -> Money:
        return self._of(self.minor + self._same(other).minor)

    def __sub__(self, other: Money) -> Money:
        return self._of(self.minor - self._same(other).minor)

    def __neg__(self) -> Money:
        return self._of(-self.minor)

    def __mul__(self, times: int) -> Money:
        if type(times) is not int:
            raise TypeError(
                "money is multiplied by whole numbers; use 'split' or round by yourself"
            )
        return self._of(self.minor * times)

    __rmul__ = __mul__

    def __lt__(self, other: Money) -> bool:
        return self.amount < self._same(other).amount

    def __le__(self, other: Money) -> bool:
        return self.amount <= self._same(other).amount

    def __gt__(self, other: Money) -> bool:
        return self.amount > self._same(other).amount

    def __ge__(self, other: Money) -> bool:
        return self.amount >= self._same(other).amount

    def split(self, parts: int) -> list[Money]:
        """Parts as equal as the currency allows, the larger ones first; their sum is the whole.

        Raises:
            ValueError: There are no parts.
        """
        if parts < 1:
            raise ValueError("money is split into one part at least")
        each, left = divmod(self.minor, parts)
        return [self._of(each + (number < left)) for number in range(parts)]

    def __str__(self) -> str:
        return f"{self.amount} {self.currency}"

    def _same(self, other: object) -> Money:
        if not isinstance(other, Money) or other.currency != self.currency:
            raise TypeError(f"{self} and {other} have no common currency")
        return other

    def _of(self, minor: int) -> Money:
        return type(self).of_minor(minor, self.currency)


@cache
def _currencies() -> frozenset[str]:
    """The codes of ISO 4217."""
    codes = needed("pydantic_extra_types.currency_code", "money", "Money")
    return frozenset(codes.ISO4217.allowed_currencies)


def digits_of(currency: str) -> int:
    """The digits behind the point of a currency's amounts."""
    return _DIGITS.get(currency, 2)
