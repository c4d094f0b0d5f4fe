"""Ask every provider now and then whether it answers; of all workers one asks."""

import asyncio
import random
from time import monotonic
from typing import Final

import structlog

from shared.db.engine import Database
from shared.db.providers import claim_checks, record_check
from worker.adapters.base import Adapter, CallError
from worker.adapters.registry import Adapters
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

    async def run(self) -> None:
        """Check until cancelled; an error only costs the round."""
        while True:
            try:
                await self.visit()
            except Exception as error:  # noqa: BLE001 - the next round may succeed
                log.warning("checks_missed", error=type(error).__name__)
            await asyncio.sleep(LOOK * random.uniform(0.8, 1.2))  # noqa: S311 - no secret

    async def visit(self) -> None:
        """All that is due or asked for, side by side. Raises database errors."""
        async with self._database.transaction() as connection:
            claimed = await claim_checks(connection, list(self._adapters.ready), EVERY)
        ready = self._adapters.ready
        await asyncio.gather(*(self._check(name, ready[name]) for name in claimed))

    async def _check(self, provider_id: str, adapter: Adapter) -> None:
        began, error = monotonic(), None
        try:
            async with asyncio.timeout(PATIENCE):
                await adapter.check(timeout=PATIENCE)
        except CallError as failure:
            log.warning("check_failed", what=provider_id, detail=failure.message)
            error = f"{failure.kind}: {told_of(failure)}".replace("\x00", "")[:500]
        except TimeoutError:
            error = f"timeout: no answer within {PATIENCE:.0f} seconds"
        except Exception as fault:
            log.exception("check_broke", what=provider_id)
            error = f"internal: {type(fault).__name__}"
        latency_ms = round((monotonic() - began) * 1000)
        async with self._database.transaction() as connection:
            await record_check(connection, provider_id, latency_ms=latency_ms, error=error)
