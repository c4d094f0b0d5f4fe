"""Hold a rehearsal's cost against the simulator's own ledger."""

from pathlib import Path

import orjson

from cli.local.stack import Address
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


def _ledger(path: Path) -> list[tuple[str, int]]:
    """Attempt and cost of every whole line; a last one cut by a crash is left out."""
    lines = path.read_bytes().split(b"\n")[:-1]
    read = (orjson.loads(line) for line in lines if line)
    return [(line["client_request_id"], line["cost_nano"]) for line in read]
