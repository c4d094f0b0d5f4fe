"""One worker process: everything that lives on its event loop."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

import structlog

from shared.broker.events import EventSender
from shared.broker.messages import ISOLATED_QUEUE
from shared.broker.publish import Publisher
from shared.catalog.current import CurrentCatalog
from shared.db.leave import Left
from shared.db.start import StartedAttempt
from shared.domain.clock import Clock, SystemClock
from shared.domain.job import JobState
from shared.doorbell import Bell, Doorbell
from shared.meters.meter import Meter, Slot
from shared.redis_client import connect_redis
from shared.security.egress import Egress
from shared.services import kept_alive
from shared.settings import Settings
from worker.adapters.registry import open_adapters
from worker.databases import Databases
from worker.delivery.deliverer import Deliverer
from worker.dispatch.fleet import Fleet
from worker.dispatch.holder import Holder
from worker.dispatch.loop import Dispatcher
from worker.dispatch.retries import RetryBudgets
from worker.dispatch.turn import Means
from worker.failpoint import Failpoints
from worker.pipeline.announce import Announcer
from worker.pipeline.documents import Documents
from worker.pipeline.finish import Finisher
from worker.pipeline.flights import Flight, Flights
from worker.pipeline.heartbeat import Heartbeat
from worker.pipeline.patience import close_all, end
from worker.pipeline.run import Steps, run
from worker.pipeline.slots import Slots
from worker.pipeline.start import Starter
from worker.pipeline.telling import Teller
from worker.upkeep.checker import Checker
from worker.upkeep.follower import Follower
from worker.upkeep.orders import cancel_all, switch_off
from worker.upkeep.publisher import EventBus
from worker.upkeep.rescuer import Rescuer
from worker.upkeep.sweeper import Sweeper

log = structlog.get_logger(__name__)

SPARE_CONNECTIONS: Final = 50
"""Above the calls in flight: a connection that closes is not yet free when the next opens."""
MOST_CALLS: Final = 10_000
"""What the connections to one provider are enough for; a worker grows no further."""


class MillEngine:
    """Starts, calls and finishes attempts; dispatches and rescues beside it."""

    def __init__(
        self,
        settings: Settings,
        current: CurrentCatalog,
        hostname: str,
        queues: tuple[str, ...],
        capacity: int,
    ) -> None:
        self._settings = settings
        self._current = current
        self._hostname = hostname
        self._queues = queues
        self._clock: Clock = SystemClock()
        self._flights = Flights(capacity)
        self._services: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Connect, warm the clients, take a lease, and only then let anything be released."""
        self._loop = asyncio.get_running_loop()
        self._connect()
        self._pipeline()
        await self._follower.know()
        await self._heartbeat.register()
        self._dispatcher = self._make_dispatcher() if self._dispatches else None
        self._serve()

    def _connect(self) -> None:
        """Everything that leads out of this process, and the lease that covers it."""
        settings = self._settings
        self._failpoints = Failpoints(settings.worker.failpoint)
        self._databases = Databases.of(settings.sqlalchemy_url)
        self._database = self._databases.upkeep
        self._redis = connect_redis(settings.redis_url.get_secret_value())
        self._doorbell = Doorbell(self._redis)
        broker = settings.redis_url.get_secret_value()
        self._publisher = Publisher(broker)
        self._announcer = Announcer(
            EventSender(broker, self._hostname),
            self._clock,
            self._hostname,
            lambda: len(self._flights),
            of_jobs=settings.worker.events,
        )
        self._teller = Teller(broker, settings.stream)
        self._meter = Meter(self._redis, settings.breaker, self._clock)
        self._slots = Slots(self._meter)
        self._egress = Egress(allow_loopback=settings.egress.allow_loopback)
        self._adapters = open_adapters(
            self._current.catalog,
            connections=max(self._flights.capacity, MOST_CALLS) + SPARE_CONNECTIONS,
            settings=settings.worker,
            clock=self._clock,
            lazily=not self._dispatches,
        )
        self._lease()

    def _lease(self) -> None:
        """What this process says of itself, and keeps alive."""
        settings = self._settings
        self._heartbeat = Heartbeat(
            self._database,
            self._slots,
            settings.lease,
            capacity=self._flights.capacity,
            in_flight=self._flights.slots,
            stop_jobs=self._flights.stop_jobs,
        )
        self._follower = Follower(
            self._database,
            self._current,
            self._adapters,
            self._heartbeat,
            queues=self._queues,
            longest_call=settings.worker.call_timeout,
        )

    @property
    def queues(self) -> tuple[str, ...]:
        """Those of its queues of which this process can call somebody."""
        return self._heartbeat.queues

    def on_queues(self, consume: Callable[[tuple[str, ...]], None]) -> None:
        """Have this called when a changed catalog wants other queues to be taken."""
        self._follower.on_queues(consume)

    @property
    def _dispatches(self) -> bool:
        """A process that runs suspects may die any moment: it holds no route."""
        return self._queues != (ISOLATED_QUEUE,)

    async def take(self, attempt_ids: list[str]) -> None:
        """Start what is ours of these; returns when that is committed."""
        async with self._flights.boarding():
            started = await self._starter.start(attempt_ids)
            # Each call keeps to the catalog that it began with.
            steps = replace(self._steps, catalog=self._current.catalog)
            self._announcer.started(started)
            for attempt in started:
                flight = Flight(attempt)
                self._flights.take_off(flight, run(flight, steps))

    async def sweep(self) -> None:
        """One round of the rescuer now."""
        await self._rescuer.sweep()

    async def cancel(self, job_ids: list[str]) -> None:
        """Cancel these jobs, wherever they are, by the operator's right."""
        await cancel_all(self._database, self._doorbell, job_ids)

    def flying(self) -> list[StartedAttempt]:
        """The calls in flight, for whoever watches."""
        return [flight.attempt for flight in self._flights]

    def resize(self, capacity: int) -> None:
        """Allow so many calls in flight from now on; from any thread."""
        if capacity > MOST_CALLS:
            raise ValueError(f"a worker holds at most {MOST_CALLS} calls; start another one")
        self._heartbeat.capacity = capacity
        asyncio.run_coroutine_threadsafe(self._flights.resize(capacity), self._loop)

    async def drain(self, seconds: float) -> None:
        """Release nothing more; give the calls in flight so long, then hand them back."""
        self._flights.close_doors()
        await end(self._services)
        signs_of_life = [
            asyncio.create_task(each.run())
            for each in (self._heartbeat, self._announcer, self._teller)
        ]
        try:
            async with asyncio.timeout(seconds):
                await self._flights.landed()
        except TimeoutError:
            log.warning("drain_limit_reached", in_flight=len(self._flights))
            self._flights.stop_all()
            await self._flights.landed()
        finally:
            for each in signs_of_life:
                each.cancel()

    async def stop(self) -> None:
        """Leave in order and close everything; what does not close keeps nothing else open."""
        await close_all(
            self._heartbeat.leave,
            self._announcer.close,
            self._teller.close,
            self._adapters.close,
            self._egress.close,
            self._publisher.close,
            *self._databases.closers,
            self._redis.aclose,
        )

    def _pipeline(self) -> None:
        """The rooms of one attempt, wired."""
        worker = self._settings.worker
        self._starter = Starter(self._databases.starts, self._heartbeat, self._flights, worker)
        self._finisher = Finisher(self._databases.ends, worker, self._failpoints, self._told)
        self._rescuer = Rescuer(
            self._database, self._current, self._meter, self._settings.lease, self._rescued
        )
        self._deliverer = Deliverer(self._database, self._settings)
        self._bus = EventBus(self._database, self._deliverer.ring)
        self._steps = Steps(
            catalog=self._current.catalog,
            adapters=self._adapters,
            heartbeat=self._heartbeat,
            finisher=self._finisher,
            meter=self._meter,
            slots=self._slots,
            documents=Documents(self._egress),
            announcer=self._announcer,
            teller=self._teller,
            clock=self._clock,
            settings=worker,
            failpoints=self._failpoints,
            switch_off=partial(switch_off, self._database),
        )

    def _make_dispatcher(self) -> Dispatcher:
        means = Means(
            looks=self._databases.looks,
            mint=self._databases.mint,
            current=self._current,
            meter=self._meter,
            fleet=Fleet(),
            publisher=self._publisher,
            clock=self._clock,
            settings=self._settings.dispatch,
            failpoints=self._failpoints,
            announcer=self._announcer,
            doorbell=self._doorbell,
            retries=RetryBudgets(),
        )
        holder = Holder(self._redis, self._heartbeat.worker_id, self._settings.dispatch.holder_ttl)
        return Dispatcher(means, holder, self._doorbell)

    def _serve(self) -> None:
        """Start the services beside the jobs."""
        sweeper = Sweeper(self._database, self._doorbell, self._rescuer, self._settings)
        services = [
            self._heartbeat.run,
            sweeper.run,
            self._announcer.run,
            self._teller.run,
            self._listen_for_cancels,
            self._current.watch,
            self._follower.run,
        ]
        if self._dispatcher is not None:
            checker = Checker(self._database, self._adapters)
            services += [self._dispatcher.run, checker.run, self._bus.run, self._deliverer.run]
        self._services = [
            asyncio.create_task(kept_alive(service.__qualname__, service)) for service in services
        ]

    async def _listen_for_cancels(self) -> None:
        async for _, job_ids in self._doorbell.listen(Bell.CANCEL):
            self._flights.stop_jobs(job_ids)
            self._announcer.cancelled(job_ids)

    async def _rescued(self, left: Sequence[Left]) -> None:
        """As `_told`, of attempts whose worker can tell nothing any more."""
        self._announcer.rescued(left)
        await self._told(left)

    async def _told(self, left: Sequence[Left]) -> None:
        """After a commit: wake whoever waits, free the slots, wake the dispatcher."""
        if ended := [row.job_id for row in left if row.moved_to]:
            self._doorbell.ring_soon(Bell.DONE, ended)
            self._bus.ring()
        # It may go to another deployment at once.
        if again := {row.route for row in left if row.moved_to is JobState.QUEUED}:
            self._doorbell.ring_soon(Bell.DUE, again)
        await self._slots.free(Slot(row.attempt_id, row.deployment, row.queue) for row in left)
        if self._dispatcher is not None:
            self._dispatcher.slot_freed()
