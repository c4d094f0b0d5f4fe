"""The plans of jobs that have a policy, made on what stands at the moment."""

from collections.abc import Sequence
from dataclasses import dataclass

from api.deps import Parts
from api.jobs.schemas import JobSubmit
from shared.catalog.deployments import Catalog
from shared.db.reach import Reach, read_reach
from shared.domain.clock import SystemClock
from shared.domain.errors import InvalidRequestError
from shared.routing.chain import Ground
from shared.routing.plan import Plan
from shared.routing.policy import Policy
from shared.routing.resolve import resolve
from shared.routing.routes import Routes, policy_for


@dataclass(frozen=True, slots=True)
class Planner:
    """Makes plans on one ground, however many jobs come at once."""

    ground: Ground
    routes: Routes

    def plan(self, asked: JobSubmit) -> Plan | None:
        """The plan of a job; None for a plain one. Raises InvalidRequestError."""
        policy = policy_for(self.routes, asked.request.model, asked.policy)
        return None if policy is None else self.plan_by(policy, asked)

    def plan_by(self, policy: Policy, asked: JobSubmit) -> Plan:
        """The plan by this policy. Raises InvalidRequestError that names the job's field."""
        try:
            return resolve(self.ground, asked.request, policy, rehearse=asked.rehearse)
        except InvalidRequestError as error:
            if error.field is not None and not error.field.startswith("policy."):
                error.field = f"request.{error.field}"
            raise


async def planner_for(parts: Parts, jobs: Sequence[JobSubmit]) -> Planner | None:
    """None where all the jobs are plain: they pay nothing for it."""
    routes = parts.routes.of(parts.catalog)
    if all(job.policy is None and job.request.model not in routes for job in jobs):
        return None
    async with parts.database.transaction() as connection:
        reach = await read_reach(connection)
    return planner_on(parts.catalog, routes, reach)


def planner_on(catalog: Catalog, routes: Routes, reach: Reach) -> Planner:
    """A planner who knows whom the workers can call."""
    shut = frozenset(
        each.id
        for each in catalog.providers.values()
        if each.id in reach.off or reach.ready(each) is False
    )
    at = SystemClock().now()
    return Planner(Ground(catalog=catalog, routes=routes, at=at, shut=shut), routes)
