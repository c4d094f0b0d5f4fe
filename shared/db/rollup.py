"""Sum up what calls used and cost, by minute, hour and day: each call counts once."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import blake2b
from itertools import zip_longest
from typing import Any, Final, NamedTuple

import orjson
from sqlalchemy import Row, TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.catalog.deployments import PLAN_MARK
from shared.catalog.savings import saved_by_cache
from shared.domain.attempt import AttemptState
from shared.domain.usage import bucket_of, outcome_of

ROLLUP_LOCK: Final = 0x726F6C6C
"""Of Postgres' advisory locks: one rolls up at a time in the whole cluster."""

ALONE: Final = text("SELECT pg_try_advisory_xact_lock(:lock)").bindparams(lock=ROLLUP_LOCK)

# All rows of an attempt go together: the first tells what the sums hold of it by now, its row
# what they shall hold. An attempt that is gone was counted, or prune would have left it.
TAKE: Final = text("""
WITH chosen AS MATERIALIZED (
    SELECT DISTINCT attempt_id FROM (
        SELECT attempt_id FROM usage_pending ORDER BY attempt_id, id LIMIT :limit
    ) AS oldest
), taken AS (
    DELETE FROM usage_pending USING chosen WHERE usage_pending.attempt_id = chosen.attempt_id
    RETURNING usage_pending.attempt_id, usage_pending.id, usage_pending.was,
              usage_pending.cost_nano
), first AS (
    SELECT DISTINCT ON (attempt_id) * FROM taken ORDER BY attempt_id, id
)
SELECT first.was, first.cost_nano AS counted_nano,
       attempts.state, attempts.failure_kind, attempts.sent_at, attempts.tenant_id,
       attempts.deployment, coalesce(attempts.cost_nano, attempts.hold_nano) AS cost_nano,
       attempts.latency_ms,
       (attempts.usage->>'input_tokens')::bigint AS input_tokens,
       (attempts.usage->>'cached_tokens')::bigint AS cached_tokens,
       (attempts.usage->>'cache_write_tokens')::bigint
           + (attempts.usage->>'cache_write_1h_tokens')::bigint AS cache_write_tokens,
       (attempts.usage->>'output_tokens')::bigint AS output_tokens,
       (attempts.usage->>'reasoning_tokens')::bigint AS reasoning_tokens,
       CASE WHEN (attempts.usage->>'cached_tokens')::bigint > 0
           THEN attempts.price->>'price' END AS price,
       coalesce(jobs.project, '') AS project, coalesce(jobs.key_id, '') AS key_id,
       coalesce(jobs.tags, '{}') AS tags, jobs.route
FROM first JOIN attempts ON attempts.id = first.attempt_id JOIN jobs ON jobs.id = attempts.job_id
""")

TOKENS: Final = (
    "input_tokens", "cached_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens"
)  # fmt: skip
SUMS: Final = ("calls", *TOKENS, "cost_nano", "saved_nano")
WORDS: Final = ("tenant_id", "project", "key_id", "provider", "model", "route", "outcome")
BEGINS: Final[dict[str, dict[str, int]]] = {
    "minute": {"second": 0, "microsecond": 0},
    "hour": {"minute": 0, "second": 0, "microsecond": 0},
    "day": {"hour": 0, "minute": 0, "second": 0, "microsecond": 0},
}
"""What calls are summed by, and what of a moment in UTC is nought where each begins."""
KEY: Final = ("at", *WORDS, "tags")
ROW: Final = ("at", "tenant_id", "words")
"""What is unique: a digest stands for all words but the tenant."""
# Arrays of arrays must be of one length: tags and latencies come as text, and are cast.
COLUMNS: Final = (*KEY, "words", *SUMS, "latencies")
CASTS: Final = {"tags": "text[]", "words": "uuid", "latencies": "bigint[]"}
KINDS: Final = {"at": "timestamptz", **dict.fromkeys(SUMS, "bigint")}


def _add(grain: str) -> TextClause:
    """Add to the sums of a grain, one row for each key."""
    given = ", ".join(f"CAST(:{name} AS {KINDS.get(name, 'text')}[])" for name in COLUMNS)
    added = ", ".join(f"{name} = old.{name} + excluded.{name}" for name in SUMS)
    return text(f"""
INSERT INTO usage_{grain}s AS old ({", ".join(COLUMNS)})
SELECT {", ".join(f"CAST({name} AS {CASTS[name]})" if name in CASTS else name for name in COLUMNS)}
FROM unnest({given}) AS given({", ".join(COLUMNS)})
ON CONFLICT ({", ".join(ROW)})
DO UPDATE SET {added}, latencies = ARRAY(
    SELECT coalesce(kept, 0) + coalesce(new, 0)
    FROM unnest(old.latencies, excluded.latencies) WITH ORDINALITY AS pair(kept, new, place)
    ORDER BY place
)
""")


ADD: Final = {grain: _add(grain) for grain in BEGINS}


class Key(NamedTuple):
    """What calls have in common that are summed up together."""

    at: datetime
    tenant_id: str
    project: str
    key_id: str
    provider: str
    model: str
    route: str
    outcome: str
    tags: tuple[str, ...]

    def words(self) -> str:
        """The digest, in hexadecimal; an index takes no words of any length."""
        return blake2b(orjson.dumps(self[2:]), digest_size=16).hexdigest()


@dataclass(slots=True)
class Sum:
    """What is to be added to one row."""

    sums: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SUMS, 0))
    latencies: list[int] = field(default_factory=list)

    def add(self, sums: dict[str, int], latency_ms: int | None) -> None:
        """One call, or what became of it since."""
        for name, value in sums.items():
            self.sums[name] += value
        if latency_ms is not None:
            bucket = bucket_of(latency_ms)
            self.latencies += [0] * (bucket + 1 - len(self.latencies))
            self.latencies[bucket] += 1


async def roll_up(connection: AsyncConnection, *, limit: int = 2000) -> int:
    """Take up so many attempts that closed; how many there were, 0 also while another does it.

    What is taken and what is added is one transaction: a roller that dies has done nothing. A
    call counts in the minute in which it was sent, whenever its end becomes known.
    """
    if not (await connection.execute(ALONE)).scalar_one():
        return 0
    rows = (await connection.execute(TAKE, {"limit": limit})).all()
    by_minute: dict[Key, Sum] = {}
    for row in rows:
        for key, sums, latency_ms in _changes(row):
            by_minute.setdefault(key, Sum()).add(sums, latency_ms)
    for grain in BEGINS if by_minute else ():
        found = by_minute if grain == "minute" else _coarser(by_minute, grain)
        await connection.execute(ADD[grain], _columns(found))
    return len(rows)


def _changes(row: Row[Any]) -> Iterator[tuple[Key, dict[str, int], int | None]]:
    """What the end of a call adds, and takes back where it was counted otherwise."""
    provider, _, model = row.deployment.partition("/")
    key = Key(
        at=begin(row.sent_at, "minute"),
        tenant_id=row.tenant_id,
        project=row.project,
        key_id=row.key_id,
        provider=provider,
        model=model,
        route=row.route.partition(PLAN_MARK)[0],
        outcome=outcome_of(row.state, row.failure_kind),
        tags=tuple(sorted(set(row.tags))),
    )
    if row.was == row.state:
        # Only its cost was corrected.
        yield key, {"cost_nano": row.cost_nano - row.counted_nano}, None
        return
    if row.was == AttemptState.UNKNOWN:
        unknown = key._replace(outcome=AttemptState.UNKNOWN.value)
        yield unknown, {"calls": -1, "cost_nano": -row.counted_nano}, None
    one = {"calls": 1, "cost_nano": row.cost_nano}
    if row.state == AttemptState.UNKNOWN:
        # No tokens and no time: what comes in its place could not take them away again.
        yield key, one, None
        return
    tokens = {name: getattr(row, name) or 0 for name in TOKENS}
    saved = saved_by_cache(
        row.price or "", input_tokens=tokens["input_tokens"], cached_tokens=tokens["cached_tokens"]
    )
    yield key, {**one, **tokens, "saved_nano": saved}, row.latency_ms


def begin(moment: datetime, grain: str) -> datetime:
    """When the minute, hour or day of UTC began that the moment is in."""
    return moment.astimezone(UTC).replace(**BEGINS[grain])  # type: ignore[arg-type]  # no zone is given


def _coarser(by_minute: dict[Key, Sum], grain: str) -> dict[Key, Sum]:
    """The same by the hour, or by the day of UTC."""
    found: dict[Key, Sum] = {}
    for key, each in by_minute.items():
        longer = found.setdefault(key._replace(at=begin(key.at, grain)), Sum())
        longer.add(each.sums, None)
        pairs = zip_longest(longer.latencies, each.latencies, fillvalue=0)
        longer.latencies = [kept + new for kept, new in pairs]
    return found


def _columns(found: dict[Key, Sum]) -> dict[str, list[Any]]:
    """A list for each column, as `unnest` takes them."""
    columns: dict[str, list[Any]] = {
        name: [getattr(key, name) for key in found] for name in KEY[:-1]
    }
    columns["tags"] = [_array(key.tags) for key in found]
    columns["words"] = [key.words() for key in found]
    for name in SUMS:
        columns[name] = [each.sums[name] for each in found.values()]
    columns["latencies"] = ["{" + ",".join(map(str, s.latencies)) + "}" for s in found.values()]
    return columns


def _array(words: tuple[str, ...]) -> str:
    """An array of text as Postgres reads it."""
    quoted = (word.replace("\\", "\\\\").replace('"', '\\"') for word in words)
    return "{" + ",".join(f'"{word}"' for word in quoted) + "}"


PRUNE_MINUTES: Final = text("""
DELETE FROM usage_minutes WHERE ctid = ANY(ARRAY(
    SELECT ctid FROM usage_minutes WHERE at < :cutoff LIMIT :limit
))
""")


async def prune_minutes(connection: AsyncConnection, cutoff: datetime, *, limit: int = 5000) -> int:
    """Let go of so many sums by the minute from before the cutoff; the longer ones stay."""
    return (await connection.execute(PRUNE_MINUTES, {"cutoff": cutoff, "limit": limit})).rowcount
