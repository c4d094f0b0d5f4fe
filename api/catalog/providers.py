"""The providers over HTTP: who can be called and why not, how they do, and their switch."""

import asyncio
from time import monotonic
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, Path, Request
from pydantic import BaseModel, ConfigDict, Field

from api.deps import AnyParts, Parts, Reader, caller_with
from api.errors import error_responses
from api.jobs.parse import parse_as, parse_json
from api.jobs.schemas import Moment
from shared.catalog.deployments import Catalog, Provider
from shared.db.providers import Standings, ask_check, read_standings, switch
from shared.db.tenants import Caller
from shared.domain.errors import ConflictError, NotFoundError
from shared.security.keys import Scope

router = APIRouter(prefix="/api/v1/providers", tags=["catalog"])
Operator = Annotated[Caller, Depends(caller_with(Scope.OPERATOR))]
ProviderId = Annotated[str, Path(max_length=64)]
CHECK_SECONDS: Final = 15.0
"""The longest that a request waits for the check that it asked for."""
LOOK_SECONDS: Final = 0.2


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


class ProviderRead(BaseModel):
    """A provider as it stands."""

    id: str
    object: Literal["provider"] = "provider"
    adapter: str
    """The wire that it speaks."""
    base_url: str | None
    rehearsal: bool
    enabled: bool
    disabled: Switched | None
    callable: bool | None
    """It has a credential and is switched on; None while no worker lives that could say."""
    why_not: str | None
    """Why it cannot be called, with the way out."""
    variables: list[str]
    """What the workers need of the environment: one of these keys, and an address if named."""
    health: Health
    calls: Calls | None
    models: list[str]


class ProviderList(BaseModel):
    """All providers of the catalog."""

    data: list[ProviderRead]


class ProviderDisable(BaseModel):
    """Why it is switched off."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    reason: Annotated[str, Field(min_length=1, max_length=500)] | None = None


@router.get(
    "", operation_id="list_providers", summary="List providers", responses=error_responses()
)
async def list_providers(parts: AnyParts, _: Reader) -> ProviderList:
    """Who can be called, who not and why, how they do, and what they serve."""
    standings = await _standings(parts)
    providers = parts.catalog.providers.values()
    return ProviderList(data=[_read(parts.catalog, each, standings) for each in providers])


@router.post(
    "/{provider_id}/enable",
    operation_id="enable_provider",
    summary="Switch a provider on",
    responses=error_responses(404),
)
async def enable_provider(
    parts: AnyParts, caller: Operator, provider_id: ProviderId
) -> ProviderRead:
    """For every tenant; jobs that waited for it go on within two seconds."""
    return await _switch(parts, caller, provider_id, enabled=True, reason=None)


@router.post(
    "/{provider_id}/disable",
    operation_id="disable_provider",
    summary="Switch a provider off",
    responses=error_responses(400, 404),
    openapi_extra={
        "requestBody": {
            "required": False,
            "content": {"application/json": {"schema": ProviderDisable.model_json_schema()}},
        }
    },
)
async def disable_provider(
    request: Request, parts: AnyParts, caller: Operator, provider_id: ProviderId
) -> ProviderRead:
    """For every tenant: within two seconds nothing more is released to it; calls end as they do."""
    body = await request.body()
    asked = parse_as(ProviderDisable, parse_json(body)) if body else ProviderDisable()
    return await _switch(parts, caller, provider_id, enabled=False, reason=asked.reason)


@router.post(
    "/{provider_id}/check",
    operation_id="check_provider",
    summary="Check a provider now",
    responses=error_responses(404, 409),
)
async def check_provider(parts: AnyParts, _: Operator, provider_id: ProviderId) -> ProviderRead:
    """A worker asks it something that costs nothing; the reply shows what came of it."""
    provider = _known(parts.catalog, provider_id)
    standings = await _standings(parts)
    if not standings.ready:
        raise ConflictError("no worker is running: nobody can check a provider")
    read = _read(parts.catalog, provider, standings)
    if not _has_credential(parts.catalog, provider, standings):
        return read
    async with parts.database.transaction() as connection:
        asked_at = await ask_check(connection, provider_id)
    deadline = monotonic() + CHECK_SECONDS
    while read.health.checked_at is None or read.health.checked_at < asked_at:
        if monotonic() >= deadline:
            raise ConflictError(f"no worker checked {provider_id} within {CHECK_SECONDS:.0f} s")
        await asyncio.sleep(LOOK_SECONDS)
        read = _read(parts.catalog, provider, await _standings(parts))
    return read


async def _switch(
    parts: Parts, caller: Caller, provider_id: str, *, enabled: bool, reason: str | None
) -> ProviderRead:
    provider = _known(parts.catalog, provider_id)
    async with parts.database.transaction() as connection:
        await switch(connection, provider_id, enabled=enabled, reason=reason, by=caller.key_id)
    return _read(parts.catalog, provider, await _standings(parts))


async def _standings(parts: Parts) -> Standings:
    async with parts.database.transaction() as connection:
        return await read_standings(connection)


def _known(catalog: Catalog, provider_id: str) -> Provider:
    provider = catalog.providers.get(provider_id)
    if provider is None:
        known = ", ".join(catalog.providers)
        raise NotFoundError(f"no provider {provider_id!r}; there are {known}")
    return provider


def _read(catalog: Catalog, provider: Provider, standings: Standings) -> ProviderRead:
    row = standings.rows.get(provider.id)
    enabled = row is None or row.enabled
    credential = _has_credential(catalog, provider, standings)
    calls = standings.calls.get(provider.id)
    return ProviderRead(
        id=provider.id,
        adapter=provider.adapter,
        base_url=provider.base_url,
        rehearsal=provider.rehearsal,
        enabled=enabled,
        disabled=_switched(row) if row is not None and not enabled else None,
        callable=False if not enabled else credential,
        why_not=_why_not(catalog, provider, standings),
        variables=[*provider.key_variables, *provider.base_url_variables],
        health=_health(row),
        calls=Calls(count=calls.calls, median_ms=calls.median_ms, p95_ms=calls.p95_ms)
        if calls is not None
        else None,
        models=_models(catalog, provider),
    )


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


def _models(catalog: Catalog, provider: Provider) -> list[str]:
    return sorted(
        {each.model.id for each in catalog.deployments() if each.provider.id == provider.id}
    )


def _has_credential(catalog: Catalog, provider: Provider, standings: Standings) -> bool | None:
    """Whether living workers can call it; None where none lives that said so."""
    said = [
        standings.ready[name].ready
        for model in _models(catalog, provider)
        if (name := f"{provider.id}/{model}") in standings.ready
    ]
    return any(said) if said else None


def _why_not(catalog: Catalog, provider: Provider, standings: Standings) -> str | None:
    row = standings.rows.get(provider.id)
    if row is not None and not row.enabled:
        said = f": {row.reason}" if row.reason else ""
        return f"disabled by {row.changed_by}{said}; POST /api/v1/providers/{provider.id}/enable"
    match _has_credential(catalog, provider, standings):
        case True:
            return None
        case None:
            return "no worker is running that could call it" if not standings.ready else None
        case False:
            reasons = {
                standings.ready[name].reason
                for model in _models(catalog, provider)
                if (name := f"{provider.id}/{model}") in standings.ready
            }
            return "; ".join(sorted(filter(None, reasons)))
