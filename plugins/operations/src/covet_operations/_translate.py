"""From any exception to the one typed error the caller sees."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from covet_kernel.contracts import (
    BrokerLimitError,
    Call,
    SqlConflictError,
    SqlIntegrityError,
    SqlUnavailableError,
    StoreLimitError,
)
from covet_operations._errors import Conflict, Internal, OperationError, TooLarge, Unavailable

log = logging.getLogger("covet.operations")


@dataclass(frozen=True, kw_only=True)
class ErrorMapping:
    """How one type of exception that is not an `OperationError` is shown to callers.

    Attributes:
        exception: The type; subclasses are included unless they have a mapping of their own.
        error: Makes the typed error. It must not pass on the exception's text, which may hold
            values, addresses or statements.
    """

    exception: type[BaseException]
    error: Callable[[BaseException], OperationError]


BUILT_IN: tuple[ErrorMapping, ...] = (
    ErrorMapping(exception=SqlIntegrityError, error=lambda _: Conflict("a constraint of the data does not allow it")),
    ErrorMapping(exception=SqlConflictError, error=lambda _: Conflict("another change was in the way; try again")),
    ErrorMapping(exception=SqlUnavailableError, error=lambda _: Unavailable("the database cannot be reached")),
    ErrorMapping(exception=StoreLimitError, error=lambda _: TooLarge("over a limit of the store")),
    ErrorMapping(exception=BrokerLimitError, error=lambda _: TooLarge("over a limit of the broker")),
)


class Translator:
    """Turns exceptions into typed errors, by the most specific mapping."""

    def __init__(self, mappings: Iterable[ErrorMapping] = ()) -> None:
        self.mappings: dict[type[BaseException], Callable[[BaseException], OperationError]] = {}
        for each in (*BUILT_IN, *mappings):
            self.mappings[each.exception] = each.error

    def knows(self, exception: type[BaseException]) -> bool:
        return any(base in self.mappings for base in exception.__mro__)

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
        for base in type(exception).__mro__:
            make = self.mappings.get(base)
            if make is not None:
                return make(exception)
        return None

    def recover(self, call: Call, exception: Exception) -> OperationError:
        """The error to answer with; an unexpected exception is logged once, with its traceback."""
        error = self.error(exception)
        if error is not None:
            return error
        log.error(
            "%s failed on %s %s",
            call.operation.name,
            call.binding.protocol,
            call.binding.address,
            exc_info=exception,
        )
        return Internal()
