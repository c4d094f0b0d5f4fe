"""Tenants of unlike weights and sizes that share a quota, and what each of them got of it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from sqlalchemy import text

from tests.mill import Mill
from tests.quota.arrivals import Arrival, of_size

WEIGHTS: Final = {"ten_a": 1, "ten_b": 3, "ten_c": 1}
SIZES: Final = {"ten_a": 30, "ten_b": 50, "ten_c": 60}
"""Tokens of each tenant's jobs: shares are of tokens, not of jobs."""


async def set_weights(mill: Mill, weights: Mapping[str, int] = WEIGHTS) -> None:
    """Make the tenants with their weights."""
    statement = text(
        "INSERT INTO tenants (id, name, weight) VALUES (:id, :id, :weight)"
        " ON CONFLICT (id) DO UPDATE SET weight = excluded.weight"
    )
    rows = [{"id": tenant_id, "weight": weight} for tenant_id, weight in weights.items()]
    async with mill.database.transaction() as connection:
        await connection.execute(statement, rows)


async def submit_for_each(mill: Mill, tokens: dict[str, int]) -> list[str]:
    """Jobs of each tenant's own size for so many tokens of it; their ids."""
    accepted = []
    for tenant_id, size in SIZES.items():
        jobs = {"tenant_id": tenant_id, **of_size(size)}
        accepted += await mill.submit(tokens[tenant_id] // size, **jobs)
    return accepted


def off_from_weights(found: Sequence[Arrival]) -> dict[str, tuple[float, float]]:
    """Each tenant's share while all had work, and how far that is from its weight, as ratios."""
    served = _served_while_all_wait(found)
    shares = {tenant_id: served[tenant_id] / served.total() for tenant_id in WEIGHTS}
    fair = {tenant_id: weight / sum(WEIGHTS.values()) for tenant_id, weight in WEIGHTS.items()}
    return {id_: (share, abs(share / fair[id_] - 1)) for id_, share in shares.items()}


def _served_while_all_wait(found: Sequence[Arrival]) -> Counter[str]:
    """Tokens of each tenant until the first of them has nothing left."""
    last = {arrival.tenant_id: arrival.at for arrival in found}
    served: Counter[str] = Counter()
    for arrival in found:
        if arrival.at <= min(last.values()):
            served[arrival.tenant_id] += arrival.tokens
    return served
