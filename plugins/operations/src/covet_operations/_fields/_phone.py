"""Phone numbers, in the one form in which they can be compared and called from anywhere (E.164)."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import core_schema

from covet_operations._fields._extra import needed

# E.164 has 15 digits; people put spaces, dashes and brackets between them.
_LONGEST = 40


class PhoneNumber:
    """``Annotated[str, PhoneNumber("GB")]``: a valid number of any country, as ``"+442079460000"``.

    Args:
        region: The country of numbers that do not begin with ``+``; empty: all have to.
    """

    def __init__(self, region: str = "") -> None:
        self.region = region

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        needed("phonenumbers", "phone", "PhoneNumber")
        numbers = needed("pydantic_extra_types.phone_numbers", "phone", "PhoneNumber")
        validator = numbers.PhoneNumberValidator(
            default_region=self.region or None, number_format="E164"
        )
        number: core_schema.CoreSchema = validator.__get_pydantic_core_schema__(str, handler)
        return core_schema.chain_schema(
            [core_schema.str_schema(strip_whitespace=True, max_length=_LONGEST), number]
        )

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"type": "string", "format": "phone", "maxLength": _LONGEST}


Phone: TypeAlias = Annotated[str, PhoneNumber()]
"""A phone number with its country code."""
