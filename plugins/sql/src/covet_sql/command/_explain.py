"""``covet sql explain``."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Iterable, Mapping
from json import loads
from typing import TYPE_CHECKING, Any

from covet_kernel import ConfigurationError
from covet_kernel.contracts import SQL, Capability, SqlDatabase, SqlError
from covet_sql._config import SqlConfig
from covet_sql.command._alone import run_alone
from covet_sql.command._lint import conclude, from_files
from covet_sql.command._top import report_of
from covet_sql.lint import (
    Finding,
    Schema,
    Source,
    examine,
    examine_plan,
    examine_repeats,
    named_tables,
    read_schema,
    recorded,
)
from covet_sql.plan import Placeholders, Plan, analyzed, explained

if TYPE_CHECKING:
    from covet_kernel import Assembly


def explain(args: Namespace, assembly: Assembly, config: SqlConfig) -> int:
    """Say what is wrong with statements, and with how the database runs them."""
    name = _database(args.database, assembly)
    sources = [*map(Source, args.statements), *from_files(args.file)]
    repeats: list[Finding] = []
    if not sources:
        report = report_of(args, assembly, config).get(name)
        if report is not None:
            sources = list(recorded(report))
            repeats = examine_repeats(
                report.get("issued", ()), report["dialect"], repeats=args.repeats
            )
    found = run_alone(
        assembly,
        [name],
        lambda kernel: _examined(args, kernel.require(_token(name)), sources),
    )
    return conclude(args, [*found, *repeats])


def _token(name: str) -> Capability[SqlDatabase]:
    instance = name.partition("/")[2]
    return SQL.named(instance) if instance else SQL


def _database(wanted: str, assembly: Assembly) -> str:
    known = [name for name, node in assembly.nodes.items() if _token(name) in node.provides]
    if wanted in known or (not wanted and len(known) == 1):
        return wanted or known[0]
    raise ConfigurationError(
        "COVET-SQL-DATABASE",
        f"there is no database {wanted!r}." if wanted else "which database is meant is not known.",
        valid=known,
        given=wanted,
        fix="Name the plugin instance: --database.",
    )


async def _examined(
    args: Namespace, database: SqlDatabase, sources: Iterable[Source]
) -> list[Finding]:
    schema = await read_schema(database)
    values = dict(_value(each) for each in args.param)
    findings: list[Finding] = []
    for source in sources:
        findings += examine(source, database.dialect, schema)
        try:
            plan = await _plan(args, database, source, values)
        except SqlError as error:
            sys.stderr.write(f"no plan: {error}\n    {source.text}\n")
            continue
        if args.plan and not args.json:
            lines = "\n".join(f"    {line}" for line in plan.lines())
            sys.stdout.write(f"{source.text}\n{lines}\n\n")
        counted = await _counted(database, source, plan, schema)
        findings += examine_plan(source, plan, counted, rows=args.rows)
    return findings


def _value(given: str) -> tuple[str, Any]:
    name, _, text = given.partition("=")
    try:
        return name, loads(text)
    except ValueError:
        return name, text


async def _plan(
    args: Namespace, database: SqlDatabase, source: Source, values: Mapping[str, Any]
) -> Plan:
    names = Placeholders(source.text)
    if names.count and not (names.names and values.keys() >= set(names.names)):
        return await explained(database, source.text)
    params = {name: values[name] for name in names.names}
    try:
        return await analyzed(database, source.text, params, writes=args.writes)
    except SqlError as error:
        if error.sqlstate != READ_ONLY:
            raise
    return await explained(database, source.text)


READ_ONLY = "25006"
"""The state of a change that was refused: it is explained without being run."""


async def _counted(database: SqlDatabase, source: Source, plan: Plan, schema: Schema) -> Schema:
    """The schema with the sizes of tables that are read whole, where nobody keeps count."""
    if database.dialect != "sqlite":
        return schema
    sizes = dict(schema.sizes)
    names = named_tables(source.text, database.dialect)
    for step in plan.all():
        table = names.get(step.table.lower(), step.table.lower())
        if step.reads_all and table in schema.tables and table not in sizes:
            name = table.replace('"', '""')
            count = f'SELECT count(*) FROM "{name}"'  # noqa: S608 - quoted, and the schema has it
            sizes[table] = float(await database.fetch_value(count))
    return Schema(schema.tables, sizes)
