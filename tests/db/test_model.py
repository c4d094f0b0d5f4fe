"""Any sequence of statements leaves Postgres as a simple model says, and breaks no promise."""

import asyncio
import os
import sys
from typing import Final

import pytest
from hypothesis import HealthCheck, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from shared.db.engine import Database
from shared.domain.attempt import AttemptState
from shared.domain.job import JobState
from tests.db.lives import Lives
from tests.life import Life

EXAMPLES: Final = 100
STEPS: Final = 30
SEED: Final = 20_260_101
TENANT: Final = "INSERT INTO tenants (id, name) VALUES ('ten_a', 'a') RETURNING id"
WALK: Final = settings(
    max_examples=EXAMPLES,
    stateful_step_count=STEPS,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.timeout(420)  # a failing walk is made short before it is shown
def test_any_sequence_of_statements_does_what_the_model_says(database_url: str) -> None:
    number = int(os.environ.get("PROMPTMILL_TEST_SEED") or SEED)
    sys.stdout.write(f"PROMPTMILL_TEST_SEED={number}\n")
    met: set[str] = set()
    with asyncio.Runner() as runner:
        life = Life(Database(database_url))
        runner.run(life.one(TENANT))

        @seed(number)
        class Here(Lives):
            def __init__(self) -> None:
                super().__init__(life, runner, met)

        run_state_machine_as_test(Here, settings=WALK)
        runner.run(life.database.close())
    assert met == {f"job {state}" for state in JobState} | {
        f"attempt {state}" for state in AttemptState
    }, "the walk has passed through every state"
