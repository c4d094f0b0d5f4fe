"""Tell of budgets that near their caps: each alert once to each who hears of them, or again."""

import random
from typing import Final

import structlog

from shared.db.alerts import Alert, claim_alerts, give_up_alert, record_telling
from shared.db.engine import Database
from shared.security.egress import EgressError, UnreachableError
from shared.settings import Settings
from worker.upkeep.subscribers import subscribers

log = structlog.get_logger(__name__)

BATCH: Final = 10
"""Alerts that one worker takes at a time."""
SPARE_SECONDS: Final = 30.0
"""Above the time that their telling may take: until then nobody else tells them."""
FIRST_PAUSE: Final = 5.0
"""Seconds until who could not be told is told again; each further pause is twice as long."""
LONGEST_PAUSE: Final = 3600.0
GIVE_UP_SECONDS: Final = 24 * 3600.0


class Alerter:
    """Takes alerts that nobody tells at the moment, tells them, and writes down who has heard."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._subscribers = subscribers(settings)
        self._lease = BATCH * settings.alerts.timeout + SPARE_SECONDS

    async def visit(self) -> None:
        """All that is due. Raises database errors: what was told then is told again."""
        while True:
            async with self._database.transaction() as connection:
                alerts = await claim_alerts(connection, seconds=self._lease, limit=BATCH)
            for alert in alerts:
                await self._tell(alert)
            if len(alerts) < BATCH:
                return

    async def _tell(self, alert: Alert) -> None:
        told = set(alert.told)
        for name, tell in self._subscribers.items():
            if name in told:
                continue
            try:
                await tell(alert)
            except (EgressError, UnreachableError) as error:
                log.warning("alert_not_told", what=name, detail=str(error), count=alert.tries)
            except Exception:
                # One that is broken keeps it from nobody else.
                log.exception("alert_broke", what=name)
            else:
                told.add(name)
        await self._record(alert, told)

    async def _record(self, alert: Alert, told: set[str]) -> None:
        missing = self._subscribers.keys() - told
        async with self._database.transaction() as connection:
            again_in = pause(alert.tries) if missing else None
            await record_telling(connection, alert, told, again_in=again_in)
            if missing and alert.age > GIVE_UP_SECONDS:
                await give_up_alert(connection, alert)
        if missing and alert.age > GIVE_UP_SECONDS:
            log.error("alert_given_up", budget_id=alert.budget.id, what=", ".join(sorted(missing)))


def pause(tries: int) -> float:
    """Seconds after so many tries, with some jitter: those of an outage shall not come at once."""
    doubled = FIRST_PAUSE * 2.0 ** min(tries - 1, 20)
    return min(doubled, LONGEST_PAUSE) * random.uniform(0.8, 1.2)  # noqa: S311 - no secret
