"""The providers over HTTP: who can be called and why not, how they do, and their switch."""

import asyncio
from collections.abc import Mapping, Sequence
from time import monotonic
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Path, Request
from pydantic import BaseModel, ConfigDict, Field
from redis.exceptions import RedisError

from api.catalog.views import ProviderRead, View, served_by
from api.deps import AnyParts, Operator, Parts, Reader
from api.errors import error_responses
from api.jobs.parse import parse_as, parse_json
from shared.catalog.deployments import Catalog, Provider
from shared.db.providers import ask_check, read_standings, switch
from shared.db.tenants import Caller
from shared.domain.errors import ConfigurationError, ConflictError, NotFoundError
from shared.meters.breaker import Standing
from shared.security.keys import Scope

router = APIRouter(prefix="/api/v1/providers", tags=["catalog"])
ProviderId = Annotated[str, Path(max_length=64)]
CHECK_SECONDS: Final = 15.0
"""The longest that a request waits for the check that it asked for."""
LOOK_SECONDS: Final = 0.2


class ProviderList(BaseModel):
    """All providers of the catalog."""

    data: list[ProviderRead]


class ProviderDisable(BaseModel):
    """Why it is switched off."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    reason: Annotated[str, Field(min_length=1, max_length=500)] | None = None


class CatalogRefreshed(BaseModel):
    """What the catalog holds after it was read again."""

    object: Literal["catalog"] = "catalog"
    changed: bool
    """Whether this process works by another catalog than before."""
    overlay: str | None
    """The file that is laid over the built-in catalog."""
    providers: int
    models: int


@router.get(
    "", operation_id="list_providers", summary="List providers", responses=error_responses()
)
async def list_providers(parts: AnyParts, caller: Reader) -> ProviderList:
    """Who can be called, who not and why, how they do, and what they serve."""
    catalog = parts.catalog
    view = await view_of(parts, caller, catalog)
    return ProviderList(data=[view.of(each) for each in catalog.providers.values()])


@router.post(
    "/refresh",
    operation_id="refresh_catalog",
    summary="Read the catalog again",
    responses=error_responses(409),
)
async def refresh_catalog(parts: AnyParts, _: Operator) -> CatalogRefreshed:
    """The file of PROMPTMILL_CATALOG is read and checked; every process follows in seconds.

    A file with a mistake changes nothing anywhere. Keys and other variables are read at a
    process's start alone.
    """
    try:
        changed = await parts.current.refresh()
    except ConfigurationError as error:
        message = f"the catalog stays as it is: {error.message}"
        raise ConflictError(message) from None
    overlay = parts.settings.catalog
    return CatalogRefreshed(
        changed=changed,
        overlay=None if overlay is None else str(overlay),
        providers=len(parts.catalog.providers),
        models=len(parts.catalog.models),
    )


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
async def check_provider(
    parts: AnyParts, caller: Operator, provider_id: ProviderId
) -> ProviderRead:
    """A worker asks it something that costs nothing; the reply shows what came of it."""
    catalog = parts.catalog
    provider = _known(catalog, provider_id)
    view = await view_of(parts, caller, catalog)
    if not view.standings.reach.living:
        raise ConflictError("no worker is running: nobody can check a provider")
    if view.standings.reach.ready(provider) is not True:
        return view.of(provider)
    async with parts.database.transaction() as connection:
        asked_at = await ask_check(connection, provider_id)
    read = view.of(provider)
    deadline = monotonic() + CHECK_SECONDS
    while read.health.checked_at is None or read.health.checked_at < asked_at:
        if monotonic() >= deadline:
            raise ConflictError(f"no worker checked {provider_id} within {CHECK_SECONDS:.0f} s")
        await asyncio.sleep(LOOK_SECONDS)
        read = (await view_of(parts, caller, catalog)).of(provider)
    return read


async def _switch(
    parts: Parts, caller: Caller, provider_id: str, *, enabled: bool, reason: str | None
) -> ProviderRead:
    catalog = parts.catalog
    provider = _known(catalog, provider_id)
    async with parts.database.transaction() as connection:
        await switch(connection, provider_id, enabled=enabled, reason=reason, by=caller.key_id)
    return (await view_of(parts, caller, catalog)).of(provider)


async def view_of(parts: Parts, caller: Caller, catalog: Catalog) -> View:
    """How every provider stands now, as this caller may see it."""
    async with parts.database.transaction() as connection:
        standings = await read_standings(connection)
    served = served_by(catalog)
    return View(
        standings=standings,
        served=served,
        breakers=await _breakers(parts, served),
        addresses=Scope.OPERATOR in caller.scopes,
    )


async def _breakers(parts: Parts, served: Mapping[str, Sequence[str]]) -> Mapping[str, Standing]:
    """Of every deployment; best effort: what Redis knows is a hint."""
    ids = [f"{provider}/{model}" for provider, models in served.items() for model in models]
    try:
        return await parts.meter.breaker.states(ids)
    except (RedisError, OSError):
        return {}


def _known(catalog: Catalog, provider_id: str) -> Provider:
    provider = catalog.providers.get(provider_id)
    if provider is None:
        known = ", ".join(catalog.providers)
        raise NotFoundError(f"no provider {provider_id!r}; there are {known}")
    return provider
