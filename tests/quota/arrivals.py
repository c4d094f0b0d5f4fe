"""When requests reached the simulator, and how much of a quota each window of them used."""

import json
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from sqlalchemy import text

from shared.domain.conversation import Message, Role
from tests.mill import MODEL, Mill, counted_input, question
from tests.quota.limits import Limits

PROMPT: Final = Message(role=Role.USER, content="How long is a piece of string?")
PER_TRANSACTION: Final = 1000
INPUT_TOKENS: Final = counted_input(PROMPT)


@dataclass(frozen=True, slots=True)
class Arrival:
    """One billed request."""

    at: float
    """Unix seconds."""
    tokens: int
    """What the simulator charged on arrival."""
    tenant_id: str
    on_the_way: float
    """Seconds since its release."""


def of_size(tokens: int) -> dict[str, Any]:
    """The changes of a job that make the meter and the simulator charge so many tokens."""
    max_tokens = tokens - INPUT_TOKENS
    messages = [{"role": PROMPT.role, "content": PROMPT.content}]
    body = {"model": MODEL, "messages": messages, "max_tokens": max_tokens}
    counted = {"input_tokens": INPUT_TOKENS, "max_tokens": max_tokens}
    return {"request": json.dumps(body), **counted}


async def submit_in_turn(mill: Mill, number: int, sizes: Sequence[int]) -> list[str]:
    """Accept so many jobs whose tokens go through `sizes` again and again; their ids."""
    ids: list[str] = []
    for first in range(0, number, PER_TRANSACTION):
        numbers = range(first, min(first + PER_TRANSACTION, number))
        jobs = [question(i, **of_size(sizes[i % len(sizes)])) for i in numbers]
        ids += [accepted.job_id for accepted in await mill.life.accept(*jobs)]
    return ids


async def arrivals(mill: Mill) -> list[Arrival]:
    """All billed requests in the order of their coming."""
    async with mill.database.transaction() as connection:
        rows = await connection.execute(
            text("SELECT id, permit_tokens, tenant_id, planned_at FROM attempts")
        )
        attempts = {row.id: row for row in rows}
    found = []
    for line in mill.ledger():
        attempt = attempts[line["client_request_id"]]
        at = line["arrived"]
        on_the_way = at - attempt.planned_at.timestamp()
        found.append(Arrival(at, attempt.permit_tokens, attempt.tenant_id, on_the_way))
    return sorted(found, key=lambda arrival: arrival.at)


def jitter(found: Sequence[Arrival]) -> float:
    """Seconds between the fastest and the slowest way from release to arrival."""
    ways = [arrival.on_the_way for arrival in found]
    return max(ways) - min(ways)


def steady_windows(found: Sequence[Arrival], window: float) -> list[Sequence[Arrival]]:
    """The arrivals of each whole window, without the first; the last is not whole."""
    times = [arrival.at for arrival in found]
    whole = int((times[-1] - times[0]) / window)
    edges = [bisect_left(times, times[0] + n * window) for n in range(1, whole + 1)]
    return [found[begin:end] for begin, end in pairwise(edges)]


def share(arrived: Sequence[Arrival], limits: Limits) -> float:
    """The used part of that limit which one window's arrivals came nearest to."""
    tokens = sum(arrival.tokens for arrival in arrived)
    used = (len(arrived), limits.requests), (tokens, limits.tokens)
    return max(amount / limit for amount, limit in used if limit)
