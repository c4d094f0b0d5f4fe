"""One turn of a route: peek, plan, ask the meter, release, publish."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import structlog
from redis.exceptions import RedisError

from shared.broker.line import PublishError
from shared.broker.publish import Publisher
from shared.catalog.deployments import Capability, Catalog, Deployment
from shared.catalog.prices import MOST_SEARCHES
from shared.catalog.pricing import worst_case
from shared.catalog.wires import not_taken
from shared.db.engine import Database
from shared.db.give_back import give_back
from shared.db.release import DueJob, Permit, due_jobs, release
from shared.domain.clock import Clock
from shared.domain.ids import IdKind, new_id
from shared.domain.job import Lane
from shared.meters.meter import Meter, Want
from shared.settings import DispatchSettings
from worker.dispatch.fair import FairShare
from worker.dispatch.fleet import Fleet
from worker.dispatch.plan import Ask, asks
from worker.failpoint import Failpoints
from worker.pipeline.announce import Announcer
from worker.pipeline.patience import until_answered

log = structlog.get_logger(__name__)

SMALLEST_PEEK: Final = 32
PAUSE_AFTER_FAILED_PUBLISH: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """All that dispatching needs."""

    database: Database
    catalog: Catalog
    meter: Meter
    fleet: Fleet
    publisher: Publisher
    clock: Clock
    settings: DispatchSettings
    failpoints: Failpoints
    announcer: Announcer


@dataclass(slots=True)
class Turn:
    """What came of one turn."""

    due: int = 0
    released: int = 0
    wait: float = 0.0
    """Seconds until the meter lets the next one go; 0: a slot must come free, or more is due."""
    binding: str = ""
    people_wait: bool = False
    """Somebody sits in front of a released or a waiting job."""


class RouteTurns:
    """Takes the turns of one route and remembers what makes the next one cheap and fair."""

    def __init__(self, route: str, means: Means) -> None:
        self._route = route
        self._means = means
        self._fair = FairShare()
        self._each = SMALLEST_PEEK

    async def take(self) -> Turn:
        """Release what may go now. Raises RedisError, MemoryLostError or a database error."""
        plan = self._means.fleet.open_of(self._means.catalog.plan(self._route))
        if not plan:
            return Turn()
        async with self._means.database.transaction() as connection:
            due = await due_jobs(
                connection,
                self._route,
                self._each,
                deployments=[deployment.id for deployment in plan],
                searching=_can_search(plan),
            )
        turn = Turn(due=len(due), people_wait=any(job.lane is Lane.INTERACTIVE for job in due))
        for ask in asks(self._fair.order(due), plan):
            await self._serve(ask, turn)
        self._each = min(max(turn.released * 2, SMALLEST_PEEK), self._means.settings.batch)
        return turn

    async def _serve(self, ask: Ask, turn: Turn) -> None:
        """Ask one meter and let go what it grants."""
        fleet = self._means.fleet.capacity(ask.queue)
        wants = [Want(new_id(IdKind.ATTEMPT), job.input_tokens, job.max_tokens) for job in ask.jobs]
        grant = await self._means.meter.acquire(ask.deployment, ask.queue, fleet, wants)
        if grant.granted < len(wants) and (not turn.binding or grant.wait < turn.wait):
            turn.wait, turn.binding = grant.wait, grant.binding
        self._means.announcer.waiting(self._route, ask.queue, ask.jobs[grant.granted :])
        if not grant.granted:
            return
        jobs, granted = ask.jobs[: grant.granted], wants[: grant.granted]
        self._fair.charge(jobs)
        minted = await self._release(ask, jobs, granted)
        unused = [want for want in granted if want.attempt_id not in minted]
        try:
            await self._publish(ask, [want for want in granted if want.attempt_id in minted], jobs)
        finally:
            if unused:
                await self._means.meter.give_back(ask.deployment, ask.queue, unused)
        turn.released += len(minted)

    async def _release(self, ask: Ask, jobs: Sequence[DueJob], granted: Sequence[Want]) -> set[str]:
        """Mint the attempts; a release that fails gives its permits back."""
        try:
            permits = self._permits(ask, jobs, granted)
            async with self._means.database.transaction() as connection:
                minted = await release(connection, permits)
                self._means.failpoints.passing("in_release")
        except Exception:
            # Perhaps only the COMMIT's reply was lost; then the attempts are found unstarted.
            await self._means.meter.give_back(ask.deployment, ask.queue, granted)
            raise
        self._means.failpoints.passing("after_release")
        return minted

    def _permits(self, ask: Ask, jobs: Sequence[DueJob], granted: Sequence[Want]) -> list[Permit]:
        """What is reserved for each. Raises ConfigurationError where no price is known."""
        now = self._means.clock.now()
        return [
            Permit(
                job_id=job.id,
                attempt_id=want.attempt_id,
                deployment=ask.deployment.id,
                queue=ask.queue,
                permit_tokens=want.tokens,
                hold_nano=worst_case(
                    ask.deployment,
                    input_tokens=job.input_tokens,
                    max_tokens=job.max_tokens,
                    searches=MOST_SEARCHES if job.web_search else 0,
                    at=now,
                ),
            )
            for job, want in zip(jobs, granted, strict=True)
        ]

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
            async with self._means.database.transaction() as connection:
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


def _can_search(plan: Sequence[Deployment]) -> bool:
    return any(
        Capability.WEB_SEARCH in each.model.capabilities
        and Capability.WEB_SEARCH not in not_taken(each.provider)
        for each in plan
    )
