"""Each job goes to who can take it, by its policy or its route, and was not tried yet."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from shared.catalog.deployments import Deployment
from shared.catalog.load import load_catalog
from shared.db.release import DueJob
from shared.domain.attempt import Further
from shared.domain.clock import SystemClock
from shared.domain.job import GiveUp, Lane
from shared.meters.meter import Grant
from shared.routing.able import Nobody
from shared.routing.stored import Fallback, StoredPolicy, Strategy
from shared.routing.strategies import Vitals
from worker.dispatch.budgets import Purse
from worker.dispatch.choose import Chooser
from worker.dispatch.fleet import Fleet
from worker.dispatch.plan import Choice, asks, further
from worker.dispatch.retries import MOST, RetryBudgets

CATALOG = load_catalog()
PLAN = tuple(CATALOG.find(f"{provider}/gpt-4.1") for provider in ("openai", "azure"))
FIRST, SECOND = (deployment.id for deployment in PLAN)
OTHER, CHEAP = "anthropic/claude-sonnet-5-5", "openai/gpt-4.1-nano"
JOB = DueJob(
    id="job_1",
    tenant_id="t",
    weight=1,
    lane=Lane.STANDARD,
    input_tokens=1000,
    max_tokens=1000,
    tried=(),
    isolated=False,
)
BUSY, RESTING = Grant(0, 0.5, "tokens"), Grant(0, 30.0, "blocked")


class Closed(Fleet):
    """Everybody can be called but these deployments and providers."""

    def __init__(self, *closed: str, **vitals: Any) -> None:
        super().__init__()
        self._shut = closed
        self._in_flight |= vitals.pop("in_flight", {})
        self.vitals = Vitals(in_flight=self._in_flight, **vitals)

    def open_of(self, plan: Sequence[Deployment]) -> tuple[Deployment, ...]:
        return tuple(
            each
            for each in plan
            if each.id not in self._shut and each.provider.id not in self._shut
        )


def chooser(fleet: Fleet | None = None, retries: RetryBudgets | None = None) -> Chooser:
    return Chooser(CATALOG, fleet or Closed(), SystemClock(), retries or RetryBudgets(), Purse())


def asked(job: DueJob, fleet: Fleet | None = None) -> list[str]:
    """Who would be asked for the job, in order; empty: it waits."""
    fleet = fleet or Closed()
    chosen = chooser(fleet).choose([job], fleet.open_of(PLAN))
    assert not chosen.hopeless
    return [each.id for choice in chosen.choices for each in choice.candidates]


def hopeless(job: DueJob) -> Nobody:
    chosen = chooser().choose([job], PLAN)
    assert not chosen.choices
    [each] = chosen.hopeless
    return each.why


def with_policy(*candidates: str, tried: tuple[str, ...] = (), **policy: Any) -> DueJob:
    return replace(JOB, policy=StoredPolicy(candidates=candidates, **policy), tried=tried)


def test_a_plain_job_goes_round_the_deployments_of_its_route() -> None:
    assert asked(JOB) == [FIRST, SECOND]
    assert asked(replace(JOB, tried=(FIRST,))) == [SECOND, FIRST]
    assert asked(replace(JOB, tried=(FIRST, SECOND))) == [FIRST, SECOND]
    assert asked(replace(JOB, tried=(FIRST, SECOND, FIRST))) == [SECOND, FIRST]
    assert asked(replace(JOB, unfit=(FIRST,), tried=(SECOND,))) == [SECOND]
    assert asked(JOB, Closed(FIRST)) == [SECOND]


def test_a_policy_is_obeyed_among_those_that_are_open() -> None:
    job = with_policy(OTHER, FIRST, fallbacks={Fallback.DEFAULT: (CHEAP,)})
    assert asked(job) == [OTHER, FIRST]
    assert asked(job, Closed(OTHER)) == [FIRST]
    assert asked(job, Closed("anthropic", FIRST)) == [CHEAP]
    assert asked(job, Closed(OTHER, FIRST, CHEAP)) == []
    assert asked(replace(job, tried=(OTHER,)), Closed(FIRST, CHEAP)) == [OTHER]
    assert asked(replace(job, tried=(OTHER, FIRST))) == [CHEAP]


def test_a_request_that_was_too_long_goes_only_where_its_policy_sends_it() -> None:
    job = with_policy(FIRST, SECOND, fallbacks={Fallback.CONTEXT_LENGTH: (CHEAP,)})
    failed = replace(job, tried=(FIRST,), last_failure="context_length")
    assert asked(failed) == [CHEAP]
    assert asked(failed, Closed(CHEAP)) == []
    assert asked(replace(failed, last_failure="server")) == [SECOND]


def test_a_strategy_orders_those_that_may_take_it() -> None:
    cheapest = with_policy(FIRST, CHEAP, strategy=Strategy.COST)
    fastest = with_policy(FIRST, OTHER, strategy=Strategy.LATENCY)
    idlest = with_policy(FIRST, SECOND, strategy=Strategy.LEAST_BUSY)
    assert asked(cheapest) == [CHEAP, FIRST]
    assert asked(fastest, Closed(latency_ms={FIRST: 900.0, OTHER: 200.0})) == [OTHER, FIRST]
    assert asked(idlest, Closed(in_flight={FIRST: 4, SECOND: 0})) == [SECOND, FIRST]


def test_who_places_many_jobs_at_one_look_counts_them_in() -> None:
    fleet = Closed()
    job = with_policy(FIRST, SECOND, strategy=Strategy.LEAST_BUSY)
    limits = {each.id: each.limits.requests for each in PLAN}
    chosen = chooser(fleet).choose([job] * 60, PLAN)
    firsts = [choice.candidates[0].id for choice in chosen.choices]
    share = firsts.count(FIRST) / len(firsts)
    assert share == pytest.approx(limits[FIRST] / sum(limits.values()), abs=0.05)


def test_a_job_may_cost_no_more_than_it_says() -> None:
    job = with_policy(OTHER, CHEAP, max_cost_nano=2_000_000)
    assert asked(job) == [CHEAP]
    spent = hopeless(replace(job, cost_nano=1_900_000))
    assert spent.kind is GiveUp.MAX_COST
    assert "it may cost $0.002, its calls so far cost $0.0019" in spent.reason


def test_each_is_held_and_compared_at_what_it_counts_itself() -> None:
    policy = StoredPolicy(candidates=(FIRST, OTHER), strategy=Strategy.COST, inputs={OTHER: 10})
    job = replace(JOB, policy=policy)
    deciding = chooser()
    first, other = CATALOG.find(FIRST), CATALOG.find(OTHER)
    assert deciding.hold(job, first) == deciding.hold(replace(job, policy=None), first)
    alone = replace(job, policy=None, input_tokens=10)
    assert deciding.hold(job, other) == deciding.hold(alone, other)
    long = replace(job, input_tokens=1_000_000, max_tokens=1)
    assert asked(long) == [OTHER, FIRST]
    uncounted = replace(long, policy=replace(policy, inputs={}))
    assert asked(uncounted) == [FIRST, OTHER]


def test_nobody_waits_for_who_will_never_come() -> None:
    gone = hopeless(with_policy("openai/gpt-1", "nobody/else"))
    tried = hopeless(with_policy(FIRST, tried=(FIRST, FIRST), max_tries=2))
    assert (gone.kind, tried.kind) == (GiveUp.NO_DEPLOYMENT, GiveUp.EXHAUSTED)
    assert "openai/gpt-1, nobody/else" in gone.reason


def test_retries_are_a_tenth_of_the_calls_and_never_stop_for_ever() -> None:
    now = 0.0
    budgets = RetryBudgets(clock=lambda: now)
    budgets.charge(FIRST, first=0, again=round(MOST))
    again = replace(JOB, tries=1, unfit=(SECOND,))
    held_back = chooser(retries=budgets).choose([again, JOB], PLAN)
    assert [choice.job for choice in held_back.choices] == [JOB]
    assert held_back.retry_wait == pytest.approx(2.0)
    assert asked(replace(JOB, tries=1)) == [FIRST, SECOND]
    failed_over = replace(JOB, tries=1, tried=(SECOND,))
    assert chooser(retries=budgets).choose([failed_over], PLAN[:1]).choices, "its first call here"
    budgets.charge(FIRST, first=10, again=0)
    assert chooser(retries=budgets).choose([again], PLAN).choices
    budgets.charge(FIRST, first=0, again=1)
    assert not chooser(retries=budgets).choose([again], PLAN).choices
    now = 2.0
    assert chooser(retries=budgets).choose([again], PLAN).choices


@pytest.mark.parametrize(
    ("job", "grant", "others"),
    [
        (JOB, BUSY, [SECOND]),
        (with_policy(FIRST, OTHER), BUSY, None),
        (with_policy(FIRST, OTHER), Grant(0, 0.2, "blocked"), None),
        (with_policy(FIRST, OTHER), RESTING, [OTHER]),
        (with_policy(FIRST, OTHER), Grant(0, 9.0, "breaker"), [OTHER]),
        (with_policy(FIRST, OTHER, SECOND), BUSY, [SECOND]),
        (with_policy(FIRST, OTHER, strategy=Strategy.WEIGHTED), BUSY, [OTHER]),
        (with_policy(FIRST), RESTING, None),
    ],
)
def test_another_model_is_asked_only_where_the_first_is_away(
    job: DueJob, grant: Grant, others: list[str] | None
) -> None:
    ids = (FIRST, SECOND) if job.policy is None else job.policy.candidates
    other = Choice(job, tuple(map(CATALOG.find, ids))).after(grant)
    assert (other and [each.id for each in other.candidates]) == others


def test_suspects_go_through_the_isolated_queue() -> None:
    suspect = replace(JOB, isolated=True)
    grouped = asks([Choice(JOB, PLAN), Choice(suspect, PLAN), Choice(JOB, PLAN[1:])])
    assert [(ask.deployment.id, ask.queue, len(ask.choices)) for ask in grouped] == [
        (FIRST, "openai", 1), (FIRST, "isolated", 1), (SECOND, "azure", 1)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("job", "deployment", "expected"),
    [
        (JOB, 0, Further.NOW),
        (replace(JOB, tried=(FIRST,)), 1, Further.LATER),
        (replace(JOB, tried=(FIRST, SECOND)), 0, Further.NOW),
        (replace(JOB, unfit=(SECOND,)), 0, Further.LATER),
        (with_policy(FIRST, SECOND), 0, Further.NOW),
        (with_policy(FIRST), 0, Further.LATER),
        (with_policy(FIRST, fallbacks={Fallback.DEFAULT: (CHEAP,)}), 0, Further.NOW),
        (with_policy(FIRST, max_tries=1), 0, Further.NONE),
        (with_policy(FIRST, max_tries=2, tried=(FIRST,)), 0, Further.NONE),
    ],
)
def test_what_may_follow_is_known_at_the_release(
    job: DueJob, deployment: int, expected: Further
) -> None:
    assert further(job, PLAN, PLAN[deployment]) is expected
