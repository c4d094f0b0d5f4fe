"""A policy says each thing once, and its mistakes name their place."""

from typing import Any

import orjson
import pytest
from pydantic import ValidationError

from shared.domain.places import first_mistake
from shared.routing.policy import Policy
from shared.routing.stored import Strategy

FULL: dict[str, Any] = {
    "candidates": ["gpt-4.1", "azure/gpt-4.1", "default"],
    "strategy": "weighted",
    "weights": {"gpt-4.1": 3},
    "fallbacks": {"context_length": ["gemini-2.5-pro"], "default": ["claude-haiku-5-5"]},
    "max_cost_usd": "0.05",
    "max_tries": 2,
    "prefer": "cost",
    "complexity": "auto",
    "tier": "low",
}


def mistake(policy: dict[str, Any]) -> tuple[str, str]:
    with pytest.raises(ValidationError) as refused:
        Policy.model_validate(policy)
    field, message, _ = first_mistake(policy, refused.value.errors())
    return field, message


def test_a_policy_may_say_everything_and_nothing() -> None:
    assert Policy.model_validate(FULL).max_cost_nano == 50_000_000
    assert Policy().max_cost_nano is None


@pytest.mark.parametrize(
    ("changed", "field", "told"),
    [
        ({"strategy": "random"}, "strategy", "'ordered'"),
        ({"weights": {"gpt-4.1": 0}}, "weights.gpt-4.1", "greater than 0"),
        ({"fallbacks": {"sometimes": ["sonar"]}}, "fallbacks.sometimes", "'context_length'"),
        ({"fallbacks": {"default": []}}, "fallbacks.default", "at least 1"),
        ({"max_cost_usd": 0}, "max_cost_usd", "greater than 0"),
        ({"max_cost_usd": "0.0000000001"}, "max_cost_usd", "9 decimal places"),
        ({"max_tries": 0}, "max_tries", "greater than or equal to 1"),
        ({"complexity": "HARD"}, "complexity", "'SIMPLE'"),
        ({"tier": "middle"}, "tier", "'low'"),
        ({"candidates": ["sonar", "sonar"]}, "candidates", "sonar is named twice"),
        ({"budget": 5}, "budget", "not permitted"),
    ],
)
def test_a_mistake_names_its_field(changed: dict[str, Any], field: str, told: str) -> None:
    where, message = mistake({**FULL, **changed})
    assert where == field
    assert told in message


@pytest.mark.parametrize("name", ["lane", "deadline_seconds", "metadata"])
def test_what_the_job_says_is_not_said_again(name: str) -> None:
    assert mistake({name: 60}) == (name, "Extra inputs are not permitted")


def test_a_policy_is_read_from_json_as_strictly_as_a_job() -> None:
    assert Policy.model_validate_json(orjson.dumps(FULL), strict=True).tier == "low"
    with pytest.raises(ValidationError):
        Policy.model_validate_json(b'{"max_tries": "2"}', strict=True)


def test_weights_without_their_strategy_are_refused() -> None:
    assert "weighted" in mistake({"weights": {"sonar": 2}})[1]


def test_what_a_policy_says_goes_before_what_it_is_laid_over() -> None:
    base = Policy.model_validate(FULL)
    over = Policy(tier="high", max_tries=3).over(base)
    assert (over.tier, over.max_tries, over.candidates) == ("high", 3, base.candidates)
    assert over.weights == base.weights


def test_weights_go_with_those_whom_they_weigh() -> None:
    base = Policy.model_validate(FULL)
    assert Policy(strategy=Strategy.COST).over(base).weights is None
    assert Policy(candidates=("sonar",)).over(base).weights is None
