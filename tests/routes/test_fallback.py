"""With the primary down every job ends on its fallback, and what that costs is in the ledger."""

from typing import Any, Final

import pytest

from shared.routing.stored import Fallback
from tests.mill import Mill, eventually
from tests.routes.conftest import FALLBACK, PRIMARY, policy

ROUTE: Final = "rehearsal:gpt-4.1-mini#primary"
JOBS: Final = 60
OF_PRIMARY: Final = {"provider": "openai"}
UNPAID: Final = {"status": 429, "type": "insufficient_quota", "code": "credit_balance_exhausted"}
BUSY: Final = {"status": 429, "type": "tokens", "code": "rate_limit_exceeded"}


async def attempts_of(mill: Mill) -> dict[str, list[tuple[str, str]]]:
    """Job to its attempts, the first first: deployment and state."""
    rows = await mill.life.all(
        "SELECT job_id, deployment, state FROM attempts WHERE state <> 'returned' ORDER BY id"
    )
    found: dict[str, list[tuple[str, str]]] = {}
    for row in rows:
        found.setdefault(row.job_id, []).append((row.deployment, row.state))
    return found


@pytest.mark.parametrize(
    ("fault", "spends_try"),
    [
        pytest.param({"status": 500}, True, id="500s"),
        pytest.param({"hang": True}, True, id="hangs"),
        pytest.param({**BUSY, "retry_after": 60}, False, id="429 with Retry-After"),
        pytest.param(BUSY, False, id="429 without Retry-After"),
        pytest.param(UNPAID, True, id="quota exhausted"),
    ],
)
async def test_jobs_end_on_their_fallback_while_the_primary_is_down(
    mill: Mill,
    fault: dict[str, Any],
    spends_try: bool,  # noqa: FBT001 - the case
) -> None:
    await mill.script({"match": OF_PRIMARY, "do": fault})
    await mill.start_worker(PROMPTMILL_WORKER__CALL_TIMEOUT="1")
    accepted = await mill.submit(JOBS, route=ROUTE, policy=policy())
    assert (await mill.all_final())["succeeded"] == JOBS
    found = await attempts_of(mill)
    assert all(found[job_id][-1] == (FALLBACK, "answered") for job_id in accepted)
    tries = await mill.life.all("SELECT tries FROM jobs")
    failed_first = [tried for tried in found.values() if tried[0][0] == PRIMARY]
    assert failed_first, "nobody asked the primary"
    assert {row.tries for row in tries} <= ({0, 1} if spends_try else {0})
    await mill.check(accepted, rejected=None)


async def test_the_fallback_comes_at_once_and_the_primary_is_asked_again_when_it_is_well(
    mill: Mill,
) -> None:
    await mill.script({"match": OF_PRIMARY, "times": 1, "do": {"status": 500}})
    await mill.start_worker()
    [first] = await mill.submit(1, route=ROUTE, policy=policy())
    await mill.all_final()
    [failed, answered] = await mill.life.all("SELECT * FROM attempts ORDER BY id")
    assert (failed.deployment, answered.deployment) == (PRIMARY, FALLBACK)
    assert (answered.planned_at - failed.ended_at).total_seconds() < 1.0, "no back-off"
    [second] = await mill.submit(1, route=ROUTE, policy=policy())
    await mill.all_final()
    assert (await attempts_of(mill))[second] == [(PRIMARY, "answered")]
    await mill.check([first, second])


async def test_a_request_that_is_too_long_goes_to_the_candidate_that_is_named_for_it(
    mill: Mill,
) -> None:
    too_long = {"status": 400, "code": "context_length_exceeded"}
    await mill.script({"match": OF_PRIMARY, "do": too_long})
    await mill.start_worker()
    fallbacks = {Fallback.CONTEXT_LENGTH: (FALLBACK,)}
    [named] = await mill.submit(1, route=ROUTE, policy=policy(PRIMARY, fallbacks=fallbacks))
    [plain] = await mill.submit(1, route=ROUTE, policy=policy(PRIMARY, FALLBACK))
    states = await mill.all_final()
    assert (states["succeeded"], states["failed"]) == (1, 1)
    found = await attempts_of(mill)
    assert found[named] == [(PRIMARY, "refused"), (FALLBACK, "answered")]
    assert found[plain] == [(PRIMARY, "refused")], "the same broken request to everybody in turn"


async def test_a_job_that_cannot_pay_for_its_next_call_fails_and_says_so(mill: Mill) -> None:
    await mill.script({"match": OF_PRIMARY, "do": {"reset": "after"}})
    await mill.start_worker()
    [job_id] = await mill.submit(1, route=ROUTE, policy=policy(PRIMARY, max_cost_nano=60_000))
    assert (await mill.all_final())["failed"] == 1
    row = await mill.life.one("SELECT * FROM jobs WHERE id = :id", id=job_id)
    assert row.error_kind == "max_cost"
    assert row.cost_nano <= 60_000
    assert "it may cost $0.00006" in row.error
    events = await mill.life.all("SELECT type FROM events WHERE job_id = :id", id=job_id)
    assert [event.type for event in events] == ["job.failed"]


async def test_a_job_whose_deployments_have_left_the_catalog_fails_and_says_so(mill: Mill) -> None:
    await mill.start_worker()
    await mill.submit(1, route=ROUTE, policy=policy("simulator/gpt-1", "gone/gone"))

    async def failed() -> bool:
        return (await mill.states())["failed"] == 1

    await eventually("the job fails", failed, within=20)
    row = await mill.life.one("SELECT error_kind, error FROM jobs")
    assert row.error_kind == "no_deployment"
    assert "simulator/gpt-1, gone/gone" in row.error
