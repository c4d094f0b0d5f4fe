"""Providers as they are shown: state, health, latency and what they serve."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel

from api.jobs.schemas import Moment
from shared.catalog.deployments import Catalog, Provider
from shared.db.providers import Standings
from shared.meters.breaker import BreakerState, Standing


class Switched(BaseModel):
    """Who switched a provider off."""

    by: str
    """A key's id; `worker` where its quota is used up."""
    reason: str | None
    since: Moment


class Health(BaseModel):
    """What the last check found."""

    state: Literal["healthy", "failing", "unknown"]
    checked_at: Moment | None = None
    latency_ms: int | None = None
    """Of the check: a question that costs nothing."""
    error: str | None = None


class Calls(BaseModel):
    """How long its newest answered calls took."""

    count: int
    median_ms: int
    p95_ms: int


class Resting(BaseModel):
    """A model whose calls failed too often: nobody calls it there for a while."""

    model: str
    state: BreakerState
    """`half_open`: one call at a time finds out whether it is back."""
    seconds: float
    """Until the next call may go."""


class ProviderRead(BaseModel):
    """A provider as it stands."""

    id: str
    object: Literal["provider"] = "provider"
    adapter: str
    """The wire that it speaks."""
    base_url: str | None
    """For keys with the scope operator; an address may tell how this installation is built."""
    rehearsal: bool
    enabled: bool
    disabled: Switched | None
    callable: bool | None
    """It is switched on and a worker is ready for it; None where no living worker has said."""
    why_not: str | None
    """Why it cannot be called, with the way out."""
    variables: list[str]
    """What the workers need of the environment: one of these keys, and an address if named."""
    health: Health
    calls: Calls | None
    models: list[str]
    resting: list[Resting]
    """Its models whose breakers are not closed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """All that a reply about providers is made of."""

    standings: Standings
    served: Mapping[str, Sequence[str]]
    """Provider to its models."""
    breakers: Mapping[str, Standing]
    """By deployment; none where Redis does not answer."""
    addresses: bool
    """Whether the caller may read where they are."""

    def of(self, provider: Provider) -> ProviderRead:
        """The provider as this caller sees it."""
        row = self.standings.rows.get(provider.id)
        enabled = row is None or row.enabled
        ready = self.standings.reach.ready(provider)
        calls = self.standings.calls.get(provider.id)
        return ProviderRead(
            id=provider.id,
            adapter=provider.adapter,
            base_url=provider.base_url if self.addresses else None,
            rehearsal=provider.rehearsal,
            enabled=enabled,
            disabled=_switched(row) if row is not None and not enabled else None,
            callable=ready if enabled else False,
            why_not=self._why_not(provider, ready),
            variables=[*provider.key_variables, *provider.base_url_variables],
            health=_health(row),
            calls=Calls(count=calls.calls, median_ms=calls.median_ms, p95_ms=calls.p95_ms)
            if calls is not None
            else None,
            models=sorted(self.served.get(provider.id, ())),
            resting=self._resting(provider),
        )

    def _resting(self, provider: Provider) -> list[Resting]:
        found = [
            (model, self.breakers.get(f"{provider.id}/{model}"))
            for model in sorted(self.served.get(provider.id, ()))
        ]
        return [
            Resting(model=model, state=breaker.state, seconds=round(breaker.seconds, 1))
            for model, breaker in found
            if breaker is not None and breaker.state is not BreakerState.CLOSED
        ]

    def _why_not(self, provider: Provider, ready: bool | None) -> str | None:  # noqa: FBT001 - three states
        row, reach = self.standings.rows.get(provider.id), self.standings.reach
        if row is not None and not row.enabled:
            said = f": {row.reason}" if row.reason else ""
            return (
                f"disabled by {row.changed_by}{said}; POST /api/v1/providers/{provider.id}/enable"
            )
        if ready is None:
            return f"no worker is running that takes the queue {provider.queue_name!r}"
        return None if ready else reach.why_not_ready(provider)


def served_by(catalog: Catalog) -> dict[str, list[str]]:
    """Provider to the models that some route leads to at it."""
    served: dict[str, list[str]] = defaultdict(list)
    for deployment in catalog.deployments():
        if deployment.model.id not in served[deployment.provider.id]:
            served[deployment.provider.id].append(deployment.model.id)
    return served


def _switched(row: Any) -> Switched:
    return Switched(by=row.changed_by, reason=row.reason, since=row.changed_at)


def _health(row: Any) -> Health:
    if row is None or row.checked_at is None:
        return Health(state="unknown")
    return Health(
        state="failing" if row.error else "healthy",
        checked_at=row.checked_at,
        latency_ms=row.latency_ms,
        error=row.error,
    )
