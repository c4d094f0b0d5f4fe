"""What the catalog has no more is not called: its released attempts go back."""

from unittest.mock import MagicMock

from shared.db.leave import Leaving
from shared.domain.attempt import AttemptState
from shared.domain.job import JobState
from tests.pipeline.attempts import DEPLOYMENT, attempt
from worker.pipeline.flights import Flight
from worker.pipeline.run import run


class Recording:
    """A finisher that keeps what it is told."""

    def __init__(self) -> None:
        self.reports: list[Leaving] = []

    async def finish(self, leaving: Leaving) -> None:
        self.reports.append(leaving)


async def test_an_attempt_whose_deployment_left_the_catalog_goes_back_unsent() -> None:
    steps, finisher = MagicMock(), Recording()
    steps.finisher = finisher
    steps.catalog.known.return_value = None
    flight = Flight(attempt())
    await run(flight, steps)
    [report] = finisher.reports
    assert (report.attempt_state, report.cost_nano) == (AttemptState.FAILED, 0)
    assert report.job_state is JobState.QUEUED
    assert report.error == f"the catalog has {DEPLOYMENT} no more"
    assert not flight.sent
