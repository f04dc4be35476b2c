"""The life of a database that has tasks of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Protocol, TypeVar

import anyio
from anyio.abc import TaskGroup

from covet_kernel import ConfigurationError
from covet_sql.driver._errors import ConnectError


class Openable(Protocol):
    """What is opened and closed."""

    async def open(self) -> None:
        """Connect."""

    async def close(self) -> None:
        """End every connection; safe in any state."""


D = TypeVar("D", bound=Openable)


@asynccontextmanager
async def opened(
    make: Callable[[TaskGroup], D],
    place: str,
    *,
    url_error: Callable[[str, str], ConfigurationError],
    start_error: Callable[[ConnectError, str], ConfigurationError],
) -> AsyncIterator[D]:
    """A database, open for the block.

    Args:
        make: Makes it, with a task group for its tasks; a ``ValueError`` says what is wrong with its URL.
        place: Where it is configured.
        url_error: Explains such a ``ValueError``'s text.
        start_error: Explains why no connection could be opened.

    Raises:
        ConfigurationError: It cannot be used; says why.
    """
    failure: Exception | None = None
    async with anyio.create_task_group() as tasks:
        try:
            database = make(tasks)
        except ValueError as error:
            failure = url_error(str(error), place)
        else:
            try:
                await database.open()
                yield database
            except ConnectError as error:
                failure = start_error(error, place)
                failure.__cause__ = error
            except Exception as error:
                # Raised below, or the group would wrap it.
                failure = error
            finally:
                await database.close()
                tasks.cancel_scope.cancel()
    if failure is not None:
        raise failure
