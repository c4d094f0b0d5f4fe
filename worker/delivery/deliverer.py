"""Deliver what is due: many at a time, of each endpoint and tenant so many only, each signed."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Final

import structlog

from shared.db.deliveries import PROBES, Due, Tried, claim_due, give_back, record_tries
from shared.db.engine import Database
from shared.security.egress import Egress
from shared.security.posting import SECONDS, Message, post_signed
from shared.security.webhooks import endpoint_secrets
from shared.settings import Settings
from worker.delivery.rounds import rounds
from worker.delivery.verdict import tried
from worker.pipeline.batcher import Batcher
from worker.pipeline.patience import end, until_answered

log = structlog.get_logger(__name__)

TRY_SECONDS: Final = SECONDS
POLL: Final = 1.0
GAP: Final = 0.05
GRACE: Final = 1.0
"""Seconds that tries under way get when this process ends; then others make them."""
RECORD_ROWS: Final = 100
RECORD_AFTER: Final = 0.02


class Deliverer:
    """Claims deliveries, tries them and writes down how that went; runs until cancelled."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._pepper = settings.pepper
        self._room = settings.delivery
        self._loopback = settings.egress.allow_loopback
        self._bell = asyncio.Event()
        self._under_way: dict[asyncio.Task[None], Due] = {}
        self._busy: Counter[str] = Counter()
        """Tries under way, by endpoint and by tenant."""
        self._recorder = Batcher[Tried, None](self._record, rows=RECORD_ROWS, after=RECORD_AFTER)

    def ring(self) -> None:
        """There may be something to deliver."""
        self._bell.set()

    async def run(self) -> None:
        """Deliver; when cancelled, give back what cannot be finished in a moment."""
        connections = self._room.at_once
        async with Egress(allow_loopback=self._loopback, connections=connections) as self._egress:
            try:
                await rounds(self._visit, self._bell, every=POLL, gap=GAP)
            finally:
                await self._land()

    async def _visit(self) -> None:
        """Take what is due and has room. Raises database errors: the next round repeats it."""
        self._busy = +self._busy
        while (free := self._room.at_once - len(self._under_way)) > 0:
            async with self._database.transaction() as connection:
                due = await claim_due(
                    connection,
                    self._busy,
                    of_endpoint=self._room.at_once_endpoint,
                    of_tenant=self._room.at_once_tenant,
                    limit=free,
                )
            for each in due:
                self._take_off(each)
            if not due:
                return

    def _take_off(self, due: Due) -> None:
        task = asyncio.create_task(self._deliver(due))
        self._under_way[task] = due
        self._busy.update((due.endpoint_id, due.tenant_id))
        task.add_done_callback(self._landed)

    async def _deliver(self, due: Due) -> None:
        secrets = endpoint_secrets(
            self._pepper, due.endpoint_id, due.secret_number, with_old=due.with_old_secret
        )
        message = Message(due.message_id, due.body.encode())
        posted = await post_signed(self._egress, due.url, secrets, message, seconds=TRY_SECONDS)
        await self._recorder.submit(tried(due, posted))

    def _landed(self, task: asyncio.Task[None]) -> None:
        due = self._under_way.pop(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("delivery_broke", what=due.id, exc_info=error)
        if self._was_full(due):
            self.ring()
        self._busy.subtract((due.endpoint_id, due.tenant_id))

    def _was_full(self, due: Due) -> bool:
        """Whether others may wait for its room: of its endpoint, its tenant, or at all."""
        return (
            self._busy[due.endpoint_id] >= min(PROBES, self._room.at_once_endpoint)
            or self._busy[due.tenant_id] >= self._room.at_once_tenant
            or len(self._under_way) + 1 >= self._room.at_once
        )

    async def _record(self, tries: Sequence[Tried]) -> list[None]:
        async def once() -> None:
            async with self._database.transaction() as connection:
                disabled = await record_tries(connection, tries)
            for each in disabled:
                log.warning(
                    "webhook_endpoint_disabled",
                    what=each.id,
                    tenant_id=each.tenant_id,
                    detail=each.reason,
                )

        await until_answered("deliveries", once)
        return [None] * len(tries)

    async def _land(self) -> None:
        if not self._under_way:
            return
        await asyncio.wait(self._under_way, timeout=GRACE)
        left = dict(self._under_way)
        await end(left)
        if not left:
            return
        try:
            async with self._database.transaction() as connection:
                await give_back(connection, list(left.values()))
        except Exception as error:  # noqa: BLE001 - their leases end by themselves
            log.warning("deliveries_not_given_back", count=len(left), error=type(error).__name__)
