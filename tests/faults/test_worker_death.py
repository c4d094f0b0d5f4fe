"""Whatever kills a worker, every accepted job ends once and every call is in the ledger."""

import os
import signal

import pytest

from tests.mill import Mill, eventually, seeded

JOBS = 600
PER_CALL = {"before_send", "after_answer"}
"""Passed once a call; the other places once a batch."""


async def test_kill_9_with_200_calls_in_flight(mill: Mill) -> None:
    dice = seeded()
    await mill.start_simulator(**{"latency-ms": 600})
    first = await mill.start_worker(slots=200)
    accepted = await mill.submit(JOBS)
    await mill.in_state("running", 200 - dice.randrange(20))
    await mill.start_worker()
    first.kill()
    await mill.all_final()
    await mill.check(accepted)
    assert (await mill.states())["succeeded"] == JOBS


@pytest.mark.parametrize(
    "place",
    ["after_release", "before_send", "after_answer", "before_commit", "after_commit_before_ack"],
)
async def test_kill_9_at_each_failpoint(mill: Mill, place: str) -> None:
    dice = seeded()
    passage = dice.randrange(1, 60 if place in PER_CALL else 5)
    doomed = await mill.start_worker(PROMPTMILL_WORKER__FAILPOINT=f"{place}:{passage}")
    accepted = await mill.submit(JOBS)
    assert doomed.wait(30) == -signal.SIGKILL
    await mill.start_worker()
    await mill.all_final()
    await mill.check(accepted)
    assert (await mill.states())["succeeded"] == JOBS


async def test_a_frozen_worker_that_wakes_after_its_rescue_writes_no_second_result(
    mill: Mill,
) -> None:
    seeded()
    frozen = await mill.start_worker(slots=100)
    accepted = await mill.submit(300)
    await mill.in_state("running", 50)
    os.kill(frozen.pid, signal.SIGSTOP)
    await mill.start_worker()
    await mill.all_final()
    before = await mill.states()
    os.kill(frozen.pid, signal.SIGCONT)

    async def awake() -> bool:
        """It noticed that its lease was lost and took a new one."""
        return bool((await mill.life.one("SELECT count(*) AS n FROM workers")).n > 2)

    await eventually("the frozen worker takes a new lease", awake)
    frozen.terminate()
    frozen.wait(30)
    assert await mill.states() == before
    await mill.check(accepted)


async def test_suspects_of_two_crashes_run_in_isolation_and_are_acquitted(mill: Mill) -> None:
    seeded()
    accepted = await mill.submit(20)
    for _ in range(2):
        doomed = await mill.start_worker(PROMPTMILL_WORKER__FAILPOINT="before_send:20")
        assert doomed.wait(30) == -signal.SIGKILL
    await mill.start_worker()

    async def suspected() -> bool:
        row = await mill.life.one("SELECT count(*) FILTER (WHERE isolated) AS n FROM jobs")
        return bool(row.n)

    await eventually("the rescuer names suspects", suspected)
    await mill.start_isolated()
    assert (await mill.all_final())["succeeded"] == 20
    row = await mill.life.one("SELECT count(*) AS n FROM attempts WHERE queue = 'isolated'")
    assert row.n > 0
    await mill.check(accepted)


async def test_sigterm_drains_and_what_is_left_goes_back_uncounted(mill: Mill) -> None:
    seeded()
    await mill.start_simulator(**{"latency-ms": 3000, "latency-spread": 0.1})
    leaving = await mill.start_worker(slots=50, PROMPTMILL_WORKER__DRAIN="0.5")
    accepted = await mill.submit(50)
    await mill.in_state("running", 50)
    leaving.terminate()
    assert leaving.wait(20) == 0
    row = await mill.life.one(
        "SELECT sum(crashes) AS crashes, sum(tries) AS tries,"
        " count(*) FILTER (WHERE state = 'queued') AS queued FROM jobs"
    )
    assert (row.crashes, row.tries, row.queued) == (0, 0, 50)
    await mill.start_worker()
    await mill.all_final()
    await mill.check(accepted)
