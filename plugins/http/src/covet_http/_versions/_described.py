"""An annotation as clients of an older version see it, for schemas."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from copy import copy
from functools import reduce
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, RootModel, WithJsonSchema, create_model

from covet_http._versions._walk import bare, fields_of

# All that is known of data which functions make of dicts.
_OBJECT = Annotated[dict[str, Any], WithJsonSchema({"type": "object"})]


def described(annotation: Any, forms: Mapping[Any, Any], suffix: str) -> Any:
    """The annotation with each model that has changed replaced, within others too.

    Args:
        annotation: The handler's.
        forms: What describes each changed model, ``None`` where nothing does.
        suffix: For the names of models that have changed only within.
    """
    return _Rewriter(forms, suffix).of(annotation)


class _Rewriter:
    def __init__(self, forms: Mapping[Any, Any], suffix: str) -> None:
        self._forms = forms
        self._suffix = suffix
        self._models: dict[Any, Any] = {}

    def of(self, annotation: Any) -> Any:
        plain = bare(annotation)
        if plain is not annotation:
            changed = self.of(plain)
            if changed is plain:
                return annotation
            metadata = getattr(annotation, "__metadata__", ())
            return reduce(lambda inner, each: Annotated[inner, each], metadata, changed)
        if fields_of(annotation) is not None:
            return self._model(annotation)
        origin, arguments = get_origin(annotation), get_args(annotation)
        if origin is None or not arguments:
            return annotation
        rewritten = tuple(each if each is ... else self.of(each) for each in arguments)
        if all(new is old for new, old in zip(rewritten, arguments, strict=True)):
            return annotation
        if origin in (Union, UnionType):
            return reduce(operator.or_, rewritten)
        return origin[rewritten]

    def _model(self, model: Any) -> Any:
        if model in self._forms:
            form = self._forms[model]
            return _OBJECT if form is None else form
        if model not in self._models:
            # One that holds itself is left as it is where it does.
            self._models[model] = model
            self._models[model] = self._within(model)
        return self._models[model]

    def _within(self, model: Any) -> Any:
        """The model with changed fields; itself if there are none."""
        hints = {names[0]: hint for names, hint in (fields_of(model) or {}).items()}
        rewritten = {name: self.of(hint) for name, hint in hints.items()}
        changed = {name: hint for name, hint in rewritten.items() if hint is not hints[name]}
        if not changed:
            return model
        if issubclass(model, RootModel):
            return changed["root"]
        name = f"{model.__name__}{self._suffix}"
        if issubclass(model, BaseModel):
            fields: dict[str, Any] = {}
            for field, hint in changed.items():
                info = copy(model.model_fields[field])
                info.annotation = hint
                fields[field] = hint, info
            return create_model(name, __base__=model, **fields)
        every: dict[str, Any] = {field: (hint, ...) for field, hint in rewritten.items()}
        return create_model(name, **every)
