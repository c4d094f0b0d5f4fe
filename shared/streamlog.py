"""The log of an answer while it is written: one Redis stream a job, to be read again at will."""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, NamedTuple

from redis.asyncio import Redis

ID: Final = re.compile(r"([0-9]{1,9})-([0-9]{1,15})")
READ_AT_ONCE: Final = 100
"""Entries that one read returns at most."""
KIND: Final = "k"
DATA: Final = "d"
EXPIRE: Final = """
local last = redis.call("XREVRANGE", KEYS[1], "+", "-", "COUNT", 1)[1]
if last and string.match(last[1], "^%d+") == ARGV[1] then
  return redis.call("EXPIRE", KEYS[1], ARGV[2])
end
return 0
"""
"""A later attempt's log lives as long as that attempt says, whatever an earlier one still sends."""


class EntryKind(StrEnum):
    """What an entry tells."""

    BEGIN = "begin"
    """An attempt begins to answer; what an earlier one told is void."""
    DELTA = "delta"
    END = "end"
    """The attempt has ended and its job is where the database says."""


class Position(NamedTuple):
    """The id of an entry: the epoch of its attempt, and its number there from 1.

    Redis refuses an id that is not greater than the last: whoever writes for an earlier epoch
    writes nothing.
    """

    epoch: int
    number: int

    def __str__(self) -> str:
        return f"{self.epoch}-{self.number}"

    @classmethod
    def parse(cls, text: str) -> "Position | None":
        """The position that was shown as this text; None if it is none."""
        found = ID.fullmatch(text)
        return cls(int(found[1]), int(found[2])) if found else None

    def comes_after(self, last: "Position") -> bool:
        """Whether nothing is missing between `last` and this."""
        if self.epoch == last.epoch:
            return self.number == last.number + 1
        return self.epoch > last.epoch and self.number == 1


START: Final = Position(0, 0)


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a log."""

    at: Position
    kind: EntryKind
    data: str
    """JSON text."""


def key_of(job_id: str) -> str:
    """The log's name in Redis."""
    return f"pm:log:{job_id}"


def to_append(job_id: str, entry: Entry, *, oldest: Position, first: bool) -> tuple[str, ...]:
    """The command that appends; only the `first` makes the log, what is before `oldest` goes.

    Redis replies with the id, or with nothing where there is no log any more.
    """
    make = () if first else ("NOMKSTREAM",)
    trim = ("MINID", "=" if first else "~", str(oldest)) if first or oldest.number > 1 else ()
    return ("XADD", key_of(job_id), *make, *trim, str(entry.at), KIND, entry.kind, DATA, entry.data)


def to_expire(job_id: str, epoch: int, seconds: float) -> tuple[str, ...]:
    """The command that lets the log go in so many seconds, if it belongs to this epoch."""
    return ("EVAL", EXPIRE, "1", key_of(job_id), str(epoch), str(math.ceil(seconds)))


async def last_positions(redis: Redis, job_ids: Sequence[str]) -> list[Position | None]:
    """The last entry of each of these logs; None where there is no log that can be read.

    Raises RedisError or OSError.
    """
    async with redis.pipeline(transaction=False) as pipe:
        for job_id in job_ids:
            pipe.xrevrange(key_of(job_id), count=1)
        replies = await pipe.execute(raise_on_error=False)
    return [Position.parse(rows[0][0]) if (rows := _rows(reply)) else None for reply in replies]


async def read_logs(redis: Redis, asked: Iterable[tuple[str, Position]]) -> list[list[Entry]]:
    """What stands in each job's log behind a position, READ_AT_ONCE entries at most.

    What nobody can read is left out: its reader sees a gap, and other logs' readers nothing.
    Raises RedisError or OSError.
    """
    async with redis.pipeline(transaction=False) as pipe:
        for job_id, after in asked:
            pipe.xrange(key_of(job_id), min=f"({after}", count=READ_AT_ONCE)
        replies = await pipe.execute(raise_on_error=False)
    return [[entry for row in _rows(reply) if (entry := _entry(*row))] for reply in replies]


def _rows(reply: Any) -> list[tuple[str, dict[str, Any]]]:
    """The entries of one reply; none where there is something else under the log's name."""
    return [] if isinstance(reply, Exception) else reply


def _entry(entry_id: str, fields: dict[str, Any]) -> Entry | None:
    at = Position.parse(entry_id)
    try:
        return Entry(at, EntryKind(fields[KIND]), fields[DATA]) if at else None
    except (LookupError, ValueError):
        return None
