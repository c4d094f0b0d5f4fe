"""A job's stored policy says who may take the next attempt, and survives its JSON."""

import json

from hypothesis import given
from hypothesis import strategies as st

from shared.domain.failure import CORRECTION_TOKENS, FailureKind
from shared.routing.stored import Fallback, StoredPolicy, Strategy, input_at

CHAIN = StoredPolicy(
    candidates=("a/m", "b/m"),
    fallbacks={
        Fallback.DEFAULT: ("c/m",),
        Fallback.CONTEXT_LENGTH: ("long/m", "longer/m"),
        Fallback.CONTENT_FILTER: ("open/m",),
    },
)


def test_the_candidates_come_first_and_then_the_default_list() -> None:
    assert CHAIN.choices(()) == ("a/m", "b/m")
    assert CHAIN.choices(("a/m",), FailureKind.SERVER) == ("b/m",)
    assert CHAIN.choices(("a/m", "b/m"), FailureKind.TIMEOUT) == ("c/m",)


def test_after_everyone_failed_the_least_tried_come_again() -> None:
    assert CHAIN.choices(("a/m", "b/m", "c/m"), FailureKind.SERVER) == ("a/m", "b/m", "c/m")
    assert CHAIN.choices(("a/m", "b/m", "c/m", "a/m"), FailureKind.SERVER) == ("b/m", "c/m")


def test_a_failure_with_a_list_of_its_own_leads_there_and_stays_there() -> None:
    assert CHAIN.choices(("a/m",), FailureKind.CONTEXT_LENGTH) == ("long/m", "longer/m")
    assert CHAIN.choices(("a/m",), FailureKind.TOO_LARGE) == ("long/m", "longer/m")
    assert CHAIN.choices(("a/m",), FailureKind.CONTENT_FILTERED) == ("open/m",)
    assert CHAIN.choices(("a/m", "long/m"), FailureKind.SERVER) == ("longer/m",)
    assert CHAIN.choices(("a/m", "open/m"), FailureKind.SERVER) == ("open/m",)


def test_no_deployment_is_asked_more_often_than_the_policy_allows() -> None:
    policy = StoredPolicy(candidates=("a/m", "b/m"), max_tries=2)
    assert policy.choices(("a/m", "b/m", "a/m"), FailureKind.SERVER) == ("b/m",)
    assert policy.choices(("a/m", "b/m", "a/m", "b/m"), FailureKind.SERVER) == ()


def test_only_some_failures_have_a_list_of_their_own() -> None:
    assert CHAIN.fallback_for(FailureKind.TOO_LARGE) == ("long/m", "longer/m")
    assert CHAIN.fallback_for(FailureKind.SERVER) == ()
    assert StoredPolicy(candidates=("a/m",)).fallback_for(FailureKind.CONTENT_FILTERED) == ()


def test_all_deployments_are_told_once() -> None:
    policy = StoredPolicy(candidates=("a/m",), fallbacks={Fallback.DEFAULT: ("a/m", "b/m")})
    assert policy.deployments() == ("a/m", "b/m")


def test_a_policy_survives_its_json() -> None:
    policy = StoredPolicy(
        candidates=("a/m", "b/m"),
        strategy=Strategy.WEIGHTED,
        weights={"a/m": 3.0},
        fallbacks={Fallback.CONTEXT_LENGTH: ("long/m",)},
        max_cost_nano=50_000_000,
        max_tries=2,
        inputs={"b/m": 40_000},
    )
    assert StoredPolicy.from_json(json.loads(json.dumps(policy.to_json()))) == policy


def test_what_has_its_default_is_not_stored() -> None:
    plain = StoredPolicy(candidates=("a/m",))
    assert plain.to_json() == {"candidates": ["a/m"]}
    assert StoredPolicy.from_json(plain.to_json()) == plain


def test_each_deployment_has_the_tokens_that_it_counts_and_else_those_of_the_row() -> None:
    counted = StoredPolicy(candidates=("a/m", "b/m"), inputs={"a/m": 12})
    assert input_at(counted, "a/m", 40_000) == 12
    assert input_at(counted, "b/m", 40_000) == 40_000
    assert input_at(StoredPolicy(candidates=("a/m",)), "a/m", 40_000) == 40_000
    assert input_at(None, "a/m", 40_000) == 40_000
    told = input_at(counted, "a/m", 40_000, FailureKind.INVALID_OUTPUT)
    assert told == 12 + CORRECTION_TOKENS[FailureKind.INVALID_OUTPUT]


def test_jobs_of_other_lengths_stand_in_one_line() -> None:
    policy = StoredPolicy(candidates=("a/m", "b/m"))
    longer = StoredPolicy(candidates=("a/m", "b/m"), inputs={"a/m": 9}, max_cost_nano=1)
    assert policy.route("m") == longer.route("m") != StoredPolicy(candidates=("b/m",)).route("m")


NAMES = st.lists(st.sampled_from(["a/m", "b/m", "c/m", "d/m"]), unique=True).map(tuple)
POLICIES = st.builds(
    StoredPolicy,
    candidates=NAMES.filter(bool),
    fallbacks=st.dictionaries(st.sampled_from(Fallback), NAMES.filter(bool)),
    max_tries=st.none() | st.integers(1, 3),
)


@given(POLICIES, st.lists(st.sampled_from(FailureKind), min_size=20, max_size=20))
def test_a_job_meets_only_its_own_deployments_and_none_too_often(
    policy: StoredPolicy, failures: list[FailureKind]
) -> None:
    tried: list[str] = []
    for failure in failures:
        choices = policy.choices(tried, failure if tried else None)
        assert set(choices) <= set(policy.deployments())
        assert len(set(choices)) == len(choices)
        if not choices:
            assert policy.max_tries is not None
            return
        tried.append(choices[0])
        assert policy.max_tries is None or tried.count(choices[0]) <= policy.max_tries
