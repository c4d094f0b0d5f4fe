"""Every door of the API: its method and path, and which scope opens it."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute

from api.main import create_app
from shared.security.keys import Scope
from shared.settings import Settings

OPEN_PATHS: Final = frozenset({"/healthz", "/readyz"})
READ, WRITE, ADMIN, OPERATOR = Scope
ANY: Final = None
"""Any key that counts."""
SCOPES: Final[dict[str, Scope | None]] = {
    "POST /api/v1/jobs": WRITE,
    "POST /api/v1/jobs/bulk": WRITE,
    "GET /api/v1/jobs": READ,
    "GET /api/v1/jobs/summary": READ,
    "GET /api/v1/jobs/{job_id}": READ,
    "POST /api/v1/jobs/{job_id}/cancel": WRITE,
    "GET /api/v1/jobs/{job_id}/events": READ,
    "GET /api/v1/jobs/{job_id}/why": READ,
    "GET /api/v1/jobs/{job_id}/receipt": READ,
    "GET /api/v1/batches/{batch}/receipt": READ,
    "GET /api/jobs/{job_id}": READ,
    "GET /api/v1/ai/status": READ,
    "POST /api/v1/ai/completions": WRITE,
    "POST /api/v1/ai/chat": WRITE,
    "POST /api/v1/ai/chat/routed": WRITE,
    "POST /api/v1/generate": WRITE,
    "POST /api/v1/generate/async": WRITE,
    "GET /api/v1/app/ai/status": READ,
    "POST /api/v1/app/ai/completions": WRITE,
    "POST /api/v1/app/ai/chat": WRITE,
    "POST /api/v1/app/ai/chat/routed": WRITE,
    "POST /api/generate": WRITE,
    "POST /api/generate/async": WRITE,
    "POST /api/v1/explain": WRITE,
    "POST /api/v1/quote": WRITE,
    "POST /api/v1/tokens": READ,
    "GET /api/v1/tokens/accuracy": READ,
    "GET /api/v1/me": ANY,
    "GET /api/v1/usage": ANY,
    "GET /api/v1/usage/savings": ANY,
    "GET /api/v1/keys": ADMIN,
    "POST /api/v1/keys": ADMIN,
    "PATCH /api/v1/keys/{key_id}": ADMIN,
    "POST /api/v1/keys/{key_id}/rotate": ADMIN,
    "POST /api/v1/keys/{key_id}/revoke": ADMIN,
    "GET /api/v1/policy": READ,
    "PUT /api/v1/policy": ADMIN,
    "DELETE /api/v1/policy": ADMIN,
    "GET /api/v1/budgets": READ,
    "POST /api/v1/budgets": ADMIN,
    "GET /api/v1/budgets/{budget_id}": READ,
    "PATCH /api/v1/budgets/{budget_id}": ADMIN,
    "DELETE /api/v1/budgets/{budget_id}": ADMIN,
    "GET /api/v1/budgets/{budget_id}/alerts": READ,
    "GET /api/v1/models": READ,
    "GET /api/v1/routes": READ,
    "GET /api/v1/providers": READ,
    "POST /api/v1/providers/refresh": OPERATOR,
    "POST /api/v1/providers/{provider_id}/enable": OPERATOR,
    "POST /api/v1/providers/{provider_id}/disable": OPERATOR,
    "POST /api/v1/providers/{provider_id}/check": OPERATOR,
    "GET /api/v1/tenants/{name}/limits": OPERATOR,
    "PATCH /api/v1/tenants/{name}/limits": OPERATOR,
    "GET /metrics": OPERATOR,
    "POST /v1/chat/completions": WRITE,
    "POST /v1/completions": WRITE,
    "POST /v1/embeddings": WRITE,
    "GET /v1/models": READ,
    "GET /v1/models/{model}": READ,
    "POST /v1/responses": WRITE,
    "GET /v1/responses/{response_id}": READ,
    "DELETE /v1/responses/{response_id}": WRITE,
    "POST /v1/responses/{response_id}/cancel": WRITE,
    "GET /v1/responses/{response_id}/input_items": READ,
    "GET /v1/webhook_event_types": ADMIN,
    "GET /v1/webhook_endpoints": ADMIN,
    "POST /v1/webhook_endpoints": ADMIN,
    "GET /v1/webhook_endpoints/{webhook_endpoint_id}": ADMIN,
    "POST /v1/webhook_endpoints/{webhook_endpoint_id}": ADMIN,
    "DELETE /v1/webhook_endpoints/{webhook_endpoint_id}": ADMIN,
    "POST /v1/webhook_endpoints/{webhook_endpoint_id}/rotate_secret": ADMIN,
    "POST /v1/webhook_endpoints/{webhook_endpoint_id}/test": ADMIN,
    "POST /v1/files": WRITE,
    "GET /v1/files": READ,
    "GET /v1/files/{file_id}": READ,
    "DELETE /v1/files/{file_id}": WRITE,
    "GET /v1/files/{file_id}/content": READ,
    "POST /v1/batches": WRITE,
    "GET /v1/batches": READ,
    "GET /v1/batches/{batch_id}": READ,
    "POST /v1/batches/{batch_id}/cancel": WRITE,
    "POST /api/v1/batches": WRITE,
    "POST /api/v1/batches/lines": WRITE,
    "GET /api/v1/batches": READ,
    "GET /api/v1/batches/{batch_id}": READ,
    "POST /api/v1/batches/{batch_id}/cancel": WRITE,
    "GET /api/v1/batches/{batch_id}/results": READ,
    "POST /v1/messages": WRITE,
    "POST /v1/messages/count_tokens": READ,
    "POST /v1/messages/batches": WRITE,
    "GET /v1/messages/batches": READ,
    "GET /v1/messages/batches/{message_batch_id}": READ,
    "POST /v1/messages/batches/{message_batch_id}/cancel": WRITE,
    "DELETE /v1/messages/batches/{message_batch_id}": WRITE,
    "GET /v1/messages/batches/{message_batch_id}/results": READ,
    "GET /api/v1/webhooks": ADMIN,
    "POST /api/v1/webhooks": ADMIN,
    "GET /api/v1/webhooks/event_types": ADMIN,
    "GET /api/v1/webhooks/{endpoint_id}": ADMIN,
    "PATCH /api/v1/webhooks/{endpoint_id}": ADMIN,
    "DELETE /api/v1/webhooks/{endpoint_id}": ADMIN,
    "GET /api/v1/webhooks/{endpoint_id}/secret": ADMIN,
    "POST /api/v1/webhooks/{endpoint_id}/rotate": ADMIN,
    "POST /api/v1/webhooks/{endpoint_id}/enable": ADMIN,
    "POST /api/v1/webhooks/{endpoint_id}/disable": ADMIN,
    "POST /api/v1/webhooks/{endpoint_id}/test": ADMIN,
    "POST /api/v1/webhooks/{endpoint_id}/replay": ADMIN,
    "GET /api/v1/webhooks/{endpoint_id}/deliveries": ADMIN,
    "GET /api/v1/webhooks/{endpoint_id}/deliveries/{delivery_id}": ADMIN,
    "POST /api/v1/webhooks/{endpoint_id}/deliveries/{delivery_id}/replay": ADMIN,
}
"""Said here once more, apart from the code: a new route without a row fails the tests."""


@dataclass(frozen=True, slots=True)
class Door:
    """One route, as it is known in SCOPES."""

    method: str
    path: str
    shown: bool
    """OpenAPI tells of it."""

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def scope(self) -> Scope | None:
        return SCOPES.get(self.name, ANY)

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters of its path."""
        return tuple(re.findall(r"{(\w+)}", self.path))

    def filled(self, **ids: str) -> str:
        """Its path with these, and with `x` for each that is not said."""
        return re.sub(r"{(\w+)}", lambda found: ids.get(found[1], "x"), self.path)


@cache
def app() -> FastAPI:
    """The app as it is served, over no servers."""
    api = Settings.model_fields["api"].default
    return create_app(Settings.model_construct(catalog=None, simulator_url=None, api=api))


@cache
def doors() -> tuple[Door, ...]:
    """All that needs a key, aliases that OpenAPI does not tell among them."""
    return tuple(
        Door(method, route.path_format, route.include_in_schema)
        for route in _routes(app().routes)
        if route.path not in OPEN_PATHS
        for method in sorted(route.methods or ())
    )


def _routes(known: Sequence[BaseRoute]) -> Iterator[APIRoute]:
    """Those of every router that is included in another, too."""
    for route in known:
        if isinstance(route, APIRoute):
            yield route
        elif included := getattr(route, "original_router", None):
            yield from _routes(included.routes)
