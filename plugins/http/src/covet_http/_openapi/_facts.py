"""What an application says in the document that its signatures cannot: the decorator `openapi`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, TypeVar

from covet_kernel.contracts import Operation, Record
from covet_operations import mark

F = TypeVar("F", bound=Callable[..., Any])

EXTRA: Final = "http.openapi"
_NOTHING: Final[Mapping[Any, Any]] = MappingProxyType({})


class DeclaredAnswer(Record):
    """One more answer of an operation, besides its success and its errors.

    Attributes:
        description: When it is given.
        type: What its body holds; ``None``: it has no body.
        content_type: Of its body.
        headers: What headers mean, by name.
    """

    description: str
    type: Any = None
    content_type: str = "application/json"
    headers: Mapping[str, str] = _NOTHING


class Webhook(Record):
    """A request that the service sends.

    Attributes:
        name: Unique among the webhooks of the document, or the callbacks of the operation.
        payload: The type of its JSON body.
        url: Where it goes, for a callback: a runtime expression such as
            ``"{$request.body#/callback_url}"`` (OpenAPI 3.1.1, 4.8.20.4).
        method: In upper case.
        summary: One line.
        description: CommonMark.
    """

    name: str
    payload: Any
    url: str = ""
    method: str = "POST"
    summary: str = ""
    description: str = ""


class Facts(Record):
    """What `openapi` was told about one operation."""

    hidden: bool = False
    operation_id: str = ""
    description: str = ""
    answers: Mapping[int, DeclaredAnswer] = _NOTHING
    request_examples: Mapping[str, Any] = _NOTHING
    response_examples: Mapping[str, Any] = _NOTHING
    callbacks: tuple[Webhook, ...] = ()
    external_docs: str = ""


def openapi(
    *,
    hidden: bool = False,
    operation_id: str = "",
    description: str = "",
    answers: Mapping[int, DeclaredAnswer] = _NOTHING,
    request_examples: Mapping[str, Any] = _NOTHING,
    response_examples: Mapping[str, Any] = _NOTHING,
    callbacks: Sequence[Webhook] = (),
    external_docs: str = "",
) -> Callable[[F], F]:
    """Say in the OpenAPI document what a function's signature does not.

    Args:
        hidden: Leave the operation out.
        operation_id: Unique; the operation's name unless given.
        description: CommonMark; the docstring behind its first line unless given.
        answers: By status, those that the handler chooses itself.
        request_examples: Bodies, by a name for each.
        response_examples: The same of the successful answer.
        callbacks: Requests the service sends because of this call.
        external_docs: A URL with more about it.
    """
    facts = Facts(
        hidden=hidden,
        operation_id=operation_id,
        description=description,
        answers=dict(answers),
        request_examples=dict(request_examples),
        response_examples=dict(response_examples),
        callbacks=tuple(callbacks),
        external_docs=external_docs,
    )
    return mark(extra={EXTRA: facts})


def facts_of(operation: Operation) -> Facts:
    """What was said of an operation; nothing unless it was."""
    facts = operation.extra.get(EXTRA)
    return facts if isinstance(facts, Facts) else _SILENT


_SILENT: Final = Facts()
