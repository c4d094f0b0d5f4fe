"""One turn of a route: peek, plan, ask the meter, release, publish."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import structlog
from redis.exceptions import RedisError
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.broker.line import PublishError
from shared.broker.publish import Publisher
from shared.catalog.current import CurrentCatalog
from shared.catalog.deployments import Catalog, Deployment
from shared.db.cancel import give_up
from shared.db.engine import Database
from shared.db.give_back import give_back
from shared.db.release import DueJob, Permit, due_jobs, release
from shared.domain.budget import Payer
from shared.domain.clock import Clock
from shared.domain.ids import IdKind, new_id
from shared.domain.job import Lane
from shared.doorbell import Bell, Doorbell
from shared.meters.meter import Grant, Meter, Want
from shared.routing.able import Nobody
from shared.settings import DispatchSettings
from worker.dispatch.budgets import Budgets
from worker.dispatch.caps import Caps, Room
from worker.dispatch.choose import Chooser, Chosen, Hopeless
from worker.dispatch.fair import FairShare
from worker.dispatch.fleet import Fleet
from worker.dispatch.plan import Ask, Choice, asks, further, is_retry
from worker.dispatch.retries import RetryBudgets
from worker.failpoint import Failpoints
from worker.pipeline.announce import Announcer
from worker.pipeline.patience import until_answered

log = structlog.get_logger(__name__)

SMALLEST_PEEK: Final = 32
PAUSE_AFTER_FAILED_PUBLISH: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """All that dispatching needs."""

    looks: Database
    """To see what is due."""
    mint: Database
    """To release it."""
    current: CurrentCatalog
    meter: Meter
    fleet: Fleet
    publisher: Publisher
    clock: Clock
    settings: DispatchSettings
    failpoints: Failpoints
    announcer: Announcer
    doorbell: Doorbell
    retries: RetryBudgets
    caps: Caps = field(default_factory=Caps)
    budgets: Budgets = field(default_factory=Budgets)

    @property
    def catalog(self) -> Catalog:
        """As it stands now."""
        return self.current.catalog


@dataclass(slots=True)
class Turn:
    """What came of one turn."""

    due: int = 0
    more: bool = False
    """Somebody waits still, or may have been out of sight; else a bell rings for the next."""
    released: int = 0
    ended: int = 0
    """Given up: nobody may take them any more."""
    wait: float = 0.0
    """Seconds until the meter lets the next one go; 0: a slot must come free, or more is due."""
    binding: str = ""
    people_wait: bool = False
    """Somebody sits in front of a released or a waiting job."""

    def waits(self, wait: float, binding: str) -> None:
        """Something waits so long; the shortest wait counts."""
        if not self.binding or wait < self.wait:
            self.wait, self.binding = wait, binding


class RouteTurns:
    """Takes the turns of one route and remembers what makes the next one cheap and fair."""

    def __init__(self, route: str, means: Means) -> None:
        self._route = route
        self._means = means
        self._fair = FairShare()
        self._each = SMALLEST_PEEK
        self._plan: tuple[Deployment, ...] = ()
        self._empty: frozenset[Payer] = frozenset()
        """Whose budgets had nothing left when last looked at: their jobs would hide the others'."""

    async def take(self) -> Turn:
        """Release what may go now. Raises RedisError, MemoryLostError or a database error."""
        means = self._means
        planned = means.catalog.plan(self._route)
        self._plan = means.fleet.open_of(planned)
        if planned and not self._plan:
            return Turn()
        async with self._means.looks.transaction() as connection:
            room = await means.caps.room(connection)
            due = await self._due(connection, room)
            purse = await means.budgets.purse(connection, due)
        self._empty |= purse.empty
        turn = Turn(due=len(due), people_wait=any(job.lane is Lane.INTERACTIVE for job in due))
        chooser = Chooser(means.catalog, means.fleet, means.clock, means.retries, purse)
        chosen = chooser.choose(room.fitting(self._fair.order(due)), self._plan)
        await self._serve_all(chosen, chooser, turn)
        if room.refused and not (turn.released or turn.binding):
            turn.waits(0.0, "max_running")
        turn.ended = await self._give_up(chosen.hopeless)
        gone = turn.released + turn.ended
        in_sight = len(due) < self._each and not room.full and not self._empty
        turn.more = bool(due) and (gone < len(due) or not in_sight)
        self._each = min(max(gone * 2, SMALLEST_PEEK), means.settings.batch)
        return turn

    async def _due(self, connection: AsyncConnection, room: Room) -> list[DueJob]:
        """Who wants to go; of those who may start no more only if nobody else wants to."""
        deployments = [deployment.id for deployment in self._plan]
        self._empty = await self._means.budgets.still_empty(connection, self._empty)
        full = [*room.full, *self._empty]
        peek = partial(due_jobs, connection, self._route, self._each, deployments=deployments)
        return await peek(full=full) or (await peek() if full else [])

    async def _serve_all(self, chosen: Chosen, chooser: Chooser, turn: Turn) -> None:
        """Ask meters until each job went or has nobody left to ask."""
        if chosen.hopeless:
            # They go out of the way, and there may be more behind them.
            pass
        elif chosen.retry_wait is not None:
            turn.waits(chosen.retry_wait, "retries")
        elif chosen.over_budget:
            turn.waits(self._means.settings.poll, "budget")
        elif turn.due and not chosen.choices:
            # Whoever could take them is closed: the next look may see somebody open.
            turn.waits(self._means.settings.poll, "closed")
        choices = chosen.choices
        while choices:
            refused: list[Choice] = []
            for ask in asks(choices):
                grant = await self._serve(ask, chooser, turn)
                left = ask.choices[grant.granted :]
                others = [choice.after(grant) for choice in left]
                stay = [choice.job for choice, other in zip(left, others, strict=True) if not other]
                if stay:
                    turn.waits(grant.wait, grant.binding)
                    self._means.announcer.waiting(self._route, ask.queue, stay)
                refused += filter(None, others)
            choices = refused

    async def _serve(self, ask: Ask, chooser: Chooser, turn: Turn) -> Grant:
        """Ask one meter and let go what it grants."""
        means = self._means
        fleet = means.fleet.capacity(ask.queue)
        jobs = [choice.job for choice in ask.choices]
        whom = ask.deployment.id
        wants = [Want(new_id(IdKind.ATTEMPT), job.input_at(whom), job.max_tokens) for job in jobs]
        grant = await means.meter.acquire(ask.deployment, ask.queue, fleet, wants)
        if not grant.granted:
            return grant
        jobs, granted = jobs[: grant.granted], wants[: grant.granted]
        self._fair.charge(jobs)
        again = sum(is_retry(job, ask.deployment) for job in jobs)
        means.retries.charge(ask.deployment.id, first=len(jobs) - again, again=again)
        minted = await self._release(ask, jobs, granted, chooser)
        unused = [want for want in granted if want.attempt_id not in minted]
        try:
            await self._publish(ask, [want for want in granted if want.attempt_id in minted], jobs)
        finally:
            if unused:
                await means.meter.give_back(ask.deployment, ask.queue, unused)
        turn.released += len(minted)
        return grant

    async def _give_up(self, hopeless: Sequence[Hopeless]) -> int:
        """End what nobody may take any more, and tell who waits for it; how many."""
        alike: dict[Nobody, list[str]] = {}
        for each in hopeless:
            alike.setdefault(each.why, []).append(each.job.id)
        count = 0
        for why, job_ids in alike.items():
            async with self._means.mint.transaction() as connection:
                ended = await give_up(connection, job_ids, why.kind, why.reason)
            if ended:
                self._means.doorbell.ring_soon(Bell.DONE, ended)
            count += len(ended)
        return count

    async def _release(
        self, ask: Ask, jobs: Sequence[DueJob], granted: Sequence[Want], chooser: Chooser
    ) -> set[str]:
        """Mint the attempts; a release that fails gives its permits back.

        Raises ConfigurationError where no price is known.
        """
        try:
            permits = [
                Permit(
                    job_id=job.id,
                    attempt_id=want.attempt_id,
                    deployment=ask.deployment.id,
                    queue=ask.queue,
                    permit_tokens=want.tokens,
                    hold_nano=chooser.hold(job, ask.deployment),
                    further=further(job, self._plan, ask.deployment),
                )
                for job, want in zip(jobs, granted, strict=True)
            ]
            minted = await self._minted(permits, jobs, ask.deployment)
        except Exception:
            # Perhaps only the COMMIT's reply was lost; then the attempts are found unstarted.
            await self._means.meter.give_back(ask.deployment, ask.queue, granted)
            raise
        self._means.failpoints.passing("after_release")
        return minted

    async def _minted(
        self, permits: Sequence[Permit], jobs: Sequence[DueJob], deployment: Deployment
    ) -> set[str]:
        """One transaction: what caps and budgets have room for, the attempts, and their holds."""
        means = self._means
        async with means.mint.transaction() as connection:
            within = await means.caps.within(connection, jobs)
            wanted = [permit for permit in permits if permit.job_id in within]
            by_id = {job.id: job for job in jobs}
            fitting = await means.budgets.within(connection, wanted, by_id, deployment)
            minted = await release(connection, fitting, budgets_version=means.budgets.version)
            await means.budgets.hold(connection, [p for p in fitting if p.attempt_id in minted])
            means.failpoints.passing("in_release")
            if not minted:
                # Perhaps somebody made a budget since the last look.
                await means.budgets.look(connection)
        return minted

    async def _publish(self, ask: Ask, wants: Sequence[Want], jobs: Sequence[DueJob]) -> None:
        """Tell the workers; what cannot be told is undone."""
        if not wants:
            return
        attempt_ids = [want.attempt_id for want in wants]
        groups = self._groups(attempt_ids, jobs)
        try:
            await self._means.publisher.publish(ask.queue, groups)
        except PublishError as error:
            log.warning("publish_failed", route=self._route, error=str(error)[:200])
            await self._undo(ask, wants, attempt_ids)
            raise

    async def _undo(self, ask: Ask, wants: Sequence[Want], attempt_ids: Sequence[str]) -> None:
        async def once() -> None:
            async with self._means.mint.transaction() as connection:
                await give_back(connection, attempt_ids)

        await until_answered("undo_release", once)
        try:
            await self._means.meter.give_back(ask.deployment, ask.queue, wants)
        except (RedisError, OSError) as error:
            log.debug("permits_not_returned", error=type(error).__name__)

    def _groups(self, attempt_ids: Sequence[str], jobs: Sequence[DueJob]) -> list[Sequence[str]]:
        """One id a message when a person waits, more the deeper the backlog is."""
        if any(job.lane is Lane.INTERACTIVE for job in jobs):
            return [[attempt_id] for attempt_id in attempt_ids]
        size = min(self._means.settings.group, max(1, len(attempt_ids) // 4))
        return [attempt_ids[i : i + size] for i in range(0, len(attempt_ids), size)]
