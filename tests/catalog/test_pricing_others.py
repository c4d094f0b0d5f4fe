"""Costs of Anthropic, Google, xAI and Perplexity equal their price pages, summed by hand."""

from datetime import UTC, datetime
from typing import Final

import pytest

from shared.catalog.pricing import price_of
from shared.domain.generation import Usage
from tests.catalog.bills import BATCH, CACHED, LONG, REASONED, WRITTEN, Bill

NEW_YEAR: Final = datetime(2027, 1, 1, tzinfo=UTC)

BILLS: Final = {
    # https://platform.claude.com/docs/en/about-claude/pricing
    "anthropic cache writes of both kinds": Bill(
        provider="anthropic",
        model="claude-opus-5-5",
        usage=WRITTEN,
        lines={
            "input": (50_000 - 20_003 - 9_001 - 4_007, "4"),
            "cached": (20_003, "0.20"),
            "written": (9_001, "5"),
            "written for an hour": (4_007, "8"),
            "output": (333, "20"),
        },
    ),
    "anthropic reasoning": Bill(
        provider="anthropic",
        model="claude-opus-5-5",
        usage=REASONED,
        lines={"input": (77, "4"), "output": (12_345, "20")},
    ),
    "anthropic batch, cached": Bill(
        provider="anthropic",
        model="claude-opus-5-5",
        usage=BATCH,
        lines={"input": (8_998, "2"), "cached": (1_001, "0.10"), "output": (501, "10")},
    ),
    "anthropic fast": Bill(
        provider="anthropic",
        model="claude-opus-5-5",
        usage=Usage(input_tokens=101, output_tokens=103, service_tier="fast"),
        lines={"input": (101, "8"), "output": (103, "40")},
    ),
    "anthropic standard, with searches": Bill(
        provider="anthropic",
        model="claude-sonnet-4-5",
        usage=Usage(input_tokens=101, output_tokens=103, searches=4, service_tier="standard"),
        lines={"input": (101, "3"), "output": (103, "15")},
        per_thousand={"search": (4, "10")},
    ),
    "anthropic long context, written and cached": Bill(
        provider="anthropic",
        model="claude-sonnet-4-5",
        usage=Usage(
            input_tokens=200_001,
            cached_tokens=50_001,
            cache_write_tokens=10_001,
            cache_write_1h_tokens=5_001,
            output_tokens=777,
        ),
        lines={
            "input": (134_998, "6"),
            "cached": (50_001, "0.60"),
            "written": (10_001, "7.50"),
            "written for an hour": (5_001, "12"),
            "output": (777, "22.50"),
        },
    ),
    "anthropic image": Bill(
        provider="anthropic",
        model="claude-haiku-5-5",
        usage=Usage(input_tokens=4_784 + 19, output_tokens=41),
        lines={"input": (4_803, "0.10"), "output": (41, "0.50")},
    ),
    "anthropic batch, long context": Bill(
        provider="anthropic",
        model="claude-haiku-5-5",
        usage=Usage(input_tokens=100_001, output_tokens=41, service_tier="batch"),
        lines={"input": (100_001, "0.25"), "output": (41, "1.25")},
    ),
    # https://ai.google.dev/gemini-api/docs/pricing
    "google cached": Bill(
        provider="google",
        model="gemini-2.5-pro",
        usage=CACHED,
        lines={"input": (626, "1.25"), "cached": (411, "0.125"), "output": (97, "10")},
    ),
    "google long context": Bill(
        provider="google",
        model="gemini-2.5-pro",
        usage=LONG,
        lines={"input": (200_000, "2.50"), "cached": (100_001, "0.25"), "output": (2_003, "15")},
    ),
    "google batch": Bill(
        provider="google",
        model="gemini-2.5-pro",
        usage=Usage(input_tokens=9_999, output_tokens=501, service_tier="batch"),
        lines={"input": (9_999, "0.625"), "output": (501, "5")},
    ),
    "google audio and searches": Bill(
        provider="google",
        model="gemini-2.5-flash",
        usage=Usage(
            input_tokens=5_000,
            cached_tokens=500,
            audio_input_tokens=3_001,
            output_tokens=60,
            searches=2,
        ),
        lines={
            "input": (1_499, "0.30"),
            "cached": (500, "0.03"),
            "heard": (3_001, "1"),
            "output": (60, "2.50"),
        },
        # Up to Gemini 2.5, a prompt that searched is billed, however often it did.
        per_thousand={"search": (1, "35")},
    ),
    "google image and reasoning, this year": Bill(
        provider="google",
        model="gemini-3.8-flash",
        usage=Usage(input_tokens=1_120 + 9, output_tokens=900, reasoning_tokens=850),
        lines={"input": (1_129, "0.75"), "output": (900, "3.75")},
    ),
    "google image and reasoning, next year": Bill(
        provider="google",
        model="gemini-3.8-flash",
        usage=Usage(input_tokens=1_120 + 9, output_tokens=900, reasoning_tokens=850),
        at=NEW_YEAR,
        lines={"input": (1_129, "1.50"), "output": (900, "7.50")},
    ),
    # https://docs.x.ai/docs/models
    "xai cached": Bill(
        provider="x-ai",
        model="grok-4.7",
        usage=CACHED,
        lines={"input": (626, "2"), "cached": (411, "0.50"), "output": (97, "6")},
    ),
    "xai long context": Bill(
        provider="x-ai",
        model="grok-4.7",
        usage=LONG,
        lines={"input": (200_000, "4"), "cached": (100_001, "1"), "output": (2_003, "12")},
    ),
    "xai batch": Bill(
        provider="x-ai",
        model="grok-4.3",
        usage=BATCH,
        lines={"input": (8_998, "1"), "cached": (1_001, "0.16"), "output": (501, "2")},
    ),
    "xai image and reasoning": Bill(
        provider="x-ai",
        model="grok-4.3",
        usage=Usage(input_tokens=1_792 + 9, output_tokens=900, reasoning_tokens=850),
        lines={"input": (1_801, "1.25"), "output": (900, "2.50")},
    ),
    # https://docs.perplexity.ai/getting-started/pricing
    "perplexity cached, with searches": Bill(
        provider="perplexity",
        model="perplexity/sonar",
        usage=Usage(input_tokens=1_037, cached_tokens=411, output_tokens=97, searches=2),
        lines={"input": (626, "0.25"), "cached": (411, "0.0625"), "output": (97, "2.50")},
        per_thousand={"search": (2, "2.50")},
    ),
    "perplexity fee of a request": Bill(
        provider="perplexity",
        model="sonar-pro",
        usage=Usage(input_tokens=21, output_tokens=97),
        lines={"input": (21, "3"), "output": (97, "15")},
        per_thousand={"request": (1, "14")},
    ),
    "perplexity reasoning, priced apart": Bill(
        provider="perplexity",
        model="sonar-deep-research",
        usage=Usage(input_tokens=77, output_tokens=12_345, reasoning_tokens=12_001, searches=30),
        lines={"input": (77, "2"), "output": (344, "8"), "thought": (12_001, "3")},
        per_thousand={"search": (30, "5")},
    ),
}


@pytest.mark.parametrize("bill", BILLS.values(), ids=BILLS)
def test_a_cost_is_the_price_pages_to_the_nano_dollar(bill: Bill) -> None:
    assert price_of(bill.called, bill.usage, bill.at).cost_nano == bill.nano


@pytest.mark.parametrize("provider", ["anthropic", "google", "x-ai", "perplexity"])
def test_it_is_checked_on_two_models_at_least(provider: str) -> None:
    assert len({bill.model for bill in BILLS.values() if bill.provider == provider}) >= 2
