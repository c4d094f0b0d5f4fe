"""What a Prometheus scrapes: breakers, workers, calls in flight, events, budgets and alerts."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from redis.exceptions import RedisError

from api.deps import AnyParts, Operator, Parts
from api.errors import error_responses
from shared.db.gauges import Gauges, read_gauges
from shared.domain.budget import EVERYBODY
from shared.domain.money import NANO_PER_USD
from shared.meters.breaker import BreakerState, Standing

router = APIRouter(tags=["health"])

OPENNESS: Final = {BreakerState.CLOSED: 0.0, BreakerState.HALF_OPEN: 0.5, BreakerState.OPEN: 1.0}
OF_BUDGETS: Final = {
    "cap_nano": "What a budget allows in its window, USD.",
    "spent_nano": "What was spent of it in this window, USD.",
    "held_nano": "What open calls hold of it, USD.",
}


@router.get(
    "/metrics",
    operation_id="metrics",
    summary="Metrics for Prometheus",
    response_class=Response,
    responses={
        200: {"content": {"text/plain": {"schema": {"type": "string"}}}, "description": "Metrics"},
        **error_responses(),
    },
)
async def metrics(parts: AnyParts, _: Operator) -> Response:
    """Of all tenants; a scrape needs a key with the scope operator as its bearer token."""
    async with parts.database.transaction() as connection:
        gauges = await read_gauges(connection)
    registry = CollectorRegistry()
    registry.register(Scrape([*_of_database(gauges), *_of_breakers(await _breakers(parts))]))
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)


class Scrape(Collector):
    """What was read for one scrape."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = list(families)

    def collect(self) -> Iterable[Metric]:
        """As prometheus_client asks."""
        return self._families


async def _breakers(parts: Parts) -> Mapping[str, Standing]:
    """Best effort: without Redis nothing is known of them."""
    try:
        return await parts.meter.breaker.states([each.id for each in parts.catalog.deployments()])
    except (RedisError, OSError):
        return {}


def _of_breakers(standings: Mapping[str, Standing]) -> Iterator[Metric]:
    told = "1: nobody calls the deployment; 0.5: one call finds out whether it is back."
    family = GaugeMetricFamily("promptmill_breaker_open", told, labels=["deployment"])
    for name, standing in sorted(standings.items()):
        family.add_metric([name], OPENNESS[standing.state])
    yield family


def _of_database(gauges: Gauges) -> Iterator[Metric]:
    yield _family("workers", "Workers alive.", "queue", gauges.fleet, "workers")
    told = "Calls that the workers of a queue can have in flight."
    yield _family("slots", told, "queue", gauges.fleet, "capacity")
    told = "Calls that are released or running."
    yield _family("calls_in_flight", told, "deployment", gauges.in_flight, "calls")
    told = "What happened to jobs and batches, once it was told."
    events = CounterMetricFamily("promptmill_events", told, labels=["type"])
    for row in gauges.events:
        events.add_metric([row.type], row.told)
    yield events
    yield from _of_budgets(gauges)


def _of_budgets(gauges: Gauges) -> Iterator[Metric]:
    for column, meaning in OF_BUDGETS.items():
        name = f"budget_{column.removesuffix('_nano')}_usd"
        family = GaugeMetricFamily(f"promptmill_{name}", meaning, labels=["tenant", "budget"])
        for row in gauges.budgets:
            family.add_metric(_budget(row), getattr(row, column) / NANO_PER_USD)
        yield family
    told = "The share of the cap, in percent, was passed in this window."
    alerts = GaugeMetricFamily(
        "promptmill_budget_alert", told, labels=["tenant", "budget", "percent"]
    )
    for row in gauges.budgets:
        for percent in row.told:
            alerts.add_metric([*_budget(row), str(percent)], 1.0)
    yield alerts


def _family(name: str, told: str, label: str, rows: Iterable[Any], value: str) -> Metric:
    family = GaugeMetricFamily(f"promptmill_{name}", told, labels=[label])
    for row in rows:
        family.add_metric([getattr(row, label)], getattr(row, value))
    return family


def _budget(row: Any) -> list[str]:
    return [row.tenant or EVERYBODY, row.name]
