"""Nobody has more calls in flight than its cap, over all routes and workers; others go on."""

from collections.abc import Iterable
from datetime import datetime

from shared.catalog.deployments import REHEARSAL_PREFIX
from tests.mill import ROUTE, Mill, running_mill

ROUTES = (ROUTE, f"{REHEARSAL_PREFIX}gpt-4.1")
CAP = 5
KEY_CAP = 2
EACH = 30
"""Jobs of each caller on each route."""

Interval = tuple[datetime, datetime]


async def in_flight(mill: Mill, whose: str) -> list[Interval]:
    """From release to end, each attempt of those jobs."""
    rows = await mill.life.all(
        "SELECT attempts.planned_at, attempts.ended_at FROM attempts"
        f" JOIN jobs ON jobs.id = attempts.job_id WHERE {whose}"
    )
    return [(row.planned_at, row.ended_at) for row in rows]


def most_at_once(intervals: Iterable[Interval]) -> int:
    """How many overlapped at the most; one that ends makes room for one that begins."""
    changes = sorted(
        change for began, ended in intervals for change in ((began, 1), (ended, -1))
    )  # fmt: skip
    number = most = 0
    for _, change in changes:
        number += change
        most = max(most, number)
    return most


def last(intervals: Iterable[Interval]) -> datetime:
    return max(ended for _, ended in intervals)


async def test_caps_hold_over_routes_and_workers_and_slow_nobody_else(
    database_url: str, redis_url: str
) -> None:
    async with running_mill(database_url, redis_url) as mill:
        await mill.start_simulator()
        await mill.life.all(
            "UPDATE tenants SET max_running = :cap WHERE id = 'ten_a' RETURNING id", cap=CAP
        )
        await mill.life.all(
            "INSERT INTO api_keys (id, tenant_id, name, secret_hash, scopes, max_running)"
            " VALUES ('key_slow', 'ten_b', 'slow', '', '{}', :cap) RETURNING id",
            cap=KEY_CAP,
        )
        accepted = []
        for route in ROUTES:
            accepted += await mill.submit(EACH, route=route)
            # The slow key's jobs stand before those of the tenant's other keys.
            for key_id in ("key_slow", "key_other"):
                jobs = {"tenant_id": "ten_b", "key_id": key_id}
                accepted += await mill.submit(EACH, route=route, **jobs)
        await mill.start_workers(2, slots=40)
        assert (await mill.all_final())["succeeded"] == len(accepted)
        capped = await in_flight(mill, "jobs.tenant_id = 'ten_a'")
        slow = await in_flight(mill, "jobs.key_id = 'key_slow'")
        free = await in_flight(mill, "jobs.key_id = 'key_other'")
        assert (most_at_once(capped), most_at_once(slow)) == (CAP, KEY_CAP)
        assert most_at_once(free) > 2 * CAP
        assert last(free) < min(last(capped), last(slow))
        await mill.check(accepted)
