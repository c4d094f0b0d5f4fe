"""Every provider's own rule is used to its end and never exceeded, whichever limit binds."""

import sys
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Final

import pytest

from cli.stack.servers import Servers
from tests.databases import own_database
from tests.mill import running_mill
from tests.quota.arrivals import arrivals, jitter
from tests.quota.matrix import OTHERWISE_BIND, REQUESTS_BIND, TOKENS_BIND
from tests.quota.naive import naive_refusals
from tests.quota.rules import Rule, enforce, overlay
from tests.quota.stillness import Measured, missed_on_a_still_machine
from tests.quota.used import shares

WINDOWS: Final = 7
WORKERS: Final = 2
SLOTS: Final = 100
"""Of each worker: more than any of these quotas needs."""
STALLED: Final = 2
"""Windows that are left out, the least ones."""
FORGIVEN: Final = (0.21, 0.42)
"""Seconds of jitter on a machine that does other things, and on a busy one: windows of 6 and 12 s,
of which they are the part that the rules' own 0.105 s are of their 3."""


@pytest.mark.timeout(480)  # the second run's windows alone take two minutes
@pytest.mark.parametrize(
    "rules",
    [
        pytest.param(REQUESTS_BIND, id="requests bind"),
        pytest.param(TOKENS_BIND, id="tokens bind"),
        pytest.param(OTHERWISE_BIND, id="output, both, and two deployments of one model"),
    ],
)
async def test_each_rule_is_used_to_its_end_and_never_exceeded(
    servers: Servers, redis_url: str, rules: Sequence[Rule]
) -> None:
    async def measure(forgiven: float) -> Measured:
        stretched = [rule.forgiving(forgiven) for rule in rules]
        with own_database(servers, f"rules_{forgiven:.2f}") as database_url:
            return await _use_up(database_url, redis_url, stretched)

    assert await missed_on_a_still_machine(measure, FORGIVEN) == []


async def _use_up(database_url: str, redis_url: str, rules: Sequence[Rule]) -> Measured:
    """Some windows' work on two workers, after a naive sender has shown that each limit is real."""
    async with running_mill(database_url, redis_url, catalog=overlay(rules)) as mill:
        await enforce(mill, rules, **{"output-tokens": "40-60"})
        for rule in rules:
            assert await naive_refusals(mill, rule) > 0, rule
        await mill.start_workers(WORKERS, slots=SLOTS)
        accepted = [
            each for rule in rules for each in await rule.submit(mill, (WINDOWS + 1) * rule.jobs)
        ]
        assert (await mill.all_final(within=240))["succeeded"] == len(accepted)
        await mill.check(accepted, rejected=None)
        found = {rule.account: shares(rule, mill.ledger()) for rule in rules}
        told = await mill.stats()
        rejected = {name: each["rejected"] for name, each in told["providers"].items()}
        sys.stdout.write(f"{found}\n")
        return Measured(_missed(found, rejected, rules), jitter(await arrivals(mill)))


def _missed(
    found: Mapping[str, Sequence[float]], rejected: Mapping[str, int], rules: Sequence[Rule]
) -> list[str]:
    """What a run fell short of: `found`, the used part of each steady window, and the 429s."""
    missed = [f"{name}: {number} rejected" for name, number in rejected.items() if number]
    for rule in rules:
        used = found[rule.account]
        # A neighbour on the same cores may stall all of us for a window or two.
        calm = sorted(used)[STALLED:]
        if len(used) < WINDOWS - 2 or fmean(calm) < rule.sure:
            missed.append(f"{rule.account}: {rule.sure:.3f} demanded, windows {used}")
    return missed
