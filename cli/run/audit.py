"""Hold a rehearsal's cost against the simulator's own ledger."""

from collections.abc import Iterator
from pathlib import Path

import orjson

from cli.local.running import Address
from shared.db.audit import attempt_costs
from shared.db.engine import Database


async def simulator_bill(address: Address, batch: str) -> int:
    """What the simulator says it billed for this batch's attempts, in nano-USD."""
    database = Database(address.database_url, pool_size=1, name="promptmill-audit")
    try:
        async with database.transaction() as connection:
            ours = await attempt_costs(connection, batch)
    finally:
        await database.close()
    return sum(cost for attempt_id, cost in _ledger(address.ledger) if attempt_id in ours)


def _ledger(path: Path) -> Iterator[tuple[str, int]]:
    """Attempt and cost of every whole line; a last one cut by a crash is left out."""
    with path.open("rb") as ledger:
        for line in ledger:
            if line.endswith(b"\n") and line.strip():
                entry = orjson.loads(line)
                yield entry["client_request_id"], entry["cost_nano"]
