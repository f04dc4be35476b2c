"""From any exception to the one typed error the caller sees."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from covet_kernel.contracts import (
    BrokerLimitError,
    Call,
    Record,
    SqlConflictError,
    SqlIntegrityError,
    SqlUnavailableError,
    StoreLimitError,
)
from covet_operations._errors import Conflict, Internal, OperationError, TooLarge, Unavailable

log = logging.getLogger("covet.operations")


class ErrorMapping(Record):
    """How one type of exception that is not an `OperationError` is shown to callers.

    Attributes:
        exception: The type; subclasses are included unless they have a mapping of their own.
        answer: The class of the typed error, for schemas.
        detail: What to say. It must not pass on the exception's text, which may hold
            values, addresses or statements.
    """

    exception: type[BaseException]
    answer: type[OperationError]
    detail: str


BUILT_IN: tuple[ErrorMapping, ...] = (
    ErrorMapping(
        exception=SqlIntegrityError,
        answer=Conflict,
        detail="a constraint of the data does not allow it",
    ),
    ErrorMapping(
        exception=SqlConflictError,
        answer=Conflict,
        detail="another change was in the way; try again",
    ),
    ErrorMapping(
        exception=SqlUnavailableError, answer=Unavailable, detail="the database cannot be reached"
    ),
    ErrorMapping(exception=StoreLimitError, answer=TooLarge, detail="over a limit of the store"),
    ErrorMapping(exception=BrokerLimitError, answer=TooLarge, detail="over a limit of the broker"),
)


class Translator:
    """Turns exceptions into typed errors, by the most specific mapping."""

    def __init__(self, mappings: Iterable[ErrorMapping] = ()) -> None:
        self._mappings = {each.exception: each for each in (*BUILT_IN, *mappings)}

    def knows(self, exception: type[BaseException]) -> bool:
        """Whether there is a typed error for this class of exception."""
        return issubclass(exception, OperationError) or any(
            base in self._mappings for base in exception.__mro__
        )

    def error(self, exception: Exception) -> OperationError | None:
        """The typed error for ``exception``; ``None`` if it is unexpected.

        A group stands for its one leaf if it has one. With several, typed errors win over
        unexpected exceptions only if there is nothing else in it: one unexpected leaf makes the
        whole unexpected, since a bug must not hide behind a refusal. Among typed ones the first counts.
        """
        if isinstance(exception, ExceptionGroup):
            found = [self.error(leaf) for leaf in exception.exceptions]
            return found[0] if all(found) else None
        if isinstance(exception, OperationError):
            return exception
        if not self.knows(type(exception)):
            return None
        mapping = self._mapping(type(exception))
        return mapping.answer(mapping.detail)

    def typed(self, exception: type[Exception]) -> type[OperationError]:
        """The class of typed error that a declared class of exception is shown as."""
        return (
            exception if issubclass(exception, OperationError) else self._mapping(exception).answer
        )

    def unexpected(self, call: Call, exception: Exception) -> OperationError:
        """The answer to a bug. It is logged once, with its traceback; the caller learns nothing of it."""
        log.error(
            "%s failed at %s %r",
            call.operation.name,
            call.binding.protocol,
            call.binding.address,
            exc_info=exception,
        )
        return Internal()

    def _mapping(self, exception: type[BaseException]) -> ErrorMapping:
        return next(self._mappings[base] for base in exception.__mro__ if base in self._mappings)
