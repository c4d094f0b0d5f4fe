"""What routes ask for: the caller, the database, the parts of the process."""

import hmac
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from time import monotonic
from typing import Annotated, Any, Final, cast

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from structlog.contextvars import bind_contextvars

from api.admission.backlog import Backlog
from api.admission.book import BudgetBook
from api.admission.requests import LIMIT_HEADERS, RequestLimits, headers_of, refusal
from api.jobs.wait import Waiters
from api.jobs.watchers import Watchers
from shared.catalog.current import CurrentCatalog
from shared.catalog.deployments import Catalog
from shared.db.engine import Database
from shared.db.tenants import Caller, find_key
from shared.domain.errors import NotAuthenticatedError, NotPermittedError
from shared.doorbell import Doorbell
from shared.meters.meter import Meter
from shared.routing.routes import RouteBook
from shared.security.keys import OF_A_TENANT, Scope, hash_secret, parse_key
from shared.settings import Settings

KEY_SECONDS: Final = 5.0
"""How long a found key is believed; a revoked one counts no longer than this."""
MOST_KEYS: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What one API process is made of."""

    settings: Settings
    current: CurrentCatalog
    database: Database
    doorbell: Doorbell
    waiters: Waiters
    watchers: Watchers
    requests: RequestLimits
    backlog: Backlog
    meter: Meter
    budgets: BudgetBook = field(default_factory=BudgetBook)
    routes: RouteBook = field(default_factory=RouteBook)
    keys: dict[str, tuple[float, Caller | None]] = field(default_factory=dict)

    @property
    def catalog(self) -> Catalog:
        """As it stands now; it may be another one at the next look."""
        return self.current.catalog


async def parts_of(request: Request) -> Parts:
    """The parts that main.py put together; a coroutine, since FastAPI gives others a thread."""
    return cast("Parts", request.app.state.parts)


AnyParts = Annotated[Parts, Depends(parts_of)]
bearer = HTTPBearer(auto_error=False, description="An API key: `Authorization: Bearer pm_…`")


async def authenticate(
    request: Request,
    parts: AnyParts,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)],
) -> Caller:
    """The holder of the key in the Authorization header, within its requests a minute."""
    presented = parse_key(credentials.credentials) if credentials else None
    if presented is None:
        message = "this request has no API key; send `Authorization: Bearer pm_…`"
        raise NotAuthenticatedError(message)
    caller = await _known(parts, presented.id)
    secret_hash = hash_secret(presented.secret, parts.settings.pepper)
    if caller is None or not hmac.compare_digest(caller.secret_hash, secret_hash):
        message = "this API key is unknown, expired or revoked"
        raise NotAuthenticatedError(message)
    bind_contextvars(tenant_id=caller.tenant_id)
    if allowance := await parts.requests.take(caller):
        setattr(request.state, LIMIT_HEADERS, headers_of(allowance))
        if not allowance.granted:
            raise refusal(allowance)
    return caller


def caller_with(scope: Scope) -> Callable[..., Coroutine[Any, Any, Caller]]:
    """A dependency: the caller, if its key has the scope."""

    async def check(caller: Annotated[Caller, Depends(authenticate)]) -> Caller:
        granted = caller.scopes | (OF_A_TENANT if Scope.ADMIN in caller.scopes else frozenset())
        if scope not in granted:
            message = f"this API key lacks the scope {scope!s}"
            raise NotPermittedError(message)
        return caller

    return check


Reader = Annotated[Caller, Depends(caller_with(Scope.JOBS_READ))]
Writer = Annotated[Caller, Depends(caller_with(Scope.JOBS_WRITE))]
Admin = Annotated[Caller, Depends(caller_with(Scope.ADMIN))]
Operator = Annotated[Caller, Depends(caller_with(Scope.OPERATOR))]
AnyCaller = Annotated[Caller, Depends(authenticate)]


async def _known(parts: Parts, key_id: str) -> Caller | None:
    """The key from memory if it was asked for lately, else from the database."""
    read_at, caller = parts.keys.get(key_id, (float("-inf"), None))
    if monotonic() - read_at > KEY_SECONDS:
        async with parts.database.transaction() as connection:
            caller = await find_key(connection, key_id)
        if len(parts.keys) >= MOST_KEYS:
            parts.keys.clear()
        parts.keys[key_id] = (monotonic(), caller)
    return caller
