"""The routes that a job can name, over HTTP."""

from typing import Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel

from api.deps import AnyParts, Reader
from api.errors import error_responses

router = APIRouter(prefix="/api/v1/routes", tags=["catalog"])


class RouteRead(BaseModel):
    """A policy with a name, which a job gives as `request.model`."""

    id: str
    object: Literal["route"] = "route"
    policy: dict[str, Any]


class RouteList(BaseModel):
    """All routes of the catalog."""

    data: list[RouteRead]


@router.get(
    "", operation_id="list_routes", summary="Routes of the catalog", responses=error_responses()
)
async def list_routes(parts: AnyParts, _: Reader) -> RouteList:
    """Names that stand for policies; models have `/api/v1/models`."""
    routes = parts.routes.of(parts.catalog)
    return RouteList(
        data=[
            RouteRead(id=name, policy=policy.model_dump(mode="json", exclude_unset=True))
            for name, policy in sorted(routes.items())
        ]
    )
