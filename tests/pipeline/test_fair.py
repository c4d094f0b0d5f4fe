"""Fair shares: no lane starves, tenants go by weight, and nobody has a claim on the past."""

from collections import Counter
from dataclasses import replace
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.db.release import DueJob
from shared.domain.job import Lane
from worker.dispatch.fair import FairShare

NUMBERS = count()
SIZES = [(Lane.INTERACTIVE, 20), (Lane.STANDARD, 50), (Lane.BULK, 30)]


def due(tenant: str, tokens: int = 10, weight: int = 1, lane: Lane = Lane.STANDARD) -> DueJob:
    return DueJob(
        id=f"job_{next(NUMBERS):06}",
        tenant_id=tenant,
        weight=weight,
        lane=lane,
        input_tokens=tokens,
        max_tokens=0,
        tried=(),
        isolated=False,
    )


def serve(share: FairShare, jobs: list[DueJob], turns: int, each: int = 5) -> Counter[str]:
    """So many turns of so many jobs; the tokens that each tenant got."""
    served: Counter[str] = Counter()
    for _ in range(turns):
        going = share.order(jobs)[:each]
        share.charge(going)
        for job in going:
            jobs.remove(job)
            served[job.tenant_id] += job.tokens
    return served


def test_a_more_urgent_lane_goes_first_whoever_owns_it() -> None:
    jobs = [
        due(tenant, lane=lane)
        for lane in (Lane.BULK, Lane.INTERACTIVE, Lane.STANDARD)
        for tenant in "aab"
    ]
    lanes = [job.lane for job in FairShare().order(jobs)]
    assert lanes == sorted(lanes)


def test_under_endless_urgent_load_each_lane_gets_its_share_of_tokens() -> None:
    share, served = FairShare(), Counter[Lane]()
    backlog = {lane: [due("a", size, lane=lane) for _ in range(400)] for lane, size in SIZES}
    for _ in range(400):
        # Urgent work never runs out: as much comes as goes.
        jobs = [job for lane in Lane for job in backlog[lane][:50]]
        going = share.order(jobs)[:5]
        share.charge(going)
        for job in going:
            served[job.lane] += job.tokens
            backlog[job.lane].remove(job)
            backlog[job.lane].append(due("a", job.tokens, lane=job.lane))
    tokens = served.total()
    for lane, part in ((Lane.INTERACTIVE, 16), (Lane.STANDARD, 4), (Lane.BULK, 1)):
        assert served[lane] / tokens == pytest.approx(part / 21, rel=0.15), served


def test_an_urgent_job_that_finds_a_backlog_goes_at_once_with_all_of_its_kind() -> None:
    share = FairShare()
    backlog = [due("bulky", lane=Lane.BULK) for _ in range(300)]
    serve(share, backlog, turns=20)
    urgent = [due("a", tokens=90, lane=Lane.INTERACTIVE) for _ in range(2)]
    order = share.order([*backlog, *urgent])
    assert order[:2] == urgent


def test_a_lane_saves_nothing_up_while_it_waits_or_has_no_work() -> None:
    share = FairShare()
    urgent = [due("a", lane=Lane.INTERACTIVE) for _ in range(300)]
    bulk = [due("b", lane=Lane.BULK) for _ in range(5)]
    for _ in range(10):
        # It waits for something else and is passed by, whatever it has earned.
        going = [job for job in share.order(urgent + bulk) if job.lane is Lane.INTERACTIVE][:25]
        share.charge(going)
        urgent = [job for job in urgent if job not in going]
    lanes = [job.lane for job in share.order(urgent + bulk)]
    assert lanes[0] is Lane.BULK
    assert lanes[1:20] == [Lane.INTERACTIVE] * 19
    share.order(urgent)
    assert share.order(urgent + bulk)[0].lane is Lane.INTERACTIVE


def test_a_tenant_with_a_thousand_jobs_does_not_hold_up_one_with_three() -> None:
    jobs = [due("crowd") for _ in range(1000)] + [due("small") for _ in range(3)]
    first = [job.tenant_id for job in FairShare().order(jobs)[:6]]
    assert Counter(first) == {"crowd": 3, "small": 3}


def test_one_tenants_jobs_keep_their_order() -> None:
    jobs = [due("a", tokens) for tokens in (90, 5, 40)] + [due("b") for _ in range(5)]
    order = [job.id for job in FairShare().order(jobs) if job.tenant_id == "a"]
    assert order == [job.id for job in jobs[:3]]


def test_shares_follow_tokens_and_not_jobs() -> None:
    jobs = [due("long", tokens=100) for _ in range(200)] + [due("short") for _ in range(2000)]
    served = serve(FairShare(), jobs, turns=100, each=11)
    assert abs(served["long"] - served["short"]) <= 200


def test_shares_follow_weights() -> None:
    jobs = [due(name, weight=weight) for name, weight in (("a", 1), ("b", 3)) for _ in range(900)]
    served = serve(FairShare(), jobs, turns=150, each=4)
    assert abs(served["b"] - 3 * served["a"]) <= 120


def test_a_tenant_that_was_away_has_no_claim_on_the_past() -> None:
    share = FairShare()
    serve(share, [due("busy") for _ in range(500)], turns=100)
    jobs = [due(tenant) for tenant in ("busy", "back") for _ in range(200)]
    served = serve(share, jobs, turns=20, each=10)
    assert abs(served["back"] - served["busy"]) <= 20


def test_a_tenant_pays_for_no_lane_but_the_one_it_used() -> None:
    share = FairShare()
    serve(share, [due("a", lane=Lane.BULK) for _ in range(100)], turns=20)
    jobs = [due(tenant, lane=Lane.INTERACTIVE) for tenant in ("a", "b") for _ in range(50)]
    served = serve(share, jobs, turns=5, each=10)
    assert served == {"a": 250, "b": 250}


TENANTS, LANES = st.sampled_from("abcd"), st.sampled_from(list(Lane))
JOBS = st.lists(st.builds(due, TENANTS, st.integers(1, 500), st.integers(1, 5), LANES))


@given(jobs=JOBS)
def test_an_order_loses_nobody_and_doubles_nobody(jobs: list[DueJob]) -> None:
    order = FairShare().order(jobs)
    assert sorted(job.id for job in order) == sorted(job.id for job in jobs)


@given(jobs=JOBS, gone=st.integers(0, 30))
def test_only_what_went_is_charged_so_the_rest_keeps_its_order(
    jobs: list[DueJob], gone: int
) -> None:
    weights = {job.tenant_id: job.weight for job in jobs}
    jobs = [replace(job, weight=weights[job.tenant_id]) for job in jobs]
    share = FairShare()
    order = share.order(jobs)
    assert share.order(jobs) == order
    share.charge(order[:gone])
    assert share.order(order[gone:]) == order[gone:]


@given(
    sizes=st.lists(st.integers(1, 100), min_size=60, max_size=60),
    weights=st.tuples(st.integers(1, 5), st.integers(1, 5)),
)
def test_two_tenants_with_work_are_never_further_apart_than_one_job_each(
    sizes: list[int], weights: tuple[int, int]
) -> None:
    share = FairShare()
    jobs = [due("ab"[n % 2], size, weights[n % 2]) for n, size in enumerate(sizes)]
    served = {"a": 0.0, "b": 0.0}
    while all(any(job.tenant_id == name for job in jobs) for name in served):
        [job] = share.order(jobs)[:1]
        share.charge([job])
        jobs.remove(job)
        served[job.tenant_id] += job.tokens / job.weight
        assert abs(served["a"] - served["b"]) <= 200
