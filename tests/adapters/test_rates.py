"""What providers' headers say they would still take."""

import pytest

from worker.adapters.rates import ANTHROPIC, OPENAI, Headers, rate_of


@pytest.mark.parametrize(
    ("known", "headers", "left"),
    [
        (
            OPENAI,
            {"x-ratelimit-remaining-requests": "59", "x-ratelimit-remaining-tokens": "149984"},
            {"requests": 59, "tokens": 149_984},
        ),
        (OPENAI, {"x-ratelimit-remaining-tokens": "-3"}, {"tokens": 0}),
        (OPENAI, {"x-ratelimit-remaining-requests": "many"}, {}),
        (OPENAI, {}, {}),
        (
            ANTHROPIC,
            {
                "anthropic-ratelimit-requests-remaining": "49",
                "anthropic-ratelimit-tokens-remaining": "1000",
                "anthropic-ratelimit-input-tokens-remaining": "30000",
                "anthropic-ratelimit-output-tokens-remaining": "8000",
            },
            {"requests": 49, "input_tokens": 30_500, "output_tokens": 8_500},
        ),
    ],
)
def test_the_most_that_may_be_left_is_heard_by_the_limits_names(
    known: Headers, headers: dict[str, str], left: dict[str, int]
) -> None:
    assert rate_of(headers, known) == left
