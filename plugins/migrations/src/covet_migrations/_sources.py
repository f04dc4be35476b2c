"""Where migrations come from, and which database they are for. Nothing here loads Alembic."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from covet_kernel import ConfigurationError, Plugin
from covet_kernel.contracts import SQL, MigrationSource, Record
from covet_migrations._config import MigrationsConfig
from covet_sql.driver import BlockingDatabase, OpensBlocking

if TYPE_CHECKING:
    import pluggy

OWN = "app"
"""The source that is configured and not declared by a plugin."""


class Migrations(MigrationSource):
    """A folder of migrations and the tables they lead to, for ``covet_migrations``.

    Attributes:
        tables: The `MetaData` of the tables, as ``"module:name"``. It is loaded when migrations are
            written or compared, never when a service starts.
    """

    tables: str = ""


class Source(Record):
    """A source of one database's migrations.

    Attributes:
        owner: The plugin that declares it.
        path: The folder, absolute.
        tables: As in `Migrations`.
    """

    name: str
    owner: str
    path: Path
    tables: str


def sources(
    hooks: pluggy.PluginManager, directory: Path, config: MigrationsConfig, database: str
) -> list[Source]:
    """Every source for the SQL instance of that name, by name.

    Raises:
        ConfigurationError: Two have one name, or a name is none.
    """
    found = [
        _source(owner, each, directory)
        for owner, each in _declared(hooks)
        if each.database == database
    ]
    own = directory / config.folder
    if not database and (config.tables or own.is_dir()):
        found.append(Source(name=OWN, owner="migrations", path=own, tables=config.tables))
    owners: dict[str, str] = {}
    for each in found:
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", each.name):
            raise _unusable(each, "a name has letters, digits and underscores", "Rename it.")
        if each.name in owners:
            raise _unusable(
                each, f"{owners[each.name]} has one of this name", "Rename one of them."
            )
        owners[each.name] = each.owner
    return sorted(found, key=lambda source: source.name)


def _declared(hooks: pluggy.PluginManager) -> Iterable[tuple[str, MigrationSource]]:
    for each in hooks.hook.covet_migrations.get_hookimpls():
        declared: Iterable[MigrationSource] = each.function()  # type: ignore[assignment]
        for source in declared:
            yield each.plugin_name, source


def _source(owner: str, declared: MigrationSource, directory: Path) -> Source:
    return Source(
        name=declared.name,
        owner=owner,
        path=(directory / declared.path).resolve(),
        tables=getattr(declared, "tables", ""),
    )


def source_named(sources: Sequence[Source], name: str) -> Source:
    """The source of that name, or the only one.

    Raises:
        ConfigurationError: There is none, or none is named and there are several.
    """
    known = {each.name: each for each in sources}
    if not name and len(known) == 1:
        return next(iter(known.values()))
    if name not in known:
        problem = (
            f"there are no migrations of the name {name!r}" if name else "which one is not said"
        )
        raise ConfigurationError(
            "COVET-MIGRATION-SOURCE",
            f"{problem}.",
            valid=sorted(known),
            given=name,
            fix="Name one with --source.",
        )
    return known[name]


def _unusable(source: Source, problem: str, fix: str) -> ConfigurationError:
    return ConfigurationError(
        "COVET-MIGRATION-SOURCE",
        f"migrations of the name {source.name!r}, of plugin {source.owner}: {problem}.",
        place=str(source.path),
        fix=fix,
    )


def blocking_database(
    hooks: pluggy.PluginManager, directory: Path, database: str
) -> BlockingDatabase:
    """How tools reach the SQL instance of that name.

    Raises:
        ConfigurationError: No plugin provides it, or none that tools can use.
    """
    wanted = SQL.named(database)
    known: dict[str, Any] = {}
    for name, plugin in hooks.list_name_plugin():
        if isinstance(plugin, Plugin) and isinstance(plugin, OpensBlocking):
            instance = name.partition("/")[2]
            for token in plugin.provides:
                known[(token if token.name else token.named(instance)).id] = (name, plugin)
    if wanted.id not in known:
        raise ConfigurationError(
            "COVET-MIGRATION-DATABASE",
            f"no enabled plugin provides {wanted.id!r} to migrate.",
            valid=sorted(known),
            fix="Enable one, as [plugins.sqlite] or [plugins.postgres].",
        )
    name, plugin = known[wanted.id]
    found: BlockingDatabase = plugin.blocking_database(directory, f"[plugins.{name}]")
    return found
