"""What no shape can say of a budget: whether what it names is there."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from api.deps import Parts
from shared.db.budget_rows import BATCH_NAME, is_time_zone
from shared.db.tenants import Caller, read_key
from shared.domain.budget import HOUSE_SCOPES, AtLimit, Budget, Payer, Scope
from shared.domain.errors import InvalidRequestError, NotPermittedError, UnknownModelError
from shared.routing.named import named
from shared.security.keys import Scope as KeyScope


async def payer(
    parts: Parts, connection: AsyncConnection, caller: Caller, *, house: bool, wanted: Payer
) -> Payer:
    """Whom such a budget counts, a model by its own name. Raises what names the wrong field."""
    scope, subject = wanted.scope, wanted.subject
    if house and KeyScope.OPERATOR not in caller.scopes:
        message = "house: a budget over all tenants needs an API key with the scope operator"
        raise NotPermittedError(message, field="house")
    if house and scope not in HOUSE_SCOPES:
        among = ", ".join(sorted(HOUSE_SCOPES))
        raise _wrong("scope", f"a budget over all tenants is of one of: {among}")
    if scope is Scope.ALL and subject:
        raise _wrong("subject", "the scope all has none; choose another scope, or leave it out")
    if scope is not Scope.ALL and not subject:
        raise _wrong("subject", f"say which {scope} it is for")
    if find := SUBJECTS.get(scope):
        subject = await find(parts, connection, caller, subject)
    return Payer(None if house else caller.tenant_id, scope, subject)


def require_name(name: str) -> None:
    """Raises InvalidRequestError for a name that a batch's own budget may have."""
    if name.startswith(BATCH_NAME):
        raise _wrong("name", f"{BATCH_NAME}… is the budget that batch_max_cost makes")


async def require_zone(connection: AsyncConnection, zone: str) -> None:
    """Raises InvalidRequestError unless there is such a time zone."""
    if not await is_time_zone(connection, zone):
        raise _wrong("time_zone", f"no time zone {zone!r}; say an IANA name like Europe/Berlin")


def require_policy(parts: Parts, budget: Budget) -> None:
    """Raises InvalidRequestError unless what it says of its limit makes sense."""
    goes = budget.at_limit is AtLimit.DOWNGRADE
    if goes and budget.downgrade_to is None:
        raise _wrong("downgrade_to", "say the cheaper model or route that takes the jobs")
    for field in ("downgrade_to", "downgrade_at"):
        if not goes and getattr(budget, field) is not None:
            raise _wrong(field, 'it needs "at_limit": "downgrade"')
    name = budget.downgrade_to
    if name is not None and name not in parts.routes.of(parts.catalog):
        named(parts.catalog, name, "downgrade_to")


def _wrong(field: str, message: str) -> InvalidRequestError:
    return InvalidRequestError(f"{field}: {message}", field=field)


async def _key(_: Parts, connection: AsyncConnection, caller: Caller, subject: str) -> str:
    if await read_key(connection, caller.tenant_id, subject) is None:
        raise _wrong("subject", f"you have no key {subject!r}; say its id, key_…")
    return subject


async def _model(parts: Parts, _: AsyncConnection, __: Caller, subject: str) -> str:
    try:
        return parts.catalog.model(subject).id
    except UnknownModelError as error:
        raise UnknownModelError(f"subject: {error.message}", field="subject") from None


async def _provider(parts: Parts, _: AsyncConnection, __: Caller, subject: str) -> str:
    real = sorted(each.id for each in parts.catalog.providers.values() if not each.rehearsal)
    if subject not in real:
        raise _wrong("subject", f"no provider {subject!r}; there are {', '.join(real)}")
    return subject


Find = Callable[[Parts, AsyncConnection, Caller, str], Awaitable[str]]
SUBJECTS: Final[Mapping[Scope, Find]] = {
    Scope.KEY: _key,
    Scope.MODEL: _model,
    Scope.PROVIDER: _provider,
}
"""How a subject is found that must be there; a project, tag or batch may come later."""
