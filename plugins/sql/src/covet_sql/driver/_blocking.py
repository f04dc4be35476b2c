"""How tools that block reach a database: migrations do, the calls of a service never."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from covet_kernel.contracts import Record


class BlockingDatabase(Record):
    """A database as PEP 249 knows it.

    Attributes:
        dialect: As the `SqlDatabase` calls its own.
        name: What people know it by; holds no secret.
        dbapi: The driver's module, as PEP 249 has it.
        connect: Opens a connection of that driver's, and raises `ConfigurationError` if it cannot.
            It is called in a worker thread.
        at: The same for another file, where databases are files.
    """

    dialect: str
    name: str
    dbapi: Any
    connect: Callable[[], Any]
    at: Callable[[Path], BlockingDatabase] | None = None


@runtime_checkable
class OpensBlocking(Protocol):
    """A plugin whose database tools can reach. It need not have been started."""

    def blocking_database(self, directory: Path, place: str) -> BlockingDatabase:
        """How to connect; does not.

        Args:
            directory: Of ``covet.toml``, where relative paths begin.
            place: Where the database is configured, for errors.

        Raises:
            ConfigurationError: It can be reached by the plugin alone, as one in memory.
        """


@runtime_checkable
class HasTenants(Protocol):
    """A plugin that knows of databases for each tenant beside a database."""

    @property
    def tenants_of(self) -> tuple[str, str]:
        """The SQL instance that tools connect to, and the one that stands for a tenant's."""

    def tenant_names(self, base: BlockingDatabase) -> list[str]:
        """All tenants, by name; may connect.

        Raises:
            ConfigurationError: The database cannot be reached.
        """

    def tenant_database(
        self, base: BlockingDatabase, tenant: str, directory: Path
    ) -> BlockingDatabase:
        """How to connect to what one has; does not."""
