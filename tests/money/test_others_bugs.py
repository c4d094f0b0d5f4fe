"""The money bugs of other gateways, each by its name, tried on ours."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from itertools import count
from typing import Any, Final

import httpx2
import pytest

from shared.db.accept import NewJob
from shared.domain.budget import AtLimit, Payer, Scope
from tests.life import TENANT
from tests.mill import eventually
from tests.money.doors import api_of
from tests.money.paying import MAX_TOKENS, Call, Payments, hold_of
from tests.money.replay import replay

pytestmark = pytest.mark.asyncio(loop_scope="module")
MINI: Final = "openai/gpt-4.1-mini"
AZURE: Final = "azure/gpt-4.1-mini"
SONNET: Final = "anthropic/claude-sonnet-5-5"
GEMINI: Final = "gemini/gemini-3.8-flash"
LONG: Final = "The same long beginning, word for word. " * 300
"""Providers keep so much of a prompt for the next call."""
PLENTY: Final = 10**10
NUMBERS: Final = count()


def questions(number: int, *candidates: str, **changes: Any) -> list[NewJob]:
    return [Call(f"question {n:03}").job(*candidates, **changes) for n in range(number)]


def total(attempts: Sequence[Any]) -> int:
    """What they are charged; nano-USD."""
    return sum(attempt.cost_nano for attempt in attempts)


async def project_of(
    payments: Payments, cap: int = PLENTY, at_limit: AtLimit = AtLimit.REJECT
) -> str:
    """A project of a test's own and its budget, both of this name."""
    name = f"project-{next(NUMBERS)}"
    await payments.budget(name, Payer(TENANT, Scope.PROJECT, name), cap, at_limit)
    return name


@pytest.fixture
async def payments(shared_payments: Payments) -> Payments:
    """The module's mill, with two workers and providers that are well."""
    await shared_payments.mill.script()
    await shared_payments.workers(2)
    return shared_payments


@pytest.fixture
async def idle(shared_payments: Payments) -> Payments:
    """The same without workers: the test starts them, and ends them."""
    await shared_payments.mill.script()
    await shared_payments.workers(0)
    return shared_payments


def asked(project: str, **changes: Any) -> dict[str, Any]:
    """A submission; its answer comes slowly."""
    messages = [{"role": "user", "content": "Tell me slowly"}]
    request = {"model": "gpt-4.1-mini", "messages": messages, "max_tokens": MAX_TOKENS, **changes}
    return {"request": request, "project": project}


async def test_a_burst_that_checks_before_it_counts_overspends(payments: Payments) -> None:
    """Elsewhere the budget was checked first and the spend added after the answer.

    So each call of a burst, and each replica, saw the room that all of them took. Here two workers
    and two routes want one budget at once; what it has room for is held, nobody else goes.
    """
    mini = questions(40)
    gemini = [Call(f"aside {n:03}", "gemini-3.8-flash").job() for n in range(40)]
    most = max(hold_of(mini[0], MINI), hold_of(gemini[0], GEMINI))
    few = await project_of(payments, 7 * most)
    jobs = [replace(job, project=few) for pair in zip(mini, gemini, strict=True) for job in pair]
    accepted = await payments.accept(*jobs)
    await payments.mill.all_final()
    found = [await payments.mill.life.job(job_id) for job_id in accepted]
    succeeded = [job for job in found if job.state == "succeeded"]
    refused = [job for job in found if job.error_kind == "budget"]
    assert len(succeeded) >= 7
    assert refused
    assert len(succeeded) + len(refused) == len(accepted)
    assert await payments.check_budgets() > 0, "nobody saw an admission"
    assert all(each.within for each in await replay(payments.mill.life))
    # Nor too little: what is left has no room for the dearer of the two.
    assert 7 * most - await payments.spent(few) < most


async def test_a_small_limit_of_tokens_refuses_its_first_request(payments: Payments) -> None:
    """Elsewhere a limit of fewer tokens than an answer may have refused the very first request.

    Here a budget of just its worst case has room for it, and a request that is larger than the
    limit of a whole window goes when that window is empty.
    """
    limit = "tokens = 1000\nwindow = 10\n"
    catalog = payments.mill.folder / "catalog.toml"
    before = catalog.read_text()
    row = "[limits.azure]\nrequests = 0\n"
    assert row in before
    catalog.write_text(before.replace(f"{row}tokens = 0\n", f"{row}{limit}"))
    try:
        first = Call("the first", max_tokens=1024).job(AZURE)
        assert first.input_tokens + first.max_tokens > 1000
        small = await project_of(payments, hold_of(first, AZURE))
        [job_id] = await payments.accept(replace(first, project=small))
        await payments.mill.all_final(within=60)
    finally:
        catalog.write_text(before)
    [attempt] = await payments.attempts_of(job_id)
    assert attempt.state == "answered"
    assert await payments.spent(small) == payments.bills()[attempt.id] > 0


@pytest.mark.parametrize("fault", [{"cut": True}, {"stream_error": True}], ids=["cut", "error"])
async def test_a_stream_that_is_cut_never_reaches_the_fallback(
    payments: Payments, fault: dict[str, bool]
) -> None:
    """Elsewhere the fallback got no request when a stream broke, or its cost was left out.

    Here it gets one for each that broke, and both calls are in the ledger and in the budget.
    """
    await payments.mill.script({"match": {"provider": "openai"}, "do": fault})
    project = await project_of(payments)
    calls = [Call(f"stream {n}", stream=True) for n in range(6)]
    accepted = await payments.accept(*(call.job(MINI, SONNET, project=project) for call in calls))
    await payments.mill.all_final()
    attempts, bills = await payments.attempts_of(*accepted), payments.bills()
    for job_id in accepted:
        broken, whole = (row for row in attempts if row.job_id == job_id)
        assert (broken.deployment, whole.deployment) == (MINI, SONNET)
        assert (whole.state, whole.cost_nano) == ("answered", bills[whole.id])
        assert 0 < bills[broken.id] <= broken.cost_nano <= broken.hold_nano
    assert await payments.spent(project) == total(attempts)


# Nano-USD per token, from the providers' lists: new input, read from a cache, written, output.
CACHING: Final = {
    SONNET: (2000, 100, 2500, 10_000),
    GEMINI: (750, 75, 750, 3750),
    MINI: (400, 100, 400, 1600),
    "xai/grok-4.7": (2000, 500, 2000, 6000),
}


async def test_cached_tokens_are_billed_twice(payments: Payments) -> None:
    """Elsewhere what was cached was billed as new input, too: 0.76 $ for 0.18 $, 0.09 $ for 0.05 $.

    Here both calls of the same long beginning pay for each token once, by its kind.
    """
    accepted: list[str] = []
    for number in range(2):
        why = f"Why? {number}"
        calls = {each: Call(LONG + why) for each in CACHING} | {SONNET: Call(why, kept=LONG)}
        accepted += await payments.accept(*(call.job(each) for each, call in calls.items()))
        await payments.mill.all_final()
    attempts, bills = await payments.attempts_of(*accepted), payments.bills()
    assert {each.error for each in attempts} == {None}
    read = {each.deployment for each in attempts if each.usage["cached_tokens"] >= 1024}
    assert read == set(CACHING)
    assert any(each.usage["cache_write_tokens"] >= 1024 for each in attempts), "Anthropic writes"
    for attempt in attempts:
        usage, (new, cached, written, output) = attempt.usage, CACHING[attempt.deployment]
        fresh = usage["input_tokens"] - usage["cached_tokens"] - usage["cache_write_tokens"]
        assert fresh > 0, attempt
        exact = fresh * new + usage["cached_tokens"] * cached
        exact += usage["cache_write_tokens"] * written + usage["output_tokens"] * output
        assert attempt.cost_nano == exact == bills[attempt.id]


async def test_a_client_that_leaves_makes_its_call_cost_nothing(payments: Payments) -> None:
    """Elsewhere the cost of a call was 0 $ once its client had hung up.

    Here one client leaves in the middle of a stream and one while it waits for its answer: the
    calls go on to their ends, and their costs are booked as any other's.
    """
    slow_stream = {"match": {"nth": [1]}, "do": {"slow_bytes": 0.05}}
    await payments.mill.script(slow_stream, {"do": {"stall": 2}})
    project = await project_of(payments)
    async with api_of(payments) as client:
        told = (await client.post("/api/v1/jobs", json=asked(project, stream=True))).json()
        async with client.stream("GET", f"/api/v1/jobs/{told['id']}/events") as reply:
            async for line in reply.aiter_lines():
                if line.startswith("event: delta"):
                    break
        with pytest.raises(httpx2.TimeoutException):
            await client.post("/api/v1/jobs?wait=20", json=asked(project), timeout=0.3)
    rows = await payments.mill.life.all("SELECT id FROM jobs WHERE project = :name", name=project)
    accepted = [row.id for row in rows]
    assert told["id"] in accepted
    assert len(accepted) == 2
    payments.accepted += accepted
    await payments.mill.all_final()
    attempts, bills = await payments.attempts_of(*accepted), payments.bills()
    assert [attempt.state for attempt in attempts] == ["answered", "answered"]
    assert all(attempt.cost_nano == bills[attempt.id] > 0 for attempt in attempts)
    assert await payments.spent(project) == total(attempts)


async def test_whoever_breaks_a_call_off_gets_all_of_it_back(payments: Payments) -> None:
    """Elsewhere a disconnect refunded everything, though the provider billed what it had begun.

    Here calls that are cancelled while they run stay charged at what they may have cost.
    """
    await payments.mill.script({"do": {"stall": 20}})
    project = await project_of(payments)
    accepted = await payments.accept(*questions(4, project=project))
    await payments.mill.in_state("running", 4)
    for job_id in accepted:
        await payments.mill.life.cancel(job_id)
    await payments.mill.all_final()
    attempts = await payments.attempts_of(*accepted)

    async def all_billed() -> bool:
        return {attempt.id for attempt in attempts} <= payments.bills().keys()

    await eventually("the provider bills what was broken off", all_billed)
    bills = payments.bills()
    assert {attempt.state for attempt in attempts} == {"unknown"}
    assert all(0 < bills[each.id] <= each.cost_nano == each.hold_nano for each in attempts)
    assert await payments.spent(project) == total(attempts)
    await payments.check()


async def test_a_batch_comes_to_nothing_when_its_poller_restarts(payments: Payments) -> None:
    """Elsewhere batches were reconciled to 0 $ or had no row, silently; their poller had died.

    Here each job of a batch has its attempts, each of them its cost, and the sum is the bill.
    """
    await payments.mill.script({"do": {"stall": 0.5}})
    await payments.budget("nightly", Payer(TENANT, Scope.BATCH, "nightly"), PLENTY)
    accepted = await payments.accept(*questions(40, batch="nightly"))
    await payments.mill.in_state("running", 20)
    await payments.workers(1)
    await payments.mill.all_final()
    attempts, bills = await payments.attempts_of(*accepted), payments.bills()
    answered = [attempt for attempt in attempts if attempt.state == "answered"]
    assert sorted(attempt.job_id for attempt in answered) == sorted(accepted)
    assert all(attempt.cost_nano == bills[attempt.id] > 0 for attempt in answered)
    assert await payments.spent("nightly") == total(attempts)
    await payments.check()


async def test_spend_in_memory_is_lost_with_the_process(payments: Payments) -> None:
    """Elsewhere spend waited in memory to be written, and went with a kill or a deploy.

    Here one worker is killed in the midst of its calls, the other is told to go: every call that
    the provider billed is in the ledger.
    """
    await payments.mill.script({"do": {"stall": 1}})
    project = await project_of(payments)
    accepted = await payments.accept(*questions(60, project=project))
    await payments.mill.in_state("running", 60)
    killed, told = (each for each in payments.mill.workers if each.poll() is None)
    killed.kill()
    told.terminate()
    for worker in (killed, told):
        await asyncio.to_thread(worker.wait, 60)
    await payments.worker()
    await payments.mill.all_final()
    attempts, bills = await payments.attempts_of(*accepted), payments.bills()
    real = sum(bills.get(attempt.id, 0) for attempt in attempts)
    assert 0 < real <= total(attempts) == await payments.spent(project)
    assert len(attempts) > len(accepted), "nobody was in the midst of a call"
    await payments.check()


async def test_reservations_that_leak_make_a_phantom_over_budget(idle: Payments) -> None:
    """Elsewhere reservations of lost calls were never returned: enforced 111 $, real 56 $.

    Here a worker dies within a release, another after it, calls fail and jobs are cancelled: what
    is enforced is what was spent, and the last cent is there to be spent.
    """
    project = await project_of(idle)
    await idle.mill.script({"probability": 0.3, "do": {"status": 500}})
    accepted = await idle.accept(*questions(40, MINI, GEMINI, SONNET, project=project))
    for place in ("in_release:2", "after_release:1"):
        await idle.dies(place)
    for job_id in accepted[:5]:
        await idle.mill.life.cancel(job_id)
    await idle.worker()
    await idle.mill.all_final()
    attempts, bills = await idle.attempts_of(*accepted), idle.bills()
    enforced, real = await idle.spent(project), sum(bills.get(each.id, 0) for each in attempts)
    unknown = [attempt for attempt in attempts if attempt.state == "unknown"]
    assert real <= enforced == total(attempts) <= real + total(unknown)
    [last] = questions(1, project=project)
    await idle.raise_cap(project, enforced + hold_of(last, MINI))
    await idle.accept(last)
    await idle.mill.all_final()
    assert (await idle.mill.life.job(last.id)).state == "succeeded"
    await idle.check()
