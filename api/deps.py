"""What routes ask for: the caller, the database, the parts of the process."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from time import monotonic
from typing import Annotated, Any, Final, cast

from fastapi import Depends, Request
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer
from structlog.contextvars import bind_contextvars

from api.admission.backlog import Backlog
from api.admission.book import BudgetBook
from api.admission.creates import CALLER_KEY, Creates
from api.admission.requests import LIMIT_HEADERS, RequestLimits, headers_of, refusal
from api.admission.uses import KeyUses
from api.error_shapes import dialect_of
from api.jobs.wait import Waiters
from api.jobs.watchers import Watchers
from api.webhooks.known import KnownTargets
from shared.catalog.current import CurrentCatalog
from shared.catalog.deployments import Catalog
from shared.db.engine import Database
from shared.db.tenants import Caller, find_key
from shared.domain.clock import SystemClock
from shared.domain.errors import InvalidRequestError, NotAuthenticatedError, NotPermittedError
from shared.doorbell import Doorbell
from shared.meters.meter import Meter
from shared.routing.routes import RouteBook
from shared.security.keys import OF_A_TENANT, PresentedKey, Scope, hash_secret, parse_key
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
    accepting: Database
    """The same, for what every job asks: to be accepted,"""
    looking: Database
    """and to be found."""
    doorbell: Doorbell
    waiters: Waiters
    watchers: Watchers
    requests: RequestLimits
    creates: Creates
    backlog: Backlog
    meter: Meter
    uses: KeyUses
    budgets: BudgetBook = field(default_factory=BudgetBook)
    routes: RouteBook = field(default_factory=RouteBook)
    webhooks: KnownTargets = field(default_factory=KnownTargets)
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
key_header = APIKeyHeader(
    name="x-api-key", auto_error=False, description="The same key, as Anthropic's clients send it"
)


async def authenticate(
    request: Request,
    parts: AnyParts,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)],
    bare: Annotated[str | None, Depends(key_header)],
) -> Caller:
    """The holder of the key in one of the two headers, within its requests a minute."""
    presented = (credentials and parse_key(credentials.credentials)) or parse_key(bare or "")
    if presented is None:
        message = "this request has no API key; send `Authorization: Bearer pm_…` or `x-api-key`"
        raise NotAuthenticatedError(message)
    caller = await _holder(parts, presented)
    if caller is None:
        message = "this API key is unknown, expired or revoked"
        raise NotAuthenticatedError(message)
    bind_contextvars(tenant_id=caller.tenant_id)
    setattr(request.state, CALLER_KEY, caller.key_id)
    parts.uses.note(caller.key_id)
    if allowance := await parts.requests.take(caller):
        told = headers_of(allowance, dialect_of(request.scope), SystemClock())
        setattr(request.state, LIMIT_HEADERS, told)
        if not allowance.granted:
            raise refusal(allowance)
    _require_storable(request)
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


def _require_storable(request: Request) -> None:
    """Postgres keeps no NUL, so no id, label or filter has one; bodies are looked at apart."""
    if "\0" in request.scope["path"] or b"%00" in request.scope["query_string"]:
        message = "the URL has a NUL character (U+0000); remove it"
        raise InvalidRequestError(message, field="url")


async def _holder(parts: Parts, presented: PresentedKey) -> Caller | None:
    """Whose key it is; None for a secret that is not of that key."""
    secret_hash = hash_secret(presented.secret, parts.settings.pepper)
    caller = await _known(parts, presented.id, KEY_SECONDS)
    if caller is not None and not caller.knows(secret_hash):
        # Another process may have given it a new secret since it was read.
        caller = await _known(parts, presented.id, 0.0)
    return caller if caller is not None and caller.knows(secret_hash) else None


async def _known(parts: Parts, key_id: str, seconds: float) -> Caller | None:
    """The key from memory if it was read in these last seconds, else from the database."""
    read_at, caller = parts.keys.get(key_id, (float("-inf"), None))
    if monotonic() - read_at > seconds:
        async with parts.database.transaction() as connection:
            caller = await find_key(connection, key_id)
        if len(parts.keys) >= MOST_KEYS:
            parts.keys.clear()
        parts.keys[key_id] = (monotonic(), caller)
    return caller
