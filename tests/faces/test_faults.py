"""Every end of a job and every error of ours has a place in the words of the other APIs."""

import pytest

from api.errors import FAULTS
from shared.domain import errors
from shared.domain.failure import FailureKind
from shared.domain.job import FINAL_STATES, GiveUp, JobState
from shared.faces.faults import OF_A_JOB, anthropic_error, fault_of, openai_error

UNANSWERED = sorted(FINAL_STATES - {JobState.SUCCEEDED, JobState.FAILED})
ENDS = [*FailureKind, *GiveUp, *UNANSWERED]
EVERY = [*FAULTS.values(), *OF_A_JOB.values()]


def classes(kind: type[errors.PromptmillError]) -> list[type[errors.PromptmillError]]:
    return [each for sub in kind.__subclasses__() for each in (sub, *classes(sub))]


@pytest.mark.parametrize("end", ENDS)
def test_every_end_of_a_job_is_told_and_never_asked_for_again(end: str) -> None:
    assert end in OF_A_JOB
    assert not OF_A_JOB[end].again


def test_a_providers_limit_is_never_passed_on() -> None:
    limits = {FailureKind.RATE_LIMITED, FailureKind.SLOW_DOWN, FailureKind.QUOTA}
    assert all(fault_of(kind).status in {502, 503} for kind in limits)
    told = {kind for kind, fault in OF_A_JOB.items() if fault.status == 429}
    assert told == {GiveUp.BUDGET, GiveUp.MAX_COST}


def test_nothing_under_v1_is_tried_again_that_would_fail_again() -> None:
    assert not any(fault.again for fault in EVERY if fault.status in {409, 504})
    assert not any(fault.again for fault in EVERY if fault.type == "insufficient_quota")
    assert not any(fault.status in {402, 422} for fault in EVERY)


def test_every_error_of_ours_has_a_status_but_those_that_no_caller_causes() -> None:
    told = {kind for kind in classes(errors.PromptmillError) if set(kind.__mro__) & set(FAULTS)}
    untold = set(classes(errors.PromptmillError)) - told
    ours = {each for each in untold if each.__module__ == errors.__name__}
    assert ours == {errors.ConfigurationError, errors.GenerationFailedError}


def test_a_code_is_openais_where_it_has_one_and_else_ours() -> None:
    long = openai_error(fault_of("context_length"), "context_length", "too long", "messages")
    assert long["error"] == {
        "message": "too long",
        "type": "invalid_request_error",
        "param": "messages",
        "code": "context_length_exceeded",
    }
    assert openai_error(fault_of("overloaded"), "overloaded", "busy")["error"]["code"] == (
        "overloaded"
    )


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("overloaded", "overloaded_error"),
        ("budget", "billing_error"),
        ("expired", "timeout_error"),
        ("server", "api_error"),
        ("bad_request", "invalid_request_error"),
        ("nobody knows", "api_error"),
    ],
)
def test_anthropic_has_a_type_for_each_status(kind: str, said: str) -> None:
    body = anthropic_error(fault_of(kind), "why")
    assert body == {"type": "error", "error": {"type": said, "message": "why"}}
