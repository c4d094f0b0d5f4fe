"""`promptmill backup` and `restore`: the database into one file, and back."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

from alembic.util import CommandError
from sqlalchemy.exc import DBAPIError

from cli.errors import stderr
from cli.operations.database import reachable_database
from cli.output import say
from shared.db.backup import Told, dump, restore, revision_of
from shared.db.backup_file import BackupError, Manifest, new_backup, open_backup
from shared.db.engine import Database
from shared.db.migrate import migrate

T = TypeVar("T")

EVERY: Final = 1000
"""Rows between two movements of the line."""


def back_up(file: Path, *, as_json: bool) -> None:
    """Write the database into a new file. Raises BackupError, StackError."""
    with reachable_database() as url, new_backup(file) as backup, _progress("saved") as told:

        async def work(database: Database) -> Manifest:
            async with database.transaction() as connection:
                return await dump(connection, backup, told)

        manifest = _run(url, work)
    rows = sum(table.rows for table in manifest.tables)
    tables, size = len(manifest.tables), file.stat().st_size
    say(
        {"file": str(file), "rows": rows, "tables": tables, "bytes": size},
        f"{file}: {rows} rows of {tables} tables, {size / 1e6:.1f} MB",
        as_json=as_json,
    )


def put_back(file: Path, *, force: bool, as_json: bool) -> None:
    """Fill an empty database out of a file. Raises BackupError, StackError."""
    with (
        open_backup(file) as backup,
        reachable_database(may_make=True) as url,
        _progress("restored") as told,
    ):
        _prepare_schema(url, backup.manifest)

        async def work(database: Database) -> None:
            async with database.transaction() as connection:
                await restore(connection, backup, told, force=force)

        _run(url, work)
        migrate(url)
    made = backup.manifest
    say(
        {"file": str(file), "as_it_was_at": made.made_at},
        f"restored as it was at {made.made_at}: what ran then goes on when workers start.\n"
        "API keys count with the PROMPTMILL_PEPPER under which they were made, and no other.",
        as_json=as_json,
    )


def _prepare_schema(url: str, manifest: Manifest) -> None:
    """An empty database gets the backup's own schema; it is brought up to date afterwards."""

    async def has_none(database: Database) -> bool:
        async with database.transaction() as connection:
            return await revision_of(connection) is None

    if not _run(url, has_none):
        return
    try:
        migrate(url, manifest.revision)
    except CommandError:
        raise BackupError(
            f"the backup has schema {manifest.revision}, which this Promptmill does not know: "
            f"restore it with the one that made it ({manifest.made_by}) or a newer one"
        ) from None


def _run(url: str, work: Callable[[Database], Coroutine[Any, Any, T]]) -> T:
    """Work on the database. Raises BackupError for what Postgres refuses."""

    async def connected() -> T:
        database = Database(url, pool_size=1, name="promptmill-backup")
        try:
            return await work(database)
        finally:
            await database.close()

    try:
        return asyncio.run(connected())
    except DBAPIError as error:
        reason = str(error.orig).partition("\n")[0]
        raise BackupError(f"Postgres says: {reason}; nothing was changed") from None


@contextmanager
def _progress(done: str) -> Iterator[Told]:
    """One line on the terminal that counts; nothing where stderr is none."""
    with stderr.status("") as line:

        def told(table: str, rows: int) -> None:
            if rows % EVERY == 0:
                line.update(f"{done} {table}: {rows} rows")

        yield told
