"""Who hears of a budget's alerts: the log, and the operator's webhook where there is one."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from functools import partial
from typing import Any

import orjson
import structlog
from pydantic import SecretStr

from shared.db.alerts import Alert
from shared.security.egress import Egress, UnreachableError
from shared.security.posting import Message, post_signed
from shared.settings import Settings

log = structlog.get_logger(__name__)

Tell = Callable[[Alert], Awaitable[None]]
"""Raises where it could not be told: then it is told again later."""


def subscribers(settings: Settings) -> Mapping[str, Tell]:
    """By the names under which it is kept who has heard: a row more tells one more."""
    heard: dict[str, Tell] = {"log": write_down}
    alerts = settings.alerts
    if alerts.url is not None and alerts.secret is not None:
        egress = partial(
            Egress,
            allow_loopback=settings.egress.allow_loopback,
            allow_private=alerts.allow_private,
        )
        heard["webhook"] = partial(call, egress, alerts.url, alerts.secret, seconds=alerts.timeout)
    return heard


async def write_down(alert: Alert) -> None:
    """One line in the log, of ids and amounts alone."""
    log.warning(
        "budget_alert",
        budget_id=alert.budget.id,
        tenant_id=alert.budget.payer.tenant_id,
        percent=alert.percent,
        spent_nano=alert.spent_nano,
        cap_nano=alert.cap_nano,
    )


async def call(
    egress: Callable[[], Egress], url: str, secret: SecretStr, alert: Alert, *, seconds: float
) -> None:
    """POST it, signed. Raises UnreachableError for all but a status of 2xx."""
    message = Message(alert.id, orjson.dumps(body_of(alert)))
    async with egress() as opened:
        posted = await post_signed(opened, url, [secret], message, seconds=seconds)
    if posted.error is not None:
        raise UnreachableError(posted.error)


def body_of(alert: Alert) -> dict[str, Any]:
    """What the webhook gets."""
    budget = alert.budget
    return {
        "type": "budget.alert",
        "timestamp": _rfc3339(alert.at),
        "data": {
            "id": alert.id,
            "percent": alert.percent,
            "spent_nano_usd": alert.spent_nano,
            "cap_nano_usd": alert.cap_nano,
            "window": {
                "every": budget.every,
                "time_zone": budget.time_zone,
                "starts_at": alert.starts_at and _rfc3339(alert.starts_at),
                "ends_at": alert.ends_at and _rfc3339(alert.ends_at),
            },
            "budget": {
                "id": budget.id,
                "name": budget.name,
                "tenant_id": budget.payer.tenant_id,
                "scope": budget.payer.scope,
                "subject": budget.payer.subject,
                "at_limit": budget.at_limit,
            },
        },
    }


def _rfc3339(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
