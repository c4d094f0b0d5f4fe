"""A job's life, statement by statement: what each step may do, once and twice."""

from collections.abc import Iterable
from contextlib import suppress

import pytest
from sqlalchemy.exc import IntegrityError

from shared.db import workers
from shared.db.cancel import cancel, expire_overdue, wake_scheduled
from shared.db.give_back import give_back, give_back_unstarted
from shared.db.start import started_before
from shared.domain.attempt import ATTEMPT_MOVES, AttemptState
from shared.domain.failure import FailureKind
from shared.domain.job import JOB_MOVES, JobState, WaitReason
from tests.life import COST, HOLD, TENANT, WORKER, Life, answered, new_job


async def test_one_release_is_one_attempt_and_a_second_release_finds_nothing(life: Life) -> None:
    await life.accept(*(new_job() for _ in range(3)))
    first, second = await life.release(), await life.release()
    assert (len(first), second) == (3, [])
    assert await life.money() == (0, 3 * HOLD)


async def test_a_message_that_comes_twice_starts_once(life: Life) -> None:
    await life.accept(new_job())
    attempt_ids = await life.release()
    assert len(await life.start(attempt_ids)) == 1
    assert await life.start(attempt_ids) == []


async def test_a_worker_without_a_lease_starts_nothing(life: Life) -> None:
    await life.accept(new_job())
    attempt_ids = await life.release()
    assert await life.start(attempt_ids, "wrk_unknown") == []
    assert (await life.attempt(attempt_ids[0])).state == AttemptState.PLANNED


async def test_a_lost_commit_reply_of_start_is_read_back(life: Life) -> None:
    [attempt] = await life.started()
    async with life.database.transaction() as connection:
        again = await started_before(connection, [attempt.attempt_id], WORKER)
    assert [found.attempt_id for found in again] == [attempt.attempt_id]


async def test_finish_records_result_cost_and_event_and_frees_the_hold(life: Life) -> None:
    [attempt] = await life.started()
    [left] = await life.leave(answered(attempt))
    assert left.moved_to is JobState.SUCCEEDED
    job = await life.job(attempt.job_id)
    assert (job.state, job.cost_nano, job.cost_flagged) == (JobState.SUCCEEDED, COST, False)
    assert await life.money() == (COST, 0)
    result = await life.one("SELECT body, attempt_id FROM results")
    assert (result.body, result.attempt_id) == ({"content": "fine"}, attempt.attempt_id)
    assert (await life.one("SELECT type FROM events")).type == "job.succeeded"


async def test_a_finish_that_is_repeated_changes_nothing(life: Life) -> None:
    [attempt] = await life.started()
    await life.leave(answered(attempt))
    assert await life.leave(answered(attempt)) == []
    assert await life.money() == (COST, 0)


async def test_a_rescued_attempt_is_charged_at_its_hold_and_flagged(life: Life) -> None:
    [attempt] = await life.started()
    [left] = await life.kill_worker()
    assert left.moved_to is JobState.QUEUED
    job = await life.job(attempt.job_id)
    assert (job.tries, job.crashes, job.isolated) == (0, 1, False)
    assert (job.cost_nano, job.cost_flagged) == (HOLD, True)
    assert await life.money() == (HOLD, 0)


async def test_a_wait_does_not_hide_what_the_next_try_must_heed(life: Life) -> None:
    [attempt] = await life.started()
    too_long = FailureKind.CONTEXT_LENGTH
    queued = {"job_state": JobState.QUEUED, "attempt_state": AttemptState.REFUSED, "cost_nano": 0}
    first = {**queued, "failure_kind": too_long, "error": "too long", "spends_try": True}
    await life.leave(answered(attempt, result=None, **first))
    [again] = await life.start(await life.release())
    assert (again.last_failure, again.last_error) == (too_long, "too long")
    busy = {**queued, "failure_kind": FailureKind.RATE_LIMITED, "error": "slower"}
    await life.leave(answered(again, result=None, **busy))
    [third] = await life.start(await life.release())
    assert (third.last_failure, third.last_error) == (too_long, "too long")


async def test_a_second_rescue_finds_nothing(life: Life) -> None:
    await life.started()
    assert len(await life.kill_worker()) == 1
    assert await life.kill_worker() == []


async def test_two_crashes_make_a_suspect_and_only_crashes_in_isolation_condemn(
    life: Life,
) -> None:
    [attempt] = await life.started()
    job = await life.job(attempt.job_id)
    for crash in range(4):
        await life.kill_worker(f"wrk_{crash}" if crash else WORKER)
        job = await life.job(attempt.job_id)
        assert job.isolated == (crash >= 1)
        if job.state != JobState.QUEUED:
            break
        await life.register(f"wrk_{crash + 1}")
        attempt_ids = await life.release(isolated=job.isolated)
        assert len(await life.start(attempt_ids, f"wrk_{crash + 1}")) == 1
    assert (job.state, job.crashes, job.isolated_crashes) == (JobState.FAILED, 4, 2)
    assert await life.money() == (4 * HOLD, 0)


async def test_an_unstarted_attempt_goes_back_and_counts_for_nothing(life: Life) -> None:
    await life.accept(new_job())
    [attempt_id] = await life.release()
    async with life.database.transaction() as connection:
        assert await give_back_unstarted(connection, older_than_seconds=30) == []
        [given] = await give_back_unstarted(connection, older_than_seconds=0)
    assert given.attempt_id == attempt_id
    assert await life.money() == (0, 0)
    assert await life.start([attempt_id]) == []
    [next_id] = await life.release()
    [started] = await life.start([next_id])
    assert (started.epoch, started.tries) == (2, 0)


async def test_a_started_attempt_cannot_be_given_back(life: Life) -> None:
    [attempt] = await life.started()
    async with life.database.transaction() as connection:
        assert await give_back(connection, [attempt.attempt_id]) == []


async def test_cancel_before_release_is_final_at_once(life: Life) -> None:
    job = new_job()
    await life.accept(job)
    async with life.database.transaction() as connection:
        assert await cancel(connection, TENANT, job.id) == (JobState.CANCELLED, [])
    assert await life.release() == []
    assert (await life.one("SELECT type FROM events")).type == "job.cancelled"


async def test_cancel_after_release_returns_the_attempt_and_its_hold(life: Life) -> None:
    job = new_job()
    await life.accept(job)
    [attempt_id] = await life.release()
    async with life.database.transaction() as connection:
        state, [given] = await cancel(connection, TENANT, job.id)
    assert (state, given.attempt_id) == (JobState.CANCELLED, attempt_id)
    assert await life.start([attempt_id]) == []
    assert await life.money() == (0, 0)


async def test_cancel_of_a_running_job_asks_its_worker_and_the_heartbeat_tells(life: Life) -> None:
    [attempt] = await life.started()
    async with life.database.transaction() as connection:
        assert await cancel(connection, TENANT, attempt.job_id) == (JobState.RUNNING, [])
        assert await workers.beat(connection, WORKER, 30.0, 5) == [attempt.job_id]


async def test_a_complete_answer_that_comes_before_the_cancel_wins(life: Life) -> None:
    [attempt] = await life.started()
    async with life.database.transaction() as connection:
        await cancel(connection, TENANT, attempt.job_id)
    [left] = await life.leave(answered(attempt))
    assert left.moved_to is JobState.SUCCEEDED


async def test_a_cancelled_job_is_not_queued_again_by_a_failure_or_a_rescue(life: Life) -> None:
    [attempt] = await life.started()
    async with life.database.transaction() as connection:
        await cancel(connection, TENANT, attempt.job_id)
    [left] = await life.kill_worker()
    assert left.moved_to is JobState.CANCELLED


async def test_cancel_of_a_final_or_foreign_job_changes_nothing(life: Life) -> None:
    [attempt] = await life.started()
    await life.leave(answered(attempt))
    async with life.database.transaction() as connection:
        assert await cancel(connection, TENANT, attempt.job_id) == (JobState.SUCCEEDED, [])
        assert await cancel(connection, "ten_b", attempt.job_id) == (None, [])


async def test_a_deadline_ends_a_waiting_job_and_returns_its_attempt(life: Life) -> None:
    await life.accept(new_job(deadline_seconds=0.0))
    assert await life.release() == []
    async with life.database.transaction() as connection:
        await expire_overdue(connection)
    assert (await life.one("SELECT state FROM jobs")).state == JobState.EXPIRED


async def test_a_retry_waits_for_its_backoff_and_is_then_woken(life: Life) -> None:
    [attempt] = await life.started()
    report = answered(
        attempt,
        attempt_state=AttemptState.FAILED,
        job_state=JobState.SCHEDULED,
        cost_nano=0,
        result=None,
        spends_try=True,
        delay_seconds=3600.0,
        wait_reason=WaitReason.BACKOFF,
        failure_kind=FailureKind.SERVER,
    )
    await life.leave(report)
    job = await life.job(attempt.job_id)
    assert (job.state, job.wait_reason, job.tries) == (JobState.SCHEDULED, "backoff", 1)
    async with life.database.transaction() as connection:
        assert await wake_scheduled(connection) == set()
    await life.one("UPDATE jobs SET run_at = now() RETURNING id")
    async with life.database.transaction() as connection:
        assert await wake_scheduled(connection) == {job.route}
    assert len(await life.release()) == 1


async def test_a_batch_with_a_stale_and_a_current_report_of_one_job_books_both(
    life: Life,
) -> None:
    [stale] = await life.started()
    await life.kill_worker()
    await life.register("wrk_b")
    [current] = await life.start(await life.release(), "wrk_b")
    left = await life.leave(answered(stale), answered(current))
    assert {row.attempt_id: row.moved_to for row in left} == {
        stale.attempt_id: None,
        current.attempt_id: JobState.SUCCEEDED,
    }
    assert await life.money() == (2 * COST, 0)
    assert (await life.job(current.job_id)).cost_nano == 2 * COST


async def _moves_that_pass(life: Life, table: str, states: Iterable[str]) -> set[tuple[str, str]]:
    """Every pair of states that Postgres lets the only row of a table move along."""
    passed: set[tuple[str, str]] = set()
    for source in states:
        for target in states:
            async with life.database.transaction() as connection:
                await connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
                await connection.exec_driver_sql(f"UPDATE {table} SET state = '{source}'")
                await connection.exec_driver_sql("SET LOCAL session_replication_role = origin")
                # What else could refuse it has been taken away by the caller.
                with suppress(IntegrityError):
                    async with connection.begin_nested():
                        await connection.exec_driver_sql(f"UPDATE {table} SET state = '{target}'")
                        passed.add((source, target))
    return passed


async def test_the_database_allows_exactly_the_job_moves_of_the_table(life: Life) -> None:
    await life.accept(new_job())
    async with life.database.transaction() as connection:
        # The checks on open_attempt are another promise; here only the trigger shall speak.
        for check in ("open_attempt_only_while_open", "running_has_an_attempt"):
            await connection.exec_driver_sql(f"ALTER TABLE jobs DROP CONSTRAINT {check}")
    passed = await _moves_that_pass(life, "jobs", list(JobState))
    lawful = {(source, target) for source in JOB_MOVES for target in JOB_MOVES[source]}
    assert passed == lawful | {(state, state) for state in JobState}


async def test_the_database_allows_exactly_the_attempt_moves_of_the_table(life: Life) -> None:
    await life.accept(new_job())
    await life.release()
    passed = await _moves_that_pass(life, "attempts", list(AttemptState))
    lawful = {(source, target) for source in ATTEMPT_MOVES for target in ATTEMPT_MOVES[source]}
    assert passed == lawful | {(state, state) for state in AttemptState}


async def test_the_ledger_is_append_only_and_closes_an_attempt_once(life: Life) -> None:
    [attempt] = await life.started()
    await life.leave(answered(attempt))
    with pytest.raises(IntegrityError, match="append-only"):
        await life.one("UPDATE ledger SET spent_nano = 0 RETURNING 1")
    with pytest.raises(IntegrityError, match="ledger_closed_once"):
        await life.one(
            "INSERT INTO ledger SELECT attempt_id, 'release', tenant_id, job_id, 0, 0"
            " FROM ledger WHERE kind = 'settle' RETURNING 1"
        )
