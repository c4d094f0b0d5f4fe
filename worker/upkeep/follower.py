"""Follow the catalog: whom this worker can call, whose queues it takes, and what it says."""

import asyncio
from collections.abc import Callable

from shared.broker.messages import SERVICE_QUEUES
from shared.catalog.current import CurrentCatalog
from shared.catalog.deployments import Catalog
from shared.db.engine import Database
from shared.db.providers import know
from worker.adapters.registry import Adapters
from worker.pipeline.heartbeat import Heartbeat
from worker.pipeline.patience import until_answered


class Follower:
    """Sets what the heartbeat tells, and tells it again when the catalog has changed."""

    def __init__(
        self,
        database: Database,
        current: CurrentCatalog,
        adapters: Adapters,
        heartbeat: Heartbeat,
        *,
        queues: tuple[str, ...],
        longest_call: float,
    ) -> None:
        """`queues`: those that the process was started for; `longest_call`: seconds."""
        self._database = database
        self._current = current
        self._adapters = adapters
        self._heartbeat = heartbeat
        self._asked = queues
        self._longest_call = longest_call
        self._of_all = _real_queues(current.catalog) <= set(queues)
        """Started for all providers, it takes the work of new ones too."""
        self._changed = asyncio.Event()
        self._consume: Callable[[tuple[str, ...]], None] = _nobody
        self._look(current.catalog)
        current.on_swap(self._swapped)

    def on_queues(self, consume: Callable[[tuple[str, ...]], None]) -> None:
        """Have this called when other queues than now are to be taken."""
        self._consume = consume

    async def know(self) -> None:
        """Have a row for each provider. Raises database errors."""
        async with self._database.transaction() as connection:
            await know(connection, list(self._current.catalog.providers))

    async def run(self) -> None:
        """Tell of each change until cancelled."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            await self._adapters.close_retired(self._longest_call)
            await until_answered("know_providers", self.know)
            await until_answered("tell_reach", self._heartbeat.tell)
            self._consume(self._heartbeat.queues)

    def _swapped(self, catalog: Catalog) -> None:
        self._adapters.renew(catalog)
        self._look(catalog)
        self._changed.set()

    def _look(self, catalog: Catalog) -> None:
        """No queue is taken of which this process can call nobody."""
        asked = {*self._asked, *(_real_queues(catalog) if self._of_all else ())}
        callable_queues = {catalog.providers[each].queue_name for each in self._adapters.ready}
        taken = asked & {*callable_queues, *SERVICE_QUEUES}
        self._heartbeat.queues = tuple(sorted(taken))
        self._heartbeat.missing = {
            name: reason
            for name, reason in self._adapters.missing.items()
            if catalog.providers[name].queue_name in asked
        }


def _real_queues(catalog: Catalog) -> set[str]:
    return {each.queue_name for each in catalog.providers.values() if not each.rehearsal}


def _nobody(_: tuple[str, ...]) -> None:
    """Stand where no consumer runs."""
