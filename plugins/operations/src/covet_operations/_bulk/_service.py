"""What handlers go through many items with."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterable, Sized
from contextlib import aclosing, nullcontext
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

from covet_kernel.contracts import Capability
from covet_operations._errors import Conflict, Internal, Invalid, OperationError, TooLarge
from covet_operations._translate import Translator

if TYPE_CHECKING:
    from covet_operations._bulk._checked import Checked
    from covet_operations._bulk._result import BulkResult

I = TypeVar("I")  # noqa: E741 - an item
T = TypeVar("T")
log = logging.getLogger("covet.operations")


class BulkFailed(Conflict):
    """One of the items failed, and nothing was changed.

    Attributes:
        index: Its place among the items, from 0.
        error: Why it failed: code, title, detail and fields.
    """

    index: int
    error: dict[str, Any]


class Bulk:
    """Runs a function for each of many items; handlers take it by annotation.

    Args:
        max_items: The most items of one call, and the most outcomes of one answer.
        translate: Gives the typed error for an exception, ``None`` for one that is unexpected.
    """

    def __init__(
        self,
        *,
        max_items: int = 1000,
        translate: Callable[[Exception], OperationError | None] | None = None,
    ) -> None:
        self._max_items = max_items
        self._translate = translate or Translator().error

    async def each(
        self,
        items: Iterable[Checked[I]] | AsyncIterable[Checked[I]],
        function: Callable[[I], Awaitable[T]],
        *,
        keep: Literal["all", "failed"] = "all",
    ) -> BulkResult[T]:
        """Each item on its own, one after the other: one that fails leaves the others as they are.

        The function opens what it needs for one item, such as a transaction; the operation itself has
        none. If the call is cut off, by its deadline or its caller, the items until then stay done.

        Args:
            items: A list, or a stream of any length.
            function: Called for each item that fits; what it raises is that item's outcome.
            keep: Whether outcomes of items that have succeeded are kept. Streams of any length keep
                the failed ones, of which those beyond ``max_items`` are only counted.

        Raises:
            TooLarge: There are more than ``max_items`` items, found before the first of them is run
                where that is known; not with ``keep="failed"``.
        """
        from covet_operations._bulk._result import BulkResult, Outcome

        if keep == "all" and isinstance(items, Sized):
            self._limit(len(items))
        outcomes: list[Outcome[T]] = []
        succeeded = failed = index = 0
        async with aclosing(_each(items)) as stream:
            async for item in stream:
                if keep == "all":
                    self._limit(index + 1)
                value, error = await self._outcome(item, function)
                if error is None:
                    succeeded += 1
                else:
                    failed += 1
                wanted = keep == "all" or error is not None
                if wanted and len(outcomes) < self._max_items:
                    outcomes.append(Outcome.model_construct(index=index, value=value, error=error))
                index += 1
        return BulkResult.model_construct(succeeded=succeeded, failed=failed, outcomes=outcomes)

    async def all(
        self, items: Iterable[Checked[I]], function: Callable[[I], Awaitable[T]]
    ) -> list[T]:
        """All items or none: the first that fails ends the call, and rolls its transaction back.

        Items that do not fit are told before anything is run, all of them at once.

        Args:
            items: A list.
            function: Called for each item, inside the operation's own transaction.

        Raises:
            Invalid: Items do not fit.
            BulkFailed: One has failed. Declare it among the operation's errors.
            TooLarge: There are more than ``max_items``.
        """
        listed = [*items]
        self._limit(len(listed))
        wrong = [
            {**fault, "loc": [index, *fault["loc"]]}
            for index, item in enumerate(listed)
            if item.error is not None
            for fault in item.error.errors
        ]
        if wrong:
            raise Invalid("items do not fit", errors=wrong)
        results = []
        for index, item in enumerate(listed):
            try:
                results.append(await function(item.value))
            except Exception as error:
                typed = self._translate(error)
                if typed is None:
                    raise
                described = typed.describe()
                raise BulkFailed(
                    f"item {index} failed: {typed.detail or typed.title}",
                    index=index,
                    error=described,
                ) from error
        return results

    def _limit(self, count: int) -> None:
        if count > self._max_items:
            raise TooLarge(f"one call may have {self._max_items} items")

    async def _outcome(
        self, item: Checked[I], function: Callable[[I], Awaitable[T]]
    ) -> tuple[T | None, OperationError | None]:
        if item.error is not None:
            return None, item.error
        try:
            return await function(item.value), None
        except Exception as error:
            typed = self._translate(error)
            if typed is None:
                # A bug in one item does not hide what became of the others.
                log.exception("an item of many failed")
                typed = Internal()
            return None, typed


BULK: Final = Capability[Bulk]("operations.bulk", plugins=("operations",))
"""What many items are gone through with; a parameter annotated `Bulk` gets it."""


async def _each(items: Iterable[I] | AsyncIterable[I]) -> AsyncGenerator[I, None]:
    if isinstance(items, AsyncIterable):
        closing = aclosing(items) if hasattr(items, "aclose") else nullcontext(items)  # type: ignore[type-var]
        async with closing as stream:
            async for item in stream:
                yield item
    else:
        for item in items:
            yield item
