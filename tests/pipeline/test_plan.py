"""Each job goes to who can take it, has a key, is switched on and was not tried yet."""

from dataclasses import replace

from shared.catalog.load import load_catalog
from shared.db.release import DueJob
from shared.domain.job import Lane
from worker.dispatch.plan import able, asks

CATALOG = load_catalog()
PLAN = tuple(CATALOG.find(f"{provider}/gpt-4.1") for provider in ("openai", "azure"))
FIRST, SECOND = (deployment.id for deployment in PLAN)
JOB = DueJob(
    id="job_1",
    tenant_id="t",
    weight=1,
    lane=Lane.STANDARD,
    input_tokens=1,
    max_tokens=1,
    tried=(),
    isolated=False,
)


def asked(job: DueJob) -> str:
    [ask] = asks(able([job], PLAN), PLAN)
    return ask.deployment.id


def test_the_first_that_can_take_it_and_was_not_tried_is_asked() -> None:
    assert asked(JOB) == FIRST
    assert asked(replace(JOB, tried=(FIRST,))) == SECOND
    assert asked(replace(JOB, tried=(FIRST, SECOND))) == FIRST
    assert asked(replace(JOB, unfit=(FIRST,))) == SECOND
    assert asked(replace(JOB, unfit=(FIRST,), tried=(SECOND,))) == SECOND


def test_a_job_that_nobody_open_can_take_waits() -> None:
    unfit = replace(JOB, unfit=(FIRST, SECOND))
    assert able([JOB, unfit], PLAN) == [JOB]
    assert able([replace(JOB, unfit=(SECOND,))], PLAN[1:]) == []
