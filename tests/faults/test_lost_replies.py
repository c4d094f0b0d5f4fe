"""Replies to COMMITs are lost all the time: each job is still called once, and paid once."""

from tests.mill import Mill, seeded
from tests.wire import now_and_then, wire_to

SHARE = 0.05
"""Of all COMMITs of a worker, in whichever of its rooms."""
LEASE = {"PROMPTMILL_LEASE__TTL": "30", "PROMPTMILL_LEASE__HEARTBEAT": "5"}
"""Production's: who is not sure of a shorter one starts attempts and does not send them."""


async def test_replies_to_commits_are_lost_now_and_then(mill: Mill, database_url: str) -> None:
    dice = seeded()
    async with wire_to(database_url) as wire:
        await mill.start_worker(slots=100, DATABASE_URL=wire.url, **LEASE)
        wire.chance = now_and_then(dice, SHARE)
        wire.replies = "l" * 3
        accepted = await mill.submit(600)
        assert (await mill.all_final())["succeeded"] == 600
        wire.chance = None
        assert wire.lost >= 3, (wire.lost, wire.commits)
        await mill.check(accepted)
        sent = await mill.life.one("SELECT count(*) AS n FROM attempts WHERE sent_at IS NOT NULL")
        assert sent.n == len(mill.ledger()) == 600, "no reply that was lost cost a second call"
        mill.stop()
