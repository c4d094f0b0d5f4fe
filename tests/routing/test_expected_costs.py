"""The strategy `cost` compares what a job is expected to cost, not the most that it can."""

from typing import Final

from shared.catalog.pricing import worst_case
from shared.db.vitals import read_habits
from shared.domain.clock import SystemClock
from shared.routing.costs import Habits, expected_costs
from tests.life import Life, answered, new_job
from tests.routing.ground import CATALOG

MINI: Final = CATALOG.find("openai/gpt-4.1-mini")
AZURE: Final = CATALOG.find("azure/gpt-4.1-mini")
FLASH: Final = CATALOG.find("gemini/gemini-2.5-flash")
NOW: Final = SystemClock().now()


def costs(habits: Habits, *, input_tokens: int = 10_000, max_tokens: int = 10_000) -> list[int]:
    found = expected_costs(
        (MINI, AZURE, FLASH),
        habits,
        input_tokens={each.id: input_tokens for each in (MINI, AZURE, FLASH)},
        max_tokens=max_tokens,
        searching=False,
        at=NOW,
    )
    return [found[each.id] for each in (MINI, AZURE, FLASH)]


def test_without_answers_all_the_output_counts() -> None:
    mini, azure, flash = costs(Habits())
    assert mini == worst_case(MINI, input_tokens=10_000, max_tokens=10_000, at=NOW) == azure
    assert mini < flash, "its output is dearer"


def test_short_answers_let_the_price_of_input_decide() -> None:
    mini, _, flash = costs(Habits(output_tokens={MINI.id: 50.0, FLASH.id: 150.0}))
    # Of 10,000 tokens of input and 100 of output, at both: 0.4 and 1.6, 0.3 and 2.5 USD a million.
    assert (mini, flash) == (4_160_000, 3_250_000)


def test_no_answer_is_expected_beyond_what_the_job_allows() -> None:
    assert costs(Habits(output_tokens={MINI.id: 9e9}), max_tokens=100)[0] == 4_160_000


def test_what_is_usually_cached_is_cheaper() -> None:
    mini, azure, _ = costs(Habits(cached={MINI.id: 0.5}), max_tokens=0)
    # 5,000 tokens at 0.4 and as many at 0.1 USD a million, against 10,000 at 0.4.
    assert (mini, azure) == (2_500_000, 4_000_000)


async def test_habits_are_those_of_the_newest_answers(life: Life) -> None:
    attempts = await life.started(new_job(), new_job(), new_job())
    usage = '{{"input_tokens": 1000, "cached_tokens": {}, "output_tokens": {}}}'
    told = (usage.format(900, 10), usage.format(300, 30), None)
    await life.leave(
        *(answered(each, usage=used) for each, used in zip(attempts, told, strict=True))
    )
    async with life.database.transaction() as connection:
        habits = await read_habits(connection)
    assert (habits.output_tokens, habits.cached) == ({MINI.id: 20.0}, {MINI.id: 0.6})
