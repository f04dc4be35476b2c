"""The table ``[plugins.tenants]``."""

from __future__ import annotations

from typing import Self

from pydantic import Field, PositiveFloat, field_validator, model_validator

from covet_kernel import PluginConfig
from covet_sql.routing import KeyPlace
from covet_tenants._names import is_name


class TenantsConfig(PluginConfig):
    """The table ``[plugins.tenants]``. All times in seconds."""

    database: str = Field(
        "",
        description="The SQL instance that the tenants' schemas are in, by name; '' is the default"
        " one. Where it is SQLite, tenants have files beside it.",
    )
    name: str = Field(
        "tenant",
        min_length=1,
        description="The SQL instance under which handlers find their call's tenant.",
    )
    tenants: tuple[str, ...] = Field((), description="All tenants, where they are a fixed list.")
    query: str = Field(
        "",
        description="The query on that instance whose only column has their names, where they are not.",
    )
    refresh: PositiveFloat = Field(
        5.0, description="How often the query is run: a tenant that is new is found after that."
    )
    schema_name: str = Field(
        "tenant_{tenant}",
        alias="schema",
        description="What a tenant's schema is called, on MariaDB its database.",
    )
    shared: tuple[str, ...] = Field(
        (), description="Schemas that PostgreSQL looks into behind the tenant's."
    )
    path: str = Field(
        "tenants/{tenant}.db",
        description="Of a tenant's file, from the folder of covet.toml; SQLite's.",
    )
    open_files: int = Field(
        32, ge=1, le=10_000, description="Tenants whose files are open at once; SQLite's."
    )
    acquire_timeout: PositiveFloat = Field(
        10.0, description="How long a call waits until a file may be opened."
    )
    key: KeyPlace = Field(
        "",
        description="Where a call's tenant is unless its operation says: 'claim:NAME', 'host:*.example.org',"
        " 'header:NAME', 'principal' or 'input:NAME'.",
    )

    @field_validator("tenants")
    @classmethod
    def _are_names(cls, tenants: tuple[str, ...]) -> tuple[str, ...]:
        for each in tenants:
            if not is_name(each):
                raise ValueError(f"{each!r} can be no tenant's name: a to z, 0 to 9, '_' and '-'")
        return tenants

    @field_validator("schema_name", "path")
    @classmethod
    def _names_the_tenant(cls, pattern: str) -> str:
        if pattern.count("{tenant}") != 1 or "{" in pattern.replace("{tenant}", ""):
            raise ValueError("it has {tenant} in it, once")
        if "\0" in pattern:
            raise ValueError("there can be no NUL character in it")
        return pattern

    @model_validator(mode="after")
    def _are_known(self) -> Self:
        if bool(self.tenants) == bool(self.query):
            raise ValueError("name the tenants, or the query that does")
        if len(self.schema_name.encode()) - len("{tenant}") + 40 > 63:
            raise ValueError("schema is too long for a name")
        return self

    def schema_of(self, tenant: str) -> str:
        """The name of a tenant's schema."""
        return self.schema_name.replace("{tenant}", tenant)

    def path_of(self, tenant: str) -> str:
        """The path of a tenant's file."""
        return self.path.replace("{tenant}", tenant)
