"""Whether anything can be asked now: the native form of the status, in short."""

from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel

from api.catalog.providers import view_of
from api.catalog.views import ProviderRead
from api.deps import AnyParts, Reader
from api.errors import error_responses
from shared.catalog.deployments import DEFAULT_NAME

router = APIRouter(prefix="/api/v1/ai", tags=["ai"])


class ProviderInShort(BaseModel):
    """A provider that can be called, or of which nobody has said that it cannot."""

    id: str
    callable: bool | None
    """None where no living worker has said."""
    health: Literal["healthy", "failing", "unknown"]
    """What the last check found."""
    median_ms: int | None
    """Of its newest answered calls."""
    models: list[str]
    resting: list[str]
    """Those of its models whose calls failed too often: nobody calls them for a while."""

    @classmethod
    def of(cls, provider: ProviderRead) -> "ProviderInShort":
        """Of all that is known of it."""
        return cls(
            id=provider.id,
            callable=provider.callable,
            health=provider.health.state,
            median_ms=provider.calls.median_ms if provider.calls else None,
            models=provider.models,
            resting=[each.model for each in provider.resting],
        )


class StatusRead(BaseModel):
    """What can be asked now."""

    object: Literal["ai.status"] = "ai.status"
    ready: bool | None
    """A provider can be called for certain; None where no living worker has said."""
    default_model: str | None
    """What a request without a model asks."""
    models: list[str]
    """That the providers below serve."""
    routes: list[str]
    """Names that choose a model, given in place of one."""
    providers: list[ProviderInShort]


@router.get(
    "/status",
    operation_id="ai_status",
    summary="Providers and models that can be called",
    responses=error_responses(),
)
async def status(parts: AnyParts, caller: Reader) -> StatusRead:
    """In short; `/api/v1/providers` and `/api/v1/models` tell all, and why one cannot."""
    catalog = parts.catalog
    view = await view_of(parts, caller, catalog)
    read = (view.of(each) for each in catalog.providers.values() if not each.rehearsal)
    known = [ProviderInShort.of(each) for each in read if each.callable is not False]
    ready = any(each.callable for each in known)
    return StatusRead(
        ready=ready or (None if known else False),
        default_model=catalog.aliases.get(DEFAULT_NAME),
        models=sorted({model for each in known for model in each.models}),
        routes=sorted(parts.routes.of(catalog)),
        providers=known,
    )
