"""Each strategy puts candidates in an order that it can give again."""

from collections import Counter
from typing import Final

import pytest

from shared.catalog.deployments import Deployment
from shared.routing.stored import Strategy
from shared.routing.strategies import PROBED, Vitals, arranged
from tests.routing.ground import CATALOG

OPENAI, AZURE = CATALOG.plan("gpt-4.1")
SONNET: Final = CATALOG.find("anthropic/claude-sonnet-5-5")
ALL: Final = (OPENAI, AZURE, SONNET)
JOBS: Final = [f"job_{number}" for number in range(4000)]


def order(
    strategy: Strategy,
    *,
    vitals: Vitals | None = None,
    job_id: str = "job_1",
    weights: dict[str, float] | None = None,
    costs: dict[str, int] | None = None,
) -> tuple[Deployment, ...]:
    return arranged(strategy, ALL, vitals or Vitals(), job_id, weights or {}, costs or {})


def test_ordered_keeps_the_order() -> None:
    assert order(Strategy.ORDERED) == ALL


def test_weighted_gives_each_its_part_of_the_jobs() -> None:
    weights = {OPENAI.id: 6.0, AZURE.id: 3.0, SONNET.id: 1.0}
    firsts = Counter(order(Strategy.WEIGHTED, job_id=j, weights=weights)[0].id for j in JOBS)
    for name, weight in weights.items():
        assert firsts[name] / len(JOBS) == pytest.approx(weight / 10, abs=0.03)


def test_weighted_gives_the_same_job_the_same_order_whatever_else_there_is() -> None:
    weights = {OPENAI.id: 6.0, AZURE.id: 3.0}
    again = {order(Strategy.WEIGHTED, job_id="job_7", weights=weights) for _ in range(3)}
    assert len(again) == 1
    without = arranged(Strategy.WEIGHTED, ALL[1:], Vitals(), "job_7", weights, {})
    assert without == tuple(each for each in again.pop() if each in ALL[1:])


def test_least_busy_compares_the_parts_of_the_limits_in_use() -> None:
    # 5000, 1000 and 1000 requests a minute.
    vitals = Vitals(in_flight={OPENAI.id: 50, AZURE.id: 20, SONNET.id: 5})
    assert order(Strategy.LEAST_BUSY, vitals=vitals) == (SONNET, OPENAI, AZURE)


def test_least_busy_keeps_the_order_of_the_idle() -> None:
    assert order(Strategy.LEAST_BUSY) == ALL


def test_latency_asks_the_fastest_first() -> None:
    vitals = Vitals(latency_ms={OPENAI.id: 900.0, AZURE.id: 300.0, SONNET.id: 600.0})
    assert order(Strategy.LATENCY, vitals=vitals) == (AZURE, SONNET, OPENAI)


def test_latency_finds_out_about_the_unknown_with_few_jobs() -> None:
    vitals = Vitals(latency_ms={OPENAI.id: 900.0, AZURE.id: 300.0})
    orders = [order(Strategy.LATENCY, job_id=job_id, vitals=vitals) for job_id in JOBS]
    probes = sum(each[0] is SONNET for each in orders)
    assert probes / len(JOBS) == pytest.approx(PROBED, abs=0.02)
    assert {each[-1] for each in orders if each[0] is not SONNET} == {SONNET}


def test_cost_asks_the_cheapest_first_and_the_unpriced_last() -> None:
    costs = {AZURE.id: 20, SONNET.id: 10}
    assert order(Strategy.COST, costs=costs) == (SONNET, AZURE, OPENAI)


@pytest.mark.parametrize("strategy", Strategy)
def test_whoever_fails_comes_last(strategy: Strategy) -> None:
    vitals = Vitals(
        in_flight={AZURE.id: 9, SONNET.id: 9},
        latency_ms={OPENAI.id: 1.0, AZURE.id: 500.0, SONNET.id: 500.0},
        failing={OPENAI.id},
    )
    costs = {OPENAI.id: 1, AZURE.id: 2, SONNET.id: 3}
    assert order(strategy, vitals=vitals, costs=costs)[-1] is OPENAI
