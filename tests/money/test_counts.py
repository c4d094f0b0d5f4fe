"""What one candidate of a job counts is held and reserved for that one alone."""

from collections.abc import Sequence
from typing import Any, Final

import httpx2
import pytest

from shared.catalog.tokens import PER_SEARCH, count_input
from shared.domain.clock import SystemClock
from shared.domain.conversation import Message, Role
from shared.domain.generation import GenerationRequest
from shared.routing.costs import hold_of
from tests.money.doors import api_of
from tests.money.paying import CATALOG, Payments

pytestmark = pytest.mark.asyncio(loop_scope="module")
MINI: Final = "openai/gpt-4.1-mini"
SONAR: Final = "perplexity/sonar"
MAX_TOKENS: Final = 20
PROMPT: Final = "Why is the sky blue?"


def asked(*candidates: str) -> dict[str, Any]:
    """A job of the first of these models that all may take, in this order."""
    messages = [{"role": "user", "content": PROMPT}]
    request = {"model": candidates[0], "messages": messages, "max_tokens": MAX_TOKENS}
    return {"request": request, "policy": {"candidates": list(candidates)}}


def alone(deployment: str) -> tuple[int, int]:
    """The input tokens and the most that a call there can cost were there no other candidate."""
    found = CATALOG.find(deployment)
    turns = (Message(role=Role.USER, content=PROMPT),)
    request = GenerationRequest(model=found.model.id, messages=turns)
    counted = count_input(request, found.model)
    most = hold_of(
        found,
        input_tokens=counted,
        max_tokens=MAX_TOKENS,
        searching=False,
        at=SystemClock().now(),
    )
    return counted, most


async def attempts_of(payments: Payments, client: httpx2.AsyncClient, body: Any) -> Sequence[Any]:
    """A job's calls, the first first, once it has ended."""
    accepted = await client.post("/api/v1/jobs", json=body)
    assert accepted.status_code == 202, accepted.text
    job_id = accepted.json()["id"]
    payments.accepted.append(job_id)
    await payments.mill.all_final()
    return await payments.attempts_of(job_id)


async def test_a_candidate_that_searches_costs_the_others_nothing(
    shared_payments: Payments,
) -> None:
    payments, answered = shared_payments, {}
    await payments.workers(1)
    async with api_of(payments) as client:
        for first, other in ((MINI, SONAR), (SONAR, MINI)):
            body = asked(*(each.partition("/")[2] for each in (first, other)))
            quoted = (await client.post("/api/v1/quote", json=body)).json()
            assert quoted["total"]["price"]["most"]["nano_usd"] == alone(SONAR)[1]
            [answered[first]] = await attempts_of(payments, client, body)
        await payments.mill.script({"match": {"provider": "perplexity"}, "do": {"status": 500}})
        failed, second = await attempts_of(payments, client, asked("sonar", "gpt-4.1-mini"))
    assert (failed.deployment, second.deployment, second.state) == (SONAR, MINI, "answered")
    for deployment, attempt in (*answered.items(), (SONAR, failed), (MINI, second)):
        counted, most = alone(deployment)
        assert attempt.deployment == deployment
        assert (attempt.hold_nano, attempt.permit_tokens) == (most, counted + MAX_TOKENS)
    assert answered[SONAR].permit_tokens > PER_SEARCH > answered[MINI].permit_tokens
    await payments.check()
