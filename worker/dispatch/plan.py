"""Choose a deployment for each job, and group what asks one meter together."""

from collections.abc import Iterable
from dataclasses import dataclass

from shared.broker.messages import ISOLATED_QUEUE
from shared.catalog.deployments import Deployment
from shared.db.release import DueJob


@dataclass(frozen=True, slots=True)
class Ask:
    """Jobs, in their order, that want the same deployment through the same queue."""

    deployment: Deployment
    queue: str
    jobs: list[DueJob]


def asks(jobs: Iterable[DueJob], plan: tuple[Deployment, ...]) -> list[Ask]:
    """Each job goes to the first deployment that can take it and that it has not tried.

    After all of them it goes to the first again; some deployment of the plan must be able.

    Suspects go through the isolated queue, whoever their provider is.
    """
    grouped: dict[tuple[str, str], Ask] = {}
    for job in jobs:
        fit = [d for d in plan if d.id not in job.unfit] if job.unfit else plan
        deployment = next((d for d in fit if d.id not in job.tried), fit[0])
        queue = ISOLATED_QUEUE if job.isolated else deployment.queue
        ask = grouped.setdefault((deployment.id, queue), Ask(deployment, queue, []))
        ask.jobs.append(job)
    return list(grouped.values())
