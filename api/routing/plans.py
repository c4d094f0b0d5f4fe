"""The plans of jobs that have a policy, made on what stands at the moment."""

from collections.abc import Sequence
from dataclasses import dataclass

from api.account.projects import project_of
from api.deps import Parts
from api.jobs.schemas import JobSubmit
from shared.db.book import Book
from shared.db.reach import Reach, read_reach
from shared.db.tenants import Caller
from shared.domain.budget import AtLimit
from shared.domain.clock import SystemClock
from shared.domain.errors import InvalidRequestError
from shared.routing.chain import Ground
from shared.routing.downgrade import with_downgrades
from shared.routing.plan import Plan
from shared.routing.policy import NO_POLICY, Policy
from shared.routing.resolve import resolve
from shared.routing.routes import Routes, policy_for


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose budgets a job will count in."""

    tenant_id: str
    key_id: str | None
    project: str | None
    batch: str | None
    tags: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Planner:
    """Makes plans on one ground, however many jobs come at once."""

    ground: Ground
    routes: Routes
    usual: Policy | None
    """The tenant's own."""
    caller: Caller
    book: Book

    def plan(self, asked: JobSubmit) -> Plan | None:
        """The plan of a job; None for a plain one. Raises InvalidRequestError."""
        policy = self._policy(asked)
        if policy is None and (asked.rehearse or not self.book.downgrades(self.caller.tenant_id)):
            return None
        plan = self._downgraded(self._plan_by(policy or NO_POLICY, asked), asked)
        return None if policy is None and not plan.downgrades else plan

    def plan_anyway(self, asked: JobSubmit) -> Plan:
        """The plan of any job, a plain one's too."""
        return self._downgraded(self._plan_by(self._policy(asked) or NO_POLICY, asked), asked)

    def _policy(self, asked: JobSubmit) -> Policy | None:
        return policy_for(self.routes, asked.request.model, asked.policy, self.usual)

    def _downgraded(self, plan: Plan, asked: JobSubmit) -> Plan:
        """With those whom budgets send it to that its own candidates' calls count in."""
        caller = self.caller
        project = project_of(caller, asked.project)
        owner = Owner(caller.tenant_id, caller.key_id, project, asked.batch, asked.tags)
        names = (
            budget.downgrade_to
            for each in plan.candidates
            for budget in self.book.concerning(owner, each.deployment)
            if budget.at_limit is AtLimit.DOWNGRADE
        )
        known = list(dict.fromkeys(filter(None, names)))
        return with_downgrades(self.ground, self.routes, plan, known) if known else plan

    def _plan_by(self, policy: Policy, asked: JobSubmit) -> Plan:
        """Raises InvalidRequestError that names the job's field."""
        try:
            return resolve(self.ground, asked.request, policy, rehearse=asked.rehearse)
        except InvalidRequestError as error:
            if error.field is not None and not error.field.startswith("policy."):
                error.field = f"request.{error.field}"
            raise


async def planner_for(parts: Parts, caller: Caller, jobs: Sequence[JobSubmit]) -> Planner | None:
    """None where all the jobs are plain: they pay nothing for it."""
    routes = parts.routes.of(parts.catalog)
    named = (job.policy is not None or job.request.model in routes for job in jobs)
    book = await parts.budgets.known(parts.database)
    usual = caller.policy is not None or book.downgrades(caller.tenant_id)
    if not usual and not any(named):
        return None
    async with parts.database.transaction() as connection:
        reach = await read_reach(connection)
    return planner_on(parts, caller, reach, book)


def planner_on(parts: Parts, caller: Caller, reach: Reach, book: Book) -> Planner:
    """A planner who knows whom the workers can call."""
    catalog = parts.catalog
    routes = parts.routes.of(catalog)
    shut = frozenset(
        each.id
        for each in catalog.providers.values()
        if each.id in reach.off or reach.ready(each) is False
    )
    sure = frozenset(each.id for each in catalog.providers.values() if reach.open(each))
    at = SystemClock().now()
    ground = Ground(catalog=catalog, routes=routes, at=at, shut=shut, sure=sure)
    usual = None if caller.policy is None else Policy.model_validate(caller.policy)
    return Planner(ground=ground, routes=routes, usual=usual, caller=caller, book=book)
