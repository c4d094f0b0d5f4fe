"""The dispatcher: finds the routes with work and takes their turns."""

import asyncio
from functools import partial
from time import monotonic
from typing import Final

import structlog
from redis.exceptions import RedisError

from shared.broker.line import PublishError
from shared.db.engine import is_connection_loss
from shared.db.memory import read_memory
from shared.db.release import due_routes
from shared.doorbell import Bell, Doorbell, rings
from shared.meters.meter import MemoryLostError
from shared.services import kept_alive
from worker.dispatch.holder import Holder
from worker.dispatch.turn import PAUSE_AFTER_FAILED_PUBLISH, Means, RouteTurns, Turn

log = structlog.get_logger(__name__)

SHORTEST_PAUSE: Final = 0.02
"""Turns of a rate-bound route come no faster: each then carries several jobs."""
LONGEST_PAUSE: Final = 0.25
"""A freed slot elsewhere is seen after so long at the latest."""
LAST_TURN_SECONDS: Final = 2.0
"""What a turn gets to end in when its route is left."""
LINGER_SECONDS: Final = 60.0
"""A route without work is kept so long: its next job is released at the ring of its bell."""


class Dispatcher:
    """One per worker process; shares the routes with the others through the holder."""

    def __init__(self, means: Means, holder: Holder, doorbell: Doorbell) -> None:
        self._means = means
        self._holder = holder
        self._doorbell = doorbell
        self._awake = asyncio.Event()
        self._routes: dict[str, asyncio.Task[None]] = {}
        self._bells: dict[str, asyncio.Event] = {}
        """Of each of our routes: rung when it has new work."""
        self._elsewhere: set[str] = set()
        """Routes that another process held when last asked for: their bells are its business."""
        self._slot_freed = asyncio.Event()

    def slot_freed(self) -> None:
        """A call of this process ended: a route that waited for a slot may go on."""
        self._slot_freed.set()

    async def run(self) -> None:
        """Dispatch until cancelled; no error ends it."""
        listener = asyncio.create_task(kept_alive("due_bell", self._listen))
        try:
            while True:
                # Before the look: what rings during it is not missed.
                self._awake.clear()
                try:
                    await self._look()
                except Exception as error:  # noqa: BLE001 - the next look may succeed
                    _report("dispatcher_paused", error)
                await rings(self._awake, self._means.settings.poll)
        finally:
            listener.cancel()
            await self._leave()

    async def _look(self) -> None:
        """Find the routes with work, renew our holds, start the turns of what is ours."""
        async with self._means.looks.transaction() as connection:
            due = set(await due_routes(connection))
            await self._means.fleet.count(connection)
            await self._means.caps.look(connection)
            await self._means.budgets.look(connection)
        wanted = sorted(due | self._routes.keys())
        held = await self._holder.hold(wanted)
        self._elsewhere = (self._elsewhere | due) - held
        for route, task in list(self._routes.items()):
            if route not in held:
                task.cancel()
        for route in held & due:
            self._bells.setdefault(route, asyncio.Event()).set()
            if route not in self._routes:
                task = asyncio.create_task(self._take_turns(route, self._bells[route]))
                self._routes[route] = task
                task.add_done_callback(partial(self._ended, route))

    def _ended(self, route: str, _: asyncio.Task[None]) -> None:
        del self._routes[route]
        if self._bells.pop(route).is_set():
            self._awake.set()

    async def _take_turns(self, route: str, bell: asyncio.Event) -> None:
        """Turn after turn while the route has work, and a while longer."""
        turns = RouteTurns(route, self._means)
        idle_turns = 0
        while True:
            # Before the turn: what rings during it is not missed.
            bell.clear()
            began = monotonic()
            try:
                turn = await self._whole(turns)
            except Exception as error:  # noqa: BLE001 - the next turn may succeed
                _report("route_paused", error, route=route)
                await asyncio.sleep(PAUSE_AFTER_FAILED_PUBLISH)
                continue
            if not turn.more and not await rings(bell, LINGER_SECONDS):
                return
            idle_turns = 0 if turn.released or turn.ended else idle_turns + 1
            await self._pause(turn, began, idle_turns)

    async def _whole(self, turns: RouteTurns) -> Turn:
        """One turn to its end: a release that is not published waits to be found unstarted."""
        turn = asyncio.create_task(self._turn(turns))
        try:
            return await asyncio.shield(turn)
        except asyncio.CancelledError:
            await asyncio.wait({turn}, timeout=LAST_TURN_SECONDS)
            turn.cancel()
            raise

    async def _turn(self, turns: RouteTurns) -> Turn:
        """One turn; a Redis that was emptied gets its memory back first."""
        try:
            return await turns.take()
        except MemoryLostError:
            await self._rebuild()
            return await turns.take()

    async def _pause(self, turn: Turn, began: float, idle_turns: int) -> None:
        """Until the meter's word, a freed slot, or at once when more can go."""
        if not turn.binding:
            # Everything that was seen went, and there may be more; or others have it locked.
            idle = turn.due and not (turn.released or turn.ended)
            await asyncio.sleep(SHORTEST_PAUSE if idle else 0)
            return
        if turn.wait:
            # The meter's bucket fills while a turn releases and publishes: count from its start.
            # A turn that came a moment too early asks again when told, not a whole pause later.
            least = 0.0 if idle_turns == 1 else SHORTEST_PAUSE
            pause = min(max(turn.wait, least), self._means.settings.poll)
            await asyncio.sleep(max(began + pause - monotonic(), 0))
            return
        self._slot_freed.clear()
        patience = min(SHORTEST_PAUSE * 2**idle_turns, LONGEST_PAUSE)
        if await rings(self._slot_freed, patience):
            # Slots come free one by one: let some gather.
            await asyncio.sleep(SHORTEST_PAUSE)

    async def _rebuild(self) -> None:
        """Redis was emptied: tell it what Postgres knows before the first grant."""
        means = self._means
        async with means.looks.transaction() as connection:
            memory = await read_memory(
                connection,
                means.catalog.deployments(),
                means.clock.now(),
                seconds=means.meter.breaker.window,
            )
        await means.meter.rebuild(memory.slots, days=memory.days, outcomes=memory.outcomes)
        log.warning("meters_rebuilt", open_slots=len(memory.slots))

    async def _listen(self) -> None:
        async for _, routes in self._doorbell.listen(Bell.DUE):
            for route in routes:
                if bell := self._bells.get(route):
                    bell.set()
                elif route not in self._elsewhere:
                    self._awake.set()

    async def _leave(self) -> None:
        """Stop every turn where it is and leave the routes to the others."""
        tasks, routes = list(self._routes.values()), list(self._routes)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        try:
            await self._holder.drop(routes)
        except (RedisError, OSError):
            log.debug("routes_not_dropped")


def _report(event: str, error: Exception, **details: str) -> None:
    """A dependency that is away is one line; anything else is a fault of ours."""
    away = (RedisError, PublishError, MemoryLostError)
    expected = isinstance(error, away) or is_connection_loss(error)
    if expected:
        log.warning(event, error=type(error).__name__, **details)
    else:
        log.error(event, exc_info=error, **details)
