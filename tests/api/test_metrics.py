"""What a Prometheus is told: read by its own parser, over HTTP, with an operator's key."""

import asyncio

from prometheus_client.parser import text_string_to_metric_families

from shared.domain.failure import Blame
from shared.meters.meter import Meter
from shared.redis_client import connect_redis
from shared.security.keys import Scope
from tests.api.conftest import Api, hire, make_key

BROKEN = "azure/gpt-4.1-mini"
BUDGET = """
INSERT INTO budgets (id, tenant_id, name, scope, subject, cap_nano, every, time_zone, at_limit,
                     alerts)
VALUES ('bud_m', %s, 'monthly', 'all', '', 2000000000, 'total', 'UTC', 'park', '{75}')
"""
WINDOW = """
WITH made AS (
    INSERT INTO budget_windows (budget_id, starts_at, ends_at, spent_nano, held_nano)
    VALUES ('bud_m', '-infinity', 'infinity', 1500000000, 250000000) RETURNING id
)
INSERT INTO budget_alerts (window_id, percent, spent_nano, cap_nano)
SELECT id, 75, 1500000000, 2000000000 FROM made
"""


async def break_down(redis_url: str) -> None:
    """As many failures in a row as open the breaker."""
    redis = connect_redis(redis_url)
    await Meter(redis).rebuild([], outcomes={BROKEN: [Blame.FAILED] * 10})
    await redis.aclose()


def test_an_operator_sees_breakers_workers_and_budgets(api: Api, redis_url: str) -> None:
    operator = asyncio.run(make_key(api.database_url, "one", Scope.OPERATOR))
    hire(api, "openai")
    [(tenant_id,)] = api.sql("SELECT id FROM tenants WHERE name = 'one'")
    api.sql(BUDGET, tenant_id)
    api.sql(WINDOW)
    api.sql("INSERT INTO event_counts (type, count) VALUES ('generation.completed', 3)")
    asyncio.run(break_down(redis_url))
    with api.client(operator) as client:
        reply = client.get("/metrics")
    assert reply.status_code == 200, reply.text
    assert reply.headers["content-type"].startswith("text/plain")
    seen = {
        (sample.name, *(label for _, label in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(reply.text)
        for sample in family.samples
    }
    assert seen["promptmill_breaker_open", BROKEN] == 1
    assert seen["promptmill_breaker_open", "openai/gpt-4.1-mini"] == 0
    assert seen["promptmill_workers", "openai"] == 1
    assert seen["promptmill_slots", "openai"] == 9
    assert seen["promptmill_budget_cap_usd", "monthly", "one"] == 2
    assert seen["promptmill_budget_spent_usd", "monthly", "one"] == 1.5
    assert seen["promptmill_budget_held_usd", "monthly", "one"] == 0.25
    assert seen["promptmill_budget_alert", "monthly", "75", "one"] == 1
    assert seen["promptmill_events_total", "generation.completed"] == 3


def test_a_tenants_key_sees_no_metrics(api: Api) -> None:
    with api.client() as client:
        assert client.get("/metrics").status_code == 403
