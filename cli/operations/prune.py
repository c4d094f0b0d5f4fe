"""`promptmill prune`: let go of what ended long ago, now."""

import asyncio
import re
from datetime import datetime, timedelta
from typing import Final

from cli.errors import InputError, stderr
from cli.operations.database import reachable_database
from cli.output import say
from shared.db.engine import Database
from shared.db.prune import Batch, Part, count_prunable, prune
from shared.domain.clock import SystemClock

AGE: Final = re.compile(r"(\d+)([hdw])")
UNITS: Final = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}


def age_of(words: str) -> timedelta:
    """`12h`, `30d` or `8w`. Raises InputError for anything else, and for nothing at all."""
    found = AGE.fullmatch(words.strip())
    if found is None or not int(found[1]):
        raise InputError(f"--older-than {words}: say how long ago, as in 12h, 30d or 8w")
    try:
        return int(found[1]) * UNITS[found[2]]
    except OverflowError:
        raise InputError(f"--older-than {words}: that is before the beginning") from None


def prune_now(older_than: str, *, part: Part, dry_run: bool, as_json: bool) -> None:
    """Prune, or only count. Raises InputError, StackError."""
    age = age_of(older_than)
    try:
        cutoff = SystemClock().now() - age
    except OverflowError:
        raise InputError(f"--older-than {older_than}: that is before the beginning") from None
    with reachable_database() as url:
        count = asyncio.run(_work(url, part, cutoff, dry_run=dry_run))
    what = f"{count} jobs" if part is Part.JOBS else f"the contents of {count} jobs"
    say(
        {"count": count, "of": part.value, "dry_run": dry_run},
        f"{'would let go of' if dry_run else 'let go of'} {what}",
        as_json=as_json,
    )


async def _work(url: str, part: Part, cutoff: datetime, *, dry_run: bool) -> int:
    database = Database(url, pool_size=1, name="promptmill-prune")
    try:
        if dry_run:
            async with database.transaction() as connection:
                return await count_prunable(connection, part, cutoff)
        return await _prune_all(database, part, cutoff)
    finally:
        await database.close()


async def _prune_all(database: Database, part: Part, cutoff: datetime) -> int:
    """Batch after batch, each committed: breaking off loses nothing."""
    count, batch = 0, Batch(0, "")
    with stderr.status("") as line:
        while True:
            async with database.transaction() as connection:
                found = await prune(connection, part, cutoff, after=batch.after)
            if found is None:
                return count
            batch, count = found, count + found.count
            line.update(f"let go of {count}")
