"""Ask every provider now and then whether it answers; of all workers one asks."""

import asyncio
import random
from time import monotonic
from typing import Final

import structlog

from shared.db.engine import Database
from shared.db.providers import Claimed, claim_checks, record_check
from worker.adapters.base import Adapter, CallError
from worker.adapters.registry import Adapters
from worker.pipeline.patience import end
from worker.pipeline.verdict import told_of

log = structlog.get_logger(__name__)

EVERY: Final = 60.0
"""Seconds between two checks of a provider, by whichever worker."""
LOOK: Final = 1.0
"""Seconds until a check that is asked for begins."""
PATIENCE: Final = 10.0
"""Seconds that a provider has to answer."""


class Checker:
    """Checks what this process holds a credential for, and writes down what came of it."""

    def __init__(self, database: Database, adapters: Adapters) -> None:
        self._database = database
        self._adapters = adapters
        self._checks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Check until cancelled; an error only costs the round."""
        try:
            while True:
                try:
                    await self.visit()
                except Exception as error:  # noqa: BLE001 - the next round may succeed
                    log.warning("checks_missed", error=type(error).__name__)
                await asyncio.sleep(LOOK * random.uniform(0.8, 1.2))  # noqa: S311 - no secret
        finally:
            await end(self._checks)

    async def visit(self) -> list[asyncio.Task[None]]:
        """Begin the checks that are due or asked for: a slow one holds up no other.

        Raises database errors.
        """
        ready = self._adapters.ready
        async with self._database.transaction() as connection:
            claimed = await claim_checks(connection, list(ready), EVERY)
        begun = [
            asyncio.create_task(
                self._check(each, ready[each.provider_id]), name=f"check {each.provider_id}"
            )
            for each in claimed
        ]
        self._checks.update(begun)
        for check in begun:
            check.add_done_callback(self._checks.discard)
        return begun

    async def _check(self, claimed: Claimed, adapter: Adapter) -> None:
        began, error = monotonic(), None
        try:
            async with asyncio.timeout(PATIENCE):
                await adapter.check(timeout=PATIENCE)
        except CallError as failure:
            log.warning("check_failed", what=claimed.provider_id, detail=failure.message)
            error = f"{failure.kind}: {told_of(failure)}".replace("\x00", "")[:500]
        except TimeoutError:
            error = f"timeout: no answer within {PATIENCE:.0f} seconds"
        except Exception as fault:
            log.exception("check_broke", what=claimed.provider_id)
            error = f"internal: {type(fault).__name__}"
        latency_ms = round((monotonic() - began) * 1000)
        await self._record(claimed, latency_ms, error)

    async def _record(self, claimed: Claimed, latency_ms: int, error: str | None) -> None:
        try:
            async with self._database.transaction() as connection:
                await record_check(connection, claimed, latency_ms=latency_ms, error=error)
        except Exception as fault:  # noqa: BLE001 - the next check may be written down
            log.warning("check_lost", what=claimed.provider_id, error=type(fault).__name__)
