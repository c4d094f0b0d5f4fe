"""The invariants of a mill at rest, checked from outside: SQL and the simulator's own word."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import text

from shared.domain.job import FINAL_STATES
from tests.life import Life

Ledger = Sequence[Mapping[str, Any]]


async def check_invariants(life: Life, ledger: Ledger, accepted: Sequence[str]) -> None:
    """I1 to I5 of the design."""
    await _check_ends(life, accepted)
    await _check_money(life, ledger)
    await _check_results(life, ledger)


async def _check_ends(life: Life, accepted: Sequence[str]) -> None:
    """I1: each accepted job is final and has told so exactly once."""
    async with life.database.transaction() as connection:
        rows = await connection.execute(
            text("SELECT id, state, open_attempt FROM jobs WHERE id = ANY(:ids)"),
            {"ids": list(accepted)},
        )
        jobs = {row.id: row for row in rows}
        told = await connection.execute(
            text("SELECT job_id, count(*) AS n FROM events GROUP BY job_id")
        )
        events = {row.job_id: row.n for row in told}
    assert set(jobs) == set(accepted)
    assert {row.state for row in jobs.values()} <= set(FINAL_STATES)
    assert not [row.id for row in jobs.values() if row.open_attempt]
    assert events == dict.fromkeys(accepted, 1)


async def _check_money(life: Life, ledger: Ledger) -> None:
    """I4 and I5: every billed call is an attempt, at its cost; nothing is held."""
    async with life.database.transaction() as connection:
        rows = await connection.execute(text("SELECT * FROM attempts"))
        attempts = {row.id: row for row in rows}
    unknown = await flagged_attempts(life)
    billed = {line["client_request_id"]: line["cost_nano"] for line in ledger}
    assert len(billed) == len(ledger), "an attempt was sent twice"
    assert billed.keys() <= attempts.keys()
    for attempt_id, attempt in attempts.items():
        bill = billed.get(attempt_id, 0)
        if attempt_id in unknown:
            assert bill <= attempt.cost_nano == attempt.hold_nano
        else:
            assert attempt.cost_nano == bill, (attempt, bill)
    spent, held = await life.money()
    assert held == 0
    assert spent == sum(attempt.cost_nano for attempt in attempts.values())
    total = await life.one("SELECT coalesce(sum(cost_nano), 0)::bigint AS n FROM jobs")
    assert total.n == spent


async def flagged_attempts(life: Life) -> set[str]:
    """Those whose cost nobody told: they are charged at their holds."""
    rows = await life.all(
        "SELECT DISTINCT ON (attempt_id) attempt_id, flagged FROM ledger"
        " WHERE kind IN ('settle', 'adjust') ORDER BY attempt_id, kind"
    )
    return {row.attempt_id for row in rows if row.flagged}


async def _check_results(life: Life, ledger: Ledger) -> None:
    """I3: each success has one result, and the simulator gave it for that attempt."""
    answers = {line["client_request_id"]: line["answer_sha256"] for line in ledger}
    async with life.database.transaction() as connection:
        rows = await connection.execute(
            text(
                "SELECT jobs.id, attempt_id, body->>'content' AS content, sanitised"
                " FROM jobs LEFT JOIN results ON job_id = jobs.id WHERE state = 'succeeded'"
            )
        )
        results = list(rows)
    for row in results:
        digest = hashlib.sha256(row.content.encode()).hexdigest()
        assert row.sanitised or answers[row.attempt_id] == digest
