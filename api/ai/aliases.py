"""Other paths of some routes, which OpenAPI does not tell: old names that clients may know."""

from collections.abc import Iterable, Mapping
from typing import Final

from fastapi import APIRouter
from fastapi.routing import APIRoute

from api.ai import routes, status
from api.jobs import routes as jobs

ALIASES: Final[Mapping[str, str]] = {
    "/api/v1/app/ai/status": "/api/v1/ai/status",
    "/api/v1/app/ai/completions": "/api/v1/ai/completions",
    "/api/v1/app/ai/chat": "/api/v1/ai/chat",
    "/api/v1/app/ai/chat/routed": "/api/v1/ai/chat/routed",
    "/api/generate": "/api/v1/generate",
    "/api/generate/async": "/api/v1/generate/async",
    "/api/jobs/{job_id}": "/api/v1/jobs/{job_id}",
}
"""Path to the path that it stands for."""


def aliased(routers: Iterable[APIRouter]) -> APIRouter:
    """The same handlers at their other paths."""
    known = {
        route.path: route
        for each in routers
        for route in each.routes
        if isinstance(route, APIRoute)
    }
    found = APIRouter(include_in_schema=False)
    for path, of in ALIASES.items():
        route = known[of]
        found.add_api_route(
            path,
            route.endpoint,
            methods=sorted(route.methods or ()),
            status_code=route.status_code,
            response_model=route.response_model,
        )
    return found


router = aliased((routes.router, status.router, jobs.router))
