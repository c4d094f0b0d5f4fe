"""A dispatcher's turn says whether somebody may wait still, so that no look is made for nothing."""

from pathlib import Path

import pytest

from tests.db.desks import dispatching
from tests.life import ROUTE, Life, new_job
from worker.dispatch.turn import SMALLEST_PEEK, RouteTurns


@pytest.mark.parametrize(
    ("jobs", "released", "more"),
    [
        pytest.param(0, 0, False, id="nobody"),
        pytest.param(1, 1, False, id="one alone"),
        pytest.param(SMALLEST_PEEK - 1, SMALLEST_PEEK - 1, False, id="all in sight"),
        pytest.param(SMALLEST_PEEK + 8, SMALLEST_PEEK, True, id="some out of sight"),
    ],
)
async def test_a_turn_that_let_all_in_sight_go_waits_for_the_bell(
    life: Life, redis_url: str, tmp_path: Path, *, jobs: int, released: int, more: bool
) -> None:
    if jobs:
        await life.accept(*(new_job() for _ in range(jobs)))
    async with dispatching(life, life.database, redis_url, tmp_path) as (means, _):
        turn = await RouteTurns(ROUTE, means).take()
    assert (turn.released, turn.more) == (released, more)


async def test_a_turn_whose_jobs_find_no_free_slot_has_more(
    life: Life, redis_url: str, tmp_path: Path
) -> None:
    slots = (await life.one("SELECT capacity FROM workers")).capacity
    await life.accept(*(new_job() for _ in range(slots + 1)))
    async with dispatching(life, life.database, redis_url, tmp_path) as (means, _):
        turns = RouteTurns(ROUTE, means)
        while (turn := await turns.take()).released:
            assert turn.more
    assert (turn.due, turn.more) == (1, True)
