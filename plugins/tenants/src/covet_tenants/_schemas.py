"""A tenant's schema in a database that all tenants share: set in each transaction, for that transaction."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from covet_kernel.contracts import Isolation, SqlDatabase, SqlError, SqlSession
from covet_sql.routing import WithinDatabase
from covet_tenants._errors import TenantUnknownError
from covet_tenants._names import quoted

ENTER = "SELECT set_config('search_path', ?, true) AS path, to_regnamespace(?) IS NOT NULL AS there"
"""For the transaction, and no longer: whoever has the connection next, and whoever shares it behind a
pooler, has nothing of it. A schema that is not there would be passed over in silence."""
NO_DATABASE = "42000"
"""What MariaDB says of a database that is not there."""


class SchemaDatabase(WithinDatabase):
    """The `SqlDatabase` of one tenant: names without a schema are the tenant's.

    Every statement is in a transaction, which begins by entering the schema.

    Args:
        inner: The database that has the schemas.
        schema: The tenant's.
        shared: Schemas behind it.
    """

    def __init__(self, inner: SqlDatabase, schema: str, shared: tuple[str, ...] = ()) -> None:
        self._inner = inner
        self._name = quoted(schema)
        self._path = ", ".join(map(quoted, (schema, *shared)))
        self.dialect = inner.dialect

    def within(self) -> AbstractAsyncContextManager[SqlSession]:
        return self.transaction()

    @asynccontextmanager
    async def transaction(
        self, *, read_only: bool = False, isolation: Isolation | None = None
    ) -> AsyncIterator[SqlSession]:
        """A session in the tenant's schema.

        Raises:
            TenantUnknownError: The schema is not there.
        """
        async with self._inner.transaction(read_only=read_only, isolation=isolation) as session:
            await self._enter(session)
            yield session

    async def _enter(self, session: SqlSession) -> None:
        if self.dialect == "postgresql":
            row = await session.fetch_one(ENTER, (self._path, self._name))
            if row is None or not row["there"]:
                raise TenantUnknownError("the tenant has no schema yet")
            return
        try:
            # The driver resets a connection that has changed its database before it lends it again.
            await session.execute(f"USE {self._name}")
        except SqlError as error:
            if error.sqlstate == NO_DATABASE:
                raise TenantUnknownError("the tenant has no database yet") from error
            raise
