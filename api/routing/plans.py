"""The plans of jobs that have a policy, made on what stands at the moment."""

from collections.abc import Sequence
from dataclasses import dataclass

from api.deps import Parts
from api.jobs.schemas import JobSubmit
from shared.db.reach import Reach, read_reach
from shared.db.tenants import Caller
from shared.domain.clock import SystemClock
from shared.domain.errors import InvalidRequestError
from shared.routing.chain import Ground
from shared.routing.plan import Plan
from shared.routing.policy import NO_POLICY, Policy
from shared.routing.resolve import resolve
from shared.routing.routes import Routes, policy_for


@dataclass(frozen=True, slots=True)
class Planner:
    """Makes plans on one ground, however many jobs come at once."""

    ground: Ground
    routes: Routes
    usual: Policy | None
    """The tenant's own."""

    def plan(self, asked: JobSubmit) -> Plan | None:
        """The plan of a job; None for a plain one. Raises InvalidRequestError."""
        policy = policy_for(self.routes, asked.request.model, asked.policy, self.usual)
        return None if policy is None else self._plan_by(policy, asked)

    def plan_anyway(self, asked: JobSubmit) -> Plan:
        """The plan of any job, a plain one's too."""
        return self.plan(asked) or self._plan_by(NO_POLICY, asked)

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
    if caller.policy is None and not any(named):
        return None
    async with parts.database.transaction() as connection:
        reach = await read_reach(connection)
    return planner_on(parts, caller, reach)


def planner_on(parts: Parts, caller: Caller, reach: Reach) -> Planner:
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
    return Planner(ground, routes, usual)
