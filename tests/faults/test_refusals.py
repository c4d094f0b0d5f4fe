"""What a provider refuses or answers wrongly is mended or waits; every cent is there."""

import json

from shared.db.providers import switch
from tests.mill import MAX_TOKENS, MODEL, Mill, eventually

SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
UNPAID = {"status": 429, "type": "insufficient_quota", "code": "credit_balance_exhausted"}


async def test_a_used_up_quota_switches_its_provider_off_until_a_person_has_paid(
    mill: Mill,
) -> None:
    await mill.script({"times": 1, "do": UNPAID})
    await mill.start_worker()
    accepted = await mill.submit(1)

    async def off() -> bool:
        row = await mill.life.one("SELECT count(*) AS n FROM providers WHERE NOT enabled")
        return bool(row.n)

    await eventually("the provider is switched off", off)
    told = await mill.life.one("SELECT id, reason, changed_by FROM providers WHERE NOT enabled")
    assert (told.id, told.changed_by) == ("simulator", "worker")
    assert told.reason == "the quota or credit of this installation is used up"
    accepted += await mill.submit(5)
    async with mill.database.transaction() as connection:
        await switch(connection, "simulator", enabled=True, reason=None, by="key_1")
    assert (await mill.all_final())["succeeded"] == 6
    await mill.check(accepted)


async def test_an_answer_that_is_not_of_its_schema_is_corrected_once_and_both_are_billed(
    mill: Mill,
) -> None:
    await mill.script(
        {"times": 1, "do": {"content": '{"town": "Berlin"}'}}, {"do": {"content": '{"city": "B"}'}}
    )
    await mill.start_worker()
    body = {
        "model": MODEL,
        "messages": [{"role": "user", "content": "Where?"}],
        "max_tokens": MAX_TOKENS,
        "response_schema": {"schema": SCHEMA, "name": "place"},
    }
    [job_id] = accepted = await mill.submit(1, request=json.dumps(body))
    assert (await mill.all_final())["succeeded"] == 1
    attempts = await mill.life.all(
        "SELECT state, failure_kind, error, cost_nano FROM attempts WHERE job_id = :id ORDER BY id",
        id=job_id,
    )
    assert [attempt.failure_kind for attempt in attempts] == ["invalid_output", None]
    assert "'town' was unexpected" in attempts[0].error
    assert all(attempt.cost_nano > 0 for attempt in attempts)
    assert [line["outcome"] for line in mill.ledger()] == ["content", "content"]
    sent = [line["prompt_tokens"] for line in mill.ledger()]
    assert sent[1] > sent[0], "the second request tells what was wrong with the first answer"
    await mill.check(accepted)
