"""Dump all rows in one snapshot, and restore them in one transaction, by COPY."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter
from importlib.metadata import version
from typing import Final

from psycopg import AsyncConnection as Driver
from psycopg import AsyncCursor, sql
from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.db.backup_file import (
    BackupError,
    BackupReader,
    BackupWriter,
    Manifest,
    TableCopy,
)
from shared.db.workers import void_leases

Told = Callable[[str, int], None]
"""Hears the name of a table and how many of its rows are through."""

LASTING: Final = text("""
SELECT set_config('statement_timeout', '0', true),
       set_config('idle_in_transaction_session_timeout', '0', true)
""")
SNAPSHOT: Final = text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
REVISION: Final = text("SELECT version_num FROM alembic_version")
HAS_SCHEMA: Final = text("SELECT to_regclass('alembic_version') IS NOT NULL")
NOW: Final = text("SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')")
TABLES: Final = text("""
SELECT relname AS name, array_agg(attname::text ORDER BY attnum) AS columns,
       coalesce(array_agg(attname::text) FILTER (WHERE attidentity <> ''), '{}') AS counted
FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid
WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r'
  AND relname <> 'alembic_version'
  AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
GROUP BY relname
""")
REFERENCES: Final = text("""
SELECT child.relname AS child, parent.relname AS parent
FROM pg_constraint JOIN pg_class child ON child.oid = conrelid
JOIN pg_class parent ON parent.oid = confrelid
WHERE contype = 'f' AND connamespace = current_schema()::regnamespace AND conrelid <> confrelid
""")
ALIVE: Final = text("""
SELECT count(*) FROM workers WHERE state = 'alive' AND lease_until > clock_timestamp()
""")
REPORTS: Final = frozenset({"workers", "providers", "budgets_version"})
"""Tables that say what runs, not what was entrusted to us: rows in them are no loss."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table as the database has it."""

    name: str
    columns: tuple[str, ...]
    counted: tuple[str, ...]
    """Identity columns: their sequences go on after what was restored."""


async def dump(connection: AsyncConnection, backup: BackupWriter, told: Told) -> Manifest:
    """Write every row of one snapshot; the transaction must be fresh. Work goes on meanwhile."""
    await connection.execute(SNAPSHOT)
    await connection.execute(LASTING)
    revision = await revision_of(connection)
    if revision is None:
        raise BackupError("this database has no schema of Promptmill: there is nothing to back up")
    cursor = await _cursor(connection)
    copies = []
    for table in await _tables(connection):
        sink = backup.table(table.name)
        with sink.stream:
            async with cursor.copy(_copy(table.name, table.columns, "TO STDOUT")) as stream:
                async for block in stream:
                    sink.write(bytes(block))
                    told(table.name, sink.rows)
        copies.append(
            TableCopy(
                name=table.name,
                columns=table.columns,
                rows=sink.rows,
                sha256=sink.digest.hexdigest(),
            )
        )
    manifest = Manifest(
        revision=revision,
        made_at=(await connection.execute(NOW)).scalar_one(),
        made_by=version("promptmill"),
        tables=tuple(copies),
    )
    backup.finish(manifest)
    return manifest


async def restore(
    connection: AsyncConnection, backup: BackupReader, told: Told, *, force: bool = False
) -> None:
    """Fill the database with the backup's rows: all or none; nobody's lease outlives it.

    The schema must be at the backup's revision. Raises BackupError when it is not, when
    workers are alive, when rows are there and `force` is not (it deletes them), and when
    the backup is damaged.
    """
    await connection.execute(LASTING)
    revision, manifest = await revision_of(connection), backup.manifest
    if revision != manifest.revision:
        raise BackupError(
            f"the backup has schema {manifest.revision}, the database {revision}: restore into "
            "an empty database without a schema, it gets the right one"
        )
    tables = {table.name: table for table in await _tables(connection)}
    if set(tables) != {copy.name for copy in manifest.tables}:
        raise BackupError("the backup does not have the tables of its schema: it is damaged")
    await _make_room(connection, list(tables), force=force)
    cursor = await _cursor(connection)
    for copy in manifest.tables:
        await _fill(cursor, copy, backup, told)
        for column in tables[copy.name].counted:
            await connection.execute(_sequence(copy.name, column))
    await void_leases(connection)


async def revision_of(connection: AsyncConnection) -> str | None:
    """The revision of the database's schema; None: it has no schema of ours."""
    if not (await connection.execute(HAS_SCHEMA)).scalar_one():
        return None
    return str((await connection.execute(REVISION)).scalar_one())


async def _make_room(connection: AsyncConnection, names: Sequence[str], *, force: bool) -> None:
    """Empty tables that nobody else touches until the end of the transaction."""
    if alive := (await connection.execute(ALIVE)).scalar_one():
        raise BackupError(f"{alive} workers run on this database: stop them and the api first")
    every = ", ".join(_quoted(name) for name in names)
    await connection.execute(text(f"LOCK TABLE {every} IN ACCESS EXCLUSIVE MODE"))
    full = [
        name
        for name in names
        if name not in REPORTS
        and (await connection.execute(text(f"SELECT EXISTS (TABLE {_quoted(name)})"))).scalar_one()
    ]
    if full and not force:
        raise BackupError(
            f"the database is not empty ({', '.join(sorted(full))}): restore into another one, "
            "or say --force to delete what is in it"
        )
    await connection.execute(text(f"TRUNCATE {every}"))


async def _fill(
    cursor: AsyncCursor[tuple[object, ...]], copy: TableCopy, backup: BackupReader, told: Told
) -> None:
    """One table. Its guards of moves judge births, and these rows were born long ago."""
    name = sql.Identifier(copy.name)
    await cursor.execute(sql.SQL("ALTER TABLE {} DISABLE TRIGGER USER").format(name))
    rows = 0
    async with cursor.copy(_copy(copy.name, copy.columns, "FROM STDIN")) as stream:
        for block in backup.blocks(copy):
            await stream.write(block)
            rows += block.count(b"\n")
            told(copy.name, rows)
    await cursor.execute(sql.SQL("ALTER TABLE {} ENABLE TRIGGER USER").format(name))
    if rows != copy.rows:
        raise BackupError(f"table {copy.name}: {rows} rows came, {copy.rows} were written")


async def _tables(connection: AsyncConnection) -> list[Table]:
    """Every table of ours, those that others refer to first."""
    rows = {row.name: row for row in await connection.execute(TABLES)}
    order = TopologicalSorter[str]({name: set() for name in sorted(rows)})
    for row in await connection.execute(REFERENCES):
        order.add(row.child, row.parent)
    return [
        Table(name, tuple(rows[name].columns), tuple(rows[name].counted))
        for name in order.static_order()
    ]


async def _cursor(connection: AsyncConnection) -> AsyncCursor[tuple[object, ...]]:
    """A cursor of the driver, in the same transaction: only it speaks COPY."""
    driver = (await connection.get_raw_connection()).driver_connection
    if not isinstance(driver, Driver):
        raise TypeError("the backup needs psycopg's own connection")
    return driver.cursor()


def _copy(table: str, columns: Sequence[str], way: str) -> sql.Composed:
    names = sql.SQL(", ").join(map(sql.Identifier, columns))
    return sql.SQL("COPY {} ({}) " + way).format(sql.Identifier(table), names)


def _sequence(table: str, column: str) -> TextClause:
    counter = f"pg_get_serial_sequence('{_quoted(table)}', '{column}')"
    last = f"(SELECT max({_quoted(column)}) FROM {_quoted(table)})"
    return text(f"SELECT setval({counter}, coalesce({last}, 1), {last} IS NOT NULL)")


def _quoted(name: str) -> str:
    return f'"{name}"'
