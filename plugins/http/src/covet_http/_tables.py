"""Tables of ``[plugins.http]`` that most services leave out: their models are imported once one is there.

A model takes a millisecond to make, and what its table asks for takes more. `HttpConfig` knows each only
by name: importing it costs what the service's own configuration needs.
"""

from __future__ import annotations

from importlib import import_module
from typing import Annotated, Any

from pydantic import BaseModel, TypeAdapter
from pydantic_core import core_schema


def table(module: str, name: str) -> Any:
    """The annotation of a field that holds such a table.

    Errors, dumps and the JSON Schema are those of the model itself.

    Args:
        module: Where the model is, in this package.
        name: Its name.
    """
    return Annotated[Any, _Named(module, name)]


class _Named:
    """What pydantic is told of a model that is not imported yet."""

    def __init__(self, module: str, name: str) -> None:
        self._module = f"{__package__}.{module}"
        self._name = name

    def _model(self) -> type[BaseModel]:
        model: type[BaseModel] = getattr(import_module(self._module), self._name)
        return model

    def _read(self, given: Any) -> BaseModel:
        # pydantic puts the faults of one model within another where they belong.
        return self._model().model_validate(given)

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        return core_schema.no_info_plain_validator_function(self._read)

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> Any:
        return handler(TypeAdapter(self._model()).core_schema)
