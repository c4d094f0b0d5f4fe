"""The naive sender: calls without a meter, by which a limit is seen to bite."""

import asyncio
from typing import Final

import httpx2

from tests.mill import Mill
from tests.quota.rules import Rule, is_refused, set_limits

BURSTS: Final = 2
"""The second goes when the first is answered: some providers count what was written by then."""


def burst_of(rule: Rule) -> int:
    """Calls that go at once: a quarter more than a window has room for."""
    return rule.jobs * 5 // 4


async def naive_refusals(mill: Mill, rule: Rule) -> int:
    """How many are refused of all bursts; the simulator forgets them."""
    refused = 0
    async with httpx2.AsyncClient(base_url=mill.simulator_url, trust_env=False) as client:
        for _ in range(BURSTS):
            burst = (is_refused(client, rule) for _ in range(burst_of(rule)))
            refused += sum(await asyncio.gather(*burst))
        await set_limits(client, [rule])
    mill.ledger_path.write_text("")
    return refused
