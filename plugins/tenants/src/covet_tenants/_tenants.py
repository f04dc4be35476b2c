"""All tenants, and the database of each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

import anyio

from covet_kernel.contracts import SQL, Capability, SqlDatabase
from covet_tenants._config import TenantsConfig
from covet_tenants._errors import TenantMissingError, TenantUnknownError
from covet_tenants._names import is_name


class Tenants:
    """The tenants of a service.

    Args:
        config: Which there are.
        base: The database that they are in, or that is beside their files.
        make: Makes the database of one.

    Attributes:
        current: The tenant of the call that is answered, ``None`` if there is none.
    """

    def __init__(
        self, config: TenantsConfig, base: SqlDatabase, make: Callable[[str], SqlDatabase]
    ) -> None:
        self.current: ContextVar[Any] = ContextVar("covet_tenants.current", default=None)
        self.dialect = base.dialect
        self._config = config
        self._base = base
        self._make = make
        self._names = frozenset(config.tenants)

    def of(self, tenant: object) -> SqlDatabase:
        """The `SqlDatabase` of a tenant, in which names without a schema are the tenant's.

        Raises:
            TenantUnknownError: There is no such tenant, or it is not known here yet.
        """
        if not is_name(tenant) or tenant not in self._names:
            raise TenantUnknownError
        return self._make(str(tenant))

    def of_call(self) -> SqlDatabase:
        """The same for the tenant of the call that is answered.

        Raises:
            TenantMissingError: Nothing says whose it is.
            TenantUnknownError: There is no such tenant.
        """
        tenant = self.current.get()
        if tenant is None:
            raise TenantMissingError
        return self.of(tenant)

    @contextmanager
    def using(self, tenant: str) -> Iterator[SqlDatabase]:
        """Have this be the tenant in the block, as a call would have it: of a job, of a test."""
        token = self.current.set(tenant)
        try:
            yield self.of(tenant)
        finally:
            self.current.reset(token)

    def all(self) -> list[str]:
        """The tenants that are known here, by name."""
        return sorted(self._names)

    async def refresh(self) -> None:
        """Ask the query for the tenants there are now; nothing where they are a list.

        Raises:
            SqlError: It cannot be asked.
            TenantUnknownError: One has a name that can be none.
        """
        if not self._config.query:
            return
        rows = await self._base.fetch_all(self._config.query)
        self._names = frozenset(names_of([next(iter(row.values())) for row in rows]))

    async def keep(self) -> None:
        """Ask again and again. While the database does not answer, those that are known remain."""
        from covet_kernel.contracts import SqlError

        while self._config.query:
            await anyio.sleep(self._config.refresh)
            try:
                await self.refresh()
            except SqlError:
                continue


def names_of(found: list[Any]) -> list[str]:
    """The names that a query has given.

    Raises:
        TenantUnknownError: One can be none.
    """
    for each in found:
        if not is_name(each):
            raise TenantUnknownError(
                f"{each!r} can be no tenant's name: a to z, 0 to 9, '_' and '-', at most 40"
            )
    return sorted(found)


TENANTS: Final = Capability[Tenants]("tenants.tenants", plugins=("tenants",))
"""All tenants."""

TENANT: Final[Capability[SqlDatabase]] = SQL.named("tenant")
"""The database of the tenant whose call is answered: ``Annotated[SqlSession, TENANT]``."""
