"""What the tables of all servers have in common: keys of ``[plugins.http]`` are not in them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from covet_kernel import PluginConfig


class ServerConfig(PluginConfig):
    """The table of one server, for what the others do not have.

    A key that every server is told by `ServerOptions`, and so stands in ``[plugins.http]``, is refused
    with a word about that.
    """

    @model_validator(mode="before")
    @classmethod
    def _shares_nothing(cls, given: Any) -> Any:
        unknown = given.keys() - cls.model_fields.keys() if isinstance(given, Mapping) else ()
        if unknown:
            from covet_http._config import HttpConfig

            shared = sorted(unknown & HttpConfig.model_fields.keys())
            if shared:
                raise ValidationError.from_exception_data(
                    cls.__name__, [_belongs_elsewhere(name, given) for name in shared]
                )
        return given


def _belongs_elsewhere(name: str, given: Mapping[str, Any]) -> InitErrorDetails:
    error = PydanticCustomError(
        "key_of_every_server",
        "every server has this from [plugins.http]: move it there, as plugins.http.{key}",
        {"key": name},
    )
    return InitErrorDetails(type=error, loc=(name,), input=given[name])
